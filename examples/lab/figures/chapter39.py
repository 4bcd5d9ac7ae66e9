"""The figure of chapter 39: the law, gradients of batches and samples, the distance travelled, and the minima."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lab.plots import band, over_seeds, save_figure
from lab.results import Results
from lab.sharpness import LINE, RADII
from lab.verdicts.chapter39 import SIZES, TIMES, looks, mean_lengths, travelled

COLOURS = dict(zip(SIZES, ("tab:orange", "tab:green", "#b58fd6"), strict=True))


def draw(results: Results, path: Path) -> None:
    """Draw all panels."""
    figure, axes = plt.subplots(3, 3, figsize=(14, 11.5), layout="constrained")
    figure.suptitle(f"Chapter 39: what the batch size does to the gradient{over_seeds(results)}")
    draw_law(axes[0, 0], results)
    draw_lengths(axes[0, 1], results, "early", 1)
    draw_lengths(axes[0, 2], results, "late", results.settings["epochs"])
    draw_reductions(axes[1, 0], results)
    draw_angles(axes[1, 1], results)
    draw_distances(axes[1, 2], axes[2, 0], results)
    draw_sharpness(axes[2, 1], results)
    draw_line(axes[2, 2], results)
    save_figure(figure, path)


def draw_law(ax: Axes, results: Results) -> None:
    """Draw E‖g_B‖² as predicted, and as measured."""
    law = np.array([run["law"] for run in results.called("law")])
    sizes, predicted, measured = law[0, :, 0], law[:, :, 1], law[:, :, 2]
    floor = np.mean([run["full_gradient"] ** 2 for run in results.called("law")])
    points = np.tile(sizes, len(law)), measured.ravel()
    ax.plot(sizes, predicted.mean(axis=0), color="0.5", label="‖G‖² + tr(Σ)/B · (N − B)/(N − 1)")
    ax.plot(*points, "o", color="tab:blue", alpha=0.6, label="measured, one point a seed")
    ax.axhline(floor, color="0.5", linestyle=":", label="‖G‖²")
    ax.set(xscale="log", xlabel="batch size B", yscale="log", ylabel="mean of ‖g_B‖²")
    ax.set_title("The law, at the same weights")
    ax.legend()


def draw_lengths(ax: Axes, results: Results, time: str, after: int) -> None:
    """Draw histograms of the lengths of batch gradients, of all seeds together."""
    norms = looks(results, "norms")
    pooled = {size: norms[time, size].ravel() for size in SIZES}
    edges = np.geomspace(min(map(min, pooled.values())), max(map(max, pooled.values())), 40).tolist()
    for size, colour in COLOURS.items():
        ax.hist(pooled[size], edges, histtype="stepfilled", color=colour, alpha=0.6, label=f"batch {size}")
    ax.set(xscale="log", xlabel="length of a batch's mean gradient", ylabel="batches")
    ax.set_title(f"{time}: after {after} epoch{'s' * (after > 1)}, each at its own weights")
    ax.legend()


def draw_reductions(ax: Axes, results: Results) -> None:
    """Draw the lengths of means and of sums against the batch size."""
    sizes, lengths = np.array(SIZES, float), mean_lengths(results)
    for time, style in zip(TIMES, ("-", "--"), strict=True):
        means = np.stack([lengths[time, size] for size in SIZES], axis=1)
        band(ax, sizes, means * sizes, "tab:red", f"sum, {time}", marker="o", linestyle=style)
        band(ax, sizes, means, "tab:blue", f"mean, {time}", marker="o", linestyle=style)
    ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel="length of a batch's gradient")
    ax.set(xticks=sizes, xticklabels=SIZES, title="Two reductions: the sum grows, by definition nearly")
    ax.minorticks_off()
    ax.legend()


def draw_angles(ax: Axes, results: Results) -> None:
    """Draw the histogram of cosines between the gradients of samples in a batch of 64."""
    edges = np.linspace(-1, 1, 41)
    for time, colour in zip(TIMES, ("tab:cyan", "tab:brown"), strict=True):
        counts = np.sum([run["gradients"][time]["cosines"] for run in results.called("batch 64")], axis=0)
        ax.stairs(100 * counts / counts.sum(), edges, fill=True, color=colour, alpha=0.5, label=time)
    ax.axvline(0, color="0.3", linewidth=1)
    ax.set(xlabel="cosine between two samples' gradients", ylabel="pairs (%)", title="Samples of one batch of 64")
    ax.set_xticks([-1, -0.5, 0, 0.5, 1])
    ax.legend()


def draw_distances(against_epochs: Axes, against_updates: Axes, results: Results) -> None:
    """Draw the distance from the initial weights."""
    n = results.settings["train_size"]
    for size, colour in COLOURS.items():
        samples, distance = travelled(results, size)
        band(against_epochs, samples / n, distance, colour, f"batch {size}")
        band(against_updates, samples[1:] / size, distance[:, 1:], colour, f"batch {size}")  # 0 has no logarithm
    against_epochs.set(xlabel="epochs", title="The way, against epochs")
    against_updates.set(xlabel="updates (logarithmic)", xscale="log", title="The way, against updates")
    for ax in (against_epochs, against_updates):
        ax.set(ylabel="distance from the initial weights")
        ax.legend()
        ax.grid(alpha=0.3)


def draw_sharpness(ax: Axes, results: Results) -> None:
    """Draw the sharpness of the minima of small and of large batches."""
    for name, colour, shift in (("small", "tab:orange", -0.08), ("large", "#b58fd6", 0.08)):
        values = np.array([run[name]["sharpness"] for run in results.called("minima")])
        for column in range(len(RADII)):
            x = np.full(len(values), column + shift)
            ax.plot(x, values[:, column], "o", color=colour, label=None if column else f"{name} batch")
    ax.set(xticks=range(len(RADII)), xticklabels=[f"ε = {radius:g}" for radius in RADII], xlim=(-0.5, 1.5))
    ax.set(yscale="log", ylabel="sharpness (%)", title="Keskar: sharpness, a point a seed")
    ax.legend()


def draw_line(ax: Axes, results: Results) -> None:
    """Draw the loss on the line from the small batch's minimum to the large batch's."""
    curves = np.array([run["line"] for run in results.called("minima")])  # (seeds, points, 2)
    for part, (label, colour) in enumerate((("training images", "tab:blue"), ("test images", "tab:red"))):
        band(ax, np.array(LINE), curves[:, :, part], colour, label)
    for place, name in ((0, "small"), (1, "large")):
        ax.axvline(place, color="0.7", linewidth=1)
        ax.annotate(name, (place, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", color="0.4")
    ax.set(yscale="log", xlabel="position on the line", ylabel="loss")
    ax.set_title("Along the line through both minima", pad=16)
    ax.legend()
