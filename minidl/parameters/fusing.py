"""Fusing: all operations of a formula in one loop, instead of a walk through the vector for each of them.

NumPy carries out ``w -= lr * g`` in two walks: one writes the array ``lr * g``, the next subtracts it. Adam's formula
has twelve operations, so it takes twelve walks, although it need only read four arrays and write three. A compiler that
sees the whole formula makes one loop of it, in which the numbers in between never leave the processor's registers.

On a CPU that compiler is Numba (the extra ``fast``), on a GPU the one that CuPy brings along. Both are given what the
formula does, written down by the formula itself (`Term`): sums, products, quotients and roots. Neither changes a
result: each operation is rounded as before, and nothing is reordered. A formula that does more is carried out as it
stands, and so is every formula where there is no compiler; on a CPU block by block: `minidl.parameters.blocks`.
"""

import operator
import os
import warnings
from collections.abc import Callable
from functools import cache, lru_cache
from importlib.util import find_spec
from math import isfinite
from types import FunctionType, ModuleType
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np

from minidl.backend import Array, array_module, on_host

Formula: TypeAlias = Callable[..., tuple[Any, ...]]
"""From w, g, the state and some numbers to w and the state: for one parameter, or in place for whole arrays."""

WORTH = 7e9
"""How many parameters SGD must move before Numba has saved more than it costs; see `worth_fusing`."""


def carry_out(formula: Formula, arrays: tuple[Array, ...], scalars: tuple[float, ...], fused: bool) -> bool:
    """Change w and the state in place by a formula, and return whether that was done in one loop.

    Args:
        formula: see `Formula`.
        arrays: w, g and the state vectors, each (n,), of one dtype; g is only read.
        scalars: the numbers of the formula, plain ones or NumPy's; each is rounded to that dtype, as NumPy does it.
        fused: in one loop, where that is possible.
    """
    w, g, *state = arrays
    scalars = tuple(scalar.item() if isinstance(scalar, np.generic) else scalar for scalar in scalars)
    loop = None
    if fused and all(isinstance(scalar, float | int) for scalar in scalars):
        written = write_down(formula, len(state), len(scalars))
        if written and not on_host(w):
            on_gpu(array_module(w), written, len(scalars))(g, *map(w.dtype.type, scalars), w, *state)
            return True
        if written and w.dtype in CPU_TYPES and all(a.flags.carray and a.dtype == w.dtype for a in arrays):
            loop = on_cpu(written, len(scalars), w.dtype)
    if loop is None:
        formula(*arrays, *scalars)
        return False
    loop(*arrays, tuple(map(w.dtype.type, scalars)))
    return True


@cache
def can_fuse() -> bool:
    """Tell whether the extra ``fast`` is installed, and ``NUMBA_DISABLE_JIT`` not set; this does not import it."""
    return find_spec("numba") is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")


def worth_fusing(n: int, states: int, updates: int) -> bool:
    """Tell whether fusing saves more time than it costs, in so many updates of n parameters on a CPU.

    To import Numba and load a compiled loop takes about a second, and to compile it half a second more, once per
    computer. SGD saves about 0.2 nanoseconds per parameter and update, a formula with state vectors several times as
    much: it walks more often.
    """
    return can_fuse() and float(updates) * n * (1 + 2 * states) > WORTH


@lru_cache(64)
def write_down(formula: Formula, states: int, scalars: int) -> tuple[str, ...] | None:
    """Return what ``formula`` makes of w and the state, in the letters of C, or None if it is more than arithmetic.

    It is called once, with a `Term` for each number: w, g, s0, s1, … for the state, and c0, c1, … for the scalars. A
    function that may be another one at the next step, because it has numbers of its own in a closure or in defaults, is
    not written down; nor is one that returns new numbers instead of changing w and the state in place.
    """
    if not isinstance(formula, FunctionType) or formula.__closure__ or formula.__defaults__ or formula.__kwdefaults__:
        return None
    g, changed = Term("g"), [Term("w"), *(Term(f"s{i}") for i in range(states))]
    numbers = [Term(f"c{i}", scalar=True) for i in range(scalars)]
    try:
        results = list(formula(changed[0], g, *changed[1:], *numbers))
    except (TypeError, AttributeError, ValueError, LookupError, ArithmeticError):
        return None  # it asks for more than a number that is not known yet can tell
    as_given = len(results) == len(changed) and all(map(operator.is_, results, changed)) and g.code == "g"
    return tuple(term.code for term in changed) if as_given else None


@cache
def on_gpu(cupy: ModuleType, written: tuple[str, ...], scalars: int) -> Callable[..., None]:
    """Return one kernel that does what `write_down` has written.

    The kernel is called with g, the scalars, w and the state vectors, and changes the last two in place.

    ``cupy.fuse`` would be shorter. But it lets the compiler join a product and a sum with a single rounding, so the
    bits would change.
    """
    changed, numbers = ["w", *(f"s{i}" for i in range(len(written) - 1))], [f"c{i}" for i in range(scalars)]
    code = "".join(f"T new_{name} = {result}; " for name, result in zip(changed, written, strict=True))
    code += " ".join(f"{name} = new_{name};" for name in changed)
    read, results = (", ".join(f"T {name}" for name in names) for names in (["g", *numbers], changed))
    kernel: Callable[..., None] = cupy.ElementwiseKernel(read, results, code, "formula", options=("--fmad=false",))
    return kernel


