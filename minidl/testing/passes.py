"""One training pass of a layer, compared with what is measured on a copy that was made just before."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np

from minidl import Layer, Sequential
from minidl.backend import Array
from minidl.testing.contract import ContractError, require, same
from minidl.testing.examples import LAYOUTS, UPSTREAM, Draw, Setting, in_rows
from minidl.testing.gradients import gradients, output, size_of, variables, weighted_output
from minidl.testing.slopes import Comparison

Make = Callable[[], Layer]
"""Returns a new layer each time."""


@dataclass
class Example:
    """A layer, and all that is drawn to check it once."""

    make: Make
    inputs: tuple[Draw, ...]
    """What x is drawn by."""
    method: str
    """How gradients are measured."""
    number: int
    """Which example this is; also the seed of its models."""
    rng: np.random.Generator
    features: int
    batches: list[int]
    """The numbers of samples that the layer takes; the first is this example's own."""
    params: Array | None = None
    """The parameters; None for those that the layer starts with."""

    def model(self, dtype: str = "float64", seed: int | None = None) -> Sequential:
        """Return a new model of the layer alone, with this example's parameters."""
        model = Sequential(self.make(), seed=self.number if seed is None else seed, dtype=dtype)
        if self.params is not None:
            model.params[...] = self.params
        return model

    def draw(self, batch: int | None = None, draw: Draw | None = None) -> Array:
        """Return an x for the layer: (B, features)."""
        return (draw or self.inputs[0])(self.rng, (batch or self.batches[0], self.features))

    def settings(self) -> Iterator[Setting]:
        """Yield ten settings: this example's batch twice, then others; all kinds of x, dy and layouts in turn."""
        turn = self.rng.permutation
        xs, dys, layouts = turn(len(self.inputs)), turn(len(UPSTREAM)), turn(len(LAYOUTS))
        for i, batch in enumerate(([self.batches[0]] + 10 * self.batches)[:10]):
            yield Setting(
                batch,
                self.inputs[xs[i % len(xs)]],
                UPSTREAM[dys[i % len(dys)]],
                LAYOUTS[layouts[i % len(layouts)]],
                params_only=i % 4 == 3,
            )


def a_pass(model: Sequential, x: Array, dy: Array | None = None) -> tuple[Array, Array, Array]:
    """Return y, dx and the gradients of the parameters; dy is 1, 2, 3 … unless given."""
    y = model.forward(x, training=True)
    dy = np.arange(1.0, y.size + 1).reshape(y.shape).astype(x.dtype) if dy is None else dy
    return y, model.backward_to_input(dy), model.grads


@dataclass
class Log:
    """What a layer has returned, with copies; and how many of its passes could be compared."""

    returned: list[tuple[str, Array, Array]] = field(default_factory=list)
    compared: int = 0

    def note(self, name: str, array: Array) -> None:
        """Remember what an array is now."""
        self.returned.append((name, array, np.array(array)))


def compare(model: Sequential, setting: Setting, example: Example, log: Log, explained: bool = True) -> None:
    """Make a training pass, and compare its gradients with what is measured on a copy.

    Args:
        model: of the layer alone.
        setting: what x and dy are drawn by, and whether the gradients of the parameters are all that is asked for.
        example: what else there is to know.
        log: gets y and dx, for a look at them later.
        explained: whether to say where gradients are wrong, which takes a forward pass for each entry.

    Raises:
        GradientError, ContractError: something is wrong.
    """
    layer, twin = model.layers[0], deepcopy(model).layers[0]
    x = setting.draw(example.rng, example.features)
    y = layer.forward(x, training=True)
    log.note("y", y)
    require_finite(y)
    at = variables(twin, in_rows(x))
    close = abs(y - output(twin, at)) <= 1e-9 * (abs(y).max() + abs(x).max())
    require(
        close.all(),
        "y depends on how x lies in memory; go by the shape of x, not by its bytes or strides"
        if setting.layout is not in_rows
        else "y is another than that of a copy of the layer with the same parameters",
    )
    dy, before = setting.draw_upstream(example.rng, y), y.copy()
    model.grads[...] = np.nan
    computed = {}
    if setting.params_only:
        layer.backward_params(dy)
    else:
        computed["x"] = layer.backward(dy)
        log.note("dx", computed["x"])
    require(same(y, before), "backward changes y, which other layers may have remembered; make a new array")
    computed |= gradients(layer)
    if computed:
        log.compared += Comparison(
            weighted_output(twin, in_rows(dy)),
            at,
            computed,
            size=size_of(dy, y, x),
            rng=example.rng,
            method=example.method,
            batch=len(x),
            dy=in_rows(dy),
            by=", by backward_params," if setting.params_only else "",
            explained=explained,
        ).holds()


def require_finite(y: Array) -> None:
    """Raise an error that says where an output is no finite number."""
    if not np.isfinite(y).all():
        where = tuple(np.argwhere(~np.isfinite(y))[0].tolist())
        raise ContractError(
            f"y{list(where)} is {y[where]}\nhint: it divides by zero, overflows, or takes the root or logarithm of a "
            "negative number; if the layer is not meant for such x, say with inputs= what x to draw; parameters are "
            "drawn from a normal distribution, since an optimiser may make them negative: where one must be positive, "
            "let exp(v), say, take its place"
        )
