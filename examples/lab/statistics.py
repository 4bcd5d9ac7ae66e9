"""What several seeds say together: a mean with its interval, and where the interval lies beside what is claimed.

A few seeds stand for all that could have been drawn. Student's t gives the 95 % interval that their mean deserves: 4.3
standard errors to either side with three seeds, 2.8 with five. (Two, the rule of thumb, would be wrong 18 times in 100
with three seeds.) Whatever is compared is compared in pairs, seed by seed, so that what a seed does to both cancels.

A claim gives a region: above 0, or within half a point of 98 %. If the interval lies inside, the claim is reproduced;
if it lies outside, it is not; if it holds both, the seeds do not decide. Several comparisons in one claim have several
chances of a false decision; Holm's correction keeps the chance of even one at 5 %.

Sources: Student 1908, "The probable error of a mean"; Holm 1979, "A simple sequentially rejective multiple test
procedure"; Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach", for being equal
within a margin. `docs/experiments/rules.md` has the rules and their reasons.
"""

from collections.abc import Sequence
from math import inf, sqrt
from typing import NamedTuple

import numpy as np

try:
    import scipy  # scipy.stats is imported when it is used first: it takes longer to load than the engine
except ImportError as error:
    raise ImportError("the examples need SciPy: pip install -e '.[examples]'") from error

from lab.formats import NBSP
from lab.results import Curves

ALPHA = 0.05
"""The chance of a false decision in one claim."""

HALF_POINT = 0.005
"""What "98 %", "about 96 %" and "as good as" leave open: the texts give whole per cents."""

FEWEST = 3
"""With fewer seeds nothing is decided."""

UNITS = {"": (1, ".3g", ""), "%": (100, ".2f", "%"), "points": (100, "+.2f", "points"), "times": (1, ".3g", "×")}
"""How numbers are shown: multiplied by what, in which form, with which sign."""


class Effect(NamedTuple):
    """A mean over the seeds, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def effect(values: Curves) -> Effect:
    """Return the mean of one number per seed, (seeds,), with its interval by Student's t; one seed has none."""
    mean, reach = float(values.mean()), inf
    if len(values) > 1:
        reach = float(scipy.stats.t.ppf(1 - ALPHA / 2, len(values) - 1) * scipy.stats.sem(values))
    return Effect(mean, mean - reach, mean + reach)


class Comparison(NamedTuple):
    """One number per seed, and the region in which a claim places their mean."""

    name: str
    values: Curves
    low: float = -inf
    high: float = inf
    unit: str = ""
    """"%" or "points" of accuracies, which are fractions here; "times" of logarithms of ratios."""
    noise: float = 0.0
    """How far the number would be off with other test images, in 95 of 100 test sets."""

    @property
    def inside(self) -> bool:
        """Whether the mean lies in the region; a mean of runs that diverged does not."""
        return bool(self.low < self.values.mean() < self.high)

    def p(self) -> float:
        """Return the α at which the interval with confidence 1 − α just touches the region's border."""
        if len(self.values) < FEWEST:
            return 1.0
        if not np.isfinite(self.values).all():
            return 0.0  # a run that diverged is outside, whatever the others do
        distance = min(abs(self.values.mean() - border) for border in (self.low, self.high))
        if distance < 1e-12:  # equal, but for rounding
            return 1.0
        error = float(scipy.stats.sem(self.values))
        return float(2 * scipy.stats.t.sf(distance / error, len(self.values) - 1)) if error > 0 else 0.0

    def __str__(self) -> str:
        lost = np.count_nonzero(~np.isfinite(self.values))
        if lost:
            return f"{self.name}: diverged with {lost} of {len(self.values)} seeds"
        factor, form, sign = UNITS[self.unit]
        found = np.array(effect(self.values))
        mean, low, high = np.exp(found) if self.unit == "times" else factor * found
        interval = f" [{low:{form}}, {high:{form}}]" if len(self.values) > 1 else " (one seed)"
        text = f"{self.name}: {mean:{form}}{NBSP}{sign}".rstrip() + interval
        figure = (self.low + self.high) / 2 if self.unit == "%" else 0.0
        if abs(self.values.mean() - figure) >= self.noise:
            return text
        noise = f"the test set's noise of {100 * self.noise:.2f}"
        return text + (f", within {noise} from {figure:.0%}" if self.unit == "%" else f", less than {noise}")


def above(name: str, one: Curves, other: Curves, by: float = 0.0, unit: str = "") -> Comparison:
    """Compare in pairs: is ``one`` above ``other``, by more than ``by``?"""
    return Comparison(name, one - other, low=by, unit=unit)


def better(name: str, one: Curves, other: Curves, by: float = 0.0, images: int = 10_000) -> Comparison:
    """Compare accuracies in pairs: is ``one`` above ``other``, by more than ``by``?

    With ``by`` = −`HALF_POINT` the question is whether it is as good.
    """
    return Comparison(name, one - other, low=by, unit="points", noise=binomial_noise(other, images))


def about(name: str, accuracy: Curves, figure: float, images: int = 10_000) -> Comparison:
    """Compare accuracies with a figure that was given in whole per cents."""
    region = figure - HALF_POINT, figure + HALF_POINT
    return Comparison(name, accuracy, *region, unit="%", noise=binomial_noise(accuracy, images))


def binomial_noise(accuracy: Curves, images: int) -> float:
    """Return half the 95 % interval of an accuracy on so many test images, had others been drawn.

    A difference of two networks on the same images has at most √2 times this noise; much of it cancels, and how much
    cannot be known from accuracies alone.
    """
    p = float(np.clip(accuracy.mean(), 0, 1))
    return float(scipy.stats.norm.ppf(1 - ALPHA / 2) * sqrt(p * (1 - p) / images))


def deviation_ratio(one: Curves, other: Curves) -> Effect:
    """Return how many times as far apart the values of ``one`` are as those of ``other``, by standard deviations.

    The interval is that of the quotient of two variances, by the F distribution.
    """
    n = len(one)
    if n < FEWEST:
        return Effect(float("nan"), 0.0, inf)
    with np.errstate(divide="ignore"):
        ratio = float(np.divide(one.std(ddof=1), other.std(ddof=1)))
    reach = sqrt(float(scipy.stats.f.ppf(1 - ALPHA / 2, n - 1, n - 1)))
    return Effect(ratio, ratio / reach, ratio * reach)


def decide(comparisons: Sequence[Comparison]) -> list[bool | None]:
    """Tell of each comparison whether the claim holds: inside, outside, or None where the seeds do not decide.

    Holm's correction: the clearest of k comparisons must be clear at α / k, the next at α / (k − 1), and so on; the
    first that is not ends the deciding.
    """
    found: list[bool | None] = [None] * len(comparisons)
    p = [comparison.p() for comparison in comparisons]
    for rank, i in enumerate(np.argsort(p, kind="stable")):
        if p[i] > ALPHA / (len(p) - rank):
            break
        found[i] = comparisons[i].inside
    return found
