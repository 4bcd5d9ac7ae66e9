"""The learning-rate range test: try many learning rates in one short run, and see where the loss falls.

Training starts at a learning rate that is far too small, and it grows with every update until it is far too large. The
loss first stays where it is, then falls, flattens, and at last rises or explodes. Where it falls, a learning rate is
safe. The best one is often higher, since training leaves the place that the test has seen.
"""

from copy import deepcopy
from dataclasses import dataclass
from itertools import chain, count, islice
from math import ceil, isfinite
from typing import TYPE_CHECKING

import numpy as np

from minidl.backend import Seed
from minidl.checks import at_least, below_one, generator, instance, not_infinite, one_of, positive, positive_int
from minidl.checks.data import check_sets
from minidl.checks.plan import check_batches
from minidl.datasets import Data, batch_bounds, minibatches
from minidl.inspection.curves import html_table, new_axes
from minidl.learning_rate.schedules import scheduled
from minidl.loop import Training, descend
from minidl.losses import Loss, NLLLoss
from minidl.model import Sequential
from minidl.optimizers import Optimizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALLEST_FALL = 0.05
"""If the loss falls by less than this fraction of its first value, that may be noise, and no rate is suggested."""

LARGEST_RISE = 0.2
"""If the loss rises by this fraction of its lowest value so far, the minimum is past, whatever comes after."""

START = 0.1
"""The first fraction of the test, in which the moving average has few values, and its slope means nothing."""


