"""Check the numbers in an array; large ones chunk by chunk, so that data larger than memory can be checked too."""

from collections.abc import Iterator
from math import isfinite, prod

from minidl.backend import Array

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
