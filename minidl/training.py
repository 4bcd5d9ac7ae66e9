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
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, Generator, Seed, array_module, on_host
from minidl.checkpoints import Checkpoint, Training, plan_of
from minidl.checks import finite, flag, function_or_none, generator, instance, positive, positive_int
from minidl.datasets import Dataset
from minidl.early_stopping import EarlyStopping
from minidl.history import DivergedError, History
from minidl.layers import Layer
from minidl.losses import NLLLoss
from minidl.model import Sequential
from minidl.optimizers import Optimizer
from minidl.saving import state_of
from minidl.schedules import Schedule, constant

Augmentation: TypeAlias = Callable[[Array, Generator], Array]
"""Changes samples at random: (x, generator) -> an array with shape and dtype of x. See `minidl.augmentation`."""

EVALUATION_BATCH = 1000
"""Samples that `evaluate` takes at a time. It bounds memory, and has no influence on the result beyond rounding."""


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
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    debug: bool = False,
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
        checkpoint: a file for all that a training needs to go on after a crash; see `minidl.checkpoints`. With it,
            SIGINT (Ctrl-C) and SIGTERM end the program after the update in progress, with everything saved. The
            previous checkpoint is replaced only when the new one is complete and verified.
        checkpoint_every: updates between two checkpoints; None for one after each epoch.
        resume: go on from the checkpoint, if there is one, as if training had never stopped. All other arguments must
            be the same as before, but for ``epochs``, which may have grown. What early stopping or ``after_epoch`` has
            ended stays ended.
        debug: look for NaN and infinity in every layer's output and gradients and in the parameters, and name the
            first place where one appears; slower. It takes the place of the model's own ``watch`` meanwhile.
        progress: show a progress bar: always, never, or, by default, where the output is a terminal.
        description: stands before the bar.

    Returns:
        The history, with an entry for each epoch.

    Raises:
        TypeError, ValueError: an argument is not as described, or a schedule gives a number out of range at any time of
            the training; or the checkpoint is damaged, or of another training. Nothing has been changed.
        FileExistsError: there is a checkpoint, and ``resume`` is False.
        OSError: the checkpoint cannot be written. A disk that is full later on only causes a warning.
        DivergedError: the loss became infinite or NaN. The error names where, and what to try.
        SystemExit: a signal has ended a training with checkpoints.
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
    if early_stopping is not None:
        instance("early_stopping", early_stopping, EarlyStopping)
    training = Training(model, optimizer, rng, early_stopping)
    saver = None
    if checkpoint is not None:
        every = None if checkpoint_every is None else positive_int("checkpoint_every", checkpoint_every)
        plan = plan_of(optimizer, train.labels, batch_size, lr, early_stopping, seed)
        saver = Checkpoint(_checkpoint_path(checkpoint, rng), every, training, plan)
        saver.begin(flag("resume", resume))
    elif resume or checkpoint_every is not None:
        raise ValueError("resume, checkpoint_every: expected a checkpoint as well, got none")
    elif early_stopping is not None:
        early_stopping.begin()
    optimizer.prepare(model.params, model.grads)

    loss, history = NLLLoss(), training.history
    read_every = 1 if on_host(model.params) else 100  # reading a loss makes a GPU stop until it is computed
    hide_bar = None if progress is None else not progress  # None: tqdm hides it unless the output is a terminal
    bar = tqdm(total=total, initial=training.updates, desc=description, unit="update", disable=hide_bar)
    # A loss that overflows is reported by DivergedError, which has more to say than NumPy's warnings.
    with bar, np.errstate(over="ignore", invalid="ignore"), ExitStack() as at_the_end:
        if early_stopping is not None:
            at_the_end.callback(early_stopping.restore_best, model)
        if saver is not None:
            at_the_end.enter_context(saver)
        if flag("debug", debug):
            at_the_end.callback(setattr, model, "watch", model.watch)
            model.watch = _look_for_nonfinite(training)

        while training.epoch <= epochs and not training.stopped:
            started, groups = perf_counter() - training.seconds, model.groups
            for x, labels in _take(train, training.shuffle(n), batch_size, training.epoch - 1, training.seen):
                if schedule is not None:
                    optimizer.lr = float(schedule(training.epoch - 1 + training.seen / n))
                if augment is not None:
                    x = augment(x, rng)

                log_p = model.forward(x, training=True)
                value = loss.forward(log_p, labels)
                model.backward(loss.backward())
                if training.updates % read_every == 0:
                    _require_finite(float(value), training, training.updates + 1)
                    bar.set_postfix_str(_progress(training, epochs, float(value)), refresh=False)
                optimizer.step(model.params, model.grads, groups)

                training.seen, training.updates = training.seen + len(labels), training.updates + 1
                training.seconds = perf_counter() - started
                bar.update()
                if debug:
                    _show_parameters(model)
                if saver is not None:
                    saver.after_update()

            _measure(training, train, test, batch_size, schedule)
            bar.set_postfix_str(_progress(training, epochs, history.train_loss[-1]))
            if early_stopping is not None:
                watched = getattr(history, early_stopping.column)[-1]
                training.stopped = early_stopping.should_stop(model, training.epoch, watched)
            if after_epoch is not None:
                training.stopped = after_epoch(model, history) == "stop" or training.stopped
            training.epoch, training.seen, training.seconds = training.epoch + 1, 0, 0.0
            if saver is not None:
                saver.after_epoch()
    return training.history


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
    yield from _take(data, rng.permutation(len(data.x)), batch_size, epoch)


