"""Samples with labels, taken in random batches.

MNIST comes with the package: 60,000 training and 10,000 test images of handwritten digits, 28 × 28 grey pixels each. A
network sees them as rows of 784 features. The batch size B says how many samples share an update, and so gives three
modes of training on n samples:

    batch mode          B = n        one update per epoch
    mini-batch mode     1 < B < n    ⌈n/B⌉ updates per epoch
    stochastic mode     B = 1        n updates per epoch
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from numpy.typing import ArrayLike

from minidl.backend import Array, Generator, Seed, array_module
from minidl.checks import flag, generator, positive, positive_int
from minidl.checks.data import Pair, pair
from minidl.inspection.curves import table_of_data
from minidl.loop import Schedule
from minidl.preparation.splitting import chosen_rows, split_rows

if TYPE_CHECKING:
    from minidl.preparation.standardization import Standardizer


class Dataset:
    """Samples with their labels. ``x, labels = data`` takes them apart; ``len``, slices and rows refer to samples.

    Args:
        x: the samples, one per row, (n, features): an array, or a list or data frame to make one from.
        labels: the class of each sample, integers from 0, (n,); or numbers to predict, see `minidl.MSELoss`.
        standardizer: how ``x`` was shifted and scaled; `minidl.standardize` keeps it here.
    """

    def __init__(self, x: ArrayLike, labels: ArrayLike, standardizer: Standardizer | None = None):
        self.x, self.labels = pair("data", (x, labels))
        self.standardizer = standardizer

    def __iter__(self) -> Iterator[Array]:
        return iter((self.x, self.labels))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> Self:
        """Return some of the samples, chosen by a slice, by a list of their numbers, or by a mask of True and False."""
        rows = chosen_rows(rows, self.x)
        return type(self)(self.x[rows], self.labels[rows], self.standardizer)

    def split(self, first: float, *, seed: Seed = None, stratify: bool = False) -> tuple[Self, Self]:
        """Return two parts, drawn at random: for training and for validation, say, ``data.split(0.9, seed=0)``.

        Args:
            first: the fraction of the samples for the first part, or their number.
            seed: for the draw; the same seed gives the same parts.
            stratify: give each part its proportion of each class, instead of leaving that to chance.
        """
        labels = self.labels if flag("stratify", stratify) else None
        one, other = split_rows(len(self), first, generator("seed", seed), labels)
        return self[one], self[other]

    def __repr__(self) -> str:
        return f"Dataset({len(self):,} samples {self.x.shape} {self.x.dtype}, labels {self.labels.dtype})"

    _repr_html_ = table_of_data


Data: TypeAlias = Dataset | tuple[ArrayLike, ArrayLike]
"""A data set, or a pair of samples and labels; lists and data frames are converted."""


def load_mnist(dtype: str = "float32") -> tuple[Dataset, Dataset]:
    """Load the MNIST that comes with the package, verified and standardised.

    Returns:
        The training set, 60,000 samples, and the test set, 10,000, of 784 features each. The pixels are shifted and
        scaled so that the training set has mean 0 and standard deviation 1: see `minidl.standardize`.

    Raises:
        ValueError: a file is damaged: its SHA-256 is not that of the original; or ``dtype`` is no float type.

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition".
    """
    from importlib.resources import as_file, files  # here, because importing minidl should cost little

    from minidl.files.idx import MNIST_SHA256, load_idx

    with as_file(files("minidl") / "data" / "mnist") as folder:
        return load_idx(folder, dtype, MNIST_SHA256)


def minibatches(
    data: Data, batch_size: int | Schedule, rng: Generator, epoch: int = 0
) -> Iterator[tuple[Array, Array]]:
    """Yield all of ``data`` once, in random order, as batches (B, features) and (B,).

    The samples are shuffled, not the batches, so that every epoch has other batches. All samples are used, so the last
    batch may be shorter.

    Args:
        data: samples and labels.
        batch_size: B, or a schedule of it.
        rng: draws the order, in main memory.
        epoch: the time at which the first batch is taken, for a schedule.

    Raises:
        TypeError, ValueError: a batch size is not a whole number from 1 to n.
    """
    x, labels = pair("data", data)
    yield from take((x, labels), rng.permutation(len(x)), batch_size, epoch)


def take(
    data: Dataset | Pair, order: Array, batch_size: int | Schedule, epoch: int, seen: int = 0
) -> Iterator[tuple[Array, Array]]:
    """Yield ``data`` in the given order, without the first ``seen`` samples, as batches (B, features) and (B,)."""
    x, labels = data
    order = array_module(x).asarray(order)
    for start, stop in batch_bounds(len(x), batch_size, epoch, seen):
        batch = order[start:stop]
        yield x.take(batch, axis=0), labels.take(batch, axis=0)


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
