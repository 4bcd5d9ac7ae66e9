"""The training loop: shuffle, take a batch, forward, backward, step; and after every epoch, measure.

An *update* (the sources say iteration) is one step of the optimiser. An *epoch* is one pass over the training set. The
batch size B says how many samples share an update, and so gives the three modes of chapter 37:

    batch mode          B = n        one update an epoch
    mini-batch mode     1 < B < n    ⌈n/B⌉ updates an epoch
    stochastic mode     B = 1        n updates an epoch

Time is measured in epochs: the number of samples seen, divided by n. Learning rate and batch size may be functions of
it, see `minidl.schedules`.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from math import isfinite
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, Generator, Seed, array_module, on_host
from minidl.checks import finite, function_or_none, generator, instance, positive, positive_int
from minidl.datasets import Dataset
from minidl.early_stopping import EarlyStopping
from minidl.losses import NLLLoss
from minidl.model import Sequential
from minidl.optimizers import Optimizer
from minidl.schedules import Schedule, constant

Augmentation: TypeAlias = Callable[[Array, Generator], Array]
"""Changes samples at random: (x, generator) -> an array with shape and dtype of x. See `minidl.augmentation`."""

EVALUATION_BATCH = 1000
"""Samples that `evaluate` takes at a time. It bounds memory, and has no influence on the result beyond rounding."""


@dataclass
class History:
    """What `fit` measured: a list for each column, with an entry for each epoch.

    Losses are means over all samples, accuracies are fractions from 0 to 1, and both are taken after the epoch's last
    update, so that training and test figures describe the same parameters.
    """

    epoch: list[int] = field(default_factory=list)
    """1 after the first pass over the training set."""
    updates: list[int] = field(default_factory=list)
    """Steps of the optimiser so far."""
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    generalization_gap: list[float] = field(default_factory=list)
    """Training accuracy minus test accuracy (claim A2 of the sources)."""
    lr: list[float] = field(default_factory=list)
    """The learning rate of the epoch's first update."""
    batch_size: list[int] = field(default_factory=list)
    """The number of samples in the epoch's first update."""
    seconds: list[float] = field(default_factory=list)
    """Time for the epoch's updates, without the measurements after it."""

    def append(self, **row: Any) -> None:
        """Add an epoch; ``row`` has a value for every column."""
        for column, values in vars(self).items():
            values.append(row[column])

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a dictionary of the columns, ready for JSON."""
        return asdict(self)

    def __len__(self) -> int:
        return len(self.epoch)


class DivergedError(ArithmeticError):
    """The loss is no longer a finite number, so training cannot go on.

    Attributes:
        history: the epochs finished before.
    """

    def __init__(self, message: str, history: History):
        super().__init__(message, history)  # both, so that the error can pass from one process to another
        self.history = history

    def __str__(self) -> str:
        return str(self.args[0])


def fit(
    model: Sequential,
    optimizer: Optimizer,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
    *,
    epochs: int,
    batch_size: int | Schedule,
    lr: float | Schedule | None = None,
    seed: Seed = None,
    augment: Augmentation | None = None,
    early_stopping: EarlyStopping | None = None,
    after_epoch: Callable[[Sequential, History], str | None] | None = None,
    progress: bool | None = None,
    description: str = "",
) -> History:
    """Train ``model`` on ``train``, and measure it on ``train`` and ``test`` after each epoch.

    Args:
        model: is changed in place, but for frozen layers. Its output must be log-probabilities, a column a class.
        optimizer: takes one step for each batch.
        train: samples (n, in_features) with the model's dtype, and labels (n,), integers from 0; a `Dataset`, say.
        test: the same for the test set.
        epochs: passes over the training set, at most.
        batch_size: samples in a batch, from 1 to n, or a schedule of such numbers, which are rounded. The last batch of
            an epoch is shorter where the samples do not come out even.
        lr: the learning rate, or a schedule of it, to set in the optimiser before every update; None leaves it alone.
        seed: for the order of the samples, drawn anew every epoch, and for ``augment``. The same seed, model and data
            give the same numbers again, bit for bit, on the same machine and libraries.
        augment: changes the samples of each training batch.
        early_stopping: stops when it is time, and however the training ends leaves ``model`` as it was after the best
            epoch. The optimiser is not put back: begin a further training with a new one.
        after_epoch: is called with the model and the history so far after each epoch; stops by returning ``"stop"``,
            and goes on otherwise. It may freeze and unfreeze layers.
        progress: show a progress bar: always, never, or, by default, where the output is a terminal.
        description: stands before the bar.

    Returns:
        The history, with an entry for each epoch.

    Raises:
        TypeError, ValueError: an argument is not as described, or a schedule gives a number out of range at any time of
            the training; nothing has been changed.
        DivergedError: the loss became infinite or NaN. The error names where, and what to try.
    """
    from tqdm import tqdm  # here, because importing it takes a fifth of the time that NumPy takes

    instance("model", model, Sequential)
    instance("optimizer", optimizer, Optimizer)
    positive("optimizer.lr", optimizer.lr)
    train = check_dataset("train", train, model)
    test = check_dataset("test", test, model)
    epochs, n = positive_int("epochs", epochs), len(train.x)
    schedule = lr if lr is None or callable(lr) else constant(positive("lr", lr))
    function_or_none("augment", augment)
    function_or_none("after_epoch", after_epoch)
    rng = generator("seed", seed)
    total = _check_plan(model, epochs, n, batch_size, schedule)
    optimizer.prepare(model.params, model.grads)
    if early_stopping is not None:
        instance("early_stopping", early_stopping, EarlyStopping)
        early_stopping.begin()

    loss, history, updates = NLLLoss(), History(), 0
    read_every = 1 if on_host(model.params) else 100  # reading a loss makes a GPU stop until it is computed
    hide_bar = None if progress is None else not progress  # None: tqdm hides it unless the output is a terminal
    bar = tqdm(total=total, desc=description, unit="update", disable=hide_bar)
    # A loss that overflows is reported by DivergedError, which has more to say than NumPy's warnings.
    with bar, np.errstate(over="ignore", invalid="ignore"), ExitStack() as at_the_end:
        if early_stopping is not None:
            at_the_end.callback(early_stopping.restore_best, model)
        for epoch in range(1, epochs + 1):
            started = perf_counter()
            groups, seen = model.groups, 0
            for x, labels in minibatches(train, batch_size, rng, epoch - 1):
                if schedule is not None:
                    optimizer.lr = float(schedule(epoch - 1 + seen / n))
                if augment is not None:
                    x = augment(x, rng)
                log_p = model.forward(x, training=True)
                value = loss.forward(log_p, labels)
                seen, updates = seen + len(labels), updates + 1
                if updates % read_every == 0:
                    _require_finite(float(value), epoch, updates, optimizer.lr, history)
                    bar.set_postfix_str(_progress(epoch, epochs, float(value), history), refresh=False)
                model.backward(loss.backward())
                optimizer.step(model.params, model.grads, groups)
                bar.update()
            seconds = perf_counter() - started

            train_loss, train_accuracy = evaluate(model, train)
            test_loss, test_accuracy = evaluate(model, test)
            _require_finite(train_loss, epoch, updates, optimizer.lr, history)
            _require_finite(test_loss, epoch, updates, optimizer.lr, history)
            history.append(
                epoch=epoch,
                updates=updates,
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                test_loss=test_loss,
                test_accuracy=test_accuracy,
                generalization_gap=train_accuracy - test_accuracy,
                lr=optimizer.lr if schedule is None else float(schedule(epoch - 1)),
                batch_size=next(batch_bounds(n, batch_size, epoch - 1))[1],
                seconds=seconds,
            )
            bar.set_postfix_str(_progress(epoch, epochs, train_loss, history))
            stop = False
            if early_stopping is not None:
                stop = early_stopping.should_stop(model, epoch, getattr(history, early_stopping.column)[-1])
            if after_epoch is not None:
                stop = after_epoch(model, history) == "stop" or stop
            if stop:
                break
    return history


def minibatches(
    data: Dataset, batch_size: int | Schedule, rng: Generator, epoch: int = 0
) -> Iterator[tuple[Array, Array]]:
    """Yield all of ``data`` once, in random order, as batches (B, features) and (B,).

    The samples are shuffled, not the batches, so that every epoch has other batches. The last one is short where the
    samples do not come out even: all are used.

    Args:
        data: samples and labels.
        batch_size: B, or a schedule of it.
        rng: draws the order, in main memory.
        epoch: the time at which the first batch is taken, for a schedule.

    Raises:
        TypeError, ValueError: a batch size is not a whole number from 1 to n.
    """
    n = len(data.x)
    order = array_module(data.x).asarray(rng.permutation(n))
    for start, stop in batch_bounds(n, batch_size, epoch):
        batch = order[start:stop]
        yield data.x.take(batch, axis=0), data.labels.take(batch)


def batch_bounds(n: int, batch_size: int | Schedule, epoch: int = 0) -> Iterator[tuple[int, int]]:
    """Yield where each batch of an epoch starts and stops among its n samples; arguments as in `minibatches`."""
    start = 0
    while start < n:
        name, size = "batch_size", batch_size
        if callable(size):
            time = epoch + start / n
            name = f"batch_size after {time:g} epochs"
            size = round(positive(name, size(time)))
        stop = min(start + positive_int(name, size, most=n), n)
        yield start, stop
        start = stop


def evaluate(model: Sequential, data: tuple[Array, Array]) -> tuple[float, float]:
    """Return mean loss and accuracy, the fraction of samples whose most probable class is right.

    Args:
        model: is not changed.
        data: samples (n, in_features) and labels (n,), on the model's backend.

    Raises:
        ValueError, TypeError: ``data`` is empty, or has a wrong shape or dtype.
    """
    x, labels = data
    if not len(x) or len(x) != len(labels):
        raise ValueError(f"data: expected a label for every sample, and at least one; got {len(x)} and {len(labels)}")
    loss = NLLLoss()
    total: Any = 0.0  # both sums stay on a GPU until they are complete
    hits: Any = 0
    for start in range(0, len(x), EVALUATION_BATCH):
        batch = slice(start, start + EVALUATION_BATCH)
        log_p = model.forward(x[batch])
        # Weighed by length: the plain mean of batch means would be wrong where the last batch is short.
        total += loss.forward(log_p, labels[batch]) * len(log_p)
        hits += (log_p.argmax(axis=1) == labels[batch]).sum()
    return float(total) / len(x), float(hits) / len(x)


def predict(model: Sequential, x: Array) -> Array:
    """Return the output of ``model`` for all of ``x``, (n, in_features) -> (n, out_features), as in evaluation.

    With a part of a network it computes in advance what a frozen trunk passes on, once instead of in every epoch:

        features = minidl.Dataset(predict(model[:4], train.x), train.labels)
        fit(model[4:], optimizer, features, …)

    Raises:
        ValueError, TypeError: ``x`` is empty, or has a wrong shape or dtype.
    """
    if not len(x):
        raise ValueError("x: expected at least one sample, got none")
    parts = [model.forward(x[start : start + EVALUATION_BATCH]) for start in range(0, len(x), EVALUATION_BATCH)]
    whole: Array = array_module(x).concatenate(parts)
    return whole


def check_dataset(name: str, data: tuple[Array, Array], model: Sequential) -> Dataset:
    """Return ``data`` on the backend of ``model``, or raise an error that calls it ``name``."""
    try:
        x, labels = data
        x_shape, x_type, labels_shape, labels_kind = x.shape, x.dtype, labels.shape, labels.dtype.kind
    except (TypeError, ValueError, AttributeError):
        raise TypeError(f"{name}: expected a pair of arrays (x, labels), got {type(data).__name__}") from None
    if len(x_shape) != 2 or x_shape[0] == 0 or model.in_features not in (None, x_shape[1]):
        raise ValueError(f"{name}: expected samples (n, {model.in_features or 'features'}), n > 0, got shape {x_shape}")
    if x_type != model.params.dtype:
        raise TypeError(f"{name}: the model computes in {model.params.dtype}, got samples of {x_type}; use astype")
    finite(name, x)
    if labels_kind not in "iu":
        raise TypeError(f"{name}: expected integer labels, got {labels.dtype}")
    if labels_shape != x_shape[:1]:
        raise ValueError(f"{name}: expected {x_shape[0]} labels, one a sample, got shape {labels_shape}")
    if int(labels.min()) < 0 or (model.out_features is not None and int(labels.max()) >= model.out_features):
        most = "" if model.out_features is None else model.out_features - 1
        raise ValueError(f"{name}: expected labels from 0 to {most}, got {labels.min()} to {labels.max()}")
    xp = array_module(model.params)
    return Dataset(xp.asarray(x), xp.asarray(labels))


def _check_plan(model: Sequential, epochs: int, n: int, batch_size: int | Schedule, lr: Schedule | None) -> int:
    """Return how many updates the training will make, having checked rate and batch size of each of them."""
    changing = callable(batch_size) or lr is not None
    updates, lengths = 0, set()
    for epoch in range(epochs if changing else 1):
        for start, stop in batch_bounds(n, batch_size, epoch):
            if lr is not None:
                time = epoch + start / n
                positive(f"lr after {time:g} epochs", lr(time))
            lengths.add(stop - start)
            updates += 1
    for layer in model.layers[model.trunk :]:
        for length in lengths:
            layer.check_batch(length)
    return updates if changing else updates * epochs


def _require_finite(value: float, epoch: int, update: int, lr: float, history: History) -> None:
    if not isfinite(value):
        raise DivergedError(
            f"the loss became {value} in epoch {epoch}, at update {update}, with learning rate {lr:g}; "
            f"try a smaller one, such as {lr / 10:g}, or check that the inputs are standardised",
            history,
        )


def _progress(epoch: int, epochs: int, value: float, history: History) -> str:
    accuracy = f", test accuracy {history.test_accuracy[-1]:.2%}" if len(history) else ""
    return f"epoch {epoch}/{epochs}, loss {value:.4f}{accuracy}"
