"""Checkpoints: all that a training needs, in a file, to go on to the very numbers it would have had.

A training is a long chain of small steps, each of which follows from the one before. So it is enough to save all that
changes from step to step: parameters, buffers, the optimiser's vectors and its count, the states of the random
generators, the place in the epoch, and what has been measured. What is left out is in the call of `minidl.fit`: data,
schedules, functions.
"""

import signal
import sys
import warnings
from copy import deepcopy
from dataclasses import dataclass, field, fields
from math import isfinite
from numbers import Integral
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any, Self
from zlib import crc32

from minidl.backend import Array, Generator, convert, to_numpy
from minidl.early_stopping import EarlyStopping
from minidl.history import History
from minidl.model import Sequential
from minidl.optimizers import Optimizer
from minidl.saving import (
    DAMAGED,
    Arrays,
    Metadata,
    check_arrays,
    check_fit,
    describe,
    generator_of,
    model_arrays,
    read_archive,
    restore,
    state_of,
    write_archive,
)


@dataclass
class Training:
    """Everything that changes while a network is trained."""

    model: Sequential
    optimizer: Optimizer
    rng: Generator
    """For the order of the samples, and for augmentation."""
    early_stopping: EarlyStopping | None = None
    history: History = field(default_factory=History)
    """Has a row for each epoch that is over."""
    epoch: int = 1
    """The epoch in progress."""
    seen: int = 0
    """How many samples it has had."""
    updates: int = 0
    """Steps of the optimiser in all epochs."""
    seconds: float = 0.0
    """Time for those of this epoch."""
    stopped: bool = False
    """Whether the training has ended before its last epoch, as early stopping wants it."""
    epoch_start: Metadata = field(default_factory=dict)
    """The state that ``rng`` had when the epoch began."""

    def shuffle(self, n: int) -> Array:
        """Return this epoch's order of n samples, (n,). In the middle of an epoch, draw the same order again."""
        if not self.seen:
            self.epoch_start = state_of(self.rng)
            rng = self.rng
        else:
            rng = generator_of(self.epoch_start)
        order: Array = rng.permutation(n)
        return order


@dataclass
class Checkpoint:
    """Where, when and of what checkpoints are made; a context in which SIGINT and SIGTERM wait for the next one.

    Args:
        path: the file.
        every: updates from one checkpoint to the next; None for one after each epoch.
        training: what is saved.
        plan: what must be the same when training goes on, ready for JSON.
    """

    path: Path
    every: int | None
    training: Training
    plan: Metadata
    _signal: int = 0

    def begin(self, resume: bool) -> None:
        """Go on from the file if there is one and that is meant; then write it, to see whether that is possible.

        Raises:
            FileExistsError: there is a file, and nobody said that training should go on from it.
            ValueError: it is damaged, or of another training; nothing has been changed.
            OSError: it cannot be read, or written.
        """
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"checkpoint: there is no folder {self.path.parent}")
        if self.path.exists():
            if not resume:
                raise FileExistsError(f"checkpoint: {self.path} exists; go on from it with resume=True, or remove it")
            load_training(self.path, self.training, self.plan)
        elif self.training.early_stopping is not None:
            self.training.early_stopping.begin()
        self.training.optimizer.prepare(self.training.model.params, self.training.model.grads)
        for leftover in self.path.parent.glob(f".{self.path.name}.*.partial"):  # of a process that was killed
            leftover.unlink(missing_ok=True)
        save_training(self.path, self.training, self.plan)

    def after_update(self) -> None:
        """Save where it is time to; if a signal has come, save and end the program."""
        if self._signal or (self.every is not None and self.training.updates % self.every == 0):
            self._save()
        if self._signal:
            self._end()

    def after_epoch(self) -> None:
        """Save; if a signal has come, end the program."""
        self._save()
        if self._signal:
            self._end()

    def _save(self) -> None:
        """Save. A full disk is no reason to lose what is in memory: warn, and go on."""
        try:
            save_training(self.path, self.training, self.plan)
        except (OSError, ValueError) as error:  # not written, or not as it should be
            message = f"the checkpoint {self.path} could not be written, and is still that of an earlier time: {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=4)

    def _end(self) -> None:
        where = f"after update {self.training.updates} in epoch {self.training.epoch}"
        print(
            f"\nStopped {where}. The checkpoint is {self.path}; the same call of fit goes on from it with resume=True.",
            file=sys.stderr,
        )
        raise SystemExit(128 + self._signal)  # as shells report a program that a signal has ended

    def __enter__(self) -> Self:
        """From here on, let signals wait. Only a program's main thread can see to that."""
        self._handlers = {}
        if current_thread() is main_thread():
            kinds = [kind for kind in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(kind) != signal.SIG_IGN]
            self._handlers = {kind: signal.signal(kind, self._note) for kind in kinds}
        return self

    def __exit__(self, *_: object) -> None:
        """Give signals back to those who had them."""
        for kind, handler in self._handlers.items():
            signal.signal(kind, handler)

    def _note(self, kind: int, _frame: object) -> None:
        if self._signal:  # the second time, at once: the file is whole at every moment
            raise KeyboardInterrupt
        self._signal = kind


