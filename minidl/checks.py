"""Arguments are checked where they are given, before anything is changed, and a refusal names the argument."""

from collections.abc import Callable
from math import isfinite
from numbers import Integral, Real

import numpy as np

from minidl.backend import Array


def positive(name: str, value: float) -> float:
    """Return ``value`` as a plain float if it is finite and above 0.

    A plain float keeps a float32 array float32; a ``np.float64`` would make it float64.

    Raises:
        TypeError: ``value`` is not a number.
        ValueError: ``value`` is not finite or not above 0.
    """
    if not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    if not isfinite(value) or value <= 0:
        raise ValueError(f"{name}: expected a finite number above 0, got {value!r}")
    return float(value)


def not_negative(name: str, value: float) -> float:
    """Return ``value`` as a plain float if it is finite and not below 0; else raise as `positive` does."""
    return at_least(name, value, 0)


def at_least(name: str, value: float, least: float) -> float:
    """Return ``value`` as a plain float if it is finite and not below ``least``; else raise as `positive` does."""
    if not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    if not isfinite(value) or value < least:
        raise ValueError(f"{name}: expected a finite number of at least {least}, got {value!r}")
    return float(value)


def fraction(name: str, value: float) -> float:
    """Return ``value`` as a plain float if it is from 0 up to but not including 1; else raise as `positive` does."""
    if not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    if not 0 <= value < 1:
        raise ValueError(f"{name}: expected a number from 0 up to but not including 1, got {value!r}")
    return float(value)


def in_order(low_name: str, low: float, high_name: str, high: float) -> None:
    """Raise a ValueError if ``low`` is above ``high``."""
    if low > high:
        raise ValueError(f"{low_name}: expected at most {high_name}, {high!r}, got {low!r}")


def one_of(*choices: str) -> Callable[[str, str], str]:
    """Return a check that its argument is one of ``choices``, and raises a ValueError if not."""

    def check(name: str, value: str) -> str:
        if value not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
        return value

    return check


def positive_int(name: str, value: int, most: int | None = None) -> int:
    """Return ``value`` as a plain int if it is a whole number from 1 to ``most``.

    Raises:
        TypeError: ``value`` is not an integer.
        ValueError: ``value`` is below 1 or above ``most``.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if value < 1 or (most is not None and value > most):
        raise ValueError(f"{name}: expected {'at least 1' if most is None else f'1 to {most:,}'}, got {value!r}")
    return int(value)


def float_type(name: str, value: str) -> str:
    """Return the name of the precision ``value``: "float32" or "float64", also given as NumPy's type of that name.

    Raises:
        ValueError: it is neither.
    """
    for known in ("float32", "float64"):
        if value == known or value is getattr(np, known):
            return known
    raise ValueError(f"{name}: expected 'float32' or 'float64', got {value!r}")


def finite(name: str, x: Array) -> None:
    """Raise a ValueError if there is NaN or infinity in ``x``, which is not empty.

    Both show in the smallest or largest value, and finding these takes no temporary array.
    """
    if not (isfinite(float(x.min())) and isfinite(float(x.max()))):
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity among them")
