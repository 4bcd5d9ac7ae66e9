"""The mistakes of a model: the classes that it confuses, and the images themselves."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from minidl.backend import Array, array_module, to_numpy
from minidl.checks import positive_int
from minidl.checks.data import check_dataset
from minidl.datasets import Data
from minidl.fitting import predict
from minidl.inspection.curves import new_axes
from minidl.model import Sequential

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def classes(model: Sequential, x: ArrayLike) -> Array:
    """Return the most probable class of each sample: (n, in_features) -> integers (n,).

    Raises:
        ValueError, TypeError: as `minidl.predict`; or the output has a single column, or NaN in it.
    """
    y = predict(model, x)
    if y.shape[1] == 1:
        raise ValueError("model: expected an output for each class, got one; use minidl.predict for numbers")
    if bool(array_module(y).isnan(y).any()):
        raise ValueError("model: its output has NaN in it, so no class is the most probable; see fit(debug=True)")
    found: Array = y.argmax(axis=1)
    return found


def confusion_matrix(model: Sequential, data: Data) -> Array:
    """Count how often samples of each class are assigned to each class.

    Args:
        model: a trained model with K classes.
        data: samples (n, in_features) and labels (n,), integers from 0 to K − 1.

    Returns:
        Integers (K, K): a row for each right class, a column for each predicted one. Right answers are on the diagonal.

    Raises:
        ValueError, TypeError: ``data`` does not fit the model.
    """
    x, labels = check_dataset("data", data, model)
    given, right = to_numpy(classes(model, x)), to_numpy(labels)
    k = int(model.out_features or max(given.max(), right.max()) + 1)
    counts: Array = np.bincount(k * right.astype(np.int64) + given, minlength=k * k).reshape(k, k)
    return counts


def plot_confusion_matrix(matrix: Array, axes: "Axes | None" = None) -> "Axes":
    """Draw a confusion matrix, mistakes shaded by how many there are, and return the axes."""
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix: expected one from minidl.confusion_matrix, (K, K), got shape {matrix.shape}")
    axes = axes or new_axes()
    wrong = matrix * (1 - np.eye(len(matrix), dtype=int))
    axes.imshow(wrong, cmap="Oranges", vmin=0)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if wrong[row, column] > 0.6 * wrong.max() else "black"
            axes.text(column, row, str(count), color=colour, ha="center", va="center", fontsize="small")
    ticks = range(len(matrix))
    axes.set(xlabel="class given by the model", ylabel="right class", xticks=ticks, yticks=ticks)
    return axes


def plot_mistakes(model: Sequential, data: Data, shape: tuple[int, int] = (28, 28), most: int = 20) -> "Figure":
    """Draw the images that ``model`` gets wrong, the most confident mistakes first, and return the figure.

    Args:
        model: a trained model whose output is log-probabilities.
        data: images (n, height · width) and labels (n,).
        shape: height and width.
        most: the largest number of images to draw.

    Raises:
        ValueError, TypeError: an argument is not as described.
    """
    from matplotlib import pyplot as plt

    x, labels = check_dataset("data", data, model)
    most, (height, width) = positive_int("most", most), shape
    if x.shape[1:] != (height * width,):
        raise ValueError(f"shape: expected height and width of images with {x.shape[1:]} pixels, got {shape}")
    log_p = predict(model, x)
    given = log_p.argmax(axis=1)
    wrong = to_numpy(array_module(x).flatnonzero(given != array_module(x).asarray(labels)))
    host, images, right = to_numpy(log_p), to_numpy(x), to_numpy(labels)
    chosen = sorted(wrong.tolist(), key=lambda i: -float(host[i].max()))[:most]
    rows = max(1, -(-len(chosen) // 5))
    figure, axes = plt.subplots(rows, 5, figsize=(7.5, 1.9 * rows), layout="constrained", squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, i in zip(axes.flat, chosen, strict=False):
        ax.imshow(images[i].reshape(height, width), cmap="gray_r")
        ax.set_title(f"{right[i]}, taken for {host[i].argmax()}\n({np.exp(host[i].max()):.0%})", fontsize="small")
    figure.suptitle(f"{len(wrong):,} of {len(x):,} images are wrong" + (f"; {len(chosen)} of them" if chosen else ""))
    return figure
