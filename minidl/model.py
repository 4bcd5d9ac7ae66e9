"""A network: layers in a row, and all their parameters in one vector.

Forward, the data passes through the layers from first to last; backward, the gradient passes from last to first. That
is the whole of backpropagation: the chain rule, worked out from the loss inwards, so that each product is a matrix
times what has been computed already.

The parameters of all layers lie end to end in one flat vector, ``params``, and their gradients in another, ``grads``.
Each layer's W, b, dW and db are windows on these (NumPy calls them views). An optimiser therefore needs no list of
arrays: to it a network is a point in a space of many dimensions, and training is one formula on one array.
"""

from math import prod
from typing import Any, Self

import numpy as np

from minidl.backend import Array, get_backend, to_numpy
from minidl.checks import float_type
from minidl.layers import Layer


class Sequential:
    """A chain of layers, together with their parameters and gradients.

    Args:
        layers: from the input to the output; the number of features must agree from one to the next.
        seed: for the initial weights: an integer, a ``numpy.random.Generator``, or None to draw them anew each time.
        dtype: ``"float32"`` or ``"float64"``; everything the model computes has it.
        backend: ``"numpy"``, ``"cupy"`` or ``"auto"``, see `minidl.backend.get_backend`. The seed gives the same
            weights on all.

    Attributes:
        layers: the layers, a tuple.
        params: the parameters of all layers, (n,).
        grads: their gradients, (n,), valid after `backward`.

    Raises:
        ValueError: no layer, one layer in two places, neighbours whose numbers of features differ, an unknown dtype or
            backend.
        TypeError: something that is no `Layer`.
    """

    def __init__(
        self,
        *layers: Layer,
        seed: int | np.random.Generator | None = None,
        dtype: str = "float32",
        backend: str = "numpy",
    ):
        self.in_features, self.out_features = _check_chain(layers)
        dtype = float_type("dtype", dtype)
        get_backend(backend)
        self.layers = layers
        size = sum(prod(shape) for layer in layers for shape in layer.param_shapes().values())
        self._bind(np.zeros(size, dtype), np.zeros(size, dtype))
        rng = np.random.default_rng(seed)
        for layer in layers:
            layer.init_params(rng)
        self.to(backend)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the output of the network: (B, in_features) -> (B, out_features).

        Args:
            x: a batch, a row for each sample, with the model's dtype and on its backend.
            training: remember what `backward` needs. Without it, a forward pass changes nothing in the model.

        Raises:
            ValueError, TypeError: ``x`` has the wrong shape or dtype.
        """
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, dy: Array) -> None:
        """Compute ``grads``, the gradient of the loss with respect to ``params``.

        The first layer that has parameters is asked for their gradients only. Nobody needs its dx, and for the network
        of chapter 37 that saves a sixth of all multiplications in a step.

        Args:
            dy: the gradient of the loss with respect to the output of `forward`, (B, out_features).

        Raises:
            RuntimeError: there was no ``forward(x, training=True)`` since the last backward pass.
            ValueError: ``dy`` has the wrong shape.
        """
        first = next((i for i, layer in enumerate(self.layers) if layer.param_shapes()), len(self.layers) - 1)
        for layer in reversed(self.layers[first + 1 :]):
            dy = layer.backward(dy)
        self.layers[first].backward_params(dy)

    def backward_to_input(self, dy: Array) -> Array:
        """Do what `backward` does, and go on to dx, the gradient with respect to the input: (B, in_features)."""
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    def to(self, backend: str) -> Self:
        """Move parameters and gradients to ``backend``, and return the model."""
        xp = get_backend(backend)
        if xp is np:
            self._bind(to_numpy(self.params), to_numpy(self.grads))
        else:
            self._bind(xp.asarray(self.params), xp.asarray(self.grads))
        return self

    def summary(self) -> None:
        """Print a line for each layer: its output's shape, and its number of parameters."""
        rows = [("layer", "output", "parameters")]
        features = self.in_features
        for layer in self.layers:
            features = layer.out_features or features
            size = sum(prod(shape) for shape in layer.param_shapes().values())
            rows.append((repr(layer), f"(B, {features or '…'})", f"{size:,}"))
        rows.append(("total", "", f"{self.params.size:,}"))
        width, shape_width = (max(len(row[i]) for row in rows) for i in (0, 1))
        for name, shape, number in rows:
            print(f"{name:<{width}}  {shape:<{shape_width}}  {number:>12}")

    def _bind(self, params: Array, grads: Array) -> None:
        """Adopt the two vectors, and give each layer its stretch of both."""
        self.params, self.grads = params, grads
        start = 0
        for layer in self.layers:
            stop = start + sum(prod(shape) for shape in layer.param_shapes().values())
            layer.bind(params[start:stop], grads[start:stop])
            start = stop

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make a copy whole: its layers come without views (see `Layer.__getstate__`) and get them here."""
        self.__dict__.update(state)
        self._bind(self.params, self.grads)

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"


def _check_chain(layers: tuple[Layer, ...]) -> tuple[int | None, int | None]:
    """Return the number of features that go in and come out, if the layers fit together."""
    if not layers:
        raise ValueError("layers: expected at least one, got none")
    features_in = features = None
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"layers: expected instances of Layer, got {layer!r} at position {i}")
        if any(layer is other for other in layers[:i]):
            raise ValueError(f"layers: {layer} at position {i} is already in the chain; make a second one")
        if layer.in_features is not None and features is None:
            features_in = layer.in_features
        elif layer.in_features not in (None, features):
            raise ValueError(
                f"layers: {layer} at position {i} expects {layer.in_features} features, but it receives {features}"
            )
        features = layer.out_features or features
    return features_in, features
