"""The figure of chapter 39: the law, gradients of batches and samples, the distance travelled, and the minima."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.plots import (
    BATCHES,
    BLUE,
    GREY,
    SKY,
    VERMILION,
    Panel,
    Panels,
    band,
    compose,
    legend_below,
    logarithmic,
    over_seeds,
)
from lab.results import Results
from lab.sharpness import LINE, RADII
from lab.verdicts.chapter39 import SIZES, TIMES, looks, mean_lengths, travelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = dict(zip(SIZES, ("-", "--", "-."), strict=True))


def panels(results: Results) -> Panels:
    """Return all panels."""
    epochs = results.settings["epochs"]
    histograms = "Three histograms of the lengths of batch gradients, on a logarithmic axis, one for each batch size. "
    return {
        "law": Panel(
            "The law, at the same weights",
            "Mean squared length of a batch's gradient against the batch size, both logarithmic. The curve that is "
            "predicted falls and flattens towards a dotted line; the points measured, one for each seed, lie about it, "
            "far apart at large batches.",
            draw_law,
            height=4.1,
        ),
        "early": Panel(
            "Early: after 1 epoch, each at its own weights",
            histograms + "Batch 1024 is the narrowest and lies farthest left, batch 64 is the widest.",
            partial(draw_lengths, time="early"),
        ),
        "late": Panel(
            f"Late: after {epochs} epoch{'s' * (epochs > 1)}, each at its own weights",
            histograms + "All lie farther left than early, and batch 64 has spread.",
            partial(draw_lengths, time="late"),
        ),
        "reductions": Panel(
            "Two reductions: the sum grows almost by definition",
            "Length of a batch's gradient against the batch size, both logarithmic. Two curves of sums rise, two of "
            "means, below them, fall; those of late in training are dashed and lie lower.",
            draw_reductions,
        ),
        "angles": Panel(
            "Samples of one batch of 64",
            "Histograms of the cosine between two samples' gradients, early and late: a narrow peak at zero, and a "
            "small hump to the right.",
            draw_angles,
        ),
        "way_epochs": Panel(
            "The way, against epochs",
            "Distance from the initial weights against epochs. All three curves rise, fast at first.",
            partial(draw_distance, against="epochs"),
            ends=True,
        ),
        "way_updates": Panel(
            "The way, against updates",
            "The same against updates, on a logarithmic axis: the three curves lie almost on one another and bend "
            "upwards.",
            partial(draw_distance, against="updates"),
        ),
        "sharpness": Panel(
            "Keskar: sharpness, a point a seed",
            "Sharpness on a logarithmic axis, for two sizes of the box; in each, points of the small batch and, beside "
            "them, of the large batch.",
            draw_sharpness,
        ),
        "line": Panel(
            "Along the line through both minima",
            "Loss on a logarithmic axis along a line through the end of the small batch, at 0, and of the large batch, "
            "at 1. The test loss is nearly flat; the training loss falls all the way to 1 and rises steeply behind it.",
            draw_line,
        ),
    }


def draw(results: Results, path: Path) -> None:
    """Draw all panels into one picture."""
    title = f"Chapter 39: what the batch size does to the gradient{over_seeds(results)}"
    compose(panels(results), results, path, title, columns=3)


def draw_law(ax: Axes, results: Results) -> None:
    """Draw E‖g‖² as predicted, and as measured."""
    law = np.array([run["law"] for run in results.called("law")])
    sizes, predicted, measured = law[0, :, 0], law[:, :, 1], law[:, :, 2]
    floor = np.mean([run["full_gradient"] ** 2 for run in results.called("law")])
    points = np.tile(sizes, len(law)), measured.ravel()
    ax.plot(sizes, predicted.mean(axis=0), color=GREY, label="‖G‖² + tr(Σ)/B · (N − B)/(N − 1)")
    ax.plot(*points, "o", color=BLUE, alpha=0.6, label="measured, one point a seed")
    ax.axhline(floor, color=GREY, linestyle=":", label="‖G‖²")
    ax.set(xscale="log", xlabel="batch size B", yscale="log", ylabel="mean of ‖g‖²")
    name_sizes(ax, sizes.astype(int).tolist())
    logarithmic(ax.yaxis)
    legend_below(ax, 1)


def name_sizes(ax: Axes, sizes: list[int]) -> None:
    """Name the batch sizes on a logarithmic axis."""
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.xaxis.minorticks_off()


def draw_lengths(ax: Axes, results: Results, time: str) -> None:
    """Draw histograms of the lengths of batch gradients, of all seeds together."""
    norms = looks(results, "norms")
    pooled = {size: norms[time, size].ravel() for size in SIZES}
    edges = np.geomspace(min(map(min, pooled.values())), max(map(max, pooled.values())), 40).tolist()
    for size, values in pooled.items():
        ax.hist(values, edges, histtype="stepfilled", color=BATCHES[size], alpha=0.6, label=f"batch {size}")
        ax.hist(values, edges, histtype="step", color=BATCHES[size], linestyle=STYLES[size])
    ax.set(xscale="log", xlabel="length of a batch's mean gradient", ylabel="batches")
    logarithmic(ax.xaxis)
    ax.legend()


def draw_reductions(ax: Axes, results: Results) -> None:
    """Draw the lengths of means and of sums against the batch size."""
    sizes, lengths = np.array(SIZES, float), mean_lengths(results)
    for time, style in zip(TIMES, ("-", "--"), strict=True):
        means = np.stack([lengths[time, size] for size in SIZES], axis=1)
        band(ax, sizes, means * sizes, VERMILION, f"sum, {time}", marker="s", linestyle=style)
        band(ax, sizes, means, BLUE, f"mean, {time}", marker="o", linestyle=style)
    ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel="length of a batch's gradient")
    name_sizes(ax, list(SIZES))
    logarithmic(ax.yaxis)
    ax.legend(loc="center right")


def draw_angles(ax: Axes, results: Results) -> None:
    """Draw the histogram of cosines between the gradients of samples in a batch of 64."""
    edges = np.linspace(-1, 1, 41)
    styles: tuple[dict[str, Any], ...] = {"fill": True, "color": SKY}, {"color": VERMILION, "linewidth": 1.6}
    for time, style in zip(TIMES, styles, strict=True):
        counts = np.sum([run["gradients"][time]["cosines"] for run in results.called("batch 64")], axis=0)
        ax.stairs(100 * counts / counts.sum(), edges, label=time, **style)
    ax.axvline(0, color=GREY, linewidth=1)
    ax.set(xlabel="cosine between two samples' gradients", ylabel="pairs (%)", xticks=[-1, -0.5, 0, 0.5, 1])
    ax.legend()


def draw_distance(ax: Axes, results: Results, against: str) -> None:
    """Draw the distance from the initial weights."""
    n = results.settings["train_size"]
    for size in SIZES:
        samples, distance = travelled(results, size)
        style: dict[str, Any] = {"colour": BATCHES[size], "label": f"batch {size}", "linestyle": STYLES[size]}
        if against == "epochs":
            band(ax, samples / n, distance, **style)
        else:  # 0 has no logarithm
            band(ax, samples[1:] / size, distance[:, 1:], **style)
    ax.set(xlabel="epochs", ylabel="distance from the initial weights")
    if against == "updates":
        ax.set(xlabel="updates (logarithmic)", xscale="log")
        logarithmic(ax.xaxis)
    ax.legend()
    ax.grid(alpha=0.3)


def draw_sharpness(ax: Axes, results: Results) -> None:
    """Draw the sharpness of the minima of small and of large batches."""
    for name, colour, marker, shift in (("small", BLUE, "o", -0.08), ("large", VERMILION, "s", 0.08)):
        values = np.array([run[name]["sharpness"] for run in results.called("minima")])
        for column in range(len(RADII)):
            x = np.full(len(values), column + shift)
            ax.plot(x, values[:, column], marker, color=colour, label=None if column else f"{name} batch")
    ax.set(xticks=range(len(RADII)), xticklabels=[f"ε = {radius:g}" for radius in RADII], xlim=(-0.5, 1.5))
    ax.set(yscale="log", ylabel="sharpness (%, logarithmic)")
    logarithmic(ax.yaxis)
    ax.legend()


def draw_line(ax: Axes, results: Results) -> None:
    """Draw the loss on the line from the small batch's minimum to the large batch's."""
    curves = np.array([run["line"] for run in results.called("minima")])  # (seeds, points, 2)
    for part, (label, colour, style) in enumerate((("training images", BLUE, "-"), ("test images", VERMILION, "--"))):
        band(ax, np.array(LINE), curves[:, :, part], colour, label, linestyle=style)
    for place, name in ((0, "small"), (1, "large")):
        ax.axvline(place, color=GREY, linewidth=1)
        where: dict[str, Any] = {
            "xycoords": ("data", "axes fraction"),
            "xytext": (-3, -3),
            "textcoords": "offset points",
        }
        ax.annotate(name, (place, 1), **where, ha="right", va="top")
    ax.set(yscale="log", xlabel="position on the line", ylabel="loss (logarithmic)", xticks=[-0.5, 0, 0.5, 1, 1.5])
    logarithmic(ax.yaxis)
    legend_below(ax, 2)
