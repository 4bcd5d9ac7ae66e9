"""One call that proves a layer: everything the engine relies on, checked on random examples.

    check_layer(lambda: Dense(4, 3))
    check_layer(MyLayer)

What is checked, in this order; a failure says which of it does not hold, and for which example:

    start          parameters are filled where they are, with finite numbers, alike for the same seed
    shapes         y and dx have the shapes they should have
    precision      float32 in, float32 out, forward and backward, and near what float64 gives
    input          x and dy are not changed
    gradients      of the input and of every parameter, against measured ones
    overwriting    gradients replace what was there, all of it; a second pass gives the same, not twice as much
    memory         backward uses up what forward remembered; evaluation remembers nothing, and disturbs nothing
    evaluation     changes neither parameters nor buffers, and gives the same again
    parameters     are not changed, stay windows on the model's vector, and take effect when the optimiser moves them
    samples        in evaluation, what a sample gives does not depend on the others in its batch
    copies         a copy, and what comes out of pickle, computes the same and shares nothing
    backends       the same numbers on CuPy if there is a GPU, else on a stand-in that is as strict

What a layer should compute is not checked: only its author knows that. Its forward pass is taken at its word, in
training and in evaluation, and the rest is held against it.
"""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import numpy as np

from minidl.backend import Array, get_backend, to_numpy
from minidl.checks import one_of, positive_int
from minidl.layers import Layer
from minidl.model import Sequential
from minidl.testing.gradients import TOLERANCES, check_gradients
from minidl.testing.strict_backend import strict_backend

Inputs = Callable[[np.random.Generator, tuple[int, int]], Array]


class ContractError(AssertionError):
    """A layer breaks a rule that the engine relies on."""


