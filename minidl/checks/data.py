"""The gate for data: users' data become arrays where their meaning is clear, and are refused with a remedy if not.

Lists, tuples, data frames and whatever else has NumPy's array protocol are converted, and so are floats of another
precision, True and False, and whole numbers among −1, 0 and 1. Other whole numbers are pixels, counts or codes, which a
network learns badly from as they are: they are refused, and floats of such a size cause a warning.
"""

import warnings
from collections.abc import Mapping
from math import prod
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, array_module, convert, on_host, to_numpy
from minidl.checks.arguments import instance
from minidl.checks.arrays import chunks, finite
from minidl.checks.labels import class_labels
from minidl.losses import Loss, NLLLoss
from minidl.model import Sequential

Pair: TypeAlias = tuple[Array, Array]
"""Samples (n, features), and labels (n,) or targets (n, K)."""

LARGEST_SCALE, SMALLEST_SCALE = 10.0, 0.01
"""A root mean square above the first, or no number above the second in size, is far from unit scale."""

LOOKED_AT = 256
"""Samples, at most, that are looked at to learn the scale of all."""


SCALE_INPUTS = (
    "bring them to mean 0 and standard deviation 1 with minidl.standardize, or, new ones, with the standardizer of the "
    "training set"
)
SCALE_TARGETS = "bring them to mean 0 and standard deviation 1, for example with minidl.Standardizer.of"


def as_array(name: str, values: Any) -> Array:
    """Return ``values`` as an array with at least one axis: itself, or made by NumPy's array protocol.

    Raises:
        TypeError: it cannot be made one, or has missing values in it.
    """
    if not on_host(values):
        return values  # type: ignore[no-any-return]
    kind = type(values).__name__
    if not hasattr(values, "__array__") and hasattr(values, "x") and hasattr(values, "labels"):
        raise TypeError(f"{name}: expected one array, got a {kind} with samples and labels; pass its x")
    if hasattr(values, "filled") and np.any(values.mask):  # np.asarray would uncover what is masked
        raise TypeError(f"{name}: expected numbers, got a {kind} in which some are missing; drop or fill them")
    try:
        array = values if type(values) in (np.ndarray, np.memmap) else np.asarray(values)
        if array.dtype == object and array.ndim:
            array = _of_objects(name, array)
    except (ValueError, RuntimeError) as error:  # of lists and arrays, or of other libraries' own
        rows = "; its rows have different lengths" if "inhomogeneous" in str(error) else ""
        alone = "; pass samples alone, without labels" if rows and isinstance(values, tuple) else ""
        how = f"{rows or f': {error}'}{alone}"
        raise TypeError(f"{name}: expected an array, got a {kind} that cannot be made one{how}") from None
    if not array.ndim:
        how = "; pass its toarray()" if hasattr(values, "toarray") else ""
        raise TypeError(f"{name}: expected an array, a list or a data frame, got {kind}{how}")
    return array


def _of_objects(name: str, array: Array) -> Array:
    """Return an array of Python's objects, as a data frame with mixed columns gives one, as numbers or texts."""
    plain = np.array(array.tolist())
    if plain.dtype != object:
        return plain
    try:
        return plain.astype("float64")
    except (TypeError, ValueError):
        odd = next(value for value in plain.ravel().tolist() if not isinstance(value, int | float))
        missing = odd is None or str(odd) in ("<NA>", "NaT", "nan")
        how = "drop or fill missing values" if missing else "make a number, or several, of each"
        raise TypeError(f"{name}: expected numbers, got {odd!r:.40} among them; {how}") from None


def pair(name: str, data: Any) -> Pair:
    """Return the two arrays of ``data``: a `minidl.Dataset`, or a pair (x, labels) of what `as_array` takes.

    Raises:
        TypeError, ValueError: it is none, or there are more samples than labels, or fewer.
    """
    try:
        if hasattr(data, "__array__") or isinstance(data, str | bytes | Mapping):
            raise TypeError
        x, labels = data
    except (TypeError, ValueError):
        got = type(data).__name__ + (f" of {len(data)}" if isinstance(data, tuple | list) else "")
        how = "; give samples and labels together, (x, labels)" if hasattr(data, "__array__") else ""
        if isinstance(data, zip) or (isinstance(data, list) and data and isinstance(data[0], tuple)):
            how = "; these are pairs of one sample and one label: x, labels = zip(*pairs) takes them apart"
        raise TypeError(f"{name}: expected a pair of arrays (x, labels), got {got}{how}") from None
    x, labels = as_array(name, x), as_array(f"{name}: labels", labels)
    if len(x) != len(labels):
        raise ValueError(f"{name}: expected {len(x)} labels, one per sample, got shape {labels.shape}")
    return x, labels


