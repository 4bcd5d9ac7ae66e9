"""A stand-in for CuPy that needs no GPU, and is as strict as CuPy where code for NumPy goes wrong on it.

A `StrictArray` computes with NumPy, but

- it is not a NumPy array, and NumPy's functions do not accept it: there is no implicit conversion;
- it refuses to work with NumPy's arrays and scalars: what is to be combined must be moved first;
- its reductions return arrays of no dimensions, never numbers.

Inside ``with strict_backend():`` it stands in for the package ``cupy``, so ``backend="cupy"`` means it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

METHODS = "all any argmax argmin astype clip copy dot max mean min prod ravel reshape std sum take transpose var"
ARITHMETIC = "add radd sub rsub mul rmul truediv rtruediv floordiv mod pow rpow matmul neg abs"
LOGIC = "lt le gt ge eq ne and or invert"
IN_PLACE = "iadd isub imul itruediv ipow"
CREATION = "arange concatenate empty empty_like full full_like ones ones_like stack where zeros zeros_like"
MATHEMATICS = "abs ceil clip cos cosh exp expm1 floor isfinite isnan log log1p logaddexp maximum minimum sign"
MORE = (
    "add all any arctan argmax argmin broadcast_to cbrt copysign cumsum divide dot einsum expand_dims fabs fmax fmin "
    "heaviside hypot log10 log2 logical_and logical_not logical_or matmul max mean min multiply negative outer power "
    "prod ravel reciprocal repeat reshape roll signbit sin sinh sqrt square squeeze std subtract sum tan tanh tile "
    "transpose true_divide var"
)
CONSTANTS = "e inf nan newaxis pi float32 float64 int64"


class StrictArray:
    """An array that mixes with its own kind and with Python's numbers only."""

    __array_ufunc__ = None  # NumPy's operators then leave mixed operations to this class, which refuses them

    def __init__(self, host: Any):
        self._host = np.asarray(host)

    def __array__(self, *_args: Any, **_options: Any) -> Any:
        raise TypeError("implicit conversion to a NumPy array is not allowed: use minidl.to_numpy")

    def __array_function__(self, function: Any, *_args: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} got an array of another backend: use array_module(x)")

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "dtype", "ndim", "size"):
            return getattr(self._host, name)
        if name == "T":
            return StrictArray(self._host.T)
        raise AttributeError(
            f"StrictArray, the stand-in for CuPy's arrays, has no {name}; if they have, it can be added"
        )

    def __getitem__(self, key: Any) -> "StrictArray":
        return StrictArray(self._host[unwrap(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._host[unwrap(key)] = unwrap(value)

    def __len__(self) -> int:
        return len(self._host)

    def __float__(self) -> float:
        return float(self._host)

    def __int__(self) -> int:
        return int(self._host)

    def __bool__(self) -> bool:
        return bool(self._host)

    def __format__(self, spec: str) -> str:
        return format(self._host[()], spec)

    def __deepcopy__(self, _memo: Any) -> "StrictArray":
        return StrictArray(self._host.copy())

    def __reduce__(self) -> Any:
        return StrictArray, (self._host,)


def unwrap(value: Any) -> Any:
    """Return ``value`` for NumPy, if CuPy would take it: arrays of this kind, Python's own numbers, slices, names."""
    if isinstance(value, StrictArray):
        return value._host
    if isinstance(value, tuple | list):
        return type(value)(map(unwrap, value))
    if isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"unsupported type {type(value)}: move it to the backend, or make it a plain number, first")
    return value


def strict(function: Any, operator: bool = False) -> Any:
    """Return ``function`` of NumPy for strict arrays; an operator takes no lists."""

    def call(*args: Any, **options: Any) -> Any:
        if {"initial", "where"} & set(options):
            raise TypeError("CuPy's reductions know neither initial= nor where=")
        if operator and any(isinstance(arg, list | tuple) for arg in args):
            raise TypeError("unsupported type: CuPy's operators take no lists and tuples")
        out = options.get("out")
        result = function(*map(unwrap, args), **{name: unwrap(value) for name, value in options.items()})
        return StrictArray(result) if out is None else out

    return call


def in_place(operator: Any) -> Any:
    """Return an operator of NumPy that changes its left side, for strict arrays."""

    def call(self: StrictArray, other: Any) -> StrictArray:
        operator(self._host, unwrap(other))
        return self

    return call


for _name in METHODS.split():
    setattr(StrictArray, _name, strict(getattr(np.ndarray, _name)))
for _name in f"{ARITHMETIC} {LOGIC}".split():
    setattr(StrictArray, f"__{_name}__", strict(getattr(np.ndarray, f"__{_name}__"), operator=True))
for _name in IN_PLACE.split():
    setattr(StrictArray, f"__{_name}__", in_place(getattr(np.ndarray, f"__{_name}__")))


@contextmanager
def strict_backend() -> Iterator[ModuleType]:
    """Let ``cupy`` mean the stand-in for a while, and yield it."""
    module = ModuleType("cupy")
    module.__dict__.update({name: strict(getattr(np, name)) for name in f"{CREATION} {MATHEMATICS} {MORE}".split()})
    module.__dict__.update({name: getattr(np, name) for name in CONSTANTS.split()})
    module.__dict__.update(
        ndarray=StrictArray,
        # The two ways across: moving a NumPy array here, and moving one back, are explicit, and so allowed.
        asarray=lambda x, dtype=None: (
            x if isinstance(x, StrictArray) and dtype in (None, x.dtype) else _moved(x, dtype)
        ),
        asnumpy=lambda x: x._host.copy(),
        fuse=lambda formula: lambda *args: formula(*(float(a) if isinstance(a, np.generic) else a for a in args)),
    )
    real = sys.modules.get("cupy")
    sys.modules["cupy"] = module
    try:
        yield module
    finally:
        del sys.modules["cupy"]
        if real is not None:
            sys.modules["cupy"] = real


def _moved(x: Any, dtype: Any) -> StrictArray:
    return StrictArray(np.array(x._host if isinstance(x, StrictArray) else x, dtype))
