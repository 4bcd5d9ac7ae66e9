"""Standardising: samples shifted and scaled to mean 0 and standard deviation 1, which is what initial weights expect.

Mean and standard deviation are learned from the training set. They belong to the trained model as its weights do: the
network can only use a new sample that has been shifted and scaled by the same numbers.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike

from minidl.backend import Array, array_module, to_numpy
from minidl.checks.arguments import flag, float_type, number, positive
from minidl.checks.arrays import chunks, finite
from minidl.checks.data import as_array, numeric, pair
from minidl.datasets import Data, Dataset


@overload
def standardize(train: Data, test: None = None, dtype: str = "float32", *, per_feature: bool = False) -> Dataset: ...
@overload
def standardize(
    train: Data, test: Data, dtype: str = "float32", *, per_feature: bool = False
) -> tuple[Dataset, Dataset]: ...
def standardize(
    train: Data, test: Data | None = None, dtype: str = "float32", *, per_feature: bool = False
) -> Dataset | tuple[Dataset, Dataset]:
    """Shift and scale all features by two numbers, so that the training set has mean 0 and standard deviation 1.

        x ← (x − mean) / std

    The initial weights are made for inputs of mean 0 and variance 1 (see `minidl.initializers`). The test set is
    scaled by the two numbers of the training set: nothing may be learned from it, not even its mean. On MNIST, with
    pixels from 0 to 1, they are 0.1307 and 0.3081. ``train.standardizer`` keeps them for new samples.

    Args:
        train: samples of any real numbers, such as pixels from 0 to 255, and their labels.
        test: the same for the test set, if there is one.
        dtype: of the result, ``"float32"`` or ``"float64"``.
        per_feature: use two numbers for each feature, for a table whose columns have different units. A column of
            equal values becomes 0. Pixels need one scale for all, or one that is nearly always black would be blown up.

    Raises:
        TypeError, ValueError: there are no samples, or they have different shapes; or not all are finite numbers; or
            all are equal, or too large or too small to be squared in ``dtype``.
    """
    x, labels = pair("train", train)
    scale = Standardizer.of(x, dtype, per_feature=per_feature, name="train")
    whole = scale.after(train.standardizer) if isinstance(train, Dataset) and train.standardizer is not None else scale
    if test is None:
        return Dataset(scale.scaled("train", x), labels, whole)
    other, test_labels = pair("test", test)
    if x.shape[1:] != other.shape[1:] or not other.size:
        raise ValueError(f"train, test: expected samples of equal shape, and not none, got {x.shape} and {other.shape}")
    other = scale.scaled("test", other)
    finite("test", other)
    return Dataset(scale.scaled("train", x), labels, whole), Dataset(other, test_labels, whole)


class Standardizer:
    """Compute (x − mean) / std with the numbers of a training set: call it with samples.

    `minidl.standardize` keeps the one it has used as ``train.standardizer``, and `minidl.save` stores it with a model.

    Args:
        mean: one number for all features, or one for each, (features,).
        std: the same, above 0.
        dtype: of the results, ``"float32"`` or ``"float64"``.

    Attributes:
        mean: as given: a float, or an array in float64.
        std: the same.
        dtype: as given.

    Raises:
        TypeError, ValueError: an argument is not as described.
    """

    mean: Any
    std: Any

    def __init__(self, mean: ArrayLike, std: ArrayLike, dtype: str = "float32"):
        self.dtype = float_type("dtype", dtype)
        if np.ndim(mean) == np.ndim(std) == 0:
            self.mean, self.std = number("mean", mean, lambda _: True, "a finite number"), positive("std", std)
            return
        self.mean, self.std = np.array(mean, "float64"), np.array(std, "float64")
        finite("mean", self.mean)
        finite("std", self.std)
        if self.mean.shape != self.std.shape or not (self.std > 0).all():
            raise ValueError(
                f"mean, std: expected one number above 0 in std for each in mean, got shapes {self.mean.shape} and "
                f"{self.std.shape}, least std {self.std.min():g}"
            )

    @classmethod
    def of(cls, x: ArrayLike, dtype: str = "float32", *, per_feature: bool = False, name: str = "x") -> Self:
        """Return the standardizer of samples ``x``, which errors call ``name``; see `minidl.standardize`."""
        samples, dtype = as_array(name, x), float_type("dtype", dtype)
        return cls(*measured(name, samples, dtype, flag("per_feature", per_feature)), dtype)

    def __call__(self, x: ArrayLike) -> Array:
        """Return samples (n, …) shifted and scaled; they are not changed.

        Raises:
            TypeError, ValueError: they are no finite numbers, or have other features than the training set had.
        """
        result = self.scaled("x", as_array("x", x))
        finite("x", result)
        return result

    def scaled(self, name: str, x: Array) -> Array:
        """Do the same with an array that errors call ``name``, without checking that the numbers are finite."""
        numeric(name, x)
        if isinstance(self.mean, float):
            result: Array = x.astype(self.dtype)
            result -= self.mean
            result /= self.std
        else:
            if x.shape[1:] != self.mean.shape:
                features = ", ".join(map(str, self.mean.shape))
                raise ValueError(f"{name}: expected samples (n, {features}), as in training, got shape {x.shape}")
            xp = array_module(x)
            mean, std = xp.asarray(self.mean), xp.asarray(self.std)
            result = xp.empty(x.shape, self.dtype)
            for rows, out in zip(chunks(x), chunks(result), strict=True):
                out[...] = ((rows - mean) / std).astype(self.dtype)  # in float64 until here: 1e8 + 1 is no float32
        return result

    def after(self, earlier: "Standardizer") -> "Standardizer":
        """Return one that does in a single step what ``earlier`` and then this one do."""
        return Standardizer(earlier.mean + earlier.std * self.mean, earlier.std * self.std, self.dtype)

    def __repr__(self) -> str:
        if isinstance(self.mean, float):
            return f"Standardizer(mean={self.mean:.4g}, std={self.std:.4g}, dtype={self.dtype!r})"
        return f"Standardizer({self.mean.size} means and standard deviations, dtype={self.dtype!r})"


def measured(name: str, x: Array, dtype: str, per_feature: bool) -> tuple[Any, Any]:
    """Return mean and standard deviation of samples (n, …): of all their numbers, or of each feature."""
    numeric(name, x)
    if not x.size:
        raise ValueError(f"{name}: expected at least one sample, got shape {x.shape}")
    if per_feature:
        return by_feature(name, x)
    whole = x.astype(dtype, copy=False)
    return mean_and_std(lambda: iter([whole]), name)


def mean_and_std(blocks: Callable[[], Iterator[Array]], name: str = "train") -> tuple[float, float]:
    """Return mean and standard deviation of all numbers of the training set, summed in double precision.

    Args:
        blocks: begins a pass through the training set, in arrays of the precision it will have; is called twice.
        name: what errors call the training set.

    Raises:
        ValueError: see `minidl.standardize`.
    """
    total, count, lowest, highest = 0.0, 0, math.inf, -math.inf
    for x in blocks():
        finite(name, x)
        total, count = total + float(x.sum(dtype=np.float64)), count + x.size
        lowest, highest = min(lowest, float(x.min())), max(highest, float(x.max()))
    if lowest == highest:
        raise ValueError(f"{name}: expected values that are not all equal, got {lowest} everywhere")
    mean, squares = total / count, 0.0
    with np.errstate(over="ignore", under="ignore"):
        for x in blocks():
            deviation = x - mean
            squares += float(np.square(deviation, out=deviation).sum(dtype=np.float64))
    std = (squares / count) ** 0.5
    if not 0 < std < math.inf:
        largest = max(abs(lowest), abs(highest))
        raise ValueError(f"{name}: expected values whose squares {x.dtype} can hold, got some around {largest:.0e}")
    return mean, std


def by_feature(name: str, x: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of each feature, in double precision; 1 where all values are equal.

    Raises:
        ValueError: see `minidl.standardize`.
    """
    finite(name, x)
    mean = sum(rows.sum(axis=0, dtype="float64") for rows in chunks(x)) / len(x)
    with np.errstate(over="ignore", under="ignore"):
        std: Any = (sum(((rows - mean) ** 2).sum(axis=0) for rows in chunks(x)) / len(x)) ** 0.5
    mean, std = to_numpy(mean), to_numpy(std)
    constant = to_numpy(x.min(axis=0) == x.max(axis=0))
    std[constant] = 1.0
    if not (np.isfinite(std) & (std > 0)).all():
        raise ValueError(f"{name}: expected values whose squares float64 can hold, got some around {abs(x).max():.0e}")
    return mean, std
