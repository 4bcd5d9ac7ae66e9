"""An optimiser beside its paper: the algorithm in plain Python, for one parameter, in the paper's own order.

A transcription shares nothing with the class that it checks: no arrays, no dictionary of state, no algebra that saves a
division. It is a generator. It is given the parameter, a function that returns the gradient at a point, and the
learning rate of each step, and it yields the parameter after each step:

    def momentum(w, gradient, rates, gamma=0.9):
        v = 0.0
        for rate in rates:
            v = gamma * v - rate * gradient(w)
            w = w + v
            yield w

Where class and transcription part, whatever brings them together again is the likely cause.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from inspect import signature
from itertools import combinations, cycle, islice, permutations
from math import isclose, sin, sqrt

import numpy as np

from minidl import Optimizer
from minidl.backend import Array
from minidl.testing.contract import ContractError, raises
from minidl.testing.courses import TOLERANCE, Course, Make, parting, with_arguments

Reference = Callable[[float, Callable[[float], float], Sequence[float]], Iterable[float]]
"""The algorithm of a paper: (w, gradient, rates) -> w after each step."""

LANDSCAPES = [
    (1.0, 0.25, -1.0),
    (1.0, 0.5, -1.0),
    (1.0, 1.0, -1.0),
    (30.0, 30.0, -1.0),
    (1e-4, 0.25, -1.0),
    (1e-8, 0.25, -1.0),
    (1.0, 0.25, 0.0),
]
"""For the parameters in turn, how large the gradient is, how wide its waves are, and how low they reach.

