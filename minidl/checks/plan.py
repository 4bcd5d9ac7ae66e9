"""Check a whole run before its first update: the data, and the batch size and learning rate of every update."""

from collections.abc import Iterable

from minidl.backend import Array, array_module
from minidl.callbacks.early_stopping import EarlyStopping
from minidl.checks.arguments import instance, not_infinite, positive
from minidl.checks.arrays import finite
from minidl.datasets import Dataset, batch_bounds
from minidl.loop import Callback, Schedule
from minidl.model import Sequential


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
        raise ValueError(f"{name}: expected {x_shape[0]} labels, one per sample, got shape {labels_shape}")
    if int(labels.min()) < 0 or (model.out_features is not None and int(labels.max()) >= model.out_features):
        most = "" if model.out_features is None else model.out_features - 1
        raise ValueError(f"{name}: expected labels from 0 to {most}, got {labels.min()} to {labels.max()}")
    xp = array_module(model.params)
    return Dataset(xp.asarray(x), xp.asarray(labels))


def check_plan(model: Sequential, epochs: int, n: int, batch_size: int | Schedule, lr: Schedule | None) -> int:
    """Return how many updates a run will make, after checking the learning rate and batch size of each."""
    changing = callable(batch_size) or lr is not None
    updates, lengths = 0, set()
    for epoch in range(epochs if changing else 1):
        for start, stop in batch_bounds(n, batch_size, epoch):
            if lr is not None:
                time = epoch + start / n
                name = f"lr after {time:g} epochs"
                not_infinite(model.params.dtype, name, positive(name, lr(time)))
            lengths.add(stop - start)
            updates += 1
    check_batches(model, lengths)
    return updates if changing else updates * epochs


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


def check_batches(model: Sequential, lengths: Iterable[int]) -> None:
    """Raise a ValueError if a layer of ``model`` cannot be trained on batches of these lengths."""
    for layer in model.layers[model.frozen_prefix :]:
        for length in lengths:
            layer.check_batch(length)
