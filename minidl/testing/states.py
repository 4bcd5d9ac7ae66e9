"""What a layer knows, and whether it is all kept: by copies, by files, in a run that is resumed, and while frozen.

A file keeps the parameters, the arrays named in ``buffers``, and the generator called ``rng``; a checkpoint keeps the
same of its model. Whatever else decides what a layer computes, such as a counter, an average or a second generator,
is lost silently: the model that comes back is another.
"""

import pickle
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from minidl import Layer, Sequential, load, save
from minidl.backend import Array
from minidl.testing.contract import breach, require, same
from minidl.testing.gradients import size_of, variables, weighted_output
from minidl.testing.passes import Example, a_pass
from minidl.testing.sequences import disturb
from minidl.testing.slopes import Comparison


def state_of(model: Sequential) -> list[Array]:
    """Return copies of what is kept of a model: parameters, then buffers."""
    return [model.params.copy(), *(getattr(layer, name).copy() for layer in model.layers for name in layer.buffers)]


def check_copies(example: Example) -> None:
    """Require that copies compute the same, and share nothing."""
    model, x = example.model(), example.draw()
    a_pass(model, x)
    copies = [deepcopy(model)]
    if "<locals>" not in type(model.layers[0]).__qualname__:  # pickle finds no class that a function has made
        copies.append(pickle.loads(pickle.dumps(model)))
    for copy in copies:
        require(all(map(same, state_of(model), state_of(copy))), "a copy has other parameters or buffers")
        require(all(map(same, a_pass(deepcopy(copy), x), a_pass(deepcopy(model), x))), "a copy trains otherwise")
        require(same(deepcopy(copy).forward(x), deepcopy(model).forward(x)), "a copy gives another output")
        before = state_of(model)
        for array in (copy.params, *(getattr(copy.layers[0], name) for name in copy.layers[0].buffers)):
            array[...] = 0.5
        require(all(map(same, state_of(model), before)), "a copy shares parameters or buffers")


def check_apart(example: Example) -> None:
    """Require that two layers that take turns compute what each would alone, on batches of two sizes and of one."""
    x = example.draw()
    for other_x in (example.draw(example.batches[-1]), np.ascontiguousarray(x[::-1])):
        _check_turns(example, x, other_x)


def _check_turns(example: Example, x: Array, other_x: Array) -> None:
    alone = a_pass(example.model(), x)
    one, other = example.model(), example.model(seed=example.number + 1)
    y = one.forward(x, training=True)
    other_y = other.forward(other_x, training=True)
    dy, other_dy = (np.arange(1.0, a.size + 1).reshape(a.shape) for a in (y, other_y))
    together = [y]
    failure = breach(lambda: together.extend([one.backward_to_input(dy), one.grads]))
    other.backward_to_input(other_dy)
    require(
        failure is None and all(map(same, together, alone)),
        "another layer of this class changes what it computes: something is kept in the class, in the module, or in a "
        "default argument; keep it in self",
    )


def check_files(example: Example) -> None:
    """Require that a model from a file, or with another's numbers, goes on as the one that they come from."""
    model = example.model()
    for number in reversed(range(10)):  # the last batch before the file is as large as the first after it
        a_pass(model, example.draw(example.batches[number % len(example.batches)]))
        disturb(model, number, example)
    loaded, copied = (example.model(seed=example.number + 1 + i) for i in range(2))
    through_a_file(model, loaded)
    copied.copy_from(model)
    x = example.draw()
    for other, how in ((loaded, "load"), (copied, "copy_from")):
        require(
            nearly_same(other.forward(x), model.forward(x)), f"after {how} it computes another y{_lost(model, other)}"
        )
    for number in range(3):
        x = example.draw()
        lost = _lost(model, loaded)
        for name, mine, theirs in zip(("y", "dx", "gradients"), a_pass(model, x), a_pass(loaded, x), strict=True):
            require(nearly_same(theirs, mine), f"resumed from a file, it computes another {name} in training{lost}")
        for network in (model, loaded):
            network.params -= 1e-3 * network.grads
        y = model.forward(x)
        require(
            nearly_same(loaded.forward(x), y),
            f"resumed from a file, it computes another y {number + 1} steps later{lost}",
        )


def through_a_file(model: Sequential, into: Sequential) -> None:
    """Save a model, and load the file into another."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        save(model, path)
        load(path, into)


def nearly_same(a: Array, b: Array) -> bool:
    """Tell whether two arrays are the same but for rounding."""
    return bool(np.allclose(a, b, rtol=1e-9, atol=1e-9 * abs(b).max(initial=0), equal_nan=True))


def _lost(model: Sequential, other: Sequential) -> str:
    """Return which attributes of a layer were not kept, and how they could be."""
    layer, twin = model.layers[0], other.layers[0]
    known = {*layer.buffers, *layer.arguments, "name", "rng"}
    hints = [f"{name} is lost: {remedy}" for name, remedy in _differences(layer, twin) if name not in known]
    return "".join(f"\nhint: {hint}" for hint in hints[:2])


def _differences(layer: Layer, twin: Layer) -> Iterator[tuple[str, str]]:
    """Yield the attributes in which two layers differ, each with its remedy; also those of layers inside."""
    apart = {d + name for name in layer.param_shapes() for d in ("", "d")} | {"_memory", "_windows", "owned"}
    for name in [name for name in vars(layer) if name not in apart]:
        value, other = getattr(layer, name), getattr(twin, name, None)
        if isinstance(value, tuple | list) and any(isinstance(item, Layer) for item in value):
            for i, (inner, inner_twin) in enumerate(zip(value, getattr(twin, name), strict=True)):
                for end, _ in _differences(inner, inner_twin):
                    kind = "rng must lead to it" if end == "rng" else f'buffers must name it, as "{i}.{end}"'
                    yield f"{end} of {name}[{i}]", f"in a container, {kind}"
        elif _differ(value, other):
            yield name, _remedy(value)


def _differ(a: Any, b: Any) -> bool:
    try:
        return pickle.dumps(a) != pickle.dumps(b)
    except Exception:  # what cannot be pickled cannot be compared
        return False


def _remedy(value: Any) -> str:
    if isinstance(value, np.random.Generator):
        return "a layer's generator is kept if it is called rng"
    if isinstance(value, np.ndarray):
        return "name it in buffers"
    if isinstance(value, int | float):
        return "make it an array, to be changed in place, and name it in buffers"
    return "make arrays of what it has to remember, and name them in buffers"


def check_frozen(example: Example) -> None:
    """Require that a frozen layer stays as it is while layers below it learn, and that its dx is right."""
    model, x = example.model(), example.draw()
    a_pass(model, x)
    model.freeze()
    layer, twin = model.layers[0], deepcopy(model).layers[0]
    before, expected = state_of(model), model.forward(x)
    y = layer.forward(x, training=True)
    dy = example.rng.normal(size=y.shape)
    dx = layer.backward(dy)
    names = ("parameters", *layer.buffers)
    moved = [name for name, a, b in zip(names, state_of(model), before, strict=True) if not same(a, b)]
    require(
        not moved and same(model.forward(x), expected),
        f"frozen, it changes all the same: {', '.join(moved) or 'what it computes in evaluation'}\nhint: look at "
        "self.frozen before moving an average; a container must pass frozen on to the layers inside",
    )
    f, at = weighted_output(twin, dy), variables(twin, x)
    Comparison(f, at, {"x": dx}, size_of(dy, y, x), example.rng, example.method, dy=dy, by=", frozen,").holds()
