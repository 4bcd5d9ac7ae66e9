"""Where arrays live: in main memory with NumPy, or on a GPU with CuPy.

CuPy offers NumPy's functions under NumPy's names, for arrays in the memory of a GPU. Code that asks an array which of
the two modules it belongs to, and then calls that module, runs on both:

    xp = array_module(x)
    y = xp.exp(x)

There is no global switch. The code follows the data, so a model on the CPU and one on the GPU can live side by side.
"""

import math
import sys
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""An array of NumPy, or one of CuPy, which behaves the same."""

Generator: TypeAlias = "np.random.Generator"
"""The source of all randomness, passed in by the caller. It draws in main memory, the same for both backends.

In quotes, because NumPy imports its random numbers on first use, which takes a sixth of its own import time.
"""

Seed: TypeAlias = "int | Generator | None"
"""What a generator is made from: a seed, the generator itself, or None for numbers that differ each time."""

BACKENDS = ("auto", "numpy", "cupy")


def array_module(x: Array) -> ModuleType:
    """Return the module that ``x`` belongs to: ``numpy`` or ``cupy``."""
    cupy = sys.modules.get("cupy")  # an array of CuPy cannot exist before somebody has imported CuPy
    return cupy if cupy is not None and isinstance(x, cupy.ndarray) else np


def on_host(x: Array) -> bool:
    """Return whether ``x`` is in main memory, where looking at its values costs no wait."""
    return array_module(x) is np


def sqrt(x: Any) -> Any:
    """Return √x, of a number or of every entry of an array."""
    return math.sqrt(x) if isinstance(x, float | int) else array_module(x).sqrt(x)


def get_backend(name: str = "auto") -> ModuleType:
    """Return the array module called ``name``.

    Args:
        name: ``"numpy"``, ``"cupy"``, or ``"auto"``: CuPy where it is installed and finds a GPU, else NumPy.

    Raises:
        ValueError: ``name`` is none of these; or it is ``"cupy"``, and CuPy or a GPU is missing.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {name!r}")
    if name == "numpy":
        return np
    try:
        import cupy

        cupy.zeros(1)  # importing CuPy succeeds without a GPU; allocating does not
    except Exception as error:
        if name == "auto":
            return np
        reason = f"CuPy cannot use a GPU here: {error}"
        if isinstance(error, ImportError):
            reason = "CuPy is not installed; install minidl[cuda12] or minidl[cuda13], as your driver supports"
        raise ValueError(f"backend: 'cupy' was asked for, but {reason}") from error
    module: ModuleType = cupy
    return module


def to_numpy(x: Array) -> Array:
    """Return ``x`` in main memory: ``x`` itself if it is there already, else a copy."""
    host: Array = x if on_host(x) else array_module(x).asnumpy(x)
    return host


def convert(x: Array, like: Array) -> Array:
    """Return ``x`` with the dtype of ``like``, and on its backend; a copy only where one is needed."""
    if on_host(like):
        return to_numpy(x).astype(like.dtype, copy=False)
    converted: Array = array_module(like).asarray(x, dtype=like.dtype)
    return converted
