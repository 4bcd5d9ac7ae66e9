"""The learning-rate range test: try all rates in one short run, and see where the loss falls.

Training starts at a rate that is far too small, and the rate grows with every update until it is far too large. The
loss first stays where it is, then falls, flattens, and at last rises or explodes. A good rate lies where it falls most
steeply, well to the left of its minimum: at the minimum the largest steps have already done their harm.
"""

from copy import deepcopy
from dataclasses import dataclass
from itertools import chain, count, islice
from math import ceil, isfinite
from typing import TYPE_CHECKING

import numpy as np

from minidl.backend import Array, Seed
from minidl.checks import at_least, below_one, generator, instance, not_infinite, one_of, positive, positive_int
from minidl.checks.plan import check_batches, check_dataset
from minidl.datasets import batch_bounds, minibatches
from minidl.learning_rate.schedules import scheduled
from minidl.loop import Training, descend
from minidl.model import Sequential
from minidl.optimizers import Optimizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALLEST_FALL = 0.05
"""A loss that falls by less than this part of its first value is taken for noise, and no rate is suggested."""

LARGEST_RISE = 0.2
"""A loss that has risen by this part of its lowest value so far is past its minimum, whatever comes after."""

START = 0.1
"""The first part of the test, in which the moving average has few values to average, and its slope means nothing."""


@dataclass
class RangeTest:
    """What `lr_range_test` measured, an entry for each update."""

    lr: list[float]
    """The learning rates, rising."""
    loss: list[float]
    """The loss of the batch before the update with that rate."""
    smoothed: list[float]
    """A moving average of the losses, weighted towards the latest."""

    def steepest(self) -> float | None:
        """Return the rate at which the smoothed loss falls fastest, against the logarithm of the rate; None if nowhere.

        In the manner of fast.ai's ``lr_find`` in its first version.
        """
        descent = self._descent()
        if not descent:
            return None
        slope = np.gradient(self.smoothed, np.log(self.lr))
        return self.lr[min(descent, key=lambda i: float(slope[i]))]

    def valley(self) -> float | None:
        """Return the middle of the longest descent of the smoothed loss, rises left out; None if there is none.

        In the manner of fast.ai's ``lr_find`` in its second version.
        """
        descent = self._descent()
        if not descent:
            return None
        falling = longest_descent([self.smoothed[i] for i in descent])
        return self.lr[descent[falling[len(falling) // 2]]]

    def minimum_tenth(self) -> float | None:
        """Return a tenth of the rate at which the smoothed loss is lowest; None if it never falls.

        A rule of thumb of the fast.ai course.
        """
        descent = self._descent()
        return self.lr[descent[-1]] / 10 if descent else None

    def suggestions(self) -> dict[str, float | None]:
        """Return all suggestions by name."""
        return {"steepest": self.steepest(), "valley": self.valley(), "minimum/10": self.minimum_tenth()}

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw loss and smoothed loss against the rate, with the suggestions marked, and return the axes."""
        from matplotlib import pyplot as plt

        if axes is None:
            axes = plt.subplots(layout="constrained")[1]
        axes.plot(self.lr, self.loss, color="tab:gray", alpha=0.4, label="loss of the batch")
        axes.plot(self.lr, self.smoothed, color="tab:blue", label="smoothed")
        for (name, rate), colour in zip(
            self.suggestions().items(), ("tab:red", "tab:orange", "tab:green"), strict=True
        ):
            if rate is not None:
                axes.axvline(rate, color=colour, linestyle="--", label=f"{name}: {rate:.2g}")
        axes.set(xscale="log", xlabel="learning rate (logarithmic)", ylabel="loss")
        axes.set_ylim(0, 1.2 * max(self.smoothed, default=1.0))
        axes.legend()
        return axes

    def _descent(self) -> list[int]:
        """Return the positions between the noisy start and the minimum; none, if the loss does not fall to speak of."""
        lowest = 0
        for i, value in enumerate(self.smoothed):
            if value < self.smoothed[lowest]:
                lowest = i
            elif value > (1 + LARGEST_RISE) * self.smoothed[lowest]:
                break
        first = ceil(START * len(self.smoothed))
        if lowest <= first or self.smoothed[lowest] > (1 - SMALLEST_FALL) * self.smoothed[first]:
            return []
        return list(range(first, lowest + 1))


def lr_range_test(
    model: Sequential,
    optimizer: Optimizer,
    train: tuple[Array, Array],
    *,
    min_lr: float = 1e-7,
    max_lr: float = 10.0,
    updates: int = 100,
    batch_size: int = 64,
    spacing: str = "exponential",
    smoothing: float = 0.98,
    stop_factor: float = 4.0,
    seed: Seed = 0,
) -> RangeTest:
    """Train a copy of ``model`` with a rising learning rate. The model itself, and all else, stays as it is.

    Args:
        model: where to start from.
        optimizer: whose formula and state to use; its rate does not matter.
        train: samples and labels, as for `minidl.fit`.
        min_lr: the rate of the first update, above 0.
        max_lr: the rate of the last, above ``min_lr``.
        updates: how many, at least 2.
        batch_size: samples in a batch.
        spacing: of the rates: ``"exponential"``, each the same multiple of the one before, or ``"linear"``.
        smoothing: how much of the moving average each update keeps, from 0 up to but not including 1.
        stop_factor: stop when the smoothed loss exceeds this many times its lowest value so far, at least 1.
        seed: for the order of the samples.

    Returns:
        What was measured, up to the update before the one whose loss was not finite, or too high.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Source: Smith 2017, "Cyclical learning rates for training neural networks", section 3.3; the defaults are fast.ai's.
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
    data = check_dataset("train", train, model)
    optimizer.check(model.params, model.grads)
    not_infinite(model.params.dtype, "max_lr", max_lr)
    check_batches(model, {stop - start for start, stop in batch_bounds(len(data.x), batch_size)})
    # Copies make this safe: an error or an interruption, at whatever point, finds nothing to put back.
    state = Training(deepcopy(model), deepcopy(optimizer), rng)
    rates = (np.geomspace if spacing == "exponential" else np.linspace)(min_lr, max_lr, updates).tolist()
    endless = chain.from_iterable(minibatches(data, batch_size, rng) for _ in count())
    batches = scheduled(islice(endless, updates), state, lambda _: rates[state.updates], len(data.x))

    result, average, lowest = RangeTest([], [], []), 0.0, float("inf")
    with np.errstate(over="ignore", invalid="ignore"):  # the end of the test is an explosion, and meant to be
        for i, loss in enumerate(descend(state, batches)):
            value = float(loss)
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
