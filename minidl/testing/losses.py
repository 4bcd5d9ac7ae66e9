"""One call that proves a loss: what training relies on, checked on random batches.

    check_loss(NLLLoss)
    check_loss(MyLoss)

A loss has two methods, as `minidl.NLLLoss` has: ``forward(log_p, labels)`` returns one number for a batch, and
``backward()`` its gradient. What is checked, in this order:

    value          one finite number, an array of no dimensions
    input          log_p and labels are not changed, and may lie in memory in any order
    apart          another loss of the class does not disturb it
    precision      float32 in, float32 out, and as near to float64 as rounding allows; nothing overflows on the way
    gradients      against measured ones, in ten batches of one instance
    mean           a batch that is given twice has the same loss
    order          in whatever order the samples come
    classes        it falls as the class of the label becomes more likely; any type of integer will do for a label
    memory         backward uses up what forward remembered
    backends       the same numbers on a stand-in for CuPy that is as strict, and on CuPy if there is a GPU
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minidl import LogSoftmax, get_backend, to_numpy
from minidl.backend import Array
from minidl.checks import one_of, positive_int
from minidl.testing.contract import ELSEWHERE, ContractError, breach, place, raises, require, same
from minidl.testing.examples import (
    BATCHES,
    FEATURES,
    LAYOUTS,
    Draw,
    Setting,
    draws_of,
    far_from_zero,
    huge,
    read_only,
    words,
)
from minidl.testing.gradients import size_of
from minidl.testing.precision import DOUBLE
from minidl.testing.slopes import TOLERANCES, Comparison, GradientError, Variables
from minidl.testing.strict_backend import other_backends


class Loss(Protocol):
    """Whatever has the two methods of a loss."""

    def forward(self, log_p: Array, labels: Array, /) -> Any:
        """Return the loss of a batch."""

    def backward(self) -> Any:
        """Return its gradient with respect to log_p."""


def unsure(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return log-probabilities of a model that has learned a little: (B, K)."""
    return LogSoftmax().forward(rng.normal(size=shape))


