"""Check arguments as soon as they are given, before anything changes, and name the argument in the error.

Every check returns the argument as a plain number of Python. That matters in float32: an array keeps its precision when
multiplied by a plain float, and would become float64 by a ``np.float64``.
"""

from collections.abc import Callable
from inspect import signature
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np

from minidl.backend import Generator


def number(name: str, value: Any, fits: Callable[[float], bool], expected: str) -> float:
    """Return ``value`` as a plain float, if it is a finite number that ``fits``.

    Raises:
        TypeError: it is not a number.
        ValueError: it does not fit.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        plain = float(value)
    except OverflowError:  # Python's whole numbers have no largest
        plain = inf
    if not isfinite(plain) or not fits(plain):
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return plain


def positive(name: str, value: Any) -> float:
    """Return ``value`` as a plain float, if it is finite and above 0; see `number`."""
    return number(name, value, lambda x: x > 0, "a finite number above 0")


def at_least(name: str, value: Any, lowest: float) -> float:
    """Return ``value`` as a plain float, if it is finite and not below ``lowest``; see `number`."""
    return number(name, value, lambda x: x >= lowest, f"a finite number of at least {lowest}")


def not_negative(name: str, value: Any) -> float:
    """Return ``value`` as a plain float, if it is finite and not below 0; see `number`."""
    return at_least(name, value, 0)


def below_one(name: str, value: Any) -> float:
    """Return ``value`` as a plain float, if it is from 0 up to but not including 1; see `number`."""
    return number(name, value, lambda x: 0 <= x < 1, "a number from 0 up to but not including 1")


def up_to_one(name: str, value: Any) -> float:
    """Return ``value`` as a plain float, if it is above 0 and at most 1; see `number`."""
    return number(name, value, lambda x: 0 < x <= 1, "a number above 0 and at most 1")


def not_infinite(dtype: Any, name: str, value: float, factor: float = 1.0) -> None:
    """Raise a ValueError if ``factor`` times ``value`` is larger than any number of ``dtype``."""
    limits = np.finfo(dtype)
    if value > (most := float(limits.max) / factor):
        raise ValueError(f"{name}: expected at most {most:.2g}, beyond which {limits.dtype} overflows, got {value!r}")


def not_rounded_to_zero(dtype: Any, name: str, value: float, factor: float = 1.0) -> None:
    """Raise a ValueError if ``factor`` times ``value`` is so small that it is 0 in ``dtype``."""
    limits = np.finfo(dtype)
    if value * factor <= (least := 0.5 * float(limits.smallest_subnormal)):
        raise ValueError(
            f"{name}: expected more than {least / factor:.2g}, below which {limits.dtype} has only 0, got {value!r}"
        )


def in_order(low_name: str, low: float, high_name: str, high: float) -> None:
    """Raise a ValueError if ``low`` is above ``high``."""
    if low > high:
        raise ValueError(f"{low_name}: expected at most {high_name}, {high!r}, got {low!r}")


def positive_int(name: str, value: Any, most: int | None = None) -> int:
    """Return ``value`` as a plain int, if it is a whole number from 1 to ``most``.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is below 1 or above ``most``.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    plain = int(value)
    if plain < 1 or (most is not None and plain > most):
        raise ValueError(f"{name}: expected {'at least 1' if most is None else f'1 to {most:,}'}, got {value!r}")
    return plain


def instance(name: str, value: Any, kind: type) -> None:
    """Raise a TypeError if ``value`` is not a ``kind``."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected an instance of {kind.__name__}, got {value!r}")


def function_or_none(name: str, value: Any, *arguments: str) -> None:
    """Raise a TypeError if ``value`` is neither None nor a function that can be called with so many arguments."""
    if value is not None and not callable(value):
        raise TypeError(f"{name}: expected a function or None, got {value!r}")
    if value is not None:
        takes(name, value, *arguments)


def takes(name: str, value: Callable[..., Any], *arguments: str) -> None:
    """Raise a TypeError if a function cannot be called with so many arguments; their names are for the message."""
    try:
        signature(value).bind(*arguments)
    except TypeError as error:
        shown = ", ".join(arguments)
        raise TypeError(f"{name}: expected a function of ({shown}), got one that does not fit: {error}") from None
    except ValueError:  # some built-in functions do not say what they take
        pass


def function(name: str, value: Any, example: str) -> Any:
    """Return ``value``, if it is a function or another callable; else raise a TypeError."""
    if not callable(value):
        raise TypeError(f"{name}: expected a function, such as {example}, got {value!r}")
    return value


def flag(name: str, value: Any) -> bool:
    """Return ``value``, if it is True or False; else raise a TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return value


def one_of(*choices: str) -> Callable[[str, Any], str]:
    """Return a check that its argument is one of ``choices``, and raises a ValueError if not."""

    def check(name: str, value: Any) -> str:
        for choice in choices:
            if isinstance(value, str) and value == choice:
                return choice
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")

    return check


def float_type(name: str, value: Any) -> str:
    """Return the name of the precision ``value``: "float32" or "float64", also given as NumPy's type of that name.

    Raises:
        ValueError: it is neither.
    """
    for known in ("float32", "float64"):
        if value is getattr(np, known) or (isinstance(value, str | np.dtype) and value == known):
            return known
    raise ValueError(f"{name}: expected 'float32' or 'float64', got {value!r}")


def generator(name: str, value: Any) -> Generator:
    """Return the random generator that ``value`` stands for: itself, one with that seed, or for None a new one.

    Raises:
        TypeError: it is neither a whole number, nor a generator, nor None.
        ValueError: it is below 0.
    """
    if value is None or isinstance(value, np.random.Generator):
        return np.random.default_rng(value)
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a whole number, a numpy.random.Generator or None, got {value!r}")
    seed = int(value)
    if seed < 0:
        raise ValueError(f"{name}: expected a whole number of at least 0, got {value!r}")
    return np.random.default_rng(seed)
