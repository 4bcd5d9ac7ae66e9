"""Ownership of parameters: an optimiser's state belongs to one model, and is of no use to another.

Momentum from one model pushes another one of the same shape in a meaningless direction, and nothing looks wrong. So
each model registers its vector of parameters here, and an optimiser remembers on which of them it has made its steps.
Plain arrays, which belong to no model, are not tracked.
"""

from typing import Any, TypeAlias
from weakref import ReferenceType, WeakValueDictionary, ref

from minidl.backend import Array, on_host

Home: TypeAlias = tuple["ReferenceType[Array]", int]
"""The array whose memory the parameters are in, and how many bytes after its start: 0, but for a part of a model."""

VECTORS: "WeakValueDictionary[int, Array]" = WeakValueDictionary()
"""The vectors of parameters of all models there are, by the identity of the array that owns their memory."""


def claim(params: Array) -> None:
    """Register ``params`` as the vector of a model."""
    owner = owner_of(params)
    VECTORS[id(owner)] = owner


def home_of(params: Array) -> Home | None:
    """Return where ``params`` are, if that is in the vector of a model, whole or in part; else None."""
    owner = owner_of(params)
    if VECTORS.get(id(owner)) is not owner:
        return None
    return ref(owner), 0 if params is owner else address(params) - address(owner)


def address(x: Any) -> int:
    """Return where the first number of ``x`` is."""
    start: int = x.ctypes.data if on_host(x) else x.data.ptr
    return start


def same_home(one: Home, other: Home) -> bool:
    """Tell whether two homes are one. An array has one weak reference, also when it is gone and another is there."""
    return one[0] is other[0] and one[1] == other[1]


def owner_of(params: Array) -> Array:
    """Return the array that owns the memory of ``params``: itself, or the one that it is a view of."""
    base = getattr(params, "base", None)
    return params if base is None or not hasattr(base, "dtype") else base
