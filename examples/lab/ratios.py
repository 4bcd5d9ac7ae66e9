"""How many times as long one contestant takes as another, and how far to trust that number: the bootstrap.

A ratio is that of the medians over all rounds. Its interval comes from the rounds themselves: as many as there were are
drawn from them with replacement, a thousand times, and the quotient of the medians is computed anew (Efron 1979,
"Bootstrap methods: another look at the jackknife"). It contains the true quotient nine times in ten if rounds are
independent. Those of one start resemble each other, and so it is rather too narrow.
"""

from statistics import median
from typing import NamedTuple

import numpy as np

from lab.formats import NBSP
from lab.results import Results


class Ratio(NamedTuple):
    """How many times as long one takes as another."""

    value: float
    """The quotient of the medians over the rounds."""
    low: float
    """Where its 90 % interval begins."""
    high: float
    """Where it ends."""

    def __str__(self) -> str:
        return f"{self.value:.2f}{NBSP}× ({self.low:.2f}{NBSP}to{NBSP}{self.high:.2f})"


def ratio(results: Results, run: str, one: str, other: str) -> Ratio | None:
    """Return how many times as long ``one`` takes as ``other``; None unless both took part in the run."""
    times = seconds(results, run)
    if not times.get(one) or not times.get(other):
        return None
    pairs = np.array([times[one], times[other]])
    drawn = np.random.default_rng(0).integers(pairs.shape[1], size=(1000, pairs.shape[1]))
    middle = np.median(pairs[:, drawn], axis=2)
    low, high = np.quantile(middle[0] / middle[1], [0.05, 0.95])
    return Ratio(median(times[one]) / median(times[other]), float(low), float(high))


def seconds(results: Results, run: str) -> dict[str, list[float]]:
    """Return the seconds of a step in each round of a run, by contestant; empty if there is no such run."""
    found = results.called(run)
    times: dict[str, list[float]] = found[0]["seconds_per_step"] if found else {}
    return times
