"""Check a whole run before its first update: the batch size and learning rate of every update, and what attaches."""

from collections.abc import Iterable
from inspect import signature

from minidl.callbacks.early_stopping import EarlyStopping
from minidl.checks.arguments import instance, not_infinite, not_negative, positive, takes
from minidl.datasets import batch_bounds
from minidl.loop import Callback, Schedule
from minidl.model import Sequential
from minidl.optimizers import Optimizer


def check_plan(model: Sequential, epochs: int, n: int, batch_size: int | Schedule, lr: Schedule | None) -> int:
    """Return how many updates a run will make, after checking the learning rate and batch size of each."""
    for name, schedule in (("batch_size", batch_size), ("lr", lr)):
        if callable(schedule):
            takes(name, schedule, "t")
    changing = callable(batch_size) or lr is not None
    updates, lengths, highest = 0, set(), 0.0
    for epoch in range(epochs if changing else 1):
        for start, stop in batch_bounds(n, batch_size, epoch):
            if lr is not None:
                time = epoch + start / n
                name = f"lr after {time:g} epochs"
                highest = max(highest, rate := not_negative(name, lr(time)))
                not_infinite(model.params.dtype, name, rate)
            lengths.add(stop - start)
            updates += 1
    if lr is not None and not highest:
        raise ValueError("lr: expected a schedule that is above 0 at some time, got 0 for every update")
    check_batches(model, lengths)
    return updates if changing else updates * epochs


def check_optimizer(optimizer: Optimizer, model: Sequential) -> None:
    """Raise a TypeError or ValueError if ``optimizer`` cannot make steps on ``model`` as the loop asks."""
    instance("optimizer", optimizer, Optimizer)
    positive("optimizer.lr", optimizer.lr)
    try:
        signature(optimizer.step).bind(model.params, model.grads, model.groups)
    except TypeError as error:
        kind = type(optimizer).__name__
        raise TypeError(f"optimizer: {kind}.step must take (params, grads, groups), as in SGD: {error}") from None
    optimizer.check(model.params, model.grads)


def check_callbacks(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    """Return ``callbacks`` as a tuple, or raise a TypeError."""
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks: expected a sequence such as (callback,), got {callbacks!r}")
    for callback in (callbacks := tuple(callbacks)):
        instance("callbacks", callback, Callback)
        if isinstance(callback, EarlyStopping):
            raise TypeError(
                "callbacks: pass early stopping as early_stopping=…, so that a checkpoint saves its best model"
            )
    return callbacks


def check_stopping(stopping: EarlyStopping | None, tested: bool, regression: bool) -> None:
    """Raise a TypeError or ValueError if early stopping is something else, or watches a column that stays empty."""
    if stopping is None:
        return
    instance("early_stopping", stopping, EarlyStopping)
    if not tested:
        watched = stopping.column
        raise ValueError(f"early_stopping: it watches {watched}, but there is no test set; pass one, for validation")
    if regression and stopping.column == "test_accuracy":
        raise ValueError("early_stopping: it watches test_accuracy, but only classes have one; use column='test_loss'")


def check_batches(model: Sequential, lengths: Iterable[int]) -> None:
    """Raise a ValueError if a layer of ``model`` cannot be trained on batches of these lengths."""
    for layer in model.layers[model.frozen_prefix :]:
        for length in lengths:
            layer.check_batch(length)