@dataclass(repr=False)
class RangeTest:
    """The measurements of `lr_range_test`, an entry for each update."""

    lr: list[float]
    """The learning rates, rising."""
    loss: list[float]
    """The loss of the batch before the update with that rate."""
    smoothed: list[float]
    """A moving average of the losses, weighted towards the latest."""

    def steepest(self) -> float:
        """Return the learning rate at which the smoothed loss falls fastest, against the logarithm of the rate.

        This is like the first version of fast.ai's ``lr_find``.

        Raises:
            ValueError: the loss never falls, so there is no suggestion.
        """
        descent = self._require_descent()
        slope = np.gradient(self.smoothed, np.log(self.lr))
        return self.lr[min(descent, key=lambda i: float(slope[i]))]

    def valley(self) -> float:
        """Return the rate in the middle of the valley: half as many updates before its end as its descent is long.

        The descent is the longest falling subsequence of the smoothed loss, in which rises are left out, between the
        noisy start and the minimum. This is the rule of fast.ai's ``lr_find`` in its second version.

        Raises:
            ValueError: the loss never falls, so there is no suggestion.
        """
        descent = self._require_descent()
        falling = longest_descent([self.smoothed[i] for i in descent])
        length = len(falling)
        return self.lr[descent[falling[-1] - length + length // 3 + length // 6]]

    def minimum_tenth(self) -> float:
        """Return a tenth of the learning rate at which the smoothed loss is lowest.

        A rule of thumb of the fast.ai course.

        Raises:
            ValueError: the loss never falls, so there is no suggestion.
        """
        return self.lr[self._require_descent()[-1]] / 10

    def suggestions(self) -> dict[str, float]:
        """Return all suggestions by name; none, if the loss never falls."""
        if not self._descent():
            return {}
        return {"steepest": self.steepest(), "valley": self.valley(), "minimum/10": self.minimum_tenth()}

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw loss and smoothed loss against the rate, with the suggestions marked, and return the axes."""
        axes = axes or new_axes()
        axes.plot(self.lr, self.loss, color="tab:gray", alpha=0.4, label="loss of the batch")
        axes.plot(self.lr, self.smoothed, color="tab:blue", label="smoothed")
        colours = ("tab:red", "tab:orange", "tab:green")
        for (name, rate), colour in zip(self.suggestions().items(), colours, strict=False):
            axes.axvline(rate, color=colour, linestyle="--", label=f"{name}: {rate:.2g}")
        axes.set(xscale="log", xlabel="learning rate (logarithmic)", ylabel="loss")
        axes.set_ylim(0, 1.2 * max(self.smoothed, default=1.0))
        axes.legend()
        return axes

    def __repr__(self) -> str:
        span = f", learning rates {self.lr[0]:.2g} to {self.lr[-1]:.2g}" if self.lr else ""
        found = ", ".join(f"{name} {rate:.2g}" for name, rate in self.suggestions().items())
        return f"RangeTest({len(self.lr)} updates{span}; {found or 'no suggestion'})"

    def _repr_html_(self) -> str:
        """Return a table for a notebook: the suggestions."""
        return html_table(
            [{"updates": str(len(self.lr))} | {k: f"{rate:.3g}" for k, rate in self.suggestions().items()}]
        )

    def _require_descent(self) -> list[int]:
        """Return `_descent`, or raise a ValueError that says what to do."""
        if not (descent := self._descent()):
            raise ValueError(
                "no suggestion: the smoothed loss does not fall by a twentieth after the first tenth of the updates; "
                "look at plot(), and try a wider range of learning rates, more updates, or standardised inputs"
            )
        return descent

    def _descent(self) -> list[int]:
        """Return the positions between the noisy start and the minimum; none, if the loss does not fall to speak of."""
        if not self.smoothed:
            return []
        lowest = first = ceil(START * len(self.smoothed))
        for i in range(first, len(self.smoothed)):
            if self.smoothed[i] < self.smoothed[lowest]:
                lowest = i
            elif self.smoothed[i] > (1 + LARGEST_RISE) * self.smoothed[lowest]:
                break
        if lowest == first or self.smoothed[lowest] > (1 - SMALLEST_FALL) * self.smoothed[first]:
            return []
        return list(range(first, lowest + 1))


def lr_range_test(
    model: Sequential,
    optimizer: Optimizer,
    train: Data,
    *,
    min_lr: float = 1e-7,
    max_lr: float = 10.0,
    updates: int = 100,
    batch_size: int = 64,
    spacing: str = "exponential",
    smoothing: float = 0.98,
    stop_factor: float = 4.0,
    seed: Seed = 0,
    loss: Loss | None = None,
) -> RangeTest:
    """Train a copy of ``model`` with a rising learning rate. The model itself, like everything else, stays as it is.

    Args:
        model: where to start from.
        optimizer: whose formula and state to use; its rate does not matter.
        train: samples and labels, as for `minidl.fit`.
        min_lr: the rate of the first update, above 0.
        max_lr: the rate of the last, above ``min_lr``.
        updates: the number of updates, at least 2.
        batch_size: samples in a batch.
        spacing: of the rates: ``"exponential"``, each the same multiple of the one before, or ``"linear"``.
        smoothing: the fraction of the moving average that each update keeps, from 0 up to but not including 1.
        stop_factor: stop when the smoothed loss exceeds this many times its lowest value so far, at least 1.
        seed: for the order of the samples.
        loss: as for `minidl.fit`.

    Returns:
        The measurements, up to the update before the one whose loss was not finite, or too high.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Source: fast.ai's ``lr_find``, whose defaults these are. It follows Smith 2017, "Cyclical learning rates for
    training neural networks", section 3.3, who raises the rate linearly over several epochs and watches accuracy.
    """
    instance("model", model, Sequential)
    instance("optimizer", optimizer, Optimizer)
    min_lr, max_lr = positive("min_lr", min_lr), positive("max_lr", max_lr)
    if min_lr >= max_lr:
        raise ValueError(f"min_lr: expected less than max_lr, {max_lr!r}, got {min_lr!r}")
    spacing = one_of("exponential", "linear")("spacing", spacing)
    smoothing, stop_factor = below_one("smoothing", smoothing), at_least("stop_factor", stop_factor, 1)
    if positive_int("updates", updates) < 2:
        raise ValueError(f"updates: expected at least 2, got {updates}")
    rng = deepcopy(generator("seed", seed))
    loss = NLLLoss() if loss is None else deepcopy(loss)
    (data,) = check_sets(model, loss, train=train)
    optimizer.check(model.params, model.grads)
    not_infinite(model.params.dtype, "max_lr", max_lr)
    n = len(data[0])
    check_batches(model, {stop - start for start, stop in batch_bounds(n, batch_size)})
    # Copies make this safe: an error or an interruption, at whatever point, finds nothing to put back.
    state = Training(deepcopy(model), deepcopy(optimizer), rng, loss=loss)
    rates = (np.geomspace if spacing == "exponential" else np.linspace)(min_lr, max_lr, updates).tolist()
    endless = chain.from_iterable(minibatches(data, batch_size, rng) for _ in count())
    batches = scheduled(islice(endless, updates), state, lambda _: rates[state.updates], n)

    result, average, lowest = RangeTest([], [], []), 0.0, float("inf")
    with np.errstate(over="ignore", invalid="ignore"):  # the end of the test is an explosion, and meant to be
        for i, value in enumerate(map(float, descend(state, batches))):
            average = smoothing * average + (1 - smoothing) * value
            smoothed = average / (1 - smoothing ** (i + 1))  # the average starts at zero, as in Adam
            if not isfinite(value) or smoothed > stop_factor * lowest:
                break
            result.lr.append(rates[i])
            result.loss.append(value)
            result.smoothed.append(smoothed)
            lowest = min(lowest, smoothed)
    return result


lr_find = lr_range_test
"""The name by which fast.ai made the range test known."""


def longest_descent(values: list[float]) -> list[int]:
    """Return the positions of the longest subsequence of ``values`` that falls all the way; the first, of several."""
    length, before = [1] * len(values), [-1] * len(values)
    for i, value in enumerate(values):
        for j in range(i):
            if value < values[j] and length[i] <= length[j]:
                length[i], before[i] = length[j] + 1, j
    end = length.index(max(length))
    descent = []
    while end >= 0:
        descent.append(end)
        end = before[end]
    return descent[::-1]