def check_sets(model: Sequential, loss: Loss, **sets: Any) -> list[Pair]:
    """Return the data sets that are not None, each ready for ``model`` and ``loss``; see `check_dataset`.

    A set far from unit scale causes a warning, one for all. The loss is tried on two samples of the first set.

    Args:
        model: is not changed.
        loss: `minidl.NLLLoss`, `minidl.MSELoss` or one of the user's own.
        sets: the data, by what errors call them.

    Raises:
        TypeError, ValueError: something does not fit; nothing has been changed.
    """
    check_loss(loss)
    checked = {name: check_dataset(name, data, model, loss) for name, data in sets.items() if data is not None}
    try_loss(model, loss, *next(iter(checked.values())))
    warned = warn_of_scale({f"{name}: the inputs": x for name, (x, _) in checked.items()}, SCALE_INPUTS)
    if is_regression(loss) and not warned:
        warn_of_scale({f"{name}: the targets": wanted for name, (_, wanted) in checked.items()}, SCALE_TARGETS)
    return list(checked.values())


def check_input(name: str, values: Any, model: Sequential) -> Array:
    """Return ``values`` ready for ``model``, as `samples` does; warn if they are far from unit scale."""
    instance("model", model, Sequential)
    x = samples(name, values, model)
    warn_of_scale({f"{name}: the inputs": x}, SCALE_INPUTS)
    return x


def check_dataset(name: str, data: Any, model: Sequential, loss: Loss | None = None) -> Pair:
    """Return samples and labels of ``data`` in the dtype of ``model`` and on its backend.

    Args:
        name: what errors call the data.
        data: a `minidl.Dataset`, or a pair (x, labels) of what `as_array` takes.
        model: is not changed.
        loss: says whether labels are classes or, in a regression, numbers; None for classes.

    Raises:
        TypeError, ValueError: something does not fit the model.
    """
    instance("model", model, Sequential)
    given, labels = pair(name, data)
    x = samples(name, given, model)
    if is_regression(loss):
        return x, targets(name, labels, len(x), model)
    labels = class_labels(name, labels, len(x), model.out_features)
    xp = array_module(model.params)
    return x, to_numpy(labels) if xp is np else xp.asarray(labels)


def samples(name: str, values: Any, model: Sequential) -> Array:
    """Return ``values`` as samples (n, features) for ``model``, in its dtype and on its backend.

    Raises:
        TypeError, ValueError: they have another shape, are no numbers, not finite, or whole numbers as pixels are.
    """
    x, like = as_array(name, values), model.params
    numeric(name, x)
    if x.ndim != 2 or not len(x) or model.in_features not in (None, x.shape[1]):
        what = "samples" if len(x) else "at least one sample:"
        expected = f"expected {what} (n, {model.in_features or 'features'}), n > 0, got shape {x.shape}"
        raise ValueError(f"{name}: {expected}{_other_shape(x.shape, model.in_features)}")
    if x.dtype.kind in "iu" and not (int(x.min()) >= -1 and int(x.max()) <= 1):
        raise TypeError(
            f"{name}: the model computes in {like.dtype}, got samples of {x.dtype} from {x.min()} to {x.max()}; "
            f"{SCALE_INPUTS}. If they are meant as they are, use numpy.asarray(x, {str(like.dtype)!r})"
        )
    return to_model(name, x, like)


def targets(name: str, values: Array, n: int, model: Sequential) -> Array:
    """Return the numbers that a regression is to predict as (n, K), in the dtype and on the backend of ``model``.

    Raises:
        TypeError, ValueError: they have another shape, or are no finite numbers.
    """
    numeric(f"{name}: labels", values)
    outputs = model.out_features
    rows = values.reshape(-1, 1) if values.ndim == 1 and outputs in (None, 1) else values
    if rows.ndim != 2 or outputs not in (None, rows.shape[1]):
        expected = f"expected numbers ({n}, {outputs or 'K'}), as many as the model has outputs"
        raise ValueError(f"{name}: labels: {expected}, got shape {values.shape}")
    return to_model(f"{name}: labels", rows, model.params)


def numeric(name: str, x: Array) -> None:
    """Raise a TypeError unless the entries of ``x`` are real numbers, or True and False."""
    kind = x.dtype.kind
    if kind in "biuf":
        return
    what = {"c": "complex numbers", "M": "dates", "m": "spans of time", "V": "a structured array"}.get(kind, "text")
    how = "make a number, or several, of each"
    if kind in "US":
        where, odd = _first_text(x)
        what += f", such as {odd!r:.40}{where}" if odd else ""
        how = (
            "give each category a column of 0 and 1" if odd else "they are numbers as text: use numpy.asarray(x, float)"
        )
    raise TypeError(f"{name}: expected numbers, got {what}; {how}")


