"""One call that proves a layer: everything the engine relies on, checked on random examples.

    check_layer(lambda: Dense(4, 3))
    check_layer(MyLayer)

What is checked, in this order; a failure says which of it does not hold, and for which example:

    start          parameters are filled where they are, with finite numbers, alike for the same seed
    shapes         y and dx have the shapes they should have
    input          x and dy are not changed
    copies         a copy, and what comes out of pickle, computes the same and shares nothing
    apart          nor does another layer of the class disturb it
    evaluation     changes neither parameters nor buffers nor the training after it, and gives the same again
    samples        in evaluation, what a sample gives does not depend on the others in its batch
    parameters     are not changed, stay windows on the model's vector, and take effect when the optimiser moves them
    precision      float32 in, float32 out, and as near to float64 as rounding allows; nothing overflows on the way
    gradients      of the input and of every parameter, against measured ones, in ten passes of one instance
    overwriting    gradients replace what was there, all of it; a second pass gives the same, not twice as much
    memory         backward uses up what forward remembered; evaluation remembers nothing, and disturbs nothing
    files          all that decides the output survives copy_from, a file, and a run that is resumed
    frozen         a frozen layer does not move, averages included
    arguments      a file of a layer that was made with other arguments is refused
    backends       the same numbers on a stand-in for CuPy that is as strict, and on CuPy if there is a GPU

What a layer should compute is not checked: only its author knows that. Its forward pass is taken at its word, in
training and in evaluation, and the rest is compared with it.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np

from minidl import Layer, Sequential, get_backend, to_numpy
from minidl.backend import Array
from minidl.checks import one_of, positive_int
from minidl.testing.arguments import check_arguments
from minidl.testing.contract import ELSEWHERE, ContractError, breach, place, raises, require, same
from minidl.testing.examples import BATCHES, EVERYWHERE, FEATURES, Draw, draws_of
from minidl.testing.passes import Example, Make, a_pass, require_finite
from minidl.testing.precision import check_precision
from minidl.testing.sequences import check_passes
from minidl.testing.slopes import TOLERANCES
from minidl.testing.states import check_apart, check_copies, check_files, check_frozen, state_of
from minidl.testing.strict_backend import other_backends


def check_layer(
    make: Make,
    *,
    examples: int = 10,
    seed: int = 0,
    method: str = "complex",
    inputs: Draw | Sequence[Draw] = EVERYWHERE,
) -> None:
    """Check that a layer keeps the whole contract, on ``examples`` random examples.

    An example takes about 200 forward passes, with batches of up to 129 samples, whatever the number of parameters. Ten
    examples of a layer of a few features take about 0.3 seconds, and of `minidl.Dense` of 64 by 64 half a second. Only
    a gradient that is wrong is measured entry by entry, up to 5,000 of them.

    Args:
        make: returns a new layer each time: a class, or a function for one that takes arguments.
        examples: how many. Each has its own batch sizes, parameters and inputs, and, where the layer takes any number
            of features, its own number of these.
        seed: for everything random.
        method: how to measure gradients, see `check_gradients`; ``"differences"`` if the layer is not analytic.
        inputs: what draws x, one function (rng, shape) -> float64 or several; so this says where the layer is
            defined. By default `minidl.testing.examples.EVERYWHERE`: x near zero and far from it, constant rows and
            features, equal rows, zeros. At a kink, as a maximum has where two numbers are equal, no gradient is
            compared, though it must be finite. Which numbers of samples a layer takes, its ``check_batch`` says.

    Raises:
        ContractError: the layer breaks a rule. The message names it.
        TypeError, ValueError: an argument is not as described.
    """
    __tracebackhide__ = True
    if not callable(make) or not isinstance(layer := make(), Layer):
        raise TypeError(f"make: expected a function that returns a new Layer, got {make!r}")
    one_of(*TOLERANCES)("method", method)
    draws = draws_of(inputs)
    for number in range(positive_int("examples", examples)):
        failure = _first_failure(make, draws, method, number, seed)
        if failure is not None:
            rule, words = failure
            raise ContractError(f"{type(layer).__name__} fails the check of {rule}, in example {number}: {words}")


def _first_failure(make: Make, draws: tuple[Draw, ...], method: str, number: int, seed: int) -> tuple[str, str] | None:
    """Return the first rule that does not hold in an example, and what is wrong; None if all hold."""
    order, rng = np.random.default_rng(seed), np.random.default_rng([seed, number])
    layer = make()
    sizes = np.roll(order.permutation(FEATURES), -number)
    batches = np.roll(order.permutation(BATCHES), -number).tolist()
    features = layer.in_features or int(sizes[0])
    square = (features, layer.out_features or features)[number % 2]  # as many samples as features hide a wrong axis
    batches[3:3], batches[6:6] = [int(rng.integers(4, 60)), min(square, BATCHES[-1])], [int(rng.integers(60, 200))]
    example = Example(make, draws, method, number, rng, features, accepted(layer, batches))
    words = breach(_check_start, example)
    if words is not None:
        return "start", words
    example.params = rng.normal(size=example.model().params.shape)
    for rule, check in RULES.items():
        if rule in ("files", "arguments") and number % 5 > 0:  # a file that is forced to the disk takes its time
            continue
        words = breach(check, example)
        if words is not None:
            return rule, words
    return None


def accepted(layer: Layer, batches: list[int]) -> list[int]:
    """Return numbers of samples that ``layer.check_batch`` lets pass: these, or in place of each the nearest to it."""
    allowed = [n for n in range(1, 2 * BATCHES[-1]) if not raises(ValueError, layer.check_batch, n)]
    require(allowed, f"check_batch refuses every number of samples below {2 * BATCHES[-1]}")
    return [min(allowed, key=lambda n: (abs(n - batch), -n)) for batch in batches]


def _check_start(example: Example) -> None:
    model, twin, other = example.model(), example.model(), example.model(seed=example.number + 1)
    layer = model.layers[0]
    if hasattr(layer, "rng"):
        states = [network.layers[0].rng.bit_generator.state for network in (model, twin, other)]
        require(states[0] == states[1], "the same seed gives another generator; derive it from that of init_params")
        require(states[0] != states[2], "another seed gives the same generator; derive it from that of init_params")
    again = deepcopy(model).layers[0]
    views = {name: getattr(again, name) for name in again.param_shapes()}
    given = np.random.default_rng(0)
    again.init_params(given)
    shared = getattr(again, "rng", None) is given
    require(not shared, "init_params keeps the generator that all layers share; keep one of its own: rng.spawn(1)[0]")
    for name, view in views.items():
        require(getattr(again, name) is view, f"init_params replaces {name}; fill {name}[...]")
    require(np.isfinite(model.params).all(), "init_params leaves NaN or infinity")
    require(same(model.params, twin.params), "the same seed gives other parameters; draw from rng alone")


def _check_shapes(example: Example) -> None:
    model, x = example.model(), example.draw()
    expected = (len(x), model.out_features or x.shape[1])
    for training in (False, True):
        y = model.forward(x, training)
        require(
            y.shape == expected,
            f"y has shape {y.shape} {'in training' if training else 'in evaluation'}, expected {expected}",
        )
    dx = model.backward_to_input(np.ones_like(y))
    require(isinstance(dx, np.ndarray), f"backward returns {dx!r:.60}, expected dx")
    require(dx.shape == x.shape, f"dx has shape {dx.shape}, expected that of x, {x.shape}")


def _check_input(example: Example) -> None:
    model, x = example.model(), example.draw()
    dy = example.rng.normal(size=model.forward(x.copy()).shape)
    copies = x.copy(), dy.copy()

    def params_only() -> None:
        model.forward(x, training=True)
        model.layers[0].backward_params(dy)

    passes: dict[str, Callable[[], object]] = {
        "an evaluation": lambda: model.forward(x),
        "a training pass": lambda: a_pass(model, x, dy),
        "backward_params": params_only,
    }
    for what, run in passes.items():
        run()
        for name, array, copy in zip(("x", "dy"), (x, dy), copies, strict=True):
            require(same(array, copy), f"{name} was changed by {what}; make a new array")


def _check_overwriting(example: Example) -> None:
    x = example.draw()
    once = example.model()
    once.grads[...] = np.nan
    _, _, grads = a_pass(once, x)
    require(not np.isnan(grads).any(), "a part of the gradients is not written")
    again = example.model()
    again.grads[...] = grads
    require(same(a_pass(again, x)[2], grads), "gradients are added to what was there; write dW[...] = …, not dW += …")
    params_only = example.model()
    params_only.grads[...] = np.nan
    y = params_only.forward(x, training=True)
    params_only.layers[0].backward_params(np.arange(1.0, y.size + 1).reshape(y.shape))
    require(same(params_only.grads, grads), "backward_params writes other gradients than backward")


def _check_memory(example: Example) -> None:
    model, x = example.model(), example.draw()
    y = model.forward(x)
    layer = model.layers[0]
    require(raises(RuntimeError, layer.backward, np.ones_like(y)), "after an evaluation, backward does not refuse")
    expected = a_pass(example.model(), x)[1:]
    y = model.forward(x, training=True)
    model.forward(example.draw(1))
    model.forward(2 * x[::-1])
    dy = np.arange(1.0, y.size + 1).reshape(y.shape)
    require(raises(ValueError, layer.backward, dy[:-1]), "backward does not refuse a dy of another shape than y")
    got = layer.backward(dy), model.grads
    require(all(map(same, got, expected)), "an evaluation between forward and backward changes a gradient")
    require(raises(RuntimeError, layer.backward, dy), "a second backward without a forward is not refused; use recall")
    model.forward(x, training=True)
    layer.backward_params(dy)
    require(raises(RuntimeError, layer.backward_params, dy), "a second backward_params is not refused; use recall")


def _check_evaluation(example: Example) -> None:
    model, x = example.model(), example.draw()
    a_pass(model, x)
    twin, before = deepcopy(model), state_of(model)
    y = model.forward(x)
    require(same(y, model.forward(x)), "two evaluations of the same input differ")
    require(all(map(same, before, state_of(model))), "an evaluation changes parameters or buffers")
    require(all(map(same, a_pass(model, x), a_pass(twin, x))), "an evaluation changes the training passes after it")


def _check_parameters(example: Example) -> None:
    model, x = example.model(), example.draw()
    before = model.params.copy()
    a_pass(model, x)
    model.forward(x)
    require(same(model.params, before), "a pass changes parameters; the optimiser alone may")
    layer = model.layers[0]
    for name in layer.param_shapes():
        for view, vector in ((name, model.params), (f"d{name}", model.grads)):
            require(
                np.shares_memory(getattr(layer, view), vector), f"{view} is replaced; write into it: {view}[...] = …"
            )
    new = example.model()
    new.copy_from(model)
    if hasattr(layer, "rng"):
        new.layers[0].rng = deepcopy(layer.rng)
    for name in layer.param_shapes():
        for training in (False, True):
            require(
                _effect(model, name, x, training) or not _effect(new, name, x, training),
                f"a step that changes {name} has no effect after a first pass\nhint: the layer computes with a copy of "
                f"{name} that it made then",
            )


def _effect(model: Sequential, name: str, x: Array, training: bool) -> bool:
    """Tell whether a step of an optimiser, which changes a parameter, changes what a copy of a layer computes."""
    moved = deepcopy(model)
    getattr(moved.layers[0], name)[...] += 0.5
    return not same(moved.forward(x, training), deepcopy(model).forward(x, training))


def _check_samples(example: Example) -> None:
    model, x = example.model(), example.draw()
    whole = model.forward(x)
    require_finite(whole)
    places = [*range(min(len(x), 8)), len(x) - 1]
    parts = {tuple(places[i : i + 1]) for i in range(len(places))} | {tuple(range(len(x)))[::-1]}
    for part in map(list, parts):
        alike = np.allclose(model.forward(x[part]), whole[part], rtol=1e-9, atol=1e-9 * abs(whole).max())
        require(alike, "in evaluation, the output for a sample depends on its batch")


def _check_backends(example: Example) -> None:
    model, x = example.model(), example.draw()
    dy = example.rng.normal(size=model.forward(x).shape)
    starts = [example.model() for _ in other_backends()]
    expected = [*a_pass(model, x, dy), model.forward(x)]
    for moved, elsewhere in zip(starts, other_backends(), strict=True):
        with elsewhere:
            xp = get_backend("cupy")
            moved.to("cupy")
            try:
                there = *a_pass(moved, xp.asarray(x), xp.asarray(dy)), moved.forward(xp.asarray(x))
                got = [to_numpy(array) for array in there]
                moved.forward(xp.asarray(x), training=True)
                moved.layers[0].backward_params(xp.asarray(dy))
            except TypeError as error:
                raise ContractError(f"{error}{place(error)}{ELSEWHERE}") from error
        for name, here, result in zip(("y", "dx", "the gradients", "y in evaluation"), expected, got, strict=True):
            close = np.allclose(here, result, rtol=1e-9, atol=1e-11 * abs(here).max(initial=1.0))
            require(close, f"{name} differs between the backends")


RULES: dict[str, Callable[[Example], None]] = {
    "shapes": _check_shapes,
    "input": _check_input,
    "copies": check_copies,
    "apart": check_apart,
    "evaluation": _check_evaluation,
    "samples": _check_samples,
    "parameters": _check_parameters,
    "precision": check_precision,
    "gradients": check_passes,
    "overwriting": _check_overwriting,
    "memory": _check_memory,
    "files": check_files,
    "frozen": check_frozen,
    "arguments": check_arguments,
    "backends": _check_backends,
}
"""The rules, those first that others rely on: what breaks one of them may break any after it, and that says less."""
