"""What the checkers of layers, losses and optimisers have in common: a rule either holds or says what breaks it.

A checker goes through its rules, and raises `ContractError` with the words of the first that does not hold. The words
name the rule and the example, say what was found, and end with a hint wherever there is one to be had. Whoever reads
them wants to see their own code, so a traceback ends where the checker was called, and an exception that comes out of
their code is told with the line that it comes from.
"""

from collections.abc import Callable
from pathlib import Path
from traceback import extract_tb
from typing import Any

import numpy as np

import minidl
from minidl.backend import Array

NOT_THEIRS = [Path(module.__file__ or "").parent for module in (minidl, np)]
"""Where the code is that those who write a layer did not write."""

ELSEWHERE = (
    "\nhint: what NumPy computes with NumPy's arrays must be computed with those of a GPU: take functions from "
    "array_module(x), make arrays with them, and bring others there with convert(…, like=x)"
)
"""For what works with NumPy only."""


class ContractError(AssertionError):
    """A layer, a loss or an optimiser breaks a rule that the engine relies on."""


def require(condition: Any, message: str) -> None:
    """Raise a `ContractError` with ``message`` unless the condition holds."""
    if not condition:
        raise ContractError(message)


def breach(rule: Callable[..., Any], *args: Any) -> str | None:
    """Return what is wrong, in words, if ``rule(*args)`` raises anything; None if the rule holds."""
    try:
        with np.errstate(all="ignore"):  # NaN and infinity are looked for; a warning would only come before the words
            rule(*args)
    except AssertionError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}{place(error)}"
    return None


def place(error: Exception) -> str:
    """Return where in the code under test an exception was raised, in brackets; nothing if it was not there."""
    frames = [frame for frame in extract_tb(error.__traceback__) if not _engine(Path(frame.filename))]
    return f" (in {frames[-1].name}, {Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _engine(path: Path) -> bool:
    return any(folder in path.parents for folder in NOT_THEIRS)


def raises(kind: type[Exception] | tuple[type[Exception], ...], function: Callable[..., Any], *args: Any) -> bool:
    """Tell whether ``function(*args)`` raises an exception of this kind, or one of these."""
    try:
        function(*args)
    except kind:
        return True
    return False


def same(a: Array, b: Array) -> bool:
    """Tell whether two arrays have the same shape and numbers; NaN is like NaN."""
    return bool(np.array_equal(a, b, equal_nan=True))