def nearly_certain(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return log-probabilities from 0 to about −60."""
    return LogSoftmax().forward(far_from_zero(rng, shape))


def certain(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return log-probabilities of 0 and of −100 to −400, whose exponentials are 0 in float32, and not in float64."""
    return LogSoftmax().forward(huge(rng, shape))


LOG_PROBABILITIES: tuple[Draw, ...] = (unsure, nearly_certain, certain)
"""What log_p is drawn by, unless a caller says where else a loss is defined."""


def classes(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return labels from 0 to K − 1, all of them if there are samples enough, and some more than once: (B,)."""
    samples, k = shape
    half = samples // 2
    labels: Array = rng.permutation(np.append(rng.integers(0, k, samples - half), np.arange(half) % k))
    return labels


@dataclass
class Example:
    """A loss, and all that is drawn to check it once."""

    make: Callable[[], Loss]
    inputs: tuple[Draw, ...]
    labels: Draw
    method: str
    rng: np.random.Generator
    batches: list[int]
    """Numbers of samples; the first is this example's own."""
    k: int
    """The number of classes."""

    def draw(self, draw: Draw | None = None, batch: int | None = None) -> tuple[Array, Array]:
        """Return log-probabilities and labels: (B, K) and (B,)."""
        shape = batch or self.batches[0], self.k
        return (draw or self.inputs[0])(self.rng, shape), self.labels(self.rng, shape)


def check_loss(
    make: Callable[[], Loss],
    *,
    examples: int = 10,
    seed: int = 0,
    method: str = "complex",
    inputs: Draw | Sequence[Draw] = LOG_PROBABILITIES,
    labels: Draw = classes,
) -> None:
    """Check that a loss keeps the whole contract, on ``examples`` random examples.

    Args:
        make: returns a new loss each time: a class, or a function for one that takes arguments.
        examples: how many. Each has its own numbers of samples and classes.
        seed: for everything random.
        method: how to measure gradients, see `check_gradients`.
        inputs: what draws log_p, one function (rng, (B, K)) -> float64 or several; so this says where the loss is
            defined. By default log-probabilities, of a model that is unsure to one that is certain. For a loss of
            scores, `minidl.testing.examples.EVERYWHERE` draws these.
        labels: draws what log_p is compared with. By default classes from 0 to K − 1; for targets of another kind, a
            function (rng, (B, K)) -> array, of floats for instance.

    Raises:
        ContractError: the loss breaks a rule. The message names it.
        TypeError, ValueError: an argument is not as described.
    """
    __tracebackhide__ = True
    loss = make() if callable(make) else None
    if not (callable(getattr(loss, "forward", None)) and callable(getattr(loss, "backward", None))):
        raise TypeError(f"make: expected a function that returns a new loss, with forward and backward, got {make!r}")
    one_of(*TOLERANCES)("method", method)
    draws = draws_of(inputs)
    for number in range(positive_int("examples", examples)):
        order, rng = np.random.default_rng(seed), np.random.default_rng([seed, number])
        batches, ks = (np.roll(order.permutation(sizes), -number).tolist() for sizes in (BATCHES, FEATURES[1:]))
        batches[3:3] = rng.integers(4, 60, 2).tolist()
        example = Example(make, draws, labels, method, rng, batches, ks[0])
        for rule, check in RULES.items():
            failure = breach(check, example)
            if failure is not None:
                raise ContractError(f"{type(loss).__name__} fails the check of {rule}, in example {number}: {failure}")


def results(loss: Loss, log_p: Array, labels: Array) -> tuple[Any, Any]:
    """Return the loss of a batch, and its gradient."""
    value = loss.forward(log_p, labels)
    return value, loss.backward()


def _close(a: Any, b: Any) -> bool:
    return bool(np.allclose(a, b, rtol=1e-9, atol=1e-12 * abs(b).max(initial=0)))


def _check_value(example: Example) -> None:
    for draw in example.inputs:
        log_p, labels = example.draw(draw)
        value = example.make().forward(log_p, labels)
        require(
            isinstance(value, np.ndarray | np.generic),
            f"forward returns {value!r:.60}, a {type(value).__name__}\nhint: return what mean() gives, an array of no "
            "dimensions; float(…) would wait for a GPU",
        )
        require(value.shape == (), f"forward returns an array {value.shape}, expected one number for the batch")
        require(np.isfinite(value), f"the loss is {value} where log_p is {words(draw)}, from {log_p.min():.4g} to 0")


def _check_input(example: Example) -> None:
    batch = example.draw()
    copies = [a.copy() for a in batch]
    loss = example.make()
    calls: dict[str, Callable[[], object]] = {"forward": lambda: loss.forward(*batch), "backward": loss.backward}
    for method, call in calls.items():
        call()
        for name, array, copy in zip(("log_p", "labels"), batch, copies, strict=True):
            require(same(array, copy), f"{method} changes {name}; make a new array")
    expected = results(example.make(), *batch)
    for layout in LAYOUTS:
        got = results(example.make(), *(read_only(layout(a)) for a in batch))
        require(all(map(_close, got, expected)), f"the result is another for arrays that lie {words(layout)} in memory")


def _check_apart(example: Example) -> None:
    one, other = example.make(), example.make()
    batch = example.draw()
    alone = results(example.make(), *batch)
    value = one.forward(*batch)
    other.forward(*example.draw(batch=example.batches[1]))
    require(
        all(map(same, (value, one.backward()), alone)),
        "another loss of this class changes what it computes: something is kept in the class, in the module, or in a "
        "default argument; keep it in self",
    )


def _check_precision(example: Example) -> None:
    for draw in example.inputs:
        log_p, labels = (a.astype("float32") if a.dtype == "float64" else a for a in example.draw(draw))
        single = results(example.make(), log_p, labels)
        exact = results(example.make(), log_p.astype("float64"), labels)
        for name, got, expected, usual in zip(("the loss", "dlog_p"), single, exact, (1, 1 / len(log_p)), strict=True):
            require(got.dtype == "float32", f"{name} is {got.dtype} where log_p is float32{DOUBLE}")
            error = abs(got - expected).max()
            require(
                error <= 1e-4 * abs(expected).max() + 1e-6 * usual,
                f"{name} differs between float32 and float64 by {error:.2g} where log_p is {words(draw)}\nhint: look "
                "for the logarithm of an exponential, which becomes log 0, for float16, and for a difference of equal "
                "numbers",
            )


def _check_gradients(example: Example) -> None:
    loss, returned = example.make(), []
    for number in range(10):
        draw, batch = example.inputs[number % len(example.inputs)], example.batches[number // 2]
        log_p, labels = example.draw(draw, batch)
        value, gradient = results(loss, log_p, labels)
        before = "another batch" if number == 1 else f"{number} other batches"
        for name, got, expected in zip(
            ("loss", "dlog_p"), (value, gradient), results(example.make(), log_p, labels), strict=True
        ):
            alike = got.shape == expected.shape and _close(got, expected)
            require(alike, f"after {before}, {name} is not what a new loss gives; nothing of them may be left")
        returned.append((gradient, np.array(gradient)))
        try:
            _compare(example, log_p, labels, gradient)
        except GradientError as error:
            raise ContractError(f"{Setting(batch)} of {example.k} classes, log_p {words(draw)}: {error}") from error
        _disturb(loss, example)
    for array, copy in returned:
        require(same(array, copy), "dlog_p of an earlier batch has changed since; return a new array each time")


def _compare(example: Example, log_p: Array, labels: Array, gradient: Any) -> None:
    def f(at: Variables) -> Any:
        return example.make().forward(at["log_p"], labels)

    at = {"log_p": log_p}
    size = size_of(np.array(1.0), f(at), log_p)
    Comparison(f, at, {"log_p": gradient}, size, example.rng, example.method, batch=len(log_p)).holds()


def _disturb(loss: Loss, example: Example) -> None:
    """Do what may happen between two batches: a loss that is only looked at, and labels that do not fit."""
    log_p, labels = example.draw()
    loss.forward(log_p, labels)
    with suppress(Exception):
        loss.forward(log_p, np.append(labels, labels[:1]))


def _check_mean(example: Example) -> None:
    log_p, labels = example.draw()
    once = example.make().forward(log_p, labels)
    for times in (2, 3):
        value = example.make().forward(np.concatenate([log_p] * times), np.concatenate([labels] * times))
        if not _close(value, once):
            causes = {
                "too many: it is the sum over the samples, or that over a fixed number": _close(value, times * once),
                "too few: it is divided by B twice": _close(times * value, once),
            }
            cause = next((f"; a factor B = {len(labels)} {cause}" for cause, fits in causes.items() if fits), "")
            raise ContractError(
                f"a batch that is given {times} times has {float(value / once):.4g} times the loss{cause}\nhint: take "
                "the mean over the samples, so that a learning rate means the same for every number of them"
            )


def _check_order(example: Example) -> None:
    log_p, labels = example.draw()
    order = example.rng.permutation(len(labels))
    value, gradient = results(example.make(), log_p, labels)
    other_value, other_gradient = results(example.make(), log_p[order], labels[order])
    require(_close(other_value, value), "samples in another order have another loss")
    require(_close(other_gradient, gradient[order]), "samples in another order have another gradient")


def _check_classes(example: Example) -> None:
    log_p, labels = example.draw()
    if labels.dtype.kind not in "iu":
        return
    value, gradient = results(example.make(), log_p, labels)
    wanted = gradient[np.arange(len(labels)), labels]
    if not (wanted.min() < 0 and (wanted <= gradient.min(axis=1) + 1e-9 * abs(gradient).max()).all()):
        shift = (gradient.argmin(axis=1) - labels) % example.k
        causes = {
            "the sign of the loss is wrong: it grows with the log-probability of the right class": wanted.min() > 0,
            "classes are counted from 0 in one place, and from 1 in another": (shift == shift[0]).all() and shift[0],
        }
        hint = next((f"\nhint: {cause}" for cause, fits in causes.items() if fits), "")
        raise ContractError(f"the loss does not fall most as the class of the label becomes more likely{hint}")
    for kind in ("uint8", "int32", "uint64"):
        try:
            got = results(example.make(), log_p, labels.astype(kind))
        except Exception as error:
            raise ContractError(f"labels in {kind} are not taken: {error}{place(error)}") from error
        alike = all(map(_close, got, (value, gradient)))
        require(alike, f"labels in {kind} give another loss than the same in {labels.dtype}")


def _check_memory(example: Example) -> None:
    loss = example.make()
    require(
        raises(RuntimeError, loss.backward), "backward does not refuse, by a RuntimeError, where there was no forward"
    )
    results(loss, *example.draw())
    require(raises(RuntimeError, loss.backward), "a second backward without a forward is not refused by a RuntimeError")


def _check_backends(example: Example) -> None:
    log_p, labels = example.draw()
    expected = results(example.make(), log_p, labels)
    for elsewhere in other_backends():
        with elsewhere:
            xp = get_backend("cupy")
            try:
                got = [to_numpy(array) for array in results(example.make(), xp.asarray(log_p), xp.asarray(labels))]
            except TypeError as error:
                raise ContractError(f"{error}{place(error)}{ELSEWHERE}") from error
        for name, here, there in zip(("the loss", "dlog_p"), expected, got, strict=True):
            require(_close(there, here), f"{name} differs between the backends")


RULES: dict[str, Callable[[Example], None]] = {
    "value": _check_value,
    "input": _check_input,
    "apart": _check_apart,
    "precision": _check_precision,
    "gradients": _check_gradients,
    "mean": _check_mean,
    "order": _check_order,
    "classes": _check_classes,
    "memory": _check_memory,
    "backends": _check_backends,
}
