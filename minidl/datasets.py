"""Images with labels: standardised, and taken in random batches.

MNIST comes with the package: 60,000 training and 10,000 test images of handwritten digits, 28 × 28 grey pixels each. A
network sees them as rows of 784 features. The batch size B says how many samples share an update, and so gives three
modes of training on n samples:

    batch mode          B = n        one update per epoch
    mini-batch mode     1 < B < n    ⌈n/B⌉ updates per epoch
    stochastic mode     B = 1        n updates per epoch
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from minidl.backend import Array, Generator, array_module
from minidl.checks import finite, float_type, positive, positive_int
from minidl.loop import Schedule

MNIST_SHA256 = {
    "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Checksums of MNIST's four files, unpacked."""


class Dataset(NamedTuple):
    """Samples with their labels; any pair of such arrays will do in its place."""

    x: Array
    """The samples, one per row: (n, features)."""
    labels: Array
    """The class of each sample, integers from 0: (n,)."""


def load_mnist(dtype: str = "float32") -> tuple[Dataset, Dataset]:
    """Load the MNIST that comes with the package, verified and standardised.

    Returns:
        The training set, 60,000 samples, and the test set, 10,000, of 784 features each; see `standardize`.

    Raises:
        ValueError: a file is damaged: its SHA-256 is not that of the original; or ``dtype`` is no float type.

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition".
    """
    from importlib.resources import as_file, files  # here, because importing minidl should cost little

    from minidl.files.idx import load_idx

    with as_file(files("minidl") / "data" / "mnist") as folder:
        return load_idx(folder, dtype, MNIST_SHA256)


def minibatches(
    data: Dataset, batch_size: int | Schedule, rng: Generator, epoch: int = 0
) -> Iterator[tuple[Array, Array]]:
    """Yield all of ``data`` once, in random order, as batches (B, features) and (B,).

    The samples are shuffled, not the batches, so that every epoch has other batches. The last one is short where the
    samples do not come out even: all are used.

    Args:
        data: samples and labels.
        batch_size: B, or a schedule of it.
        rng: draws the order, in main memory.
        epoch: the time at which the first batch is taken, for a schedule.

    Raises:
        TypeError, ValueError: a batch size is not a whole number from 1 to n.
    """
    yield from take(data, rng.permutation(len(data.x)), batch_size, epoch)


def take(
    data: Dataset, order: Array, batch_size: int | Schedule, epoch: int, seen: int = 0
) -> Iterator[tuple[Array, Array]]:
    """Yield ``data`` in the given order, without the first ``seen`` samples, as batches (B, features) and (B,)."""
    order = array_module(data.x).asarray(order)
    for start, stop in batch_bounds(len(data.x), batch_size, epoch, seen):
        batch = order[start:stop]
        yield data.x.take(batch, axis=0), data.labels.take(batch)


def batch_bounds(n: int, batch_size: int | Schedule, epoch: int = 0, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield where each batch of an epoch starts and stops among its n samples; arguments as in `minibatches`."""
    while start < n:
        name, size = "batch_size", batch_size
        if callable(size):
            time = epoch + start / n
            name = f"batch_size after {time:g} epochs"
            size = round(positive(name, size(time)))
        stop = min(start + positive_int(name, size, most=n), n)
        yield start, stop
        start = stop


def standardize(train: Dataset, test: Dataset, dtype: str = "float32") -> tuple[Dataset, Dataset]:
    """Shift and scale all features by two numbers, so that the training set has mean 0 and standard deviation 1.

        x ← (x − mean) / std

    The initial weights are made for inputs of mean 0 and variance 1 (see `minidl.initializers`). The test set is
    scaled by the two numbers of the training set: nothing may be learned from it, not even its mean. On MNIST, with
    pixels from 0 to 1, they are 0.1307 and 0.3081.

    Raises:
        ValueError: the number of features differs, a set is empty, a value is NaN or infinite, all values are equal, or
            they are too large or too small to be squared in ``dtype``.
    """
    dtype = float_type("dtype", dtype)
    if train.x.shape[1:] != test.x.shape[1:] or not (train.x.size and test.x.size):
        raise ValueError(
            f"train, test: expected samples of equal shape, and not none, got {train.x.shape} and {test.x.shape}"
        )
    x, x_test = train.x.astype(dtype), test.x.astype(dtype)
    finite("test", x_test)
    mean, std = mean_and_std(lambda: iter([x]))
    for samples in (x, x_test):
        samples -= mean
        samples /= std
    return Dataset(x, train.labels), Dataset(x_test, test.labels)


def mean_and_std(blocks: Callable[[], Iterator[Array]]) -> tuple[float, float]:
    """Return mean and standard deviation of all numbers of the training set, summed in double precision.

    Args:
        blocks: begins a pass through the training set, in arrays of the precision it will have; is called twice.

    Raises:
        ValueError: see `standardize`.
    """
    total, count, lowest, highest = 0.0, 0, math.inf, -math.inf
    for x in blocks():
        finite("train", x)
        total, count = total + float(x.sum(dtype=np.float64)), count + x.size
        lowest, highest = min(lowest, float(x.min())), max(highest, float(x.max()))
    if lowest == highest:
        raise ValueError(f"train: expected values that are not all equal, got {lowest} everywhere")
    mean, squares = total / count, 0.0
    with np.errstate(over="ignore", under="ignore"):
        for x in blocks():
            deviation = x - mean
            squares += float(np.square(deviation, out=deviation).sum(dtype=np.float64))
    std = (squares / count) ** 0.5
    if not 0 < std < math.inf:
        largest = max(abs(lowest), abs(highest))
        raise ValueError(f"train: expected values whose squares {x.dtype} can hold, got some around {largest:.0e}")
    return mean, std
