"""The parts of a network: find a layer by name, take several as a network of their own, copy them, list them."""

from collections.abc import Callable, Iterator
from math import prod
from numbers import Integral
from typing import Any, Self

from minidl.backend import Array, convert
from minidl.checks.chain import check_chain
from minidl.layers import Layer
from minidl.parameters.ownership import claim
from minidl.parameters.views import copy_into


class Parts:
    """The base of `minidl.Sequential` that knows where each layer's parameters lie in the vector of all."""

    layers: tuple[Layer, ...]
    params: Array
    grads: Array
    in_features: int | None
    out_features: int | None
    watch: Callable[[Layer, str, Array], None] | None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; what is assigned to ``params`` or ``grads`` is copied into them: see `Views`.

        Raises:
            ValueError: it does not fit.
            AttributeError: the layers of a model cannot be replaced.
        """
        if name in ("params", "grads") and name in vars(self):
            copy_into(name, getattr(self, name), value)
        elif name == "layers" and name in vars(self):
            raise AttributeError("layers: a model keeps its layers, whose parameters it holds; make a new model")
        else:
            object.__setattr__(self, name, value)

    def layer(self, which: int | str) -> Layer:
        """Return a layer by its position, negative ones counted from the end, or by its name.

        Raises:
            ValueError: there is none, or the name is not unique.
        """
        names = [layer.name for layer in self.layers]
        if isinstance(which, Integral) and not isinstance(which, bool) and -len(names) <= which < len(names):
            return self.layers[int(which)]
        if isinstance(which, str) and names.count(which) == 1:
            return self.layers[names.index(which)]
        raise ValueError(f"layer: expected a position from 0 to {len(names) - 1} or one of {names}, got {which!r}")

    def __getitem__(self, part: slice) -> Self:
        """Return some layers in a row as a network of its own, which shares its layers and parameters with this one.

        ``fit(model[4:], …)`` trains the end of ``model``. A copy of a part shares nothing.

        Raises:
            TypeError: ``part`` is not a slice.
            ValueError: it skips layers, or contains none.
        """
        if not isinstance(part, slice):
            raise TypeError(f"part: expected a slice such as [2:], got {part!r}; see Sequential.layer for one layer")
        stretches = list(self.stretches())[part]
        if not stretches or part.step not in (None, 1):
            raise ValueError(f"part: expected at least one layer, in a row, got {part}")
        network = object.__new__(type(self))
        network.layers = self.layers[part]
        network.in_features, network.out_features = check_chain(network.layers)
        start, stop = stretches[0][1], stretches[-1][2]
        network.params, network.grads = self.params[start:stop], self.grads[start:stop]
        return network

    def _adopt(self, params: Array, grads: Array) -> None:
        """Replace both vectors, and register the first as that of a model."""
        vars(self).update(params=params, grads=grads)
        claim(params)

    def __getstate__(self) -> dict[str, Any]:
        """Leave ``watch`` out of copies: it is a function that looks at this model."""
        return {name: value for name, value in vars(self).items() if name != "watch"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make a copy whole: its layers come without views, and get them here."""
        self.__dict__.update(state)
        self._bind(self.params, self.grads)
        for layer in self.layers:
            layer.owned = True

    def _bind(self, params: Array, grads: Array) -> None:
        raise NotImplementedError  # `Sequential` does

    def _show(self, layer: Layer, dx: Array | None = None) -> None:
        """Show the gradients of a layer to `watch`."""
        if self.watch is not None:
            for name in layer.param_shapes():
                self.watch(layer, "d" + name, getattr(layer, "d" + name))
            if dx is not None:
                self.watch(layer, "dx", dx)

    def copy_from(self, other: Self) -> None:
        """Take over the parameters and buffers of a network with the same layers.

        Raises:
            ValueError: the layers differ.
        """
        if repr(self) != repr(other):
            raise ValueError(f"other: expected the layers {self!r}, got {other!r}")
        self.params[...] = convert(other.params, like=self.params)
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            for name in mine.buffers:
                getattr(mine, name)[...] = convert(getattr(theirs, name), like=self.params)

    def summary(self) -> None:
        """Print a line for each layer: its name, its output's shape, and its number of parameters."""
        rows = [("name", "layer", "output", "parameters")]
        features = self.in_features
        for layer in self.layers:
            features = layer.out_features or features
            size = f"{count_params(layer):,}" + (" frozen" if layer.frozen else "")
            rows.append((layer.name, repr(layer), f"(B, {features or '…'})", size))
        rows.append(("total", "", "", f"{self.params.size:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        for row in rows:
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())

    def stretches(self) -> Iterator[tuple[Layer, int, int]]:
        """Yield each layer with the start and stop of its stretch of the vectors."""
        start = 0
        for layer in self.layers:
            stop = start + count_params(layer)
            yield layer, start, stop
            start = stop


def count_params(layer: Layer) -> int:
    """Return the number of parameters of ``layer``."""
    return sum(prod(shape) for shape in layer.param_shapes().values())
