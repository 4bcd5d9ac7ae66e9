"""A network: layers in a row, and all their parameters in one vector.

Forward, the data passes through the layers from first to last; backward, the gradient passes from last to first. That
is the whole of backpropagation: the chain rule, worked out from the loss inwards, so that each product is a matrix
times what has been computed already.

The parameters of all layers lie end to end in one flat vector, ``params``, and their gradients in another, ``grads``.
Each layer's W, b, dW and db are windows on these (NumPy calls them views). An optimiser therefore needs no list of
arrays: to it a network is a point in a space of many dimensions, and training is one formula on one array.
"""

from collections.abc import Callable, Iterator
from math import prod
from numbers import Integral
from typing import Any, Self

import numpy as np

from minidl.backend import Array, Seed, convert, get_backend, to_numpy
from minidl.checks import float_type, generator, positive
from minidl.layers import Layer
from minidl.optimizers import Group


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
        grads: their gradients, (n,), valid after `backward` for the layers that learn.
        watch: None, or a function that is shown everything in training as it is computed: it is called with a layer, a
            name, and the array: ``"y"`` after its forward pass; ``"dW"`` and the like, and ``"dx"``, after the other.

    Raises:
        ValueError: no layer, one layer in two places or in two models, neighbours whose numbers of features differ, an
            unknown dtype or backend.
        TypeError: something that is no `Layer`.
    """

    watch: Callable[[Layer, str, Array], None] | None = None

    def __init__(
        self,
        *layers: Layer,
        seed: Seed = None,
        dtype: str = "float32",
        backend: str = "numpy",
    ):
        self.in_features, self.out_features = _check_chain(layers)
        dtype = float_type("dtype", dtype)
        get_backend(backend)
        for i, layer in enumerate(layers):
            if layer.owned:
                raise ValueError(f"layers: {layer} at position {i} already belongs to a model; make a new one")
        rng = generator("seed", seed)
        self.layers = layers
        size = sum(map(_size, layers))
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
        trunk = self.trunk if training else 0
        for i, layer in enumerate(self.layers):
            x = layer.forward(x, training and i >= trunk)
            if training and self.watch is not None:
                self.watch(layer, "y", x)
        return x

    def backward(self, dy: Array) -> None:
        """Compute ``grads``, the gradient of the loss with respect to ``params``.

        The lowest layer that learns is asked for the gradients of its parameters only. Nobody needs its dx, and for the
        network of chapter 37 that saves one multiplication in seven. Layers below it have no work at all.

        Args:
            dy: the gradient of the loss with respect to the output of `forward`, (B, out_features).

        Raises:
            RuntimeError: there was no ``forward(x, training=True)`` since the last backward pass.
            ValueError: ``dy`` has the wrong shape.
        """
        first = self._first_learning()
        for layer in reversed(self.layers[first + 1 :]):
            dy = layer.backward(dy)
            self._show(layer, dy)
        for layer in self.layers[first : first + 1]:  # none, if nothing learns
            layer.backward_params(dy)
            self._show(layer)

    def backward_to_input(self, dy: Array) -> Array:
        """Do what `backward` does, and go on to dx, the gradient with respect to the input: (B, in_features).

        Raises:
            RuntimeError: as in `backward`; or there is a frozen `trunk`, which remembers nothing of its forward pass.
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

    def freeze(self, *which: int | str) -> None:
        """Take layers out of training, named as in `layer`; without an argument, all of them.

        Their parameters then stay as they are, bit for bit, whatever the optimiser. In a training loop of your own,
        tell it so: ``optimizer.step(model.params, model.grads, model.groups)``.
        """
        for layer in [self.layer(name) for name in which] or self.layers:
            layer.frozen = True

    def unfreeze(self, *which: int | str) -> None:
        """Take layers back into training, named as in `layer`; without an argument, all of them."""
        for layer in [self.layer(name) for name in which] or self.layers:
            layer.frozen = False

    def scale_lr(self, which: int | str, factor: float) -> None:
        """Let a layer learn at ``factor`` times the optimiser's rate: above 0, and 1 from the start.

        Source: Howard and Ruder 2018, "Universal language model fine-tuning for text classification", section 3.2:
        discriminative fine-tuning.
        """
        self.layer(which).lr_scale = positive("factor", factor)

    @property
    def groups(self) -> list[Group]:
        """What of `params` is to be trained, and at which rate: a group for each parameter of each layer not frozen."""
        groups = []
        for layer, start, _ in self._stretches():
            for shape in layer.param_shapes().values():
                stop = start + prod(shape)
                if not layer.frozen:
                    groups.append(Group(slice(start, stop), layer.lr_scale, biases=len(shape) < 2))
                start = stop
        return groups

    @property
    def trunk(self) -> int:
        """How many layers at the start are out of training: up to the last frozen one below all that learn.

        They work as in evaluation (dropout passes everything, batch normalisation uses its moving averages and leaves
        them alone), so that their output for a sample is always the same and may be computed once for all epochs.
        """
        below = self.layers[: self._first_learning()]
        return max((i + 1 for i, layer in enumerate(below) if layer.frozen), default=0)

    def __getitem__(self, part: slice) -> "Sequential":
        """Return some layers in a row as a network of its own, which shares its layers and parameters with this one.

        ``fit(model[4:], …)`` trains the end of ``model``. A copy of a part shares nothing.

        Raises:
            TypeError: ``part`` is no slice.
            ValueError: it leaves layers out between others, or has none.
        """
        if not isinstance(part, slice):
            raise TypeError(f"part: expected a slice such as [2:], got {part!r}; see Sequential.layer for one layer")
        stretches = list(self._stretches())[part]
        if not stretches or part.step not in (None, 1):
            raise ValueError(f"part: expected at least one layer, in a row, got {part}")
        network = object.__new__(type(self))
        network.layers = self.layers[part]
        network.in_features, network.out_features = _check_chain(network.layers)
        start, stop = stretches[0][1], stretches[-1][2]
        network.params, network.grads = self.params[start:stop], self.grads[start:stop]
        return network

    def copy_from(self, other: "Sequential") -> None:
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
            size = f"{_size(layer):,}" + (" frozen" if layer.frozen else "")
            rows.append((layer.name, repr(layer), f"(B, {features or '…'})", size))
        rows.append(("total", "", "", f"{self.params.size:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        for row in rows:
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())

    def _bind(self, params: Array, grads: Array) -> None:
        """Adopt the two vectors, and give each layer its stretch of both."""
        _keep_freed_memory()
        self.params, self.grads = params, grads
        for layer, start, stop in self._stretches():
            layer.bind(params[start:stop], grads[start:stop])

    def _stretches(self) -> Iterator[tuple[Layer, int, int]]:
        """Yield each layer with the start and stop of its stretch of the vectors."""
        start = 0
        for layer in self.layers:
            stop = start + _size(layer)
            yield layer, start, stop
            start = stop

    def _show(self, layer: Layer, dx: Array | None = None) -> None:
        """Show the gradients of a layer to `watch`."""
        if self.watch is not None:
            for name in layer.param_shapes():
                self.watch(layer, "d" + name, getattr(layer, "d" + name))
            if dx is not None:
                self.watch(layer, "dx", dx)

    def _first_learning(self) -> int:
        """Return the position of the lowest layer that learns; the number of layers, if none does."""
        learning = (i for i, layer in enumerate(self.layers) if layer.param_shapes() and not layer.frozen)
        return next(learning, len(self.layers))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make a copy whole: its layers come without views (see `Layer.__getstate__`) and get them here."""
        self.__dict__.update(state)
        self._bind(self.params, self.grads)
        for layer in self.layers:
            layer.owned = True

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"


def _size(layer: Layer) -> int:
    """Return the number of parameters of ``layer``."""
    return sum(prod(shape) for shape in layer.param_shapes().values())


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


def _keep_freed_memory() -> None:
    """Make the C library keep the memory of freed arrays for the arrays of the next step.

    Each step makes its activations anew. Where the system takes their memory back after one step and hands it out for
    the next, it clears every page: with batches of 1024, 3,400 pages and a quarter of the time. glibc keeps up to twice
    as much free memory as the largest piece that has been freed, if that was less than 32 MB: see mallopt(3). So one
    such array is made, never touched, and dropped. With batches of 4096, which need more, pages still come and go.
    Other C libraries take no notice.
    """
    np.empty(31 << 20, "uint8")