def to_model(name: str, x: Array, like: Array) -> Array:
    """Return ``x`` in the dtype and on the backend of ``like``, in C order, with all its numbers checked to be finite.

    Raises:
        TypeError: it is a mapped file of another dtype, which would have to be read into memory as a whole.
        ValueError: there are NaN, infinity or numbers that the dtype cannot hold.
    """
    if isinstance(x, np.memmap) and x.dtype != like.dtype:
        how = "write the file in that dtype, or read it into memory with numpy.array"
        raise TypeError(f"{name}: the model computes in {like.dtype}, got a mapped file of {x.dtype}; {how}")
    with np.errstate(over="ignore"):
        converted = convert(x, like)
    if on_host(converted) and not converted.flags.c_contiguous:
        converted = np.ascontiguousarray(converted)  # other orders are slower, and round differently in some products
    try:
        finite(name, converted)
    except ValueError as error:
        raise ValueError(f"{error}{_first_bad(x, like)}") from None
    return converted


def check_loss(loss: Any) -> None:
    """Raise a TypeError if ``loss`` is no object with the two methods of `minidl.losses.Loss`."""
    methods = [getattr(loss, name, None) for name in ("forward", "backward")]
    if isinstance(loss, type) or not all(map(callable, methods)):
        expected = "an object with forward(y, labels) and backward(), such as minidl.NLLLoss()"
        raise TypeError(f"loss: expected {expected}, got {loss!r}")


def try_loss(model: Sequential, loss: Loss, x: Array, labels: Array) -> None:
    """Compute the loss of two samples and its gradient, as in evaluation, to see whether it suits the model's output.

    Raises:
        TypeError: it does not return a number.
        ValueError: its gradient has another shape than the output; or it takes log-probabilities, and there are none.
    """
    name = type(loss).__name__
    with np.errstate(over="ignore", invalid="ignore"):
        y = model.forward(x[:2])
        total = float(array_module(y).exp(y[0]).sum())
        if isinstance(loss, NLLLoss) and abs(total - 1) > 0.01:  # false for NaN, whose cause is another
            raise ValueError(
                f"model: {name} expects log-probabilities, whose exponentials sum to 1 in each row; the first row sums "
                f"to {total:.4g}. End the model with minidl.LogSoftmax()"
            )
        value = loss.forward(y, labels[:2])
        try:
            float(value)
        except (TypeError, ValueError):
            got = f"shape {value.shape}" if hasattr(value, "shape") else type(value).__name__
            raise TypeError(f"loss: {name}.forward must return one number, the batch's mean, got {got}") from None
        dy = getattr(loss.backward(), "shape", None)
    if dy != y.shape:
        expected = f"the gradient with respect to the model's output, {y.shape}"
        raise ValueError(f"loss: {name}.backward must return {expected}, got {'no array' if dy is None else dy}")


def is_regression(loss: Any) -> bool:
    """Return whether a loss is for numbers instead of classes: it has an attribute ``regression``."""
    return bool(getattr(loss, "regression", False))


def warn_of_scale(arrays: Mapping[str, Array], remedy: str) -> bool:
    """Warn the caller of a public function of the first array that is far from unit scale; return whether one is."""
    for name, x in arrays.items():
        looked_at = x[:: max(1, len(x) // LOOKED_AT)].astype("float64")
        with np.errstate(over="ignore"):  # the square of 1e200 is infinite, and far from unit scale
            scale, largest = float((looked_at * looked_at).mean()) ** 0.5, float(abs(looked_at).max())
        if scale > LARGEST_SCALE or 0 < largest < SMALLEST_SCALE:
            size = f"root mean square {scale:.2g}" if scale > LARGEST_SCALE else f"none above {largest:.2g} in size"
            message = f"{name} are far from unit scale ({size}), so training may diverge or stand still; {remedy}"
            warnings.warn(message, UserWarning, stacklevel=4)
            return True
    return False


def _other_shape(shape: tuple[int, ...], features: int | None) -> str:
    """Return a remedy for samples of this shape, for the end of an error message."""
    if prod(shape) == features:
        return "; a single sample is a row as well: numpy.reshape(x, (1, -1))"
    if len(shape) > 2 and features in (None, prod(shape[1:])):
        return "; flatten each sample to a row: numpy.reshape(x, (len(x), -1))"
    if len(shape) == 2 and shape[0] == features:
        return "; samples are rows, features columns: use numpy.transpose(x)"
    if len(shape) == 1 and features in (None, 1):
        return "; make a column of a single feature: numpy.reshape(x, (-1, 1))"
    return ""


def _first_text(x: Array) -> tuple[str, str]:
    """Return where the first text stands that is no number, and the text; two empty ones if all are numbers."""
    for place in np.ndindex(x.shape):
        try:
            float(x[place])
        except ValueError:
            return (f" in column {place[1]}" if len(place) == 2 else ""), str(x[place])
    return "", ""


def _first_bad(x: Array, like: Array) -> str:
    """Return where the first number stands that ``like`` cannot hold, to stand at the end of an error."""
    start = 0
    for chunk in chunks(x) if on_host(x) else ():
        places = np.argwhere(~np.isfinite(chunk))
        if len(places):
            row, column = start + places[0][0], places[0][1]
            return f"; the first is in row {row}, column {column}. Drop such rows, or fill them in"
        start += len(chunk)
    return f"; {like.dtype} cannot hold numbers as large as some of these" if on_host(x) else ""
