"""Fusing: all operations of a formula in one loop, instead of a walk through the vector for each of them.

NumPy carries out ``w -= lr * g`` in two walks: one writes the array ``lr * g``, the next subtracts it. Adam's formula
has twelve operations, so it takes twelve walks, although it need only read four arrays and write three. A compiler that
sees the whole formula makes one loop of it, in which the numbers in between never leave the processor's registers.

On a CPU that compiler is Numba (the extra ``fast``), on a GPU the one that CuPy brings along. Neither changes a result:
each operation is rounded as before, and nothing is reordered. Without them a formula works block by block:
`minidl.parameters.blocks`.
"""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from math import isfinite
from types import FunctionType, ModuleType
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np

from minidl.backend import Array, array_module, on_host

Formula: TypeAlias = Callable[..., tuple[Any, ...]]
"""From w, g, the state and some numbers to w and the state: for one parameter, or in place for whole arrays."""

WORTH = 4e9
"""How many parameters SGD must move before Numba has saved more than it costs; see `worth_fusing`."""


def carry_out(formula: Formula, arrays: tuple[Array, ...], scalars: tuple[float, ...], fused: bool) -> None:
    """Change w and the state in place by a formula.

    Args:
        formula: see `Formula`.
        arrays: w, g and the state vectors, each (n,), of one dtype; g is only read.
        scalars: the numbers of the formula, which are rounded to that dtype.
        fused: in one loop, where that is possible.
    """
    w, g, *state = arrays
    if fused and not on_host(w) and (kernel := on_gpu(array_module(w), formula, len(state), len(scalars))):
        kernel(g, *map(w.dtype.type, scalars), w, *state)
    elif fused and on_host(w) and can_fuse() and all(array.flags.carray for array in arrays):
        on_cpu(formula, len(state))(*arrays, tuple(map(w.dtype.type, scalars)))
    else:
        formula(*arrays, *scalars)


@cache
def can_fuse() -> bool:
    """Tell whether the extra ``fast`` is installed; this does not import it."""
    return find_spec("numba") is not None


def worth_fusing(n: int, states: int, updates: int) -> bool:
    """Tell whether fusing saves more time than it costs, in so many updates of n parameters on a CPU.

    To import Numba and load a compiled loop takes half a second, to compile it another, once per computer. SGD saves
    about 0.4 nanoseconds per parameter and update, a formula with state vectors more: it walks more often.
    """
    return can_fuse() and float(updates) * n * (1 + 2 * states) > WORTH


@cache
def on_gpu(cupy: ModuleType, formula: Formula, states: int, scalars: int) -> Callable[..., None] | None:
    """Return one kernel that does what ``formula`` does, or None if it is more than arithmetic and roots.

    The formula is carried out once, with a `Term` for each number, and what comes back is C. The kernel is called with
    g, the scalars, w and the state vectors, and changes the last two in place.

    ``cupy.fuse`` would be shorter. But it lets the compiler join a product and a sum with a single rounding, so the
    bits would change.
    """
    state, numbers = [f"s{i}" for i in range(states)], [f"c{i}" for i in range(scalars)]
    try:
        results = [in_c(result) for result in formula(*map(Term, ["w", "g", *state, *numbers]))]
    except (TypeError, AttributeError):  # it asks for more than a number that is not known yet can tell
        return None
    changed = ["w", *state]
    code = "".join(f"T new_{name} = {result}; " for name, result in zip(changed, results, strict=True))
    code += " ".join(f"{name} = new_{name};" for name in changed)
    read, written = (", ".join(f"T {name}" for name in names) for names in (["g", *numbers], changed))
    kernel: Callable[..., None] = cupy.ElementwiseKernel(read, written, code, "formula", options=("--fmad=false",))
    return kernel


def operation(sign: str, swapped: bool = False) -> Callable[[Any, Any], Any]:
    """Return the method of `Term` for an operator, or for one whose left side is no term."""

    def apply(self: "Term", other: Any) -> "Term":
        left, right = (other, self) if swapped else (self, other)
        return Term(f"({in_c(left)} {sign} {in_c(right)})")

    return apply


class Term:
    """A number that is not known yet. It writes down in C what is done to it: ``w - c0 * g`` is (w - (c0 * g))."""

    __add__, __radd__ = operation("+"), operation("+", swapped=True)
    __sub__, __rsub__ = operation("-"), operation("-", swapped=True)
    __mul__, __rmul__ = operation("*"), operation("*", swapped=True)
    __truediv__, __rtruediv__ = operation("/"), operation("/", swapped=True)

    def __init__(self, code: str):
        self.code = code

    def sqrt(self) -> "Term":
        """Return its root; NumPy's ``sqrt`` asks objects that it does not know for this method."""
        return Term(f"sqrt({self.code})")

    def __eq__(self, _other: object) -> bool:
        raise TypeError("a formula that is fused cannot compare a number, which is not known yet")

    def __bool__(self) -> bool:
        raise TypeError("a formula that is fused cannot decide by a number, which is not known yet")


def in_c(number: Any) -> str:
    """Return a term or a finite number as C; T is the type of the arrays.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(number, Term):
        return number.code
    if not isinstance(number, float | int) or not isfinite(number):
        raise TypeError(f"a formula that is fused computes with finite numbers, got {number!r}")
    return f"T({float(number)!r})"


@cache
def on_cpu(formula: Any, states: int) -> Callable[..., Any]:
    """Return one compiled loop that does what ``formula`` does, with so many state vectors.

    The machine code of minidl's own formulas is kept on disk, under a name that changes with the formula. One of your
    own is compiled anew in every program, since it may use other functions, which may have changed.
    """
    from numba import njit

    code, loop = formula.__code__, LOOPS[states].__code__
    mark = crc32(repr((code.co_code, code.co_consts, code.co_names)).encode())
    scalar = FunctionType(code, formula.__globals__ | {"sqrt": np.sqrt}, code.co_name, None, formula.__closure__)
    one = njit(scalar, error_model="numpy")  # 0 / 0 is NaN there, not an error
    over_all = FunctionType(loop, {"formula": one, "range": range}, f"{loop.co_name}_{mark:08x}")
    over_all.__qualname__, over_all.__module__ = over_all.__name__, __name__
    try:
        fused = njit(over_all, error_model="numpy", cache=formula.__module__ == "minidl.optimizers")
    except RuntimeError:  # there is no folder to keep it in
        fused = njit(over_all, error_model="numpy")
    compiled: Callable[..., Any] = fused
    return compiled


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
