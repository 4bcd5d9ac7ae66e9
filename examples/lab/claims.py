"""The table of claims: what a source claims, what was measured, and what may be concluded.

A rule looks at the results and returns what was measured in words, and the parts of the claim, all of which must hold:
comparisons over the seeds, facts that can be counted, definitions, or a word on the runs that are missing.
"""

from collections.abc import Callable, Sequence
from textwrap import fill
from typing import NamedTuple, TypeAlias

from lab.in_short import WIDTH
from lab.results import Claims, Results, Settings
from lab.statistics import FEWEST, Comparison, decide

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
UNDECIDED = "undecided"
BY_DEFINITION = "holds by definition"
"""Of what a text defines, or what follows by arithmetic: it fails only if the code is wrong."""
NOT_TESTED = "not tested in this run"


class Fact(NamedTuple):
    """What can be counted, such as "diverged with every seed"; ``held`` is None where the count does not tell."""

    name: str
    held: bool | None
    seeds: int | None = None
    """None: there is no chance in it."""


class Definition(NamedTuple):
    """What is so by definition or arithmetic."""

    held: bool


class Missing(NamedTuple):
    """What must still be run before a part of the claim can be decided."""

    name: str


Part: TypeAlias = Comparison | Fact | Definition | Missing
Rule: TypeAlias = Callable[[Results], tuple[str, Sequence[Part]]]
"""Judges one claim: returns what was measured, and the parts of the claim."""


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
        measured, parts = rules[identity](results)
        measured += "" if untested(parts) else scope
        table.append(claim(identity, claimed, measured, parts, verdict(parts) if decided else NOT_TESTED))
    return table


def in_full(settings: Settings, full: Settings) -> bool:
    """Tell whether an experiment has its settings in full; only then can it decide claims."""
    return all(settings[key] == value for key, value in full.items())


def claim(identity: str, claimed: str, measured: str, parts: Sequence[Part], verdict: str) -> dict[str, str]:
    """Return a row of the table of claims."""
    shown = [
        str(part) if isinstance(part, Comparison) else part.name for part in parts if not isinstance(part, Definition)
    ]
    return {"id": identity, "claimed": claimed, "measured": measured, "effect": "; ".join(shown), "verdict": verdict}


def verdict(parts: Sequence[Part]) -> str:
    """Return what may be concluded: a claim holds if all its parts do, and fails if one of them fails.

    As long as runs are missing that could change the others' meaning, such as those of a wider grid, it is undecided.
    """
    if untested(parts):
        return NOT_TESTED
    if any(isinstance(part, Missing) for part in parts):
        return UNDECIDED
    held = [decision(part) for part in parts if isinstance(part, Fact | Definition)]
    held += decide([part for part in parts if isinstance(part, Comparison)])
    if False in held:
        return NOT_REPRODUCED
    if None in held:
        return UNDECIDED
    return BY_DEFINITION if all(isinstance(part, Definition) for part in parts) else REPRODUCED


def untested(parts: Sequence[Part]) -> bool:
    """Tell whether nothing has been run that could decide."""
    return all(isinstance(part, Missing) for part in parts)


def decision(part: Fact | Definition) -> bool | None:
    """Tell whether a part holds, where no interval is needed; None where too few seeds have been run."""
    few = isinstance(part, Fact) and part.seeds is not None and part.seeds < FEWEST
    return None if few else part.held


def print_claims(claims: Claims) -> None:
    """Print each claim with its verdict, and below them what was measured, in lines of 80 columns."""
    for row in claims:
        print(f"\n{row['id']}: {row['verdict']}")
        for column in ("claimed", "measured", "effect"):
            start, rest = f"  {column:<10}", " " * 12
            for line in row[column].split("; ") if column == "effect" else [row[column]]:
                text = fill(line, WIDTH, initial_indent=start, subsequent_indent=rest, break_on_hyphens=False)
                print(text, end="\n" * bool(line))
                start = rest
    print()
