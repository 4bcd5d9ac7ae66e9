"""What a run shows, in three lines that need no table: for runs too small to decide a claim.

Each module of `lab.verdicts` has a function ``in_short`` that returns the first two: what was measured, in order, and
what to look at in the figure.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from textwrap import fill

WIDTH = 80
"""Columns of a terminal that nobody has made wider."""


def print_in_short(lines: Sequence[str]) -> None:
    """Print the lines, and that they decide nothing."""
    print("\nWhat this run shows")
    for line in (*lines, "Only the experiment in full decides claims, without --quick or other settings."):
        print(fill(line, WIDTH, initial_indent="- ", subsequent_indent="  "))
    print()


def ranked(ends: Mapping[str, float], form: str = "{:.1f} %", lowest_first: bool = False) -> str:
    """Return names and values, best first; a value that is not finite has diverged, and stands last.

    Example: ``ranked({"256": 97.3, "64": 97.9})`` is ``"64: 97.9 %, 256: 97.3 %"``.
    """
    finite = {name: value for name, value in ends.items() if isfinite(value)}
    order = sorted(finite, key=finite.__getitem__, reverse=not lowest_first)
    diverged = [f"{name}: diverged" for name in ends if name not in finite]
    return ", ".join([f"{name}: {form.format(finite[name])}" for name in order] + diverged)
