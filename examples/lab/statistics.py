"""One number per seed: its mean and spread as text, and whether two such sets differ by more than chance."""

import numpy as np

from lab.results import Curves

NBSP = "\N{NO-BREAK SPACE}"
"""Keeps a number and its unit on one line."""


def percent(fractions: Curves) -> str:
    """Format one number per seed as mean ± standard deviation (of the sample, n − 1), in per cent."""
    shown = spread(100 * fractions, ".2f")
    return shown if "diverged" in shown else f"{shown}{NBSP}%"


def spread(values: Curves, form: str = ".3g") -> str:
    """Format one number per seed as mean ± standard deviation (of the sample, n − 1)."""
    if not np.isfinite(values).all():
        return f"diverged with {np.count_nonzero(~np.isfinite(values))} of {len(values)} seeds"
    if len(values) == 1:
        return f"{values[0]:{form}}"
    return f"{values.mean():{form}}{NBSP}±{NBSP}{values.std(ddof=1):{form}}"


def exceeds(one: Curves, other: Curves) -> bool:
    """Tell whether ``one``, a number per seed, is above ``other``, by more than chance would bring about.

    The seeds are paired. Their mean difference must be more than twice its standard error; with one seed, above 0.
    """
    difference = one - other
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return bool(difference.mean() > 2 * error)
