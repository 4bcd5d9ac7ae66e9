"""A run in a file: everything that a run needs to resume exactly where it was.

A run is a long chain of small steps, each of which follows from the one before. So it is enough to save everything that
changes from step to step: parameters, buffers, the optimiser's vectors and its count, the states of the random
generators, the place in the epoch, and the measurements. The rest is in the call of `minidl.fit`: data, schedules,
functions.
"""

from copy import deepcopy
from math import isfinite
from pathlib import Path

from minidl.backend import convert, to_numpy
from minidl.callbacks.early_stopping import EarlyStopping
from minidl.checks import not_negative
from minidl.files.archives import DAMAGED, Arrays, Metadata, read_archive, write_archive
from minidl.files.models import (
    check_arrays,
    check_fit,
    describe,
    generator_of,
    model_arrays,
    restore,
    state_of,
)
from minidl.loop import History, Training
from minidl.parameters.settings import described

MOST = 1 << 53
"""Counts are below this: they become floats, which have every whole number up to here and none at all above 1e308."""


def save_training(path: str | Path, state: Training, plan: Metadata | None = None) -> None:
    """Write a checkpoint. `minidl.fit` does so by itself; a loop of your own may, too.

    Args:
        path: the file.
        state: the state to save.
        plan: names, with numbers or texts that `load_training` will compare.

    Raises:
        OSError: it cannot be written; an older file is unchanged.
        ValueError: the optimiser has arrays that it does not name in ``state_names``; the file would lack them.
    """
    if names := state.optimizer.undeclared(state.model.params):
        kind = type(state.optimizer).__name__
        raise ValueError(
            f"optimizer: {kind} keeps {', '.join(names)} beside its state; name them in state_names instead"
        )
    stopping, arrays = state.early_stopping, _arrays(state)
    saved: Metadata = {name: getattr(state, name) for name in ("epoch", "seen", "updates", "seconds", "stopped")}
    saved |= {"rng": state_of(state.rng), "epoch_start": state.epoch_start}
    saved |= {"t": state.optimizer.t, "lr": state.optimizer.lr, "history": state.history.to_dict()}
    if isinstance(stopping, EarlyStopping) and stopping.best is not None:
        saved["best"] = [stopping.best_epoch, stopping.lowest]
        arrays |= model_arrays(stopping.best, "best.")
    about = {"model": describe(state.model), "training": saved, "plan": described(plan or {})}
    write_archive(Path(path), about, arrays)


def load_training(path: str | Path, state: Training, plan: Metadata | None = None) -> None:
    """Put a checkpoint into ``state``; arguments as for `save_training`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a checkpoint, is damaged, or belongs to another run; nothing has been changed.
    """
    metadata, arrays = read_archive(Path(path))
    optimizer = state.optimizer
    fresh = not optimizer.state
    try:
        if "training" not in metadata:
            raise ValueError("expected a checkpoint, got a model alone")
        model, saved = metadata["model"], metadata["training"]
        check_fit(state.model, model, arrays)
        optimizer.prepare(state.model.params, state.model.grads)
        if plan is not None:
            _compare(metadata["plan"], described(plan))
        check_arrays(_arrays(state), arrays)
        history, rng, epoch_start = _history(saved), generator_of(saved["rng"]), saved["epoch_start"]
        if epoch_start or saved["seen"]:
            generator_of(epoch_start)
        best_epoch, lowest = saved.get("best", (0, 0.0))
        if type(best_epoch) is not int or not 0 <= best_epoch < saved["epoch"] or not isfinite(lowest):
            raise ValueError(f"best: expected an epoch and a finite number, got {best_epoch!r:.40} and {lowest!r:.40}")
        if best_epoch:
            check_fit(state.model, model, arrays, "best.")
    except DAMAGED as error:
        if fresh:
            optimizer.state = {}  # as it was
        raise ValueError(f"{path}: {error if isinstance(error, ValueError) else repr(error)}") from error

    restore(state.model, model, arrays)
    state.rng.bit_generator.state = rng.bit_generator.state
    state.history, state.epoch_start = history, epoch_start
    for name in ("epoch", "seen", "updates", "seconds", "stopped"):
        setattr(state, name, saved[name])
    optimizer.t, optimizer.lr = saved["t"], saved["lr"]
    for name, vector in optimizer.state.items():
        vector[...] = convert(arrays[f"optimizer.{name}"], like=vector)
    stopping = state.early_stopping
    if isinstance(stopping, EarlyStopping):
        stopping.begin()
        if best_epoch:
            stopping.best, stopping.best_epoch, stopping.lowest = deepcopy(state.model), best_epoch, lowest
            restore(stopping.best, model, arrays, "best.")


def _arrays(state: Training) -> Arrays:
    """Return the arrays of model and optimiser."""
    vectors = {f"optimizer.{name}": to_numpy(vector) for name, vector in state.optimizer.state.items()}
    return model_arrays(state.model) | vectors


def _compare(made: Metadata, plan: Metadata) -> None:
    """Raise a ValueError if two plans differ. A name that one plan lacks counts as None.

    Files of the first versions lack some names, of which nothing is known or something usual.
    """
    if not isinstance(made, dict):
        raise ValueError(f"plan: expected names and values, got {made!r:.40}")
    usual = {"loss": "NLLLoss", "test": "given"} | {name: plan[name] for name in ("x", "augment") if name in plan}
    made = usual | made if "x" in plan else made
    for name in dict.fromkeys([*plan, *made]):
        if made.get(name) != plan.get(name):
            raise ValueError(f"{name}: the checkpoint was made with {made.get(name)!r:.40}, got {plan.get(name)!r:.40}")


def _history(saved: Metadata) -> History:
    """Return the history in a checkpoint, after checking it and the numbers beside it."""
    history = History(**saved["history"])
    for name in ("epoch", "seen", "updates", "t"):
        if type(saved[name]) is not int or not 0 <= saved[name] < MOST:
            raise ValueError(f"{name}: expected a whole number, got {saved[name]!r:.40}")
    for name, column in vars(history).items():
        if unmeasured(name, column):
            continue
        whole = type(column) is list and len(column) == saved["epoch"] - 1
        if not whole or not all(type(x) in (int, float) and isfinite(x) for x in column):
            raise ValueError(f"history: expected {name} to have a number for each of {saved['epoch'] - 1} epochs")
    for name in ("seconds", "lr"):
        not_negative(name, saved[name])
    if type(saved["stopped"]) is not bool:
        raise ValueError(f"stopped: expected whether training has stopped, got {saved['stopped']!r:.40}")
    return history


def unmeasured(name: str, column: list[float]) -> bool:
    """Return whether a column of a history is one that its run did not measure."""
    return not column and name in ("train_accuracy", "test_loss", "test_accuracy", "generalization_gap")