def away_from_zero(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return numbers of both signs from 0.1 to 2 in size: away from the kink that many layers have at 0."""
    x: Array = rng.uniform(0.1, 2.0, shape) * rng.choice([-1.0, 1.0], shape)
    return x


def check_layer(
    make: Callable[[], Layer],
    *,
    examples: int = 10,
    seed: int = 0,
    method: str = "complex",
    inputs: Inputs = away_from_zero,
) -> None:
    """Check that a layer keeps the whole contract, on ``examples`` random examples.

    Args:
        make: returns a new layer each time: a class, or a function for one that takes arguments.
        examples: how many. Each has its own batch size, parameters and input, and, where the layer takes any number of
            features, its own number of these.
        seed: for everything random.
        method: how to measure gradients, see `check_gradients`; ``"differences"`` if the layer is not analytic.
        inputs: draws x, (rng, shape) -> float64; for a layer with kinks elsewhere than at 0.

    Raises:
        ContractError: the layer breaks a rule. The message names it.
    """
    if not callable(make) or not isinstance(make(), Layer):
        raise TypeError(f"make: expected a function that returns a new Layer, got {make!r}")
    one_of(*TOLERANCES)("method", method)
    for number in range(positive_int("examples", examples)):
        rng = np.random.default_rng([seed, number])
        model = Sequential(make(), seed=number, dtype="float64")
        with _rule("start", model, number):
            _check_start(model, Sequential(make(), seed=number, dtype="float64"))
        model.params[...] = rng.normal(size=model.params.shape)
        sizes = [size for size in range(1, 13) if not _raises(ValueError, model.layers[0].check_batch, size)]
        batch = sizes[0] if number % 4 == 1 else int(rng.choice(sizes[1:]))  # a batch of one, if it takes that
        x = inputs(rng, (batch, model.in_features or int(rng.integers(1, 9))))
        for name, check in CHECKS.items():
            with _rule(name, model, number):
                check(deepcopy(model), x.copy(), rng, method)


@contextmanager
def _rule(name: str, model: Sequential, number: int) -> Iterator[None]:
    """Report whatever goes wrong as a breach of the rule called ``name``."""
    try:
        yield
    except Exception as error:
        layer = type(model.layers[0]).__name__
        raise ContractError(f"{layer} fails the check of {name}, in example {number}: {error}") from error


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise ContractError(message)


def _same(a: Array, b: Array) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))


def _pass(model: Sequential, x: Array, dy: Array | None = None) -> tuple[Array, Array, Array]:
    """Return y, dx and the gradients of the parameters; dy is 1, 2, 3 … unless given."""
    y = model.forward(x, training=True)
    dy = np.arange(1.0, y.size + 1).reshape(y.shape).astype(x.dtype) if dy is None else dy
    return y, model.backward_to_input(dy), model.grads


def _check_start(model: Sequential, twin: Sequential) -> None:
    layer = deepcopy(model).layers[0]
    views = {name: getattr(layer, name) for name in layer.param_shapes()}
    layer.init_params(np.random.default_rng(0))
    for name, view in views.items():
        _require(getattr(layer, name) is view, f"init_params replaces {name}; fill {name}[...]")
    _require(np.isfinite(model.params).all(), "init_params leaves NaN or infinity")
    _require(_same(model.params, twin.params), "the same seed gives other parameters; draw from rng alone")


def _check_shapes(model: Sequential, x: Array, _rng: np.random.Generator, _method: str) -> None:
    y, dx, _ = _pass(model, x)
    expected = (len(x), model.out_features or x.shape[1])
    _require(y.shape == expected, f"y has shape {y.shape}, expected {expected}")
    _require(model.forward(x).shape == expected, f"in evaluation y has shape {model.forward(x).shape}, not {expected}")
    _require(dx.shape == x.shape, f"dx has shape {dx.shape}, expected that of x, {x.shape}")


def _check_precision(model: Sequential, x: Array, _rng: np.random.Generator, _method: str) -> None:
    results = []
    for dtype in ("float64", "float32"):
        copy, x_copy = deepcopy(model), x.astype(dtype)
        copy._bind(model.params.astype(dtype), model.grads.astype(dtype))
        y, dx, grads = _pass(copy, x_copy)
        results.append({"y": y, "dx": dx, "y in evaluation": copy.forward(x_copy), "the gradients": grads})
        for name, array in results[-1].items():
            _require(array.dtype == dtype, f"{name} is {array.dtype} where x is {dtype}")
    for name, exact in results[0].items():
        scale = max(1.0, abs(exact).max(initial=0))
        _require(np.allclose(results[1][name], exact, atol=0.02 * scale), f"{name} differs between float32 and float64")


def _check_input(model: Sequential, x: Array, rng: np.random.Generator, _method: str) -> None:
    dy = rng.normal(size=model.forward(x.copy()).shape)
    copies = x.copy(), dy.copy()
    model.forward(x)
    _pass(model, x, dy)
    model.forward(x, training=True)
    model.layers[0].backward_params(dy)
    _require(_same(x, copies[0]), "x was changed")
    _require(_same(dy, copies[1]), "dy was changed")


def _check_parameters(model: Sequential, x: Array, rng: np.random.Generator, _method: str) -> None:
    layer, fresh, before = model.layers[0], deepcopy(model), model.params.copy()
    _pass(model, x)
    _require(_same(model.params, before), "a training pass changes parameters")
    for name in layer.param_shapes():
        for view, vector in ((name, model.params), (f"d{name}", model.grads)):
            _require(
                np.shares_memory(getattr(layer, view), vector), f"{view} is replaced, not written into: use {view}[...]"
            )
    model.params[...] = fresh.params[...] = rng.normal(size=before.shape)  # as an optimiser would
    for name in layer.buffers:
        getattr(fresh.layers[0], name)[...] = getattr(layer, name)
    _require(_same(model.forward(x), fresh.forward(x)), "the layer goes on with parameters of an earlier pass")


def _check_gradients(model: Sequential, x: Array, rng: np.random.Generator, method: str) -> None:
    _pass(model, x[::-1].copy())  # what it remembers of an earlier batch must not matter
    check_gradients(model.layers[0], x, seed=int(rng.integers(2**31)), method=method)


def _check_overwriting(model: Sequential, x: Array, _rng: np.random.Generator, _method: str) -> None:
    once = deepcopy(model)
    once.grads[...] = np.nan
    _, _, grads = _pass(once, x)
    _require(not np.isnan(grads).any(), "a part of the gradients is not written")
    again = deepcopy(model)
    again.grads[...] = grads
    _require(_same(_pass(again, x)[2], grads), "gradients are added to what was there")
    params_only = deepcopy(model)
    params_only.grads[...] = np.nan
    y = params_only.forward(x, training=True)
    params_only.layers[0].backward_params(np.arange(1.0, y.size + 1).reshape(y.shape))
    _require(_same(params_only.grads, grads), "backward_params writes other gradients than backward")


def _check_memory(model: Sequential, x: Array, _rng: np.random.Generator, _method: str) -> None:
    y = model.forward(x)
    layer = model.layers[0]
    _require(_raises(RuntimeError, layer.backward, np.ones_like(y)), "after an evaluation, backward does not refuse")
    expected = _pass(deepcopy(model), x)[1]
    y = model.forward(x, training=True)
    model.forward(x[:1].copy())
    dy = np.arange(1.0, y.size + 1).reshape(y.shape)
    _require(_raises(ValueError, layer.backward, dy[:-1]), "backward does not refuse a dy of another shape than y")
    _require(_same(layer.backward(dy), expected), "an evaluation between forward and backward changes the gradient")
    _require(_raises(RuntimeError, layer.backward, dy), "a second backward without a forward is not refused")
    model.forward(x, training=True)
    layer.backward_params(dy)
    _require(_raises(RuntimeError, layer.backward_params, dy), "a second backward_params is not refused")


def _check_evaluation(model: Sequential, x: Array, _rng: np.random.Generator, _method: str) -> None:
    _pass(model, x)
    before = _state(model)
    y = model.forward(x)
    _require(_same(y, model.forward(x)), "two evaluations of the same input differ")
    _require(all(map(_same, before, _state(model))), "an evaluation changes parameters or buffers")


def _check_samples(model: Sequential, x: Array, _rng: np.random.Generator, _method: str) -> None:
    whole = model.forward(x)
    single = np.concatenate([model.forward(x[i : i + 1]) for i in range(len(x))])
    _require(np.allclose(whole, single, rtol=1e-12, atol=1e-12), "the output for a sample depends on its batch")


def _check_copies(model: Sequential, x: Array, _rng: np.random.Generator, _method: str) -> None:
    _pass(model, x)
    for copy in (deepcopy(model), pickle.loads(pickle.dumps(model))):
        _require(all(map(_same, _state(model), _state(copy))), "a copy has other parameters or buffers")
        _require(_same(copy.forward(x), model.forward(x)), "a copy gives another output")
        _require(all(map(_same, _pass(deepcopy(copy), x), _pass(deepcopy(model), x))), "a copy trains otherwise")
        before = _state(model)
        for array in (copy.params, *(getattr(copy.layers[0], name) for name in copy.layers[0].buffers)):
            array[...] = 0.5
        _require(all(map(_same, _state(model), before)), "a copy shares parameters or buffers")


def _check_backends(model: Sequential, x: Array, rng: np.random.Generator, _method: str) -> None:
    dy = rng.normal(size=model.forward(x).shape)
    moved = deepcopy(model)
    expected = [*_pass(model, x, dy), model.forward(x)]
    with strict_backend() if get_backend("auto") is np else nullcontext():
        xp = get_backend("cupy")
        moved.to("cupy")
        got = [
            to_numpy(array) for array in (*_pass(moved, xp.asarray(x), xp.asarray(dy)), moved.forward(xp.asarray(x)))
        ]
        moved.forward(xp.asarray(x), training=True)
        moved.layers[0].backward_params(xp.asarray(dy))
    for name, here, there in zip(("y", "dx", "the gradients", "y in evaluation"), expected, got, strict=True):
        _require(np.allclose(here, there, rtol=1e-10, atol=1e-12), f"{name} differs between the backends")


def _state(model: Sequential) -> list[Array]:
    buffers = [getattr(layer, name).copy() for layer in model.layers for name in layer.buffers]
    return [model.params.copy(), *buffers]


def _raises(kind: type[Exception], function: Callable[..., Any], *args: Any) -> bool:
    try:
        function(*args)
    except kind:
        return True
    return False


CHECKS = {
    "shapes": _check_shapes,
    "precision": _check_precision,
    "input": _check_input,
    "gradients": _check_gradients,
    "overwriting": _check_overwriting,
    "memory": _check_memory,
    "evaluation": _check_evaluation,
    "parameters": _check_parameters,
    "samples": _check_samples,
    "copies": _check_copies,
    "backends": _check_backends,
}