def operation(sign: str, swapped: bool = False) -> Callable[[Any, Any], Any]:
    """Return the method of `Term` for an operator, or for one whose left side is no term."""

    def apply(self: "Term", other: Any) -> "Term":
        if self.scalar and (not isinstance(other, Term) or other.scalar):
            raise TypeError("a formula that is fused gets its scalars ready made: Python would compute them in float64")
        left, right = (other, self) if swapped else (self, other)
        return Term(f"({in_c(left)} {sign} {in_c(right)})")

    return apply


def in_place(method: Callable[[Any, Any], "Term"]) -> Callable[[Any, Any], "Term"]:
    """Return the method of `Term` for an assignment such as ``w -= g``, which changes an array, and so the term."""

    def apply(self: "Term", other: Any) -> "Term":
        self.code = method(self, other).code
        return self

    return apply


class Term:
    """A number that is not known yet. It writes down in C what is done to it: ``w - c0 * g`` is (w - (c0 * g)).

    The few letters of C that are needed mean the same in Python.
    """

    __add__, __radd__ = operation("+"), operation("+", swapped=True)
    __sub__, __rsub__ = operation("-"), operation("-", swapped=True)
    __mul__, __rmul__ = operation("*"), operation("*", swapped=True)
    __truediv__, __rtruediv__ = operation("/"), operation("/", swapped=True)
    __iadd__, __isub__, __imul__, __itruediv__ = map(in_place, (__add__, __sub__, __mul__, __truediv__))

    def __init__(self, code: str, scalar: bool = False):
        self.code, self.scalar = code, scalar

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *_inputs: Any, **options: Any) -> Any:
        """Take part in NumPy's root, and in nothing else."""
        root = ufunc is np.sqrt and method == "__call__" and not options
        return Term(f"sqrt({self.code})") if root and not self.scalar else NotImplemented

    def __eq__(self, _other: object) -> bool:
        raise TypeError("a formula that is fused cannot compare a number, which is not known yet")

    def __bool__(self) -> bool:
        raise TypeError("a formula that is fused cannot decide by a number, which is not known yet")


def in_c(number: Any) -> str:
    """Return a term or a finite number of Python as C. T is the type of the arrays, to which NumPy rounds the number.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(number, Term):
        return number.code
    if not isinstance(number, float | int) or isinstance(number, np.generic) or not isfinite(number):
        raise TypeError(f"a formula that is fused computes with finite numbers, got {number!r}")
    return f"T({float(number)!r})"


CPU_TYPES = (np.dtype("float32"), np.dtype("float64"))


@cache
def on_cpu(written: tuple[str, ...], scalars: int, dtype: Any) -> Callable[..., Any] | None:
    """Return one compiled loop that does what `write_down` has written, or None where there is no Numba that works.

    The machine code is kept on disk, under a name that changes with the formula. If what is kept is damaged, or there
    is no place for it, the loop is compiled without.
    """
    states = len(written) - 1
    if not can_fuse() or states >= len(LOOPS):
        return None
    names = ["w", "g", *(f"s{i}" for i in range(states)), *(f"c{i}" for i in range(scalars))]
    element = eval(f"lambda {', '.join(names)}: ({', '.join(written)},)", {"T": dtype.type, "sqrt": np.sqrt})
    code, mark = LOOPS[states].__code__, crc32(repr((written, scalars, dtype.str)).encode())
    loop = FunctionType(code, {"range": range}, f"{code.co_name}_{mark:08x}")
    loop.__qualname__, loop.__module__ = loop.__name__, __name__
    reason: Exception | None = None
    for keep in (True, False):
        try:
            from numba import njit

            loop.__globals__["formula"] = njit(element, error_model="numpy")  # 0 / 0 is NaN there, not an error
            fused: Callable[..., Any] = njit(loop, error_model="numpy", cache=keep)
            fused(*np.ones((2 + states, 1), dtype), (dtype.type(1),) * scalars)  # loads the machine code, or compiles
            return fused
        except Exception as error:  # whatever is wrong with Numba or its files: training goes on without
            reason = error
    warnings.warn(
        f"Numba is installed but fails ({type(reason).__name__}: {reason}), so updates take longer; "
        "repair or remove it, or set NUMBA_DISABLE_JIT=1",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def formula(*_numbers: float) -> tuple[float, ...]:
    """Stand in the loops below for the formula that `on_cpu` puts in this place."""
    raise NotImplementedError


def without_state(w: Array, g: Array, scalars: tuple[float, ...]) -> None:
    """Carry out a formula for every parameter, as in SGD."""
    for i in range(w.size):
        (w[i],) = formula(w[i], g[i], *scalars)


def with_one(w: Array, g: Array, v: Array, scalars: tuple[float, ...]) -> None:
    """Carry out a formula for every parameter, as in momentum."""
    for i in range(w.size):
        w[i], v[i] = formula(w[i], g[i], v[i], *scalars)


def with_two(w: Array, g: Array, m: Array, v: Array, scalars: tuple[float, ...]) -> None:
    """Carry out a formula for every parameter, as in Adam."""
    for i in range(w.size):
        w[i], m[i], v[i] = formula(w[i], g[i], m[i], v[i], *scalars)


LOOPS = (without_state, with_one, with_two)
"""The loop over all parameters, by the number of state vectors."""
