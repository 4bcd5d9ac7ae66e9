"""Numbers that change while training goes on: learning rates and batch sizes as functions of time.

Time t is measured in epochs, with fractions: 2.5 is halfway through the third pass over the training set. So a schedule
is a plain function of t, the same for every batch size and for training sets of any length. `minidl.fit` accepts one
for the learning rate and for the batch size:

    fit(..., lr=cosine_restarts(0.1, cycle_length=1, cycle_mult=2))
    fit(..., batch_size=piecewise({0: 1024, 30: 64}))

The functions here make schedules. `piecewise` also joins them: each stretch may be a schedule of its own, whose time
starts at 0 when the stretch starts.

    piecewise({0: linear(0.001, 0.1, length=2), 2: cosine_restarts(0.1, cycle_length=4)})
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from math import cos, floor, log1p, pi
from typing import Any, ParamSpec

from minidl.backend import Array
from minidl.checks import at_least, in_order, not_negative, positive, up_to_one
from minidl.loop import Batches, Schedule, Training

Arguments = ParamSpec("Arguments")

ROUNDING = 1e-9
"""By how much t may miss the end of a stretch and still be taken for it: 1 + 0.36 is a little less than 1.36."""


class MadeBy:
    """A schedule that knows the call which made it: it is shown, copied and pickled as that call."""

    def __init__(self, schedule: Schedule, maker: Callable[..., Schedule], args: tuple[Any, ...], options: Any):
        self.schedule, self.call = schedule, (maker, args, options)

    def __call__(self, t: float) -> float:
        """Return the value at time t."""
        return self.schedule(t)

    def __reduce__(self) -> Any:
        maker, args, options = self.call
        return partial(maker, **options), args

    def __repr__(self) -> str:
        maker, args, options = self.call
        shown = [*map(repr, args), *(f"{name}={value!r}" for name, value in options.items())]
        return f"{maker.__name__}({', '.join(shown)})"


def remade(maker: Callable[Arguments, Schedule]) -> Callable[Arguments, Schedule]:
    """Let a function return schedules that know the call which made them."""

    def kept(value: Any) -> Any:
        return dict(value) if isinstance(value, Mapping) else value  # the caller's own may change

    @wraps(maker)
    def make(*args: Arguments.args, **options: Arguments.kwargs) -> Schedule:
        known = {name: kept(value) for name, value in options.items()}
        return MadeBy(maker(*args, **options), make, tuple(map(kept, args)), known)

    return make


@remade
def constant(value: float) -> Schedule:
    """Return value(t) = value.

    Raises:
        ValueError: ``value`` is below 0.
    """
    value = not_negative("value", value)
    return lambda _t: value


@remade
def piecewise(stretches: Mapping[float, float | Schedule]) -> Schedule:
    """Join stretches: from each start on, what is given for it, until the next.

    Args:
        stretches: start in epochs -> a number, or a schedule that sees the time since that start. One starts at 0.

    Raises:
        TypeError: a start is no number.
        ValueError: no stretch starts at 0, one starts before or never, or a number is below 0.
    """
    parts: dict[float, Schedule] = {}
    for start, value in stretches.items():
        name = f"stretches[{start!r}]"
        parts[not_negative(f"{name}: start", start)] = value if callable(value) else constant(not_negative(name, value))
    if 0 not in parts:
        raise ValueError(f"stretches: expected one that starts at 0, got starts {list(parts)}")

    def schedule(t: float) -> float:
        start = max(start for start in parts if start <= t + ROUNDING)
        return parts[start](max(t - start, 0.0))

    return schedule


@remade
def linear(start: float, end: float, length: float) -> Schedule:
    """Go from ``start`` to ``end`` in ``length`` epochs along a line, and stay there; upwards it is a *warm-up*.

        value(t) = start + (end − start) · min(t / length, 1)

    Raises:
        ValueError: ``length`` is not above 0, or another argument is below 0.
    """
    start, end, length = not_negative("start", start), not_negative("end", end), positive("length", length)
    return lambda t: _between(start, end, min(t / length, 1.0))


@remade
def step_decay(initial: float, factor: float, every: float) -> Schedule:
    """Multiply by ``factor`` after every ``every`` epochs: below 1 for a learning rate, above 1 for a batch size.

        value(t) = initial · factor^⌊t / every⌋

    Raises:
        ValueError: an argument is not above 0.
    """
    initial, factor, every = positive("initial", initial), positive("factor", factor), positive("every", every)
    return lambda t: initial * factor ** floor(t / every + ROUNDING)


@remade
def exponential_decay(initial: float, factor: float) -> Schedule:
    """Multiply by ``factor`` per epoch, smoothly.

        value(t) = initial · factor^t

    Raises:
        ValueError: an argument is not above 0.
    """
    initial, factor = positive("initial", initial), positive("factor", factor)
    return lambda t: initial * factor**t


@remade
def triangular(base_lr: float, max_lr: float, step_size: float) -> Schedule:
    """Swing between two rates along lines, up for ``step_size`` epochs and down for as many: a cyclical learning rate.

        cycle = ⌊1 + t / 2s⌋        x = |t / s − 2 cycle + 1|
        value(t) = base + (max − base) · max(0, 1 − x)

    Args:
        base_lr: the lower rate, at least 0.
        max_lr: the upper rate, above 0 and not below the lower.
        step_size: s, half a cycle, in epochs; the paper advises 2 to 10.

    Raises:
        ValueError: an argument is out of its range.

    Source: Smith 2017, "Cyclical learning rates for training neural networks", section 3.1, with s in iterations.
    """
    return _cyclical(base_lr, max_lr, step_size, lambda _t, _cycle: 1.0)


@remade
def triangular2(base_lr: float, max_lr: float, step_size: float) -> Schedule:
    """Swing as `triangular` does, half as high in each cycle as in the one before: (max − base) / 2^(cycle − 1).

    Raises:
        ValueError: an argument is out of its range.

    Source: Smith 2017, section 3.1.
    """
    return _cyclical(base_lr, max_lr, step_size, lambda _t, cycle: 0.5 ** (cycle - 1))


@remade
def exp_range(base_lr: float, max_lr: float, step_size: float, gamma: float) -> Schedule:
    """Swing as `triangular` does, under an exponential that falls: (max − base) · γ^t.

    This is how the author's own code and most libraries have it. The paper's words let the lower rate fall too.

    Args:
        base_lr: the lower rate, at least 0.
        max_lr: the upper rate, above 0 and not below the lower.
        step_size: half a cycle, in epochs.
        gamma: γ, above 0 and at most 1: what is left of the height after an epoch. (In the paper, after an iteration.)

    Raises:
        ValueError: an argument is out of its range.

    Source: Smith 2017, section 3.1.
    """
    left = up_to_one("gamma", gamma)
    return _cyclical(base_lr, max_lr, step_size, lambda t, _cycle: left**t)


@remade
def cosine_restarts(max_lr: float, min_lr: float = 0.0, cycle_length: float = 1.0, cycle_mult: float = 1.0) -> Schedule:
    """Fall along half a cosine, jump back up, and fall again: stochastic gradient descent with warm restarts.

        value(t) = η_min + ½ (η_max − η_min) (1 + cos(π T_cur / T_i))        T_{i+1} = cycle_mult · T_i

    T_cur is the time since the restart in epochs, with fractions, as in the paper; T_i is the length of this cycle.
    The restart is warm because only the rate jumps, and the parameters stay where they are.

    Args:
        max_lr: η_max, above 0.
        min_lr: η_min, from 0 to ``max_lr``. It is approached and never reached, since the next cycle starts there.
        cycle_length: T_0, the length of the first cycle in epochs.
        cycle_mult: how many times as long each cycle is as the one before, at least 1.

    Raises:
        ValueError: an argument is out of its range.

    Source: Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", equation 5. The names of
    the last two arguments are fast.ai's. PyTorch: ``CosineAnnealingWarmRestarts``.
    """
    max_lr, min_lr = positive("max_lr", max_lr), not_negative("min_lr", min_lr)
    in_order("min_lr", min_lr, "max_lr", max_lr)
    cycle_length, cycle_mult = positive("cycle_length", cycle_length), at_least("cycle_mult", cycle_mult, 1)
    growth = cycle_mult - 1

    def schedule(t: float) -> float:
        cycles = t / cycle_length  # gone by now, if all were as long as the first
        if growth:  # cycle i starts at T_0 (1 + m + … + m^(i−1)) = T_0 (m^i − 1) / (m − 1)
            i = floor(log1p(growth * cycles) / log1p(growth) + ROUNDING)
            since = cycles - (cycle_mult**i - 1) / growth
        else:
            i = floor(cycles + ROUNDING)
            since = cycles - i
        # ½ (1 + cos 2a) = cos² a, which does not round to zero before the end of the cycle.
        return _between(min_lr, max_lr, cos(0.5 * pi * since / cycle_mult**i) ** 2)

    return schedule


@remade
def one_cycle(
    max_lr: float, length: float, base_factor: float = 0.1, final_factor: float = 0.001, *, update: float = 0.0
) -> Schedule:
    """Go up to ``max_lr`` and down again once, each for 45 % of the time, and die away in the remaining 10 %.

    Args:
        max_lr: the highest rate, above 0.
        length: of the whole, in epochs; make it that of the run.
        base_factor: start and end of the cycle, as a part of ``max_lr``.
        final_factor: end of the last stretch, as a part of ``max_lr``, from 0 to ``base_factor``.
        update: the time that one update takes, B / n epochs. The last update begins so long before the end of the run,
            and has the final rate; with 0, the final rate is that of the very end, when no update begins any more.

    Raises:
        ValueError: an argument is out of its range, or ``update`` is not below ``length``.

    Source: Smith 2018, "A disciplined approach to neural network hyper-parameters", section 4.1, which leaves the
    parts of the time and the factors open: those here are a choice. PyTorch's ``OneCycleLR`` rises for 30 % of the
    time and falls for the rest, along cosines.
    """
    max_lr, length = positive("max_lr", max_lr), positive("length", length)
    base_factor, final_factor = up_to_one("base_factor", base_factor), not_negative("final_factor", final_factor)
    in_order("final_factor", final_factor, "base_factor", base_factor)
    base_lr, final_lr = base_factor * max_lr, final_factor * max_lr
    if not_negative("update", update) >= length:
        raise ValueError(f"update: expected less than length, {length!r} epochs, got {update!r}")
    length -= update
    rise, tail = 0.45 * length, 0.1 * length
    return piecewise(
        {
            0: linear(base_lr, max_lr, rise),
            rise: linear(max_lr, base_lr, rise),
            2 * rise: linear(base_lr, final_lr, tail),
        }
    )


def scheduled(batches: Batches, state: Training, lr: Schedule, n: int) -> Iterator[tuple[Array, Array]]:
    """Yield ``batches``, and before each set the learning rate of the time; n is the number of training samples."""
    for batch in batches:
        state.optimizer.lr = float(lr(state.epoch - 1 + state.seen / n))
        yield batch


def _cyclical(base_lr: float, max_lr: float, step_size: float, height: Callable[[float, int], float]) -> Schedule:
    """Return a triangle wave whose peaks are ``height(t, cycle)`` of the way from ``base_lr`` to ``max_lr``."""
    base_lr, max_lr, step_size = (
        not_negative("base_lr", base_lr),
        positive("max_lr", max_lr),
        positive("step_size", step_size),
    )
    in_order("base_lr", base_lr, "max_lr", max_lr)

    def schedule(t: float) -> float:
        cycle = floor(1 + t / (2 * step_size))
        x = abs(t / step_size - 2 * cycle + 1)
        return _between(base_lr, max_lr, max(0.0, 1 - x) * height(t, cycle))

    return schedule


def _between(start: float, end: float, weight: float) -> float:
    """Return the mean of ``start`` and ``end`` with this weight on the end: exactly ``start`` at 0, ``end`` at 1."""
    return end if weight == 1 else start + weight * (end - start)
