"""Checkpoints: a run survives a crash, and resumes to exactly the numbers it would have produced without it.

`minidl.files.runs` defines what a checkpoint holds. This module decides when it is written: after a given number of
updates, after every epoch, and when a signal asks the program to end.
"""

import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from types import FunctionType
from typing import Any
from zlib import crc32

import numpy as np

from minidl.backend import Array, Generator, to_numpy
from minidl.callbacks.signals import Signals
from minidl.checks.data import Pair
from minidl.files.archives import Metadata
from minidl.files.models import state_of
from minidl.files.runs import load_training, save_training
from minidl.files.safe_writing import sweep
from minidl.learning_rate.schedules import MadeBy
from minidl.loop import Callback, Training
from minidl.losses import Loss
from minidl.machine.terminal import in_notebook, tell
from minidl.optimizers import Optimizer
from minidl.parameters.settings import settings_of

A_SCHEDULE = "a schedule"
"""What stands in a plan for a function, which cannot be compared."""

ROWS = 1000
"""About so many samples, evenly spaced, stand for all: reading all of a mapped file may take minutes."""


class Checkpoint(Callback):
    """Write a checkpoint when it is time; if a signal has come, write one and end the program.

    Args:
        path: the file; see `checkpoint_path`.
        every: updates from one checkpoint to the next; None for one after each epoch only.
        plan: everything that must be the same when the run resumes, ready for JSON.
    """

    def __init__(self, path: Path, every: int | None, plan: Metadata):
        self.path, self.every, self.plan = path, every, plan

    def open(self, state: Training, resume: bool) -> bool:
        """Resume from the file, if there is one and ``resume`` is True; return whether that was done.

        Raises:
            FileExistsError: there is a file, and ``resume`` is False.
            ValueError: it is damaged, or belongs to another run; nothing has been changed.
            OSError: it cannot be read, or there is no such folder.
        """
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"checkpoint: there is no folder {self.path.parent}")
        if not self.path.exists():
            return False
        if not resume:
            raise FileExistsError(f"checkpoint: {self.path} exists; go on from it with resume=True, or remove it")
        load_training(self.path, state, self.plan)
        return True

    def begin(self, state: Training) -> None:
        """Write the first checkpoint, to see whether that is possible.

        Raises:
            OSError: it is not.
        """
        sweep(self.path)
        save_training(self.path, state, self.plan)

    @contextmanager
    def around(self, state: Training) -> Iterator[None]:
        """Let signals wait for the next checkpoint; in the end, let the optimiser remember how its lr has moved."""
        try:
            with Signals() as self.signals:
                yield
        finally:
            if type(self.plan.get("lr")) is float:
                state.optimizer.lr_moved = (self.plan["lr"], state.optimizer.lr)

    def after_update(self, state: Training, _loss: Array) -> None:
        """Save when it is time; if a signal has come, save and end the program."""
        if self.signals.received or (self.every is not None and state.updates % self.every == 0):
            self.save(state)
        self.end_if_asked(state)

    def after_epoch(self, state: Training) -> None:
        """Save; if a signal has come, end the program."""
        self.save(state)
        self.end_if_asked(state)

    def save(self, state: Training) -> None:
        """Save. A full disk is no reason to lose the work in memory: warn, and continue."""
        try:
            save_training(self.path, state, self.plan)
        except (OSError, ValueError) as error:  # not written, or not as it should be
            message = f"the checkpoint {self.path} could not be written, and is still that of an earlier time: {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=5)

    def end_if_asked(self, state: Training) -> None:
        """If a signal has come, end the program, with the exit status that shells expect.

        A notebook continues, and so does Python's prompt: there, Ctrl-C only ends the call of fit.
        """
        if not self.signals.received:
            return
        where = f"after update {state.updates} in epoch {state.epoch}"
        tell(
            f"\nStopped {where}. The checkpoint is {self.path}; the same call of fit goes on from it with resume=True."
        )
        if self.signals.received == signal.SIGINT and (in_notebook() or hasattr(sys, "ps1")):
            raise KeyboardInterrupt
        raise SystemExit(128 + self.signals.received)


def checkpoint_path(checkpoint: str | Path, rng: Generator) -> Path:
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


def plan_of(
    optimizer: Optimizer,
    sets: list[Pair],
    batch_size: Any,
    lr: Any,
    early_stopping: Any,
    seed: Any,
    loss: Loss,
    augment: Any,
) -> Metadata:
    """Return what must be the same when a run resumes, as far as it can be compared.

    Of the samples that is their number, and checksums of the labels and of some rows; of a schedule, the call that made
    it, if that is known; of the optimiser, every setting, with the learning rate as it was before a run moved it; of
    the test set, whether there is one; of loss and augmentation, the name.
    """
    x, labels = map(to_numpy, sets[0])
    some = np.ascontiguousarray(x[:: max(1, len(x) // ROWS)])
    numbers = labels.astype("<f8" if labels.dtype.kind == "f" else "<i8")
    began, ended = optimizer.lr_moved or (optimizer.lr, optimizer.lr)
    plan = {"optimizer": type(optimizer).__name__} | settings_of(optimizer)
    plan |= {"samples": len(x), "x": crc32(some.tobytes()), "labels": crc32(numbers.tobytes())}
    plan |= {"batch_size": schedule_as_text(batch_size) if callable(batch_size) else int(batch_size)}
    if lr is not None:
        plan["lr"] = schedule_as_text(lr) if callable(lr) else float(lr)
    elif optimizer.lr == ended:
        plan["lr"] = began
    plan |= {"seed": int(seed) if isinstance(seed, Integral) else None}
    plan |= {"loss": type(loss).__name__, "augment": None if augment is None else name_of(augment)}
    plan |= {"test": "given" if len(sets) > 1 else "left out"}
    names = ("patience", "min_improvement", "column")
    return plan | {"early_stopping": early_stopping and [getattr(early_stopping, name) for name in names]}


def schedule_as_text(schedule: Any) -> str:
    """Return the call that made a schedule; of a function of your own, only that it is one."""
    text = repr(schedule)
    return text if isinstance(schedule, MadeBy) and " at 0x" not in text else A_SCHEDULE


def name_of(augment: Any) -> str:
    """Return the class of an augmentation; functions cannot be compared."""
    return "a function" if isinstance(augment, FunctionType) else type(augment).__name__
