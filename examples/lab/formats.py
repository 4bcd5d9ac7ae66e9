"""One number per seed as text: mean and standard deviation."""

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