One is as small as most ε; another has parts where it is 0, as for a unit of ReLU that is not active.
"""


LONG = 150
"""Steps of a second trial, in which the gradients are given: on a landscape, rounding grows from step to step."""


@dataclass
class Trial:
    """A start and a landscape for each parameter, and a learning rate for each step."""

    start: list[float]
    landscapes: list[tuple[float, float, float]]
    rates: list[float]
    given: Array | None = None
    """Gradients in place of those of the landscapes: (steps, n)."""

    def gradients(self) -> list[Callable[[float], float]]:
        """Return the gradient of each parameter: it depends on where the steps have led, and changes its sign."""
        if self.given is not None:
            return [partial(_next, iter(column)) for column in self.given.T.tolist()]
        return [partial(_slope, *landscape) for landscape in self.landscapes]


def _next(given: Iterator[float], _w: float) -> float:
    return next(given)


def _slope(size: float, width: float, lowest: float, w: float) -> float:
    return size * max(0.1 + 0.5 * sin(w / width), lowest)


def trial_of(course: Course) -> Trial:
    """Return a trial with the start and the learning rates of a course."""
    return Trial(course.start.tolist(), [*islice(cycle(LANDSCAPES), len(course.start))], course.rates.tolist())


def long_trial(course: Course) -> Trial:
    """Return a trial of many steps, with gradients from 1e-9 to 200 in size."""
    given = np.resize(course.gradients, (LONG, 4)) * [1.0, 100.0, 1e-3, 1e-8]
    return Trial(course.start[:4].tolist(), [], np.resize(course.rates, LONG).tolist(), given)


def check_reference(make: Make, course: Course, reference: Reference) -> None:
    """Require that an optimiser takes the steps of a reference, or say in which step it does not, and likely why."""
    for trial in (trial_of(course), long_trial(course)):
        path, expected = walk_down(make(), trial), transcribe(reference, trial)
        apart = parting(path, expected)
        if apart is not None:
            step, i = apart
            before, after, right = path[step - 1, i], path[step, i], expected[step, i]
            raise ContractError(
                f"in step {step} of {len(trial.rates)}, w goes from {before:.6g} by {after - before:.10g}, and in the "
                f"reference by {right - before:.10g}{likely_cause(make, reference, trial)}"
            )
    trial = trial_of(course)  # once more, with other numbers: the default may have been written into the formula
    for name, value in _shared(make(), reference).items():
        changed = with_arguments(make, **{name: value / 2})
        if raises((TypeError, ValueError), changed):
            continue  # out of its range
        expected = transcribe(partial(reference, **{name: value / 2}), trial)
        if parting(walk_down(changed(), trial), expected) is not None:
            raise ContractError(
                f"with {name}={value:.6g} it takes the steps of the reference, and with {name}={value / 2:.6g}, given "
                f"to both, it does not\nhint: {name} is left out of the formula, or written there as a number"
            )


def _shared(optimizer: Optimizer, reference: Reference) -> dict[str, float]:
    """Return the numbers that the optimiser and the reference both take under one name, with one default."""
    taken = signature(reference).parameters
    arguments = {field.name: getattr(optimizer, field.name) for field in fields(optimizer) if field.init}
    return {name: x for name, x in arguments.items() if type(x) is float and name in taken and taken[name].default == x}


def walk_down(optimizer: Optimizer, trial: Trial) -> Array:
    """Return the parameters before the first step of an optimiser and after each: (steps + 1, n)."""
    w, gradients = np.array(trial.start), trial.gradients()
    path = [w.copy()]
    for rate in trial.rates:
        optimizer.lr = rate
        optimizer.step(w, np.array([gradient(float(x)) for gradient, x in zip(gradients, w, strict=True)]))
        path.append(w.copy())
    return np.array(path)


def transcribe(reference: Reference, trial: Trial) -> Array:
    """Return what `walk_down` does, for a reference.

    Raises:
        ValueError: it does not ask for one gradient in each step, at the point that it has yielded last.
    """
    ways = [
        _way(reference, w, gradient, trial.rates) for w, gradient in zip(trial.start, trial.gradients(), strict=True)
    ]
    return np.array(ways).T


def _way(reference: Reference, w: float, gradient: Callable[[float], float], rates: list[float]) -> list[float]:
    way, asked = [w], []

    def slope(at: float) -> float:
        asked.append(at)
        return gradient(at)

    for after in reference(w, slope, rates):
        way.append(float(after))
    if len(way) != len(rates) + 1 or len(asked) != len(rates):
        raise ValueError(
            "reference: expected a generator that takes a gradient and yields w for each of "
            f"{len(rates)} rates, got {len(asked)} gradients and {len(way) - 1} points"
        )
    if not np.allclose(asked, way[:-1], rtol=1e-9, atol=1e-12, equal_nan=True):
        raise ValueError(
            "reference: it takes a gradient at another point than it has yielded, but an optimiser is given that at w; "
            "yield the point at which the next gradient is taken"
        )
    return way


def likely_cause(make: Make, reference: Reference, trial: Trial) -> str:
    """Return a hint, to follow the facts: what would bring an optimiser and a reference together; empty if unknown."""
    return next((f"\nhint: {cause}" for cause in _causes(make, reference, trial)), "")


def _causes(make: Make, reference: Reference, trial: Trial) -> Iterator[str]:
    """Yield what explains why the two part, the most certain first."""

    def agree(make: Make, trial: Trial, tolerance: float = TOLERANCE) -> bool:
        return parting(walk_down(make(), trial), transcribe(reference, trial), tolerance) is None

    optimizer = make()
    path, expected = walk_down(optimizer, trial), transcribe(reference, trial)
    first, right = path[1] - path[0], expected[1] - expected[0]
    ratio = first[0] / right[0] if right[0] else np.nan
    in_proportion = np.allclose(first[:3], ratio * right[:3], rtol=1e-4, atol=0)
    if in_proportion and isclose(ratio, -1, rel_tol=1e-4):
        yield "one of the two goes uphill"
    if optimizer.weight_decay and agree(with_arguments(make, weight_decay=0.0), trial):
        yield "the reference has no weight decay, and without it they agree"
    for field in fields(optimizer):
        value = getattr(optimizer, field.name)
        if field.init and type(value) is bool and agree(with_arguments(make, **{field.name: not value}), trial):
            yield f"with {field.name}={not value} they agree"
    for (a, x), (b, y) in combinations(_fractions(optimizer).items(), 2):
        if agree(with_arguments(make, **{a: y, b: x}), trial):
            yield f"{a} and {b} are swapped"
    if agree(make, replace(trial, rates=trial.rates[:1] * len(trial.rates))):
        yield "the learning rate is inside what is carried in one, and outside in the other; while constant, they agree"
    steep = [(1e6, width, lowest) for _, width, lowest in trial.landscapes]
    if agree(make, replace(trial, landscapes=steep), 1e-4) and not agree(make, trial, 1e-4):
        yield (
            "ε has another size or place, under the root or beside it, or small gradients are left out; where they are "
            "large they agree"
        )
    if trial.given is not None and agree(make, replace(trial, given=trial.given / 1000)):
        yield "a limit on the gradient or the step; where gradients are small they agree"
    if in_proportion and not isclose(ratio, 1, rel_tol=1e-4):
        names = [name for name, value in _factors(optimizer) if isclose(ratio, value, rel_tol=1e-4)]
        said = f", or {' or '.join(names[:2])}," if names else ""
        yield f"a factor, or a correction for the start at 0; the first step is {ratio:.4g}{said} times the reference's"
    if parting(path[:2], expected[:2]) is None:
        yield "what is carried from step to step, or t; the first step agrees"


def _fractions(optimizer: Optimizer) -> dict[str, float]:
    """Return the arguments between 0 and 1 that are no rates: the optimiser's β and γ."""
    shared = {field.name for field in fields(Optimizer)} | {"eps"}
    own = [field.name for field in fields(optimizer) if field.init and field.name not in shared]
    arguments = {name: getattr(optimizer, name) for name in own}
    return {name: value for name, value in arguments.items() if type(value) is float and 0 < value < 1}


def _factors(optimizer: Optimizer) -> Iterator[tuple[str, float]]:
    """Yield the factors that arguments such as β make up, and that are easily forgotten."""
    fractions = _fractions(optimizer)
    for (a, x), (b, y) in permutations(fractions.items(), 2):
        yield f"(1 − {a})/√(1 − {b})", (1 - x) / sqrt(1 - y)
        yield f"√(1 − {b})/(1 − {a})", sqrt(1 - y) / (1 - x)
    for a, x in fractions.items():
        for name, value in ((a, x), (f"(1 − {a})", 1 - x), (f"√(1 − {a})", sqrt(1 - x)), (f"(1 + {a})", 1 + x)):
            yield from ((name, value), (f"1/{name}", 1 / value))
