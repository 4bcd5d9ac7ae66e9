"""Where an optimiser starts and which gradients it is given, so that the ways of two optimisers can be compared.

A gradient in training depends on where the steps before have led. Here it is drawn beforehand, so two optimisers that
differ in their first step are still asked the same question at the second.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from inspect import Parameter, signature
from typing import Any

import numpy as np

from minidl import Group, Optimizer
from minidl.backend import Array
from minidl.testing.examples import away_from_zero

Make = Callable[[], Optimizer]
"""Returns a new optimiser each time."""

RATE = 1 / 16
"""The largest learning rate of a course; all are powers of two, so that multiples of them are exact."""

TOLERANCE = 1e-9
"""How far two ways may be apart, as a part of the longest distance from the start so far."""


@dataclass
class Course:
    """A start, and a gradient and a learning rate for each step."""

    start: Array
    """The parameters, (n,)."""
    gradients: Array
    """What the optimiser is given, wherever it is: (steps, n)."""
    rates: Array
    """The learning rates, (steps,)."""

    def part(self, steps: slice) -> "Course":
        """Return the course of some of the steps."""
        return replace(self, gradients=self.gradients[steps], rates=self.rates[steps])

    def astype(self, dtype: str) -> "Course":
        """Return the course in another precision."""
        return replace(self, start=self.start.astype(dtype), gradients=self.gradients.astype(dtype))


def draw_course(rng: np.random.Generator, n: int, steps: int) -> Course:
    """Draw n parameters, and their gradients in some steps, from 0.1 to 2 in size and of both signs.

    The first parameter is 0, as every bias is at the start.
    """
    numbers = away_from_zero(rng, (steps + 1, n))
    numbers[0, 0] = 0.0
    return Course(numbers[0], numbers[1:], RATE * 2.0 ** rng.integers(-3, 1, steps))


def walk(optimizer: Optimizer, course: Course, groups: list[Group] | None = None) -> Array:
    """Return the parameters before the first step and after each: (steps + 1, n)."""
    w = course.start.copy()
    path = [w.copy()]
    for g, rate in zip(course.gradients, course.rates, strict=True):
        optimizer.lr = float(rate)
        optimizer.step(w, g.copy(), groups)
        path.append(w.copy())
    return np.array(path)


def parting(path: Array, other: Array, tolerance: float = TOLERANCE) -> tuple[int, int] | None:
    """Return the step in which a way leaves another, and the parameter; None if it does not. NaN is like NaN alone."""
    farthest = np.maximum.accumulate(abs(other - other[0]))  # from the start, so far: (steps + 1, n)
    rounding = 1e-12 * np.maximum.accumulate(abs(other))  # of w itself, a few hundred times
    excess = abs(path - other) / (tolerance * farthest + rounding + 1e-300)
    excess[np.isnan(path) & np.isnan(other)] = 0
    apart = ~(excess <= 1).all(axis=1)
    if not apart.any():
        return None
    step = int(apart.argmax())
    return step, int(np.nan_to_num(excess[step], nan=np.inf).argmax())


def with_arguments(make: Make, **arguments: Any) -> Make:
    """Return a function that makes the same optimiser with other arguments.

    Those that its constructor does not take are set afterwards.
    """

    def made() -> Optimizer:
        optimizer = make()
        named = {field.name: getattr(optimizer, field.name) for field in fields(optimizer) if field.init} | arguments
        kind, taken = type(optimizer), signature(type(optimizer)).parameters.values()
        anything = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in taken)
        names = set(named) if anything else {parameter.name for parameter in taken}
        again = kind(**{name: value for name, value in named.items() if name in names})
        for name in set(named) - names:
            setattr(again, name, named[name])
        return again

    return made
