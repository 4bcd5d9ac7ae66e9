"""Check labels, the classes of the samples: whole numbers from 0. Anything else is refused with a remedy."""

from typing import Any

import numpy as np

from minidl.backend import Array, on_host, to_numpy


def check_labels(labels: Array, shape: tuple[int, ...]) -> None:
    """Raise a TypeError or ValueError unless ``labels`` fit log-probabilities of ``shape`` (B, K)."""
    if not hasattr(labels, "dtype"):
        raise TypeError(f"labels: expected an array of integers, got {type(labels).__name__}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels: expected integers, got {labels.dtype}{remedy(labels)}")
    if len(shape) != 2 or shape[0] == 0 or labels.shape != shape[:1]:
        expected = f"one for each row of log_p {shape}, at least one"
        raise ValueError(f"labels: expected {expected}, got shape {labels.shape}{remedy(labels)}")
    if on_host(labels) and (labels.min() < 0 or labels.max() >= shape[1]):
        got = f"{labels.min()} to {labels.max()}"
        raise ValueError(f"labels: expected 0 to {shape[1] - 1}, got {got}{remedy(labels, shape[1])}")


def class_labels(name: str, labels: Array, samples: int, classes: int | None) -> Array:
    """Return ``labels``, an array of any kind, as integers (samples,) from 0 to ``classes`` − 1.

    True and False become 1 and 0, and a single column becomes a row of labels. Any other array is refused, because its
    numbers may mean something else.

    Args:
        name: what errors call them.
        labels: as `minidl.checks.data.as_array` returns them.
        samples: how many there must be.
        classes: how many outputs the model has; None if that is not known.

    Raises:
        TypeError, ValueError: they are not labels.
    """
    if labels.shape == (samples, 1) and labels.dtype.kind in "iub" and classes != 1:
        labels = labels.reshape(-1)
    if labels.shape != (samples,):
        expected = f"{samples} labels, one per sample"
        raise ValueError(f"{name}: expected {expected}, got shape {labels.shape}{remedy(labels)}")
    if labels.dtype.kind == "b":
        labels = labels.astype("int64")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integer labels, got {labels.dtype}{remedy(labels)}")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or (classes is not None and highest >= classes):
        most = "" if classes is None else classes - 1
        raise ValueError(
            f"{name}: expected labels from 0 to {most}, got {lowest} to {highest}{remedy(labels, classes)}"
        )
    return labels


def remedy(labels: Array, classes: int | None = None) -> str:
    """Return a remedy for wrong labels, for the end of an error message."""
    host: Any = to_numpy(labels)
    if not host.size:
        return ""
    number = "classes, labels = numpy.unique(labels, return_inverse=True)"
    if host.dtype.kind not in "biuf":
        return f"; number the classes from 0: {number}"
    if host.ndim == 2 and host.shape[1] > 1 and ((host == 0) | (host == 1)).all() and (host.sum(axis=1) == 1).all():
        return "; these are one-hot: numpy.asarray(labels).argmax(axis=1) makes labels of them"
    if host.dtype.kind == "f" and np.isnan(host).any():
        return f"; the label of row {np.argwhere(np.isnan(host))[0][0]} is missing"
    if host.dtype.kind == "b" or (host.dtype.kind == "f" and (host == np.floor(host)).all()):
        return "; these are whole numbers: numpy.asarray(labels).astype(int) makes labels of them"
    if host.dtype.kind == "f":
        how = "train with loss=minidl.MSELoss(), or with a loss of your own that has the attribute regression = True"
        return f"; to predict numbers instead of classes, {how}"
    if host.ndim != 1 or (classes is None and host.min() >= 0):
        return ""
    if classes == 1:
        return f"; give the model {max(2, host.max() + 1)} outputs, one for each class"
    if host.min() >= 1 and host.max() == classes:
        return "; if they are counted from 1, subtract 1"
    outputs = f", or give the model {host.max() + 1} outputs" if host.min() >= 0 else ""
    return f"; number the classes from 0: {number}{outputs}"
