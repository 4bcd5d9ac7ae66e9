"""The figure of chapter 37: accuracy against epochs and against updates, a curve for each batch size."""

from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from lab.plots import band, over_seeds, save_figure
from lab.results import Results
from lab.verdicts.chapter37 import batch_sizes, fewer_seeds

COLOURS = {64: "tab:orange", 256: "tab:green", 1024: "#b58fd6"}  # the chapter's: orange, green, lilac
OTHER_COLOURS = ("tab:blue", "tab:red", "tab:brown", "tab:gray", "tab:olive", "tab:cyan")


def draw(results: Results, path: Path) -> None:
    """Draw train and test accuracy, against epochs and against updates."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), sharey="row", sharex="col", layout="constrained")
    sizes = batch_sizes(results)
    others = cycle(OTHER_COLOURS)
    for size in sizes:
        colour = COLOURS.get(size) or next(others)
        for row, part in enumerate(("train", "test")):
            curves = 100 * results.curves(f"batch {size}", f"{part}_accuracy")
            label = f"batch {size}: {curves[:, -1].mean():.2f} %{fewer_seeds(results, size)}"
            for column, abscissa in enumerate(("epoch", "updates")):
                x = results.curves(f"batch {size}", abscissa)[0]
                band(axes[row, column], x, curves, colour, label)
    for row, part in enumerate(("train", "test")):
        lowest = [100 * results.curves(f"batch {size}", f"{part}_accuracy").min() for size in COLOURS if size in sizes]
        if lowest and np.isfinite(lowest).all():  # the chapter's curves fill the picture; those far below them leave it
            axes[row, 0].set_ylim(min(lowest) - 1, 100.5)
        axes[row, 0].set_ylabel(f"{part} accuracy (%)")
        axes[row, 0].legend(title=f"{part} accuracy at the end", loc="lower right")
        for ax in axes[row]:
            ax.grid(alpha=0.3)
    axes[1, 0].set_xlabel("epochs")
    axes[1, 0].xaxis.get_major_locator().set_params(integer=True)
    axes[1, 1].set_xlabel("updates (logarithmic)")
    axes[1, 1].set_xscale("log")
    settings = results.settings
    scale = f"learning rate {settings['lr']:g}, {settings['train_size']:,} images{over_seeds(results)}"
    figure.suptitle(f"Chapter 37: the batch size at {scale}")
    save_figure(figure, path)
