"""Arguments are checked where they are given, before anything is changed, and a refusal names the argument."""

from math import isfinite
from numbers import Integral, Real


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
