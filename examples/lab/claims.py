"""The table of claims: what a source claims, what was measured, and whether the claim held."""

from collections.abc import Callable
from textwrap import wrap
from typing import TypeAlias

from lab.results import Claims, Results, Settings

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NOT_TESTED = "not tested in this run"

Rule: TypeAlias = Callable[[Results], tuple[str, bool | None]]
"""Judges one claim: returns what was measured, and whether the claim held; None if the runs for it are missing."""


def judge(claims: dict[str, str], rules: dict[str, Rule], full: Settings, results: Results, scope: str = "") -> Claims:
    """Return the table of claims; only an experiment with its settings in full decides them.

    Args:
        claims: what is claimed, by identity, in the order of the table.
        rules: what judges it, by identity.
        full: the settings of the experiment in full.
        results: what was measured.
        scope: stands behind what was measured in a smaller experiment; the names of settings in braces become their
            values.
    """
    decided = in_full(results.settings, full)
    scope = "" if decided else scope.format(**results.settings)
    table = []
    for identity, claimed in claims.items():
        measured, held = rules[identity](results)
        measured += scope if held is not None else ""
        table.append(claim(identity, claimed, measured, held if decided else None))
    return table


def in_full(settings: Settings, full: Settings) -> bool:
    """Tell whether an experiment has its settings in full; only then can it decide claims."""
    return all(settings[key] == value for key, value in full.items())


def claim(identity: str, claimed: str, measured: str, held: bool | None) -> dict[str, str]:
    """Return a row of the table of claims; ``held`` is None where this run cannot tell."""
    verdict = NOT_TESTED if held is None else REPRODUCED if held else NOT_REPRODUCED
    return {"id": identity, "claimed": claimed, "measured": measured, "verdict": verdict}


def print_claims(claims: Claims) -> None:
    """Print the table of claims, long cells on several lines."""
    widths = {"id": max(len(row["id"]) for row in claims), "claimed": 32, "measured": 46, "verdict": 22}
    print("\n" + "  ".join(f"{column:<{width}}" for column, width in widths.items()).rstrip())
    print("  ".join("-" * width for width in widths.values()))
    for row in claims:
        cells = [wrap(row[column], width) for column, width in widths.items()]
        for line in range(max(map(len, cells))):
            parts = (cell[line] if line < len(cell) else "" for cell in cells)
            print("  ".join(f"{part:<{width}}" for part, width in zip(parts, widths.values(), strict=True)).rstrip())
        print()
