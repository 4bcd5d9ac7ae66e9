"""A gradient compared with what is measured, in one random direction.

To nudge each entry of x by itself takes as many forward passes as there are entries. But if g is the gradient of f, the
slope of f is right in every direction v at once: it is Σ g v. And if g is wrong, a *random* v shows it, with one
measurement: for the errors to cancel in Σ g v to the last digits, v would have to be chosen with that aim. So one
direction is measured, and the entries, one by one, only if its slope is wrong, to say which.

Each entry is nudged by a random part of its own size. A slope is then of the size of f, whatever the units of x, and
one notion of nearly right will do: as a part of what is added up to the slope and to f.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

import numpy as np

from minidl.backend import Array
from minidl.testing.hints import Gradient, explain

TOLERANCES = {"complex": 1e-11, "differences": 1e-6}
"""How far a slope may be from what was measured, as a part of the sizes of all that is added up."""

STEPS = [10.0**-digits for digits in range(5, 11)]
"""Steps for differences, as parts of the numbers that are nudged. Where f bends, a long one errs; where f is large, a
short one. So a slope counts as confirmed if any of them measures it."""

ENTRIES = 5000
"""So many entries of a wrong gradient are measured; of a larger one, a block of rows and columns."""

DIFFERENCES = '; measure with method="differences"'

Variables = dict[str, Array]
"""What a function depends on, by name: x, W, b."""

Function = Callable[[Variables], Any]


class GradientError(AssertionError):
    """A gradient is not what was measured."""


class KinkError(GradientError):
    """There is no gradient: the slope to one side is another than that to the other."""


def extent(a: Array) -> Array:
    """Return by how much to nudge each entry: its size plus a hundredth of the largest; 1, if all are 0."""
    largest = abs(a).max(initial=0)
    sizes: Array = abs(a) + (0.01 * largest if largest > 0 else 1.0)
    return sizes


def moved(at: Variables, v: Variables, h: complex) -> Variables:
    """Return the variables after a step of h along v."""
    return {name: a + h * v[name] if name in v else a for name, a in at.items()}


def complex_slope(f: Function, at: Variables, v: Variables, h: float = 1e-20) -> float:
    """Measure the slope of f along v by a complex step, see `minidl.testing.complex_step_gradient`."""
    return float(np.imag(f(moved(at, v, 1j * h)))) / h


def difference_slope(f: Function, at: Variables, v: Variables, h: float = 1e-6) -> float:
    """Measure the slope of f along v by a central difference, see `minidl.testing.numerical_gradient`."""
    return float((f(moved(at, v, h)) - f(moved(at, v, -h))) / (2 * h))


def one_sided_slopes(f: Function, at: Variables, v: Variables, h: float) -> tuple[float, float]:
    """Measure the slopes of f along v to the left and to the right."""
    here = f(at)
    return float((here - f(moved(at, v, -h))) / h), float((f(moved(at, v, h)) - here) / h)


@dataclass
class Comparison:
    """A function beside what is said to be its gradient, and a random direction in which the two are compared.

    Attributes:
        f: takes the variables, real or complex, and changes none of them.
        at: the variables.
        computed: the gradients with respect to some of them, or to all.
        size: of what f adds up to its value. Rounding leaves f uncertain by 1e-16 times that.
        rng: for the direction.
        method, tolerance: as for `minidl.testing.check_gradients`; 0 for the usual tolerance of the method.
        batch, dy: for hints: B, and the upstream gradient.
        by: who computed the gradient, for the message.
        explained: whether to find out which entries are wrong.
        v: the direction.
        slope: the slope in this direction, as computed.
        scale: the sizes of what is added up to it, and to f.
    """

    f: Function
    at: Variables
    computed: Variables
    size: float
    rng: np.random.Generator
    method: str = "complex"
    tolerance: float = 0.0
    batch: int | None = None
    dy: Array | None = None
    by: str = ""
    explained: bool = True
    v: Variables = field(init=False)
    slope: float = field(init=False)
    scale: float = field(init=False)

    def __post_init__(self) -> None:
        for name in self.computed:
            self._check_kind(name)
        self.v = self._direction()
        terms = [self.computed[name] * v for name, v in self.v.items()]
        self.slope = sum(float(term.sum()) for term in terms)
        self.scale = sum(float(abs(term).sum()) for term in terms) + self.size
        self.tolerance = self.tolerance or TOLERANCES[self.method]

    def _direction(self) -> Variables:
        return {name: self.rng.normal(size=a.shape) * extent(a) for name, a in self.at.items() if name in self.computed}

    def _check_kind(self, name: str) -> None:
        """Refuse what can be no gradient of this variable, whatever its numbers."""
        gradient, variable = self.computed[name], self.at[name]
        if not isinstance(gradient, np.ndarray):
            raise GradientError(f"{gradient_of(name)} is {gradient!r:.100}, expected an array {variable.shape}")
        if (gradient.shape, gradient.dtype) != (variable.shape, variable.dtype):
            got, expected = (f"{a.shape} {a.dtype}" for a in (gradient, variable))
            raise GradientError(f"{gradient_of(name)} is {got}, expected {expected}")

    def holds(self) -> bool:
        """Return True if the gradient is right, and False if there is none, because of a kink.

        Raises:
            GradientError: the gradient is wrong; or f cannot be measured by this method.
        """
        if self.method == "differences":
            if self._confirms(self.slope, self.tolerance):
                return True
            analytic = True
        else:
            measured = self._complex_slope(self.at)
            analytic = self._confirms(measured, 1e-3)
            if analytic and self._near(measured):
                return True
        finite = np.isfinite(self.scale)  # even at a kink, a gradient is a number
        if finite and any(map(self.kinked, (self.v, self._direction(), self._direction()))):
            return False  # in one direction, several kinks may all but cancel
        if finite and not analytic:
            raise GradientError(
                "complex steps and differences disagree: the forward pass is not analytic, as abs and var are not, or "
                f"makes complex numbers real{DIFFERENCES}"
            )
        raise GradientError(self._fault() if self.explained else "")

    def _confirms(self, slope: float, tolerance: float) -> bool:
        """Tell whether a difference, with any of the steps, is ``slope``."""
        allowed = tolerance * (abs(slope) + (self.scale if np.isfinite(self.scale) else self.size))
        return any(abs(difference_slope(self.f, self.at, self.v, h) - slope) <= allowed for h in STEPS)

    def _near(self, measured: float) -> bool:
        """Tell whether the computed slope is the measured one, as exactly as that can be known.

        A change of all variables in their eleventh digit shows what cannot be known. Where x is all but constant, and a
        layer divides by its deviation, that is a lot.
        """
        if not np.isfinite(self.scale):
            return False
        error = abs(self.slope - measured) - self.tolerance * self.scale
        if error <= 0:
            return True
        nearby = [
            {name: a * (1 + 1e-11 * self.rng.uniform(-1, 1, a.shape)) for name, a in self.at.items()} for _ in range(2)
        ]
        return error <= max(abs(self._complex_slope(at) - measured) for at in nearby)

    def _complex_slope(self, at: Variables) -> float:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)  # an imaginary part is lost
                return complex_slope(self.f, at, self.v)
        except Exception as error:
            raise GradientError(f"the forward pass does not take complex numbers ({error}){DIFFERENCES}") from error

    def kinked(self, v: Variables) -> bool:
        """Tell whether f has a kink here: slopes along v to both sides that stay apart as the step shrinks."""
        steps = (1e-5, 1e-6, 1e-7, 1e-8)
        apart = [abs(float(np.subtract(*one_sided_slopes(self.f, self.at, v, h)))) for h in steps]
        rounding = [1e-14 * self.size / h for h in steps]
        return any(
            closer > max(0.5 * farther, least)
            for (farther, closer), least in zip(pairwise(apart), rounding[1:], strict=True)
        )

    def describe_kink(self) -> str:
        """Say at which entry there is a kink."""
        for name, variable in self.at.items():
            for i in islice(np.ndindex(variable.shape), ENTRIES):
                e = self._unit(name, i)
                if name in self.v and self.kinked(e):
                    left, right = (slope / e[name][i] for slope in one_sided_slopes(self.f, self.at, e, 1e-8))
                    return (
                        f"there is a kink at {name}[{', '.join(map(str, i))}] = {variable[i]:.6g}, where the slope is "
                        f"{left:.6g} to the left and {right:.6g} to the right. That is no mistake of backward, but "
                        "nothing can be measured here; choose x away from it"
                    )
        return "there is a kink here, where nothing can be measured; choose another x"

    def _unit(self, name: str, i: tuple[int, ...]) -> Variables:
        """Return the direction in which one entry moves alone, by its extent."""
        e = np.zeros(self.at[name].shape)
        e[i] = extent(self.at[name])[i]
        return {name: e}

    def _fault(self) -> str:
        """Measure entries, and say which is wrong, how, and perhaps why."""
        name = self._wrong_variable()
        computed = self.computed[name]
        block = np.ix_(*(self._some(n) if computed.size > ENTRIES else np.arange(n) for n in computed.shape))
        part, measured = computed[block], self._entries(name, block)
        error = abs(part - measured)
        gradient = Gradient(
            part,
            measured,
            10 * self.tolerance,
            None if name == "x" else self.batch,
            *(a[block] if a is not None and a.shape == computed.shape else None for a in (self.at.get("x"), self.dy)),
        )
        if not gradient.off(measured).any():
            return f"{gradient_of(name)}{self.by} is wrong, though not in the {error.size} entries that were measured"
        worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
        entry = ", ".join(str(axis.ravel()[i]) for axis, i in zip(block, worst, strict=True))
        found, right = part[worst], measured[worst]
        return (
            f"{gradient_of(name)}[{entry}]{self.by} is {found:.10g}, but {right:.10g} was measured{explain(gradient)}"
        )

    def _wrong_variable(self) -> str:
        """Return the first variable whose gradient is wrong: what it adds to the slope is off the most, or nearly."""
        errors = {}
        for name, v in self.v.items():
            error = abs(float((self.computed[name] * v).sum()) - self._measure({name: v}))
            errors[name] = error if np.isfinite(error) else np.inf
        return next(name for name, error in errors.items() if error >= 0.01 * max(errors.values()))

    def _entries(self, name: str, block: tuple[Array, ...]) -> Array:
        """Measure the entries of a gradient that are in a block."""
        places = [axis.ravel() for axis in block]
        measured = np.empty([len(axis) for axis in places])
        for i in np.ndindex(measured.shape):
            e = self._unit(name, tuple(axis[j] for axis, j in zip(places, i, strict=True)))
            measured[i] = self._measure(e) / e[name].max()
        return measured

    def _measure(self, v: Variables) -> float:
        return (complex_slope if self.method == "complex" else difference_slope)(self.f, self.at, v)

    def _some(self, n: int) -> Array:
        """Return 64 of n places, or all if there are fewer; the first and the last are among them."""
        return np.unique([0, n - 1, *self.rng.permutation(n)[:62]])


def gradient_of(name: str) -> str:
    """Return what the gradient with respect to a variable is called: dx, or dense0.dW."""
    *layer, end = name.split(".")
    return ".".join([*layer, f"d{end}"])