def plan_of(optimizer: Optimizer, labels: Array, batch_size: Any, lr: Any, early_stopping: Any, seed: Any) -> Metadata:
    """Return what must be the same when a training goes on, as far as it can be compared.

    Of the samples these are their number and a checksum of their labels; of a schedule, that it is one.
    """
    host = to_numpy(labels)
    plan = {"samples": len(host), "labels": crc32(host.astype("<i8").tobytes()), "optimizer": type(optimizer).__name__}
    plan |= {arg.name: getattr(optimizer, arg.name) for arg in fields(optimizer) if "check" in arg.metadata}
    plan |= {"batch_size": "a schedule" if callable(batch_size) else int(batch_size)}
    plan |= {"lr": plan["lr"] if lr is None else "a schedule" if callable(lr) else float(lr)}
    plan |= {"seed": int(seed) if isinstance(seed, Integral) else None}
    names = ("patience", "min_improvement", "column")
    return plan | {"early_stopping": early_stopping and [getattr(early_stopping, name) for name in names]}


def save_training(path: str | Path, training: Training, plan: Metadata | None = None) -> None:
    """Write a checkpoint; `minidl.fit` does so by itself, and a loop of your own may.

    Args:
        path: the file.
        training: what is saved.
        plan: what `load_training` is to compare, ready for JSON.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    stopping, arrays = training.early_stopping, _arrays(training)
    state: Metadata = {name: getattr(training, name) for name in ("epoch", "seen", "updates", "seconds", "stopped")}
    state |= {"rng": state_of(training.rng), "epoch_start": training.epoch_start}
    state |= {"t": training.optimizer.t, "lr": training.optimizer.lr, "history": training.history.to_dict()}
    if stopping is not None and stopping.best is not None:
        state["best"] = [stopping.best_epoch, stopping.least]
        arrays |= model_arrays(stopping.best, "best.")
    write_archive(Path(path), {"model": describe(training.model), "training": state, "plan": plan or {}}, arrays)


def load_training(path: str | Path, training: Training, plan: Metadata | None = None) -> None:
    """Put a checkpoint into ``training``; arguments as for `save_training`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no checkpoint, damaged, or of another training; nothing has been changed.
    """
    metadata, arrays = read_archive(Path(path))
    optimizer = training.optimizer
    fresh = not optimizer.state
    try:
        if "training" not in metadata:
            raise ValueError("expected a checkpoint, got a model alone")
        model, state = metadata["model"], metadata["training"]
        check_fit(training.model, model, arrays)
        optimizer.prepare(training.model.params, training.model.grads)
        for name, mine in (plan or {}).items():
            if metadata["plan"][name] != mine:
                raise ValueError(f"{name}: the checkpoint was made with {metadata['plan'][name]!r:.40}, got {mine!r}")
        check_arrays(_arrays(training), arrays)
        history, rng, epoch_start = _history(state), generator_of(state["rng"]), state["epoch_start"]
        if epoch_start or state["seen"]:
            generator_of(epoch_start)
        best_epoch, least = state.get("best", (0, 0.0))
        if best_epoch:
            check_fit(training.model, model, arrays, "best.")
        if type(best_epoch) is not int or not isfinite(least):
            raise ValueError(f"best: expected an epoch and a finite number, got {best_epoch!r:.40} and {least!r:.40}")
    except DAMAGED as error:
        if fresh:
            optimizer.state = {}  # as it was
        raise ValueError(f"{path}: {error if isinstance(error, ValueError) else repr(error)}") from error

    restore(training.model, model, arrays)
    training.rng.bit_generator.state = rng.bit_generator.state
    training.history, training.epoch_start = history, epoch_start
    for name in ("epoch", "seen", "updates", "seconds", "stopped"):
        setattr(training, name, state[name])
    optimizer.t, optimizer.lr = state["t"], state["lr"]
    for name, vector in optimizer.state.items():
        vector[...] = convert(arrays[f"optimizer.{name}"], like=vector)
    stopping = training.early_stopping
    if stopping is not None:
        stopping.begin()
        if best_epoch:
            stopping.best, stopping.best_epoch, stopping.least = deepcopy(training.model), best_epoch, least
            restore(stopping.best, model, arrays, "best.")


def _arrays(training: Training) -> Arrays:
    """Return the arrays of model and optimiser."""
    vectors = {f"optimizer.{name}": to_numpy(vector) for name, vector in training.optimizer.state.items()}
    return model_arrays(training.model) | vectors


def _history(state: Metadata) -> History:
    """Return the history in a checkpoint, if it is one, and the numbers beside it fit to it."""
    history = History(**state["history"])
    counts = {name: state[name] for name in ("epoch", "seen", "updates", "t")}
    for name, value in counts.items():
        if type(value) is not int or value < 0:
            raise ValueError(f"{name}: expected a whole number, got {value!r:.40}")
    for name, column in vars(history).items():
        if len(column) != state["epoch"] - 1 or not all(type(x) in (int, float) and isfinite(x) for x in column):
            raise ValueError(f"history: expected {name} to have a number for each of {state['epoch'] - 1} epochs")
    if type(state["stopped"]) is not bool or not all(isfinite(state[name]) for name in ("seconds", "lr")):
        raise ValueError("expected finite numbers for seconds and lr, and whether training has stopped")
    return history
