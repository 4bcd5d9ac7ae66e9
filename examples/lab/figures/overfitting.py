"""The figure on batch size and overfitting: curves of the plain runs, lagging averages, and what each remedy does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.plots import (
    BATCHES,
    BLACK,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    Panel,
    Panels,
    band,
    compose,
    legend_below,
    over_seeds,
    whole_numbers,
)
from lab.results import Results
from lab.verdicts.overfitting import BEST, LR, NORMS, SCALED_LR, SIZES, SMALL_LR, after, called

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {(size, LR): BATCHES[size] for size in (1, 10, 32, 128)} | {(1, SMALL_LR): GREY}
COLOURS |= {(32, SCALED_LR): ORANGE}
"""Of the plain runs."""
NORM_COLOURS = (BLACK, SKY, VERMILION)
END = "A row for each remedy; in each, a dot for each seed and a stroke for their mean, for batch 10 above batch 32. "


def panels(_results: Results) -> Panels:
    """Return all panels."""
    return {
        "accuracy": Panel(
            "No remedy: accuracy, training dotted, test solid or dashed",
            "Accuracy against epochs for six pairs of batch size and rate. The dotted curves, of training accuracy, "
            "reach 100 %, the larger the batch the later; the curves of test accuracy flatten far below them.",
            draw_accuracy,
            height=4.5,
            ends=True,
        ),
        "loss": Panel(
            "No remedy: test loss; circles: what early stopping keeps",
            "Test loss against epochs for six pairs of batch size and rate: it falls, and then rises slowly to the "
            "end. Circles lie where each curve is lowest.",
            draw_loss,
            height=4.5,
            ends=True,
        ),
        "averages": Panel(
            "Batch norm: slow averages lag at first",
            "Test accuracy in the first ten epochs with batch normalisation: the curves of decay 0.999 start far below "
            "the others and have almost reached them at the end.",
            draw_averages,
            height=4.3,
            ends=True,
        ),
        "gap_ends": Panel(
            "The gap at the end, train − test accuracy",
            END + "The gap of accuracy is largest without a remedy and with early stopping, and smallest with both.",
            partial(dots, column="generalization_gap", label="gap at the end (points)"),
            height=4.3,
        ),
        "accuracy_ends": Panel(
            "Test accuracy at the end",
            END + "Test accuracy is highest with batch normalisation and lowest with early stopping.",
            partial(dots, column="test_accuracy", label="test accuracy (%)"),
            height=4.3,
        ),
        "loss_ends": Panel(
            "Test loss at the end",
            END + "Test loss is highest without a remedy and lower with batch normalisation.",
            partial(dots, column="test_loss", label="test loss (nats)"),
            height=4.3,
        ),
    }


def draw(results: Results, path: Path) -> None:
    """Draw the curves of the plain runs and of the decays; below, what each variant ends with."""
    scale = f"{results.settings['train_size']:,} images, {results.settings['epochs']} epochs{over_seeds(results)}"
    compose(panels(results), results, path, f"Batch size and overfitting: {scale}", columns=3)


def draw_accuracy(ax: Axes, results: Results) -> None:
    """Draw training and test accuracy of the plain runs."""
    lowest = plain(ax, results, "test_accuracy")[0]
    for (size, lr), colour in COLOURS.items():
        line(ax, results, called("plain", size, lr), "train_accuracy", colour, "", ":")
    ax.set_ylim(100 * lowest - 3, 100.5)  # a run that diverged has no end
    finish(ax, "accuracy (%)")


def draw_loss(ax: Axes, results: Results) -> None:
    """Draw the test loss of the plain runs, and where early stopping would end them."""
    lowest, highest = plain(ax, results, "test_loss")
    for (size, lr), colour in COLOURS.items():
        name = called("plain", size, lr)
        best = [run["best_epoch"] for run in results.paired(name)]
        ax.scatter(best, after(results, name, "test_loss", BEST), 28, colour, edgecolor="white", zorder=3)
    ax.set_ylim(0.5 * lowest, 1.5 * max(highest, 0.1))
    finish(ax, "test loss (nats)")


def plain(ax: Axes, results: Results, column: str) -> tuple[float, float]:
    """Draw a column of the plain runs; return the lowest and the highest end."""
    ends: list[float] = []
    for (size, lr), colour in COLOURS.items():
        name, label = called("plain", size, lr), f"batch {size}" + ("" if lr == LR else f", rate {lr:g}")
        line(ax, results, name, column, colour, label, "-" if lr == LR else "--")
        ends.extend(after(results, name, column))
    return np.fmin.reduce(ends, initial=1), np.fmax.reduce(ends, initial=0)


def draw_averages(ax: Axes, results: Results) -> None:
    """Draw the first epochs with each decay of the moving averages."""
    for name, colour in zip(NORMS, NORM_COLOURS, strict=True):
        for size, style in zip(SIZES, ("--", "-"), strict=True):
            label = f"{name.split()[-1]}, batch {size}"
            line(ax, results, called(name, size), "test_accuracy", colour, label, style, most=10)
    finish(ax, "test accuracy (%)", "decay")


def finish(ax: Axes, label: str, title: str | None = None) -> None:
    """Name the axes of curves, and draw their legend."""
    ax.set(xlabel="epochs", ylabel=label)
    whole_numbers(ax.xaxis)
    ax.grid(alpha=0.3)
    legend_below(ax, 2, title=title)


def line(
    ax: Axes, results: Results, name: str, column: str, colour: str, label: str, style: str, most: int | None = None
) -> None:
    """Draw a column against its epochs, the first ``most`` of them; accuracies in per cent."""
    curves = results.curves(name, column)[:, :most] * (100 if "accuracy" in column else 1)
    band(ax, np.arange(1.0, curves.shape[1] + 1), curves, colour, label or "_", linestyle=style)


def dots(ax: Axes, results: Results, column: str, label: str) -> None:
    """Draw the end of each run: a row for each variant and batch size, a dot for each seed, a stroke for their mean."""
    rows: dict[str, tuple[str, int | None]] = {"plain": ("plain", None), "early stopping": ("plain", BEST)}
    rows |= {variant: (variant, None) for variant in ("dropout", *NORMS, "both")}
    for size, shift, marker in zip(SIZES, (-0.15, 0.15), ("o", "s"), strict=True):
        for row, (variant, epoch) in enumerate(rows.values()):
            values = after(results, called(variant, size), column, epoch) * (1 if "loss" in column else 100)
            style: dict[str, Any] = {"color": COLOURS[size, LR], "label": None if row else f"batch {size}"}
            ax.scatter(values, np.full(len(values), row + shift), 20, alpha=0.7, marker=marker, **style)
            ax.plot([values.mean()] * 2, [row + shift - 0.13, row + shift + 0.13], color=COLOURS[size, LR])
    ax.set(yticks=range(len(rows)), yticklabels=list(rows), xlabel=label)
    ax.locator_params(axis="x", nbins=4)
    ax.invert_yaxis()
    ax.grid(alpha=0.3)
    legend_below(ax, 2)
