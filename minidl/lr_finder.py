"""The learning-rate range test: try all rates in one short run, and see where the loss falls.

Training starts at a rate that is far too small, and the rate grows with every update until it is far too large. The
loss first stays where it is, then falls, flattens, and at last rises or explodes. A good rate lies where it falls most
steeply, well to the left of its minimum: at the minimum the largest steps have already done their harm.
"""

from copy import deepcopy
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from minidl.backend import Array
from minidl.checks import fraction, in_order, one_of, positive, positive_int
from minidl.losses import NLLLoss
from minidl.model import Sequential
from minidl.optimizers import Optimizer
from minidl.training import check_dataset, minibatches

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_FALL = 0.05
"""A loss that falls by less than this part of its first value is taken for noise, and no rate is suggested."""


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

        The suggestion of fast.ai's ``lr_find`` in its first version.
        """
        if not self._falls():
            return None
        slope = np.gradient(self.smoothed, np.log(self.lr))
        return self.lr[int(np.argmin(slope))]

    def valley(self) -> float | None:
        """Return the middle of the longest descent of the smoothed loss, rises left out; None if there is none.

        The suggestion of fast.ai's ``lr_find`` in its second version.
        """
        if not self._falls():
            return None
        descent = longest_descent(self.smoothed)
        return self.lr[descent[len(descent) // 2]]

    def minimum_tenth(self) -> float | None:
        """Return a tenth of the rate at which the smoothed loss is least; None if it never falls.

        A rule of thumb of the fast.ai course.
        """
        if not self._falls():
            return None
        return self.lr[int(np.argmin(self.smoothed))] / 10

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
        top = 1.2 * max(self.smoothed)
        axes.set_ylim(0, top if isfinite(top) else None)
        axes.legend()
        return axes

    def _falls(self) -> bool:
        return len(self.smoothed) > 2 and min(self.smoothed) < (1 - LEAST_FALL) * self.smoothed[0]


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
    seed: int | np.random.Generator | None = 0,
) -> RangeTest:
    """Train a copy of ``model`` with a rising learning rate. The model itself, and all else, stays as it is.

    Args:
        model: where to start from.
        optimizer: whose formula and state to use; its rate does not matter.
        train: samples and labels, as for `minidl.fit`.
        min_lr: the rate of the first update, above 0.
        max_lr: the rate of the last, not below ``min_lr``.
        updates: how many, at least 2.
        batch_size: samples in a batch.
        spacing: of the rates: ``"exponential"``, each the same multiple of the one before, or ``"linear"``.
        smoothing: how much of the moving average each update keeps, from 0 up to but not including 1.
        stop_factor: stop when the smoothed loss exceeds this many times its least value so far.
        seed: for the order of the samples.

    Returns:
        What was measured, up to the last update whose loss was finite.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Source: Smith 2017, "Cyclical learning rates for training neural networks", section 3.3; the defaults are fast.ai's.
    """
    in_order("min_lr", positive("min_lr", min_lr), "max_lr", positive("max_lr", max_lr))
    one_of("exponential", "linear")("spacing", spacing)
    fraction("smoothing", smoothing)
    if positive_int("updates", updates) < 2:
        raise ValueError(f"updates: expected at least 2, got {updates}")
    positive("stop_factor", stop_factor)
    data = check_dataset("train", train, model)
    positive_int("batch_size", batch_size, most=len(data.x))
    # Copies are what makes this safe: an error or an interruption, at whatever point, finds nothing to put back.
    model, optimizer, rng = deepcopy(model), deepcopy(optimizer), deepcopy(np.random.default_rng(seed))
    rates = (np.geomspace if spacing == "exponential" else np.linspace)(min_lr, max_lr, updates).tolist()

    loss, result, average, least = NLLLoss(), RangeTest([], [], []), 0.0, float("inf")
    batches = iter(minibatches(data, batch_size, rng))
    with np.errstate(over="ignore", invalid="ignore"):  # the end of the test is an explosion, and meant to be
        for i, lr in enumerate(rates):
            batch = next(batches, None)
            if batch is None:
                batches = iter(minibatches(data, batch_size, rng))
                batch = next(batches)
            value = float(loss.forward(model.forward(batch[0], training=True), batch[1]))
            average = smoothing * average + (1 - smoothing) * value
            smoothed = average / (1 - smoothing ** (i + 1))  # the average starts at zero, as in Adam
            if not isfinite(value) or smoothed > stop_factor * least:
                break
            result.lr.append(lr)
            result.loss.append(value)
            result.smoothed.append(smoothed)
            least = min(least, smoothed)
            model.backward(loss.backward())
            optimizer.lr = lr
            optimizer.step(model.params, model.grads, model.groups)
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
