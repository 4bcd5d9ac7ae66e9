"""A network: layers in a row, and all their parameters in one vector.

Forward, the data passes through the layers from first to last; backward, the gradient passes from last to first. This
is all of backpropagation: the chain rule, worked out from the loss inwards.

The parameters of all layers lie end to end in one flat vector, ``params``, and their gradients in another, ``grads``.
Each layer's W, b, dW and db are windows on these (NumPy calls them views). So an optimiser needs no list of arrays. It
sees a network as a point in a space of many dimensions, and training is one formula on one array.
"""

from collections.abc import Callable
from typing import Self

import numpy as np

from minidl.backend import Array, Seed, get_backend, to_numpy
from minidl.checks import float_type, generator
from minidl.checks.chain import check_chain
from minidl.layers import Layer
from minidl.parameters.freezing import Freezing
from minidl.parameters.memory import keep_freed_memory
from minidl.parameters.parts import count_params


class Sequential(Freezing):
    """A chain of layers, together with their parameters and gradients.

    A layer can be *frozen*, so that it does not learn. From `Freezing` come ``groups``, ``first_learning`` and
    ``frozen_prefix``, which say what learns.

    Args:
        layers: from the input to the output; the number of features must agree from one to the next.
        seed: for the initial weights: an integer, a ``numpy.random.Generator``, or None to draw them anew each time.
        dtype: ``"float32"`` or ``"float64"``; everything the model computes has it.
        backend: ``"numpy"``, ``"cupy"`` or ``"auto"``, see `minidl.backend.get_backend`. The seed gives the same
            weights on all.

    Attributes:
        layers: the layers, a tuple.
        params: the parameters of all layers, (n,).
        grads: their gradients, (n,), valid after `backward` for the layers that learn.
        watch: None, or a function that sees each array in training as it is computed. It is called with a layer, a
            name and the array: ``"y"`` after the forward pass, ``"dW"`` and the like and ``"dx"`` after the backward.

    Raises:
        ValueError: there is no layer, a layer is in two places or in two models, the numbers of features of two
            neighbours differ, or the dtype or backend is unknown.
        TypeError: an argument is not a `Layer`.
    """

    watch: Callable[[Layer, str, Array], None] | None = None

    def __init__(self, *layers: Layer, seed: Seed = None, dtype: str = "float32", backend: str = "numpy"):
        self.in_features, self.out_features = check_chain(layers)
        dtype = float_type("dtype", dtype)
        get_backend(backend)
        for i, layer in enumerate(layers):
            if layer.owned:
                raise ValueError(f"layers: {layer} at position {i} already belongs to a model; make a new one")
        rng = generator("seed", seed)
        self.layers = layers
        size = sum(map(count_params, layers))
        self._bind(np.zeros(size, dtype), np.zeros(size, dtype))
        for layer in layers:
            layer.init_params(rng)
        self.to(backend)
        for i, layer in enumerate(layers):
            layer.owned = True
            layer.name = layer.name or f"{type(layer).__name__.lower()}{i}"

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the output of the network: (B, in_features) -> (B, out_features).

        Args:
            x: a batch, a row for each sample, with the model's dtype and on its backend.
            training: remember what `backward` needs. Without it, a forward pass changes nothing in the model.

        Raises:
            ValueError, TypeError: ``x`` has the wrong shape or dtype.
        """
        frozen = self.frozen_prefix  # 0 unless layers are frozen: minidl.parameters.freezing
        for i, layer in enumerate(self.layers):
            x = layer.forward(x, training and i >= frozen)
            if training and self.watch is not None:
                self.watch(layer, "y", x)
        return x

    def backward(self, dy: Array) -> None:
        """Compute ``grads``, the gradient of the loss with respect to ``params``.

        The lowest layer that learns only computes the gradients of its parameters. Nobody needs its dx, and for the
        network of chapter 37 this saves one multiplication in seven. Layers below it have nothing to do.

        Args:
            dy: the gradient of the loss with respect to the output of `forward`, (B, out_features).

        Raises:
            RuntimeError: there was no ``forward(x, training=True)`` since the last backward pass.
            ValueError: ``dy`` has the wrong shape.
        """
        first = self.first_learning
        for layer in reversed(self.layers[first + 1 :]):
            dy = layer.backward(dy)
            self._show(layer, dy)
        for layer in self.layers[first : first + 1]:  # none, if nothing learns
            layer.backward_params(dy)
            self._show(layer)

    def backward_to_input(self, dy: Array) -> Array:
        """Do what `backward` does, and go on to dx, the gradient with respect to the input: (B, in_features).

        Raises:
            RuntimeError: as in `backward`; or the first layers are frozen, and remember nothing of the forward pass.
        """
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
            self._show(layer, dy)
        return dy

    def to(self, backend: str) -> Self:
        """Move parameters and gradients to ``backend``, and return the model."""
        xp = get_backend(backend)
        if xp is np:
            self._bind(to_numpy(self.params), to_numpy(self.grads))
        else:
            self._bind(xp.asarray(self.params), xp.asarray(self.grads))
        return self

    def _bind(self, params: Array, grads: Array) -> None:
        """Adopt the two vectors, and give each layer its stretch of both."""
        keep_freed_memory()
        self._adopt(params, grads)
        for layer, start, stop in self.stretches():
            layer.bind(params[start:stop], grads[start:stop])

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"
