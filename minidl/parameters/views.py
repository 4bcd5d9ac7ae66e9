"""Parameters as views: a layer owns no storage, but looks into the vectors of the model it belongs to.

`minidl.Sequential` holds the parameters of all layers end to end in one vector, and their gradients in another. Each
layer's W, b, dW and db are windows on these, which NumPy calls *views*: writing into ``dW`` writes into the vector of
gradients. `Views` is that part of a layer, together with the facts about it that models, files and errors need.

A window must stay where it is. If ``layer.W = v`` replaced it by another array, the layer would compute with v while
the optimiser moved the old numbers, and training would seem stuck. So an assignment copies into the window.
"""

from math import prod
from types import FunctionType
from typing import Any, NoReturn

import numpy as np

from minidl.backend import Array, Generator, convert, on_host


class Views:
    """The base of `minidl.Layer`: its parameters, and everything about it besides the formula.

    A layer that has parameters defines `param_shapes` and `init_params`.
    """

    in_features: int | None = None
    """The number of features of x; None if any number is allowed."""
    out_features: int | None = None
    """The number of features of y; None if it is that of x."""
    name: str = ""
    """The name by which `minidl.Sequential` finds the layer. Unless you set it, class and position: dense0."""
    frozen: bool = False
    """Whether the layer does not learn. Set by `minidl.Sequential.freeze`."""
    lr_scale: float = 1.0
    """The layer's learning rate as a multiple of the optimiser's. Set by `minidl.Sequential.scale_lr`."""
    owned: bool = False
    """Whether the layer already belongs to a model."""
    arguments: tuple[str, ...] = ()
    """The attributes that hold, in order, the arguments with which to make another such layer."""
    buffers: tuple[str, ...] = ()
    """The attributes that are arrays and belong to the trained layer, though no gradient moves them."""
    rng: Generator
    """The random generator of a layer that draws numbers in training; other layers have none."""
    _memory: Any = None
    _windows: frozenset[str] = frozenset()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute: copy into a window; convert a NumPy scalar, which could change the dtype of y, to a number.

        Raises:
            ValueError: ``value`` does not fit the window.
        """
        if name in self._windows:
            copy_into(f"{self.name or self}.{name}", getattr(self, name), value)
        else:
            object.__setattr__(self, name, value.item() if isinstance(value, np.generic) else value)

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of each parameter, in the order in which they are stored."""
        return {}

    def init_params(self, rng: Generator) -> None:
        """Fill the parameters, which are zero and in main memory, with the values that training starts from."""

    def bind(self, params: Array, grads: Array) -> None:
        """Make each parameter ``P`` and its gradient ``dP`` a view of the next stretch of ``params`` and ``grads``.

        Buffers move to the backend and dtype of the parameters.

        Raises:
            ValueError: a parameter was set before the layer had a model, and would be lost.
        """
        start, windows = 0, {}
        for name, shape in self.param_shapes().items():
            if name not in self._windows and hasattr(self, name):
                raise ValueError(f"{self}: {name} was set before the layer belongs to a model; set it afterwards")
            stop = start + prod(shape)
            windows[name], windows["d" + name] = params[start:stop].reshape(shape), grads[start:stop].reshape(shape)
            start = stop
        for name, window in (windows | {"_windows": frozenset(windows)}).items():
            object.__setattr__(self, name, window)
        for name in self.buffers:
            setattr(self, name, convert(getattr(self, name), like=params))

    def check_batch(self, samples: int) -> None:
        """Raise a ValueError if the layer cannot be trained on a batch of so many samples."""

    def check_input(self, x: Array) -> None:
        """Refuse an input that does not fit the parameters.

        Raises:
            RuntimeError: the layer has no parameters yet.
            ValueError: ``x`` is not (B, in_features).
            TypeError: ``x`` has another dtype than the parameters.
        """
        shapes = self.param_shapes()
        param = getattr(self, next(iter(shapes)), None) if shapes else x
        if param is None:
            raise RuntimeError(f"{self} has no parameters yet: make it part of a minidl.Sequential")
        if x.ndim != 2 or x.shape[1] != self.in_features:
            raise ValueError(f"x: {self} expects shape (batch size, {self.in_features}), got {x.shape}")
        if x.dtype != param.dtype:
            raise TypeError(f"x: {self} computes in {param.dtype}, got {x.dtype}; convert with x.astype(...)")

    def __getstate__(self) -> dict[str, Any]:
        """Leave views and memory out of copies: a copied model binds its layers to vectors of its own.

        An initialiser that only this program knows, such as a lambda, has done its work and is left out.
        """
        left = self._windows | {"_windows", "_memory", "owned"}
        state = {key: value for key, value in vars(self).items() if key not in left}
        init = state.get("init")
        if self.owned and isinstance(init, FunctionType) and "<" in init.__qualname__:  # <lambda>, f.<locals>.g
            state["init"] = left_behind
        return state

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{getattr(self, name)}' for name in self.arguments)})"


def copy_into(name: str, window: Array, value: Any) -> None:
    """Write all of ``value``, which has any float or integer dtype and may be on another backend, into ``window``.

    Raises:
        ValueError: it has another shape, or is not made of real numbers.
    """
    if value is window:  # what is left of W -= step
        return
    array = np.asarray(value) if on_host(value) else value
    if array.shape != window.shape or not np.can_cast(array.dtype, window.dtype, "same_kind"):
        raise ValueError(f"{name}: expected numbers of shape {window.shape}, got {array.shape} {array.dtype}")
    window[...] = convert(array, like=window)


def left_behind(*_: Any) -> NoReturn:
    """Stand for an ``init`` that a copy could not take along."""
    raise RuntimeError("init: this layer is a copy, and its rule, a function without a name, was left behind")
