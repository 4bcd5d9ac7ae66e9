"""The figure on fine-tuning: accuracy against labels and against epochs, and how far the layers have moved."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lab.plots import band, over_seeds, save_figure
from lab.results import Results
from lab.verdicts.fine_tuning import IMAGES, MAIN, accuracy, named

RIVALS = {"recipe": ("tab:blue", "o"), "one rate": ("tab:orange", "s"), "all at once": ("tab:green", "^")}
RIVALS |= {"last layer only": ("tab:purple", "D"), "from scratch": ("tab:gray", "v")}
"""The colour and the marker of each way to train."""


def draw(results: Results, path: Path) -> None:
    """Draw accuracy against labels and against epochs, and how far the layers have moved; a row for each transfer."""
    transfers = [transfer for transfer in IMAGES if results.called(named("recipe", MAIN, transfer))]
    figure, grid = plt.subplots(
        len(transfers), 3, figsize=(14, 5.2 * len(transfers)), squeeze=False, layout="constrained"
    )
    for transfer, axes in zip(transfers, grid, strict=True):
        draw_ends(results, axes[0], transfer)
        draw_epochs(results, axes[1], transfer)
        draw_moved(results, axes[2], transfer)
    for ax in grid.flat:
        ax.grid(alpha=0.3)
    figure.suptitle(
        f"Fine-tuning: a network that knows digits learns something else from few images{over_seeds(results)}"
    )
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(RIVALS))
    save_figure(figure, path)


def draw_ends(results: Results, axes: Axes, transfer: str) -> None:
    """Draw the test accuracy against the number of labelled images."""
    labels = [number for number in results.settings["labels"] if results.called(named("recipe", number, transfer))]
    for rival, (color, marker) in RIVALS.items():
        at_end = 100 * np.stack([accuracy(results, rival, number, transfer) for number in labels], axis=1)
        band(axes, np.array(labels), at_end, color, rival, marker=marker)
    axes.set(xscale="log", xlabel="labelled images to learn from (logarithmic)", ylabel="test accuracy (%)")
    axes.set_xticks(labels, [f"{number:,}" for number in labels], minor=False)
    axes.minorticks_off()
    axes.set_title(f"To {transfer}: what is reached", pad=20)


def draw_epochs(results: Results, axes: Axes, transfer: str) -> None:
    """Draw the test accuracy after each epoch, and of the parameters that are kept."""
    first = results.settings["first_epochs"]
    total = 2 * first + 2 ** results.settings["cycles"] - 1
    for rival, (color, marker) in RIVALS.items():
        curves = 100 * results.curves(named(rival, MAIN, transfer), "test_accuracy")
        band(axes, np.arange(1.0, curves.shape[1] + 1), curves, color, rival)
        axes.plot(total + 1, 100 * accuracy(results, rival, transfer=transfer).mean(), color=color, marker=marker)
    borders = (0, first, 2 * first, total, total + 1)
    for stage, (start, stop) in zip(("line 3", "line 4", "line 8", "kept"), pairwise(borders), strict=True):
        axes.axvline(start + 0.5, color="black", linewidth=0.8, linestyle=":")
        axes.text((start + stop + 1) / 2, 1.01, stage, transform=axes.get_xaxis_transform(), ha="center")
    axes.set(xlabel="epochs", ylabel="test accuracy (%)", xlim=(0.5, total + 1.5))
    axes.set_xticks(range(first, total + 1, first))
    axes.set_title(f"The way there, with {MAIN} images", pad=20)


def draw_moved(results: Results, axes: Axes, transfer: str) -> None:
    """Draw how far each layer has moved from its start."""
    for rival, label in {"one rate": "the same", "recipe": "a third", "factor 10": "a tenth"}.items():
        color, marker = RIVALS.get(rival, ("tab:red", "P"))
        band(
            axes,
            np.arange(3.0),
            100 * results.values(named(rival, MAIN, transfer), "moved"),
            color,
            label,
            marker=marker,
        )
    axes.set_xticks(range(3), ["first layer", "second layer", "last layer (new)"])
    axes.set_ylabel("distance from the start, relative (%, logarithmic)")
    if np.isfinite(axes.dataLim.y1):  # or all have diverged, and there is nothing to scale
        axes.set_yscale("log")
    axes.legend(title="rate of a layer, compared\nwith the next one's", loc="lower right")
    axes.set_title(f"How far the layers move, with {MAIN} images", pad=20)
