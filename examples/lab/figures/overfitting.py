"""The figure on batch size and overfitting: curves of the plain runs, lagging averages, and what each remedy does."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lab.plots import band, over_seeds, save_figure
from lab.results import Results
from lab.verdicts.overfitting import BEST, LR, NORMS, SCALED_LR, SIZES, SMALL_LR, after, called

COLOURS = {  # of the plain runs: Okabe and Ito's, and black and grey
    (1, LR): "#8C8C8C",
    (10, LR): "#0072B2",
    (32, LR): "#D55E00",
    (128, LR): "#009E73",
    (1, SMALL_LR): "black",
    (32, SCALED_LR): "#E69F00",
}
NORM_COLOURS = ("black", "#56B4E9", "#CC79A7")


def draw(results: Results, path: Path) -> None:
    """Draw the curves of the plain runs and of the decays; below, what each variant ends with."""
    figure, axes = plt.subplots(2, 3, figsize=(15, 9), layout="constrained")
    ends: dict[str, list[float]] = {"test_accuracy": [], "test_loss": []}
    for (size, lr), colour in COLOURS.items():
        name, label = called("plain", size, lr), f"batch {size}" + ("" if lr == LR else f" at rate {lr:g}")
        line(axes[0, 0], results, name, "train_accuracy", colour, "", ":")
        for ax, column in zip(axes[0], ends, strict=False):
            line(ax, results, name, column, colour, label, "-" if lr == LR else "--")
            ends[column].extend(after(results, name, column))
        best = [run["best_epoch"] for run in results.paired(name)]
        axes[0, 1].scatter(best, after(results, name, "test_loss", BEST), 28, colour, edgecolor="white", zorder=3)
    # Scaled to where the curves end: their first epochs would press the rest together. A run that diverged has no end.
    axes[0, 0].set_ylim(100 * np.fmin.reduce(ends["test_accuracy"], initial=1) - 3, 100.5)
    lowest, highest = np.fmin.reduce(ends["test_loss"], initial=1), np.fmax.reduce(ends["test_loss"], initial=0.1)
    axes[0, 1].set_ylim(0.5 * lowest, 1.5 * highest)
    for name, colour in zip(NORMS, NORM_COLOURS, strict=True):
        for size, style in zip(SIZES, ("--", "-"), strict=True):
            label = f"decay {name.split()[-1]}, batch {size}"
            line(axes[0, 2], results, called(name, size), "test_accuracy", colour, label, style, most=10)
    axes[0, 0].set(title="No remedy: training dotted, test solid or dashed", ylabel="training and test accuracy (%)")
    axes[0, 1].set(title="No remedy; circles: what early stopping keeps", ylabel="test loss (nats)")
    axes[0, 2].set(title="Batch norm: slow averages lag at first", ylabel="test accuracy (%)")
    axes[0, 2].legend(loc="lower right")
    for ax in axes[0]:
        ax.set_xlabel("epochs")
        ax.xaxis.get_major_locator().set_params(integer=True)
    dots(axes[1, 0], results, "generalization_gap", "train − test accuracy at the end (percentage points)")
    dots(axes[1, 1], results, "test_accuracy", "test accuracy at the end (%)")
    dots(axes[1, 2], results, "test_loss", "test loss at the end (nats)")
    for ax in axes.flat:
        ax.grid(alpha=0.3)
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    scale = f"{results.settings['train_size']:,} images, {results.settings['epochs']} epochs{over_seeds(results)}"
    figure.suptitle(f"Batch size and overfitting: {scale}")
    save_figure(figure, path)


def line(
    ax: Axes, results: Results, name: str, column: str, colour: str, label: str, style: str, most: int | None = None
) -> None:
    """Draw a column against its epochs, the first ``most`` of them; accuracies in per cent."""
    curves = results.curves(name, column)[:, :most] * (100 if "accuracy" in column else 1)
    band(ax, np.arange(1.0, curves.shape[1] + 1), curves, colour, label, linestyle=style)


def dots(ax: Axes, results: Results, column: str, label: str) -> None:
    """Draw the end of each run: a row for each variant and batch size, a dot for each seed, a stroke for their mean."""
    rows: dict[str, tuple[str, int | None]] = {"plain": ("plain", None), "early stopping": ("plain", BEST)}
    rows |= {variant: (variant, None) for variant in ("dropout", *NORMS, "both")}
    for size, shift in zip(SIZES, (-0.15, 0.15), strict=True):
        for row, (variant, epoch) in enumerate(rows.values()):
            values = after(results, called(variant, size), column, epoch) * (1 if "loss" in column else 100)
            ax.scatter(values, np.full(len(values), row + shift), 20, COLOURS[size, LR], alpha=0.6)
            ax.plot([values.mean()] * 2, [row + shift - 0.13, row + shift + 0.13], color=COLOURS[size, LR])
    first = ax.get_subplotspec().is_first_col()  # type: ignore[union-attr]
    ax.set(yticks=range(len(rows)), yticklabels=list(rows) if first else [], xlabel=label)
    ax.invert_yaxis()
