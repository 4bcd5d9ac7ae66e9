"""Check the numbers in an array; large ones chunk by chunk, so that data larger than memory can be checked too."""

from collections.abc import Iterator
from math import isfinite, prod

from minidl.backend import Array, on_host

CHUNK = 1 << 22
"""Numbers in a chunk, at most: 16 MiB of float32."""


def finite(name: str, x: Array) -> None:
    """Raise a ValueError if ``x``, which is not empty, contains NaN or infinity.

    Both show in the smallest or largest value, and finding these takes no temporary array. Each chunk is read once for
    both, so data larger than memory is read from disk once, not twice.
    """
    for chunk in chunks(x):
        if not (isfinite(float(chunk.min())) and isfinite(float(chunk.max()))):
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity among them")


def chunks(x: Array) -> Iterator[Array]:
    """Yield all of ``x`` (n, ...) in chunks of several rows, which share its memory."""
    rows = max(1, CHUNK // max(1, prod(x.shape[1:])))
    for start in range(0, len(x), rows):
        yield x[start : start + rows]


def check_labels(labels: Array, shape: tuple[int, ...]) -> None:
    """Raise a TypeError or ValueError unless ``labels`` fit log-probabilities of ``shape`` (B, K)."""
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels: expected integers, got {labels.dtype}")
    if len(shape) != 2 or shape[0] == 0 or labels.shape != shape[:1]:
        raise ValueError(f"labels: expected one for each row of log_p {shape}, at least one, got shape {labels.shape}")
    if on_host(labels) and (labels.min() < 0 or labels.max() >= shape[1]):
        raise ValueError(f"labels: expected 0 to {shape[1] - 1}, got {labels.min()} to {labels.max()}")
