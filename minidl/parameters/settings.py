"""The settings of an optimiser, such as its learning rate: checked, and made plain numbers, whenever they are set.

A check in the constructor alone would let ``optimizer.lr = np.float64(0.1)`` pass, which turns float32 into float64 in
the formula, or ``optimizer.lr = -1``. So every assignment goes through the check that stands beside the argument.

Whether a number is in range also depends on the precision of the parameters. float32 has none above 3.4e38, and rounds
what is below 7e-46 to zero. Infinity times a gradient of zero, and zero divided by an ε of zero, are NaN, where the
formula gives a number.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any, ClassVar, Self
from zlib import crc32

import numpy as np

from minidl.backend import to_numpy
from minidl.checks import below_one, not_infinite, not_negative, not_rounded_to_zero, positive


class Settings:
    """The base of `minidl.Optimizer` that keeps its settings in range."""

    lr: float
    weight_decay: float
    lr_moved: tuple[float, float] | None = None
    """The learning rates at the beginning and end of the latest run with a checkpoint, in which a callback may set it.
    Such a run resumes with the optimiser that it left behind as well as with a new one."""
    _checks: ClassVar[dict[str, Callable[[str, Any], Any]]]

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Make a class ready when the first optimiser of it is made: all its fields are known then."""
        if "_checks" not in vars(cls):
            cls._checks = checks_of(cls)
        return super().__new__(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, checked if it is a setting. A NumPy scalar becomes a plain number.

        Raises:
            TypeError, ValueError: it is out of range.
        """
        if isinstance(value, np.generic):
            value = value.item()
        check = self._checks.get(name)
        if name == "lr" and check is positive and "lr" in vars(self):
            check = not_negative  # a run cannot begin with 0, but a schedule may end there
        object.__setattr__(self, name, value if check is None else check(name, value))

    def __post_init__(self) -> None:
        """Do nothing, since arguments are checked as they are set; a class of your own may call this."""

    def __repr__(self) -> str:
        """Show the call that makes this optimiser: only what differs from the defaults, short enough for a legend."""
        declared: dict[str, Any] = getattr(self, "__dataclass_fields__", {})
        values = {name: getattr(self, name) for name in self._checks}
        changed = [f"{name}={value!r}" for name, value in values.items() if value != declared[name].default]
        return f"{type(self).__name__}({', '.join(changed)})"

    def check_precision(self, dtype: Any) -> None:
        """Raise a ValueError if parameters of this dtype cannot be moved with a setting as it is."""
        not_infinite(dtype, "weight_decay", self.weight_decay)
        not_infinite(dtype, "lr", self.lr, max(1 / (1 - self._fraction("beta1")), self.weight_decay))
        if self._checks.get("eps") is positive:
            not_rounded_to_zero(dtype, "eps", vars(self)["eps"], (1 - self._fraction("beta2")) ** 0.5)

    def _fraction(self, name: str) -> float:
        """Return a β of Adam, or 0: Adam divides η by 1 − β₁ᵗ and multiplies ε by √(1 − β₂ᵗ), most at t = 1."""
        value: float = getattr(self, name, 0.0) if self._checks.get(name) is below_one else 0.0
        return value


def checks_of(kind: type) -> dict[str, Callable[[str, Any], Any]]:
    """Return the checks of a class of optimisers by argument; one declared anew, without a check, keeps the old one."""
    checks = {}
    for parent in reversed(kind.__mro__):
        for name, field in vars(parent).get("__dataclass_fields__", {}).items():
            if "check" in field.metadata:
                checks[name] = field.metadata["check"]
    return checks


def settings_of(optimizer: Any) -> dict[str, Any]:
    """Return all that is public and no method, without state, ready for JSON: settings, however they are declared."""
    hidden = ("t", "state", "state_names", "lr_moved", "fused")
    names = [name for name in dir(optimizer) if not name.startswith("_") and name not in hidden]
    kept = {name: getattr(optimizer, name) for name in names}
    methods = {name for name in names if callable(getattr(type(optimizer), name, None))}
    return {name: described(value) for name, value in kept.items() if name not in methods}


def described(value: Any) -> Any:
    """Return ``value`` itself, if JSON can hold it; else what can be said of it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else repr(value)
    if isinstance(value, list | tuple):
        return [described(item) for item in value]
    if isinstance(value, dict):
        return {str(name): described(item) for name, item in value.items()}
    if hasattr(value, "dtype"):
        host = np.ascontiguousarray(to_numpy(value))
        return f"{host.dtype} {host.shape} {crc32(host.tobytes()):08x}"
    return getattr(value, "__qualname__", type(value).__qualname__)
