"""The training loop: forward, loss, backward, step, for every batch of every epoch.

`descend` is the loop. `run` repeats it for every epoch, and measures the model after each. An *update* (many texts say
iteration) is one step of the optimiser; an *epoch* is one pass over the training set.

Everything else attaches to these two functions from outside, in one of two ways. Whatever happens before an update
wraps the batches: a schedule that sets the learning rate, an augmentation that changes the samples. Whatever happens
after an update is a `Callback`: a progress bar, early stopping, checkpoints, or a class of your own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, Generator, convert
from minidl.inspection.curves import Curves
from minidl.losses import Loss, NLLLoss
from minidl.model import Sequential
from minidl.optimizers import Optimizer

Batches: TypeAlias = Iterable[tuple[Array, Array]]
"""Pairs of samples (B, D) and labels (B,)."""

Schedule: TypeAlias = Callable[[float], float]
"""A number that changes while training goes on, as a function of time in epochs: 2.5 is halfway through the third."""


def descend(state: Training, batches: Batches) -> Iterator[Array]:
    """Make one update with each batch, and yield the batch's loss, as it was before the update."""
    model, optimizer, loss = state.model, state.optimizer, state.loss
    for x, labels in batches:  # (B, D) and (B,)
        y = model.forward(x, training=True)  # (B, K), for `NLLLoss` log-probabilities
        value = loss.forward(y, labels)  # one number
        model.backward(convert(loss.backward(), like=y))  # writes model.grads
        optimizer.step(model.params, model.grads, model.groups)
        state.count(len(labels))
        yield value


def run(
    state: Training,
    epochs: int,
    batches: Callable[[], Batches],
    measure: Callable[[], dict[str, Any]],
    callbacks: Sequence[Callback] = (),
) -> None:
    """Continue from ``state`` to the end of the last epoch, or of the epoch in which a callback stops the run.

    Args:
        state: everything that changes during the run; it may come from the middle of an epoch.
        epochs: the number of the last epoch.
        batches: returns the remaining batches of the current epoch.
        measure: returns a row of `History`, by column, measured after an epoch.
        callbacks: are called in this order after every update and after every epoch.
    """
    with ExitStack() as contexts:
        for callback in callbacks:
            contexts.enter_context(callback.around(state))
        while state.epoch <= epochs and not state.stopped:
            state.started = perf_counter() - state.seconds
            for loss in descend(state, batches()):
                for callback in callbacks:
                    callback.after_update(state, loss)
            state.end_epoch(measure())
            for callback in callbacks:
                callback.after_epoch(state)


class Callback:
    """Something that attaches to a run from outside. Override what you need; `minidl.fit` takes ``callbacks=(…)``.

    This one divides the learning rate by ten when the test loss has not improved for three, six and nine epochs:

        class ReduceOnPlateau(minidl.Callback):
            def after_epoch(self, state):
                losses = state.history.test_loss
                epochs_since_best = len(losses) - 1 - losses.index(min(losses))
                if epochs_since_best in (3, 6, 9):
                    state.optimizer.lr /= 10

    A callback may read all of ``state``. It may set ``state.optimizer.lr``, freeze layers of ``state.model``, so that
    they do not learn, and stop the run after the current epoch with ``state.stopped = True``.
    """

    def around(self, _state: Training) -> AbstractContextManager[object]:
        """Return a context for the whole run, which sets things up before it and cleans up however it ends."""
        return nullcontext()

    def after_update(self, state: Training, loss: Array) -> None:
        """Do something after an update; ``loss`` is that of its batch, an array of no dimensions."""

    def after_epoch(self, state: Training) -> None:
        """Do something after an epoch: its row is the last of ``state.history``, and ``state.epoch`` the next one."""


@dataclass(repr=False)
class History(Curves):
    """The curves of a run: a list for each column, with an entry for each epoch.

    Losses are means over all samples, accuracies are fractions from 0 to 1. Both are measured after the epoch's last
    update, so that training and test figures describe the same parameters. A column that a run does not measure is an
    empty list: the test columns without a test set, accuracies where there are no classes.
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
    """Training accuracy minus test accuracy."""
    lr: list[float] = field(default_factory=list)
    """The learning rate of the epoch's first update; without a schedule, that at the epoch's end."""
    batch_size: list[int] = field(default_factory=list)
    """The number of samples in the epoch's first update."""
    seconds: list[float] = field(default_factory=list)
    """Time for the epoch's updates, without the measurements after it."""

    def append(self, **row: Any) -> None:
        """Add an epoch; ``row`` has a value for every column, except those that the run does not measure."""
        for column, values in vars(self).items():
            if values or column in row:
                values.append(row[column])

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a dictionary of the columns, ready for JSON."""
        return asdict(self)

    def __len__(self) -> int:
        return len(self.epoch)


@dataclass
class Training:
    """The state of a run: everything that changes while a network is trained."""

    model: Sequential
    optimizer: Optimizer
    rng: Generator
    """Draws the order of the samples, and the random numbers of augmentation."""
    early_stopping: Callback | None = None
    """The `minidl.EarlyStopping`; each checkpoint saves its best model."""
    history: History = field(default_factory=History)
    """Has a row for each finished epoch."""
    epoch: int = 1
    """The epoch in progress."""
    seen: int = 0
    """How many samples this epoch has used so far."""
    updates: int = 0
    """Steps of the optimiser in all epochs."""
    seconds: float = 0.0
    """Time for this epoch's updates."""
    started: float = field(default_factory=perf_counter)
    """When this epoch's first update began, on a clock that stops between a checkpoint and its resumption."""
    stopped: bool = False
    """Whether a callback has ended the run."""
    epoch_start: dict[str, Any] = field(default_factory=dict)
    """The state of ``rng`` when the epoch began."""
    loss: Loss = field(default_factory=NLLLoss)

    def shuffle(self, n: int) -> Array:
        """Return this epoch's order of n samples, (n,). In the middle of an epoch, draw the same order again."""
        if not self.seen:
            self.epoch_start = dict(self.rng.bit_generator.state)
            return self.rng.permutation(n)
        again: Any = type(self.rng.bit_generator)(0)
        again.state = self.epoch_start
        return np.random.Generator(again).permutation(n)

    def count(self, samples: int) -> None:
        """Count an update with so many samples."""
        self.seen, self.updates = self.seen + samples, self.updates + 1
        self.seconds = perf_counter() - self.started

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Add the epoch to the history, with the measurements after it, and begin the next."""
        self.history.append(epoch=self.epoch, updates=self.updates, seconds=self.seconds, **row)
        self.epoch, self.seen, self.seconds = self.epoch + 1, 0, 0.0