def _take(
    data: Dataset, order: Array, batch_size: int | Schedule, epoch: int, seen: int = 0
) -> Iterator[tuple[Array, Array]]:
    """Yield ``data`` in the given order, but for the first ``seen`` samples, as batches (B, features) and (B,)."""
    order = array_module(data.x).asarray(order)
    for start, stop in batch_bounds(len(data.x), batch_size, epoch, seen):
        batch = order[start:stop]
        yield data.x.take(batch, axis=0), data.labels.take(batch)


def batch_bounds(n: int, batch_size: int | Schedule, epoch: int = 0, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield where each batch of an epoch starts and stops among its n samples; arguments as in `minibatches`."""
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


def _measure(
    training: Training, train: Dataset, test: Dataset, batch_size: int | Schedule, schedule: Schedule | None
) -> None:
    """Add to the history what is true of the model after this epoch."""
    model, time = training.model, training.epoch - 1
    train_loss, train_accuracy = evaluate(model, train)
    test_loss, test_accuracy = evaluate(model, test)
    _require_finite(train_loss, training, training.updates, "loss of the training set")
    _require_finite(test_loss, training, training.updates, "loss of the test set")
    training.history.append(
        epoch=training.epoch,
        updates=training.updates,
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        generalization_gap=train_accuracy - test_accuracy,
        lr=training.optimizer.lr if schedule is None else float(schedule(time)),
        batch_size=next(batch_bounds(len(train.x), batch_size, time))[1],
        seconds=training.seconds,
    )


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


def _checkpoint_path(checkpoint: str | Path, rng: Generator) -> Path:
    """Return where checkpoints go, or refuse what cannot be one, and a generator that cannot be saved."""
    if not isinstance(checkpoint, str | Path):
        raise TypeError(f"checkpoint: expected a path, got {checkpoint!r}")
    path = Path(checkpoint)
    if not path.name or "\0" in path.name or path.suffix == ".safetensors":
        raise ValueError(f"checkpoint: expected the name of a file, .npz by custom, got {str(checkpoint)!r}")
    try:
        state_of(rng)
    except ValueError as error:
        raise ValueError(f"seed: {error}") from None
    return path.absolute()  # wherever the program goes


def _require_finite(value: float, training: Training, update: int, what: str = "loss") -> None:
    if not isfinite(value):
        lr = training.optimizer.lr
        raise DivergedError(
            f"the {what} became {value} in epoch {training.epoch}, at update {update}, with learning rate {lr:g}; "
            f"try a smaller one, such as {lr / 10:g}, or check that the inputs are standardised; "
            "debug=True names the layer",
            training.history,
        )


def _look_for_nonfinite(training: Training) -> Callable[[Layer, str, Array], None]:
    """Return a function for `Sequential.watch` that raises a DivergedError where a number is not finite."""

    def look(layer: Layer, name: str, array: Array) -> None:
        try:
            finite(name, array)
        except ValueError:
            where = f"in epoch {training.epoch}, at update {training.updates + 1}"
            message = f"{layer.name}: {name} has NaN or infinity in it, {where}; it is the first place in this update"
            raise DivergedError(message, training.history) from None

    return look


def _show_parameters(model: Sequential) -> None:
    """Show the parameters of all layers to `Sequential.watch`, as they are after a step."""
    for layer in model.layers:
        for name in layer.param_shapes():
            if model.watch is not None:
                model.watch(layer, name, getattr(layer, name))


def _progress(training: Training, epochs: int, loss: float) -> str:
    history = training.history
    accuracy = f", test accuracy {history.test_accuracy[-1]:.2%}" if len(history) else ""
    return f"epoch {training.epoch}/{epochs}, loss {loss:.4f}{accuracy}"
