"""A stand-in for CuPy that needs no GPU, and is as strict as CuPy where code for NumPy goes wrong on it.

A `StrictArray` computes with NumPy, but

- it is not a NumPy array, and NumPy's functions do not accept it: there is no implicit conversion;
- it refuses to work with NumPy's arrays and scalars: what is to be combined must be moved first;
- its reductions return arrays of no dimensions, never numbers.

Inside ``with strict_backend():`` it stands in for the package ``cupy``, so ``backend="cupy"`` means it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from minidl.backend import get_backend

METHODS = (
    "all any argmax argmin argsort astype clip copy cumprod cumsum dot max mean min nonzero prod ravel repeat reshape "
    "round squeeze std sum swapaxes take trace transpose var"
)
ARITHMETIC = "add radd sub rsub mul rmul truediv rtruediv floordiv mod pow rpow matmul neg abs"
LOGIC = "lt le gt ge eq ne and or invert"
IN_PLACE = "iadd isub imul itruediv ipow"
NOT_IN_CUPY = (
    "asmatrix block bmat busday_count busday_offset datetime_as_string datetime_data einsum_path frompyfunc fromregex "
    "geomspace get_include getbufsize geterr geterrcall histogram_bin_edges info insert is_busday isnat matvec "
    "nanpercentile nanquantile nested_iters polyder polydiv polyint setbufsize seterr seterrcall show_runtime spacing "
    "test unstack vecdot vecmat"
)
"""The functions of NumPy that CuPy does not have."""
LINALG = "cholesky det eigh eigvalsh inv lstsq matrix_power matrix_rank norm pinv qr slogdet solve svd"


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
        return wrap(result) if out is None else out

    if isinstance(function, np.ufunc):
        vars(call).update(at=strict(function.at), reduce=strict(function.reduce))
    return call


def wrap(result: Any) -> Any:
    """Return what a function of NumPy has returned, with strict arrays for its arrays and numbers."""
    if isinstance(result, tuple | list):
        return type(result)(map(wrap, result))
    return StrictArray(result) if isinstance(result, np.ndarray | np.generic) else result


def of_numpy(name: str) -> Any:
    """Return what stands in for ``cupy.<name>``.

    Raises:
        AttributeError: CuPy has no such function.
    """
    value = getattr(np, name)
    if name in NOT_IN_CUPY.split():
        raise AttributeError(f"CuPy has no {name}")
    return strict(value) if callable(value) and not isinstance(value, type) else value


def elementwise_kernel(
    inputs: str, outputs: str, code: str, _name: str, options: tuple[str, ...] = ()
) -> Callable[..., None]:
    """Return what stands in for a kernel of ``cupy.ElementwiseKernel`` whose C is Python as well, but for the types."""
    names = [declaration.split()[-1] for declaration in f"{inputs}, {outputs}".split(", ")]
    statements = [
        statement.strip().removeprefix("T ").split(" = ") for statement in code.split(";") if statement.strip()
    ]

    def kernel(*arguments: Any) -> None:
        host = (value if isinstance(value, np.generic) else unwrap(value) for value in arguments)
        values: dict[str, Any] = dict(zip(names, host, strict=True))
        values |= {"T": values[names[-1]].dtype.type, "sqrt": np.sqrt}
        for target, expression in statements:
            value = eval(expression, {"__builtins__": {}}, values)
            if target in names:
                values[target][...] = value
            else:
                values[target] = value

    del options  # how it is compiled
    return kernel


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


def other_backends() -> list[AbstractContextManager[object]]:
    """Return contexts in each of which ``cupy`` is an array module to check: the stand-in, and CuPy where a GPU is."""
    return [strict_backend(), *([] if get_backend("auto") is np else [nullcontext()])]


@contextmanager
def strict_backend() -> Iterator[ModuleType]:
    """Let ``cupy`` mean the stand-in for a while, and yield it."""
    module = ModuleType("cupy")
    module.__dict__.update(
        __getattr__=of_numpy,
        linalg=SimpleNamespace(**{name: strict(getattr(np.linalg, name)) for name in LINALG.split()}),
        ndarray=StrictArray,
        # The two ways across: moving a NumPy array here, and moving one back, are explicit, and so allowed.
        array=_moved,
        asarray=lambda x, dtype=None: (
            x if isinstance(x, StrictArray) and dtype in (None, x.dtype) else _moved(x, dtype)
        ),
        asnumpy=lambda x: x._host.copy(),
        ElementwiseKernel=elementwise_kernel,
    )
    real = sys.modules.get("cupy")
    sys.modules["cupy"] = module
    try:
        yield module
    finally:
        del sys.modules["cupy"]
        if real is not None:
            sys.modules["cupy"] = real


def _moved(x: Any, dtype: Any = None) -> StrictArray:
    return StrictArray(np.array(x._host if isinstance(x, StrictArray) else x, dtype))
