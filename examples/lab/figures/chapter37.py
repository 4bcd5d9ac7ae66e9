"""The figure of chapter 37: accuracy against epochs and against updates, a curve for each batch size."""

from __future__ import annotations

from functools import partial
from itertools import cycle
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lab.plots import (
    BATCHES,
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
    whole_numbers,
)
from lab.results import Results
from lab.verdicts.chapter37 import SIZES, batch_sizes, fewer_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = {256: "--", 1024: "-."}  # against updates they lie on the curve of 64
ALTS = {
    "epoch": "{0} accuracy against epochs, a curve for each batch size. All rise fast at first, then slowly.",
    "updates": "{0} accuracy against updates, on a logarithmic axis: the curves of batch 64, 256 and 1024 lie on one "
    "line, the larger batch on its earlier part.",
}


def panels(_results: Results) -> Panels:
    """Return train and test accuracy, against epochs and against updates."""
    return {
        f"{part}_{axis}": Panel(
            f"{part.capitalize()} accuracy against {'epochs' if axis == 'epoch' else axis}",
            ALTS[axis].format(part.capitalize()),
            partial(draw_accuracy, part=part, abscissa=axis),
            height=4.7,
            ends=True,
        )
        for part in ("train", "test")
        for axis in ("epoch", "updates")
    }


def draw(results: Results, path: Path) -> None:
    """Draw all panels into one picture."""
    settings = results.settings
    scale = f"learning rate {settings['lr']:g}, {settings['train_size']:,} images{over_seeds(results)}"
    compose(panels(results), results, path, f"Chapter 37: the batch size at {scale}")


def draw_accuracy(ax: Axes, results: Results, part: str, abscissa: str) -> None:
    """Draw the accuracy on one set of images; a batch size far below the chapter's is named, and not drawn."""
    lowest, others, below = bottom(results, part), cycle((GREY, SKY, VERMILION)), []
    for size in batch_sizes(results):
        curves = 100 * results.curves(f"batch {size}", f"{part}_accuracy")
        label = f"batch {size}: {curves[:, -1].mean():.2f} %{fewer_seeds(results, size)}"
        if curves.max() < lowest:
            below.append(label)
            continue
        colour, x = BATCHES.get(size) or next(others), results.curves(f"batch {size}", abscissa)[0]
        band(ax, x, curves, colour, label, linestyle=STYLES.get(size, "-"))
    if lowest > -inf:  # the chapter's curves fill the picture
        ax.set_ylim(lowest, 100.5)
    ax.set(xlabel="epochs", ylabel=f"{part} accuracy (%)")
    whole_numbers(ax.xaxis)
    if abscissa == "updates":
        ax.set(xlabel="updates (logarithmic)", xscale="log")
        logarithmic(ax.xaxis)
    ax.grid(alpha=0.3)
    legend_below(ax, 1, title="\n".join([*(f"below the picture: {label}" for label in below), "at the end:"]))


def bottom(results: Results, part: str) -> float:
    """Return where the picture ends: below the curves of the chapter's batch sizes, if they have been run."""
    runs = [100 * results.curves(f"batch {size}", f"{part}_accuracy") for size in SIZES if size in batch_sizes(results)]
    lowest = min((curves.min() for curves in runs), default=np.nan)
    return float(lowest - 1) if np.isfinite(lowest) else -inf
