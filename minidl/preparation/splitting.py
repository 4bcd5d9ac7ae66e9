"""Splitting: part of the data is held back from training, to judge a model on samples that it has not seen."""

from fractions import Fraction
from numbers import Integral, Real
from typing import Any

import numpy as np

from minidl.backend import Array, Generator, array_module, to_numpy
from minidl.checks.data import as_array


def chosen_rows(rows: Any, x: Array) -> Any:
    """Return a slice as it is, and numbers of rows, or a mask of True and False, as an array on the backend of ``x``.

    Raises:
        TypeError: ``rows`` is neither.
    """
    if isinstance(rows, slice):
        return rows
    if isinstance(rows, tuple):  # data[0, 1] may be meant as a row and a column
        raise TypeError(f"rows: a data set has one axis, that of samples; use data.x[{rows[0]}, ...] or a list of rows")
    try:
        numbers = as_array("rows", rows)
        if numbers.dtype.kind == "b" and len(numbers) != len(x):
            raise ValueError(f"rows: expected a mask of {len(x)} entries, one per sample, got {len(numbers)}")
        if numbers.ndim == 1 and (numbers.dtype.kind in "iub" or not len(numbers)):
            return array_module(x).asarray(numbers if len(numbers) else numbers.astype("int64"))
    except TypeError:
        pass
    raise TypeError(f"rows: expected a slice or a list of numbers of samples, such as data[:100], got {rows!r:.60}")


def split_rows(n: int, first: Any, rng: Generator, labels: Array | None = None) -> tuple[Array, Array]:
    """Return the numbers of the samples of two parts, both in random order; together they are all n.

    Args:
        n: the number of samples, at least 2.
        first: the size of the first part: a whole number below n, or a fraction between 0 and 1.
        rng: draws the order.
        labels: the classes of the samples, (n,), to give each part its proportion of each class, as nearly as whole
            samples allow. None to leave that to chance.

    Raises:
        TypeError, ValueError: an argument is not as described, or a part would be empty.
    """
    size = part_size(n, first)
    order = rng.permutation(n)
    if labels is None:
        return order[:size], order[size:]
    classes = to_numpy(labels)
    if classes.ndim != 1 or classes.dtype.kind not in "iubUS":
        raise TypeError(f"stratify: expected a class for each sample, got labels {classes.shape} of {classes.dtype}")
    _, numbers, counts = np.unique(classes[order], return_inverse=True, return_counts=True)
    chosen = np.zeros(n, bool)
    for number, count in enumerate(apportioned(counts.tolist(), size)):
        chosen[np.flatnonzero(numbers == number)[:count]] = True
    return order[chosen], order[~chosen]


def part_size(n: int, first: Any) -> int:
    """Return how many of n samples the first part has; see `split_rows`."""
    if not isinstance(first, Real) or isinstance(first, bool):
        raise TypeError(f"first: expected a fraction between 0 and 1, or a number of samples, got {first!r}")
    if not isinstance(first, Integral) and not 0 < float(first) < 1:
        raise ValueError(f"first: expected a fraction between 0 and 1, or a whole number of samples, got {first!r}")
    if n < 2:
        raise ValueError(f"data: expected at least 2 samples to split, got {n}")
    size = int(first) if isinstance(first, Integral) else round(float(first) * n)
    if not 0 < size < n:
        raise ValueError(f"first: expected 1 to {n - 1} of {n} samples, so that both parts have some, got {first!r}")
    return size


def apportioned(counts: list[int], size: int) -> list[int]:
    """Return how many of each class to take, ``size`` in all: whole parts of the quotas, then the largest remainders.

    This is Hamilton's method, by which some parliaments distribute their seats.
    """
    quotas = [Fraction(count * size, sum(counts)) for count in counts]
    taken = [int(quota) for quota in quotas]
    by_rest = sorted(range(len(counts)), key=lambda i: taken[i] - quotas[i])
    for i in by_rest[: size - sum(taken)]:
        taken[i] += 1
    return taken
