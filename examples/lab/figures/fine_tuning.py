"""The figure on fine-tuning: accuracy against labels and against epochs, and how far the layers have moved."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lab.plots import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
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
from lab.verdicts.fine_tuning import HALVES, IMAGES, MAIN, PARITY, accuracy, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RIVALS = {"recipe": (BLUE, "o"), "one rate": (ORANGE, "s"), "all at once": (GREEN, "^")}
RIVALS |= {"last layer only": (PURPLE, "D"), "from scratch": (GREY, "v")}
"""The colour and the marker of each way to train."""
STYLES = dict(zip(RIVALS, ("-", "--", "-.", "-", "--"), strict=True))
FILES = {HALVES: "halves", PARITY: "parity"}


def panels(results: Results) -> Panels:
    """Return accuracy against labels and against epochs, and how far the layers have moved, for each transfer."""
    made: Panels = {}
    for transfer in IMAGES:
        if results.called(named("recipe", MAIN, transfer)):
            made |= panels_of(transfer)
    return made


def panels_of(transfer: str) -> Panels:
    """Return the panels of one transfer."""
    file = FILES[transfer]
    return {
        f"{file}_reached": Panel(
            f"To {transfer}: what is reached",
            f"To {transfer}: test accuracy against the number of labelled images, on a logarithmic axis, a curve for "
            "each way to train. All rise.",
            partial(draw_ends, transfer=transfer),
            height=4.1,
            ends=True,
        ),
        f"{file}_epochs": Panel(
            f"To {transfer}: the way there, with {MAIN} images; above it the lines of the recipe",
            f"To {transfer}: test accuracy after each epoch, a curve for each way to train, in the stages of the "
            "recipe; at the right, a mark for what is kept.",
            partial(draw_epochs, transfer=transfer),
            height=4.1,
            ends=True,
        ),
        f"{file}_moved": Panel(
            f"To {transfer}: how far the layers move, with {MAIN} images",
            f"To {transfer}: distance of three layers from their start, on a logarithmic axis, for the same rate, a "
            "third and a tenth of the next layer's: the lower the rate, the less the first layers move.",
            partial(draw_moved, transfer=transfer),
            height=4.1,
            ends=True,
        ),
    }


def draw(results: Results, path: Path) -> None:
    """Draw all panels into one picture, a row for each transfer."""
    title = "Fine-tuning: a network that knows digits learns something else from few images"
    compose(panels(results), results, path, title + over_seeds(results), columns=3)


def draw_ends(axes: Axes, results: Results, transfer: str) -> None:
    """Draw the test accuracy against the number of labelled images."""
    labels = [number for number in results.settings["labels"] if results.called(named("recipe", number, transfer))]
    for rival, (color, marker) in RIVALS.items():
        at_end = 100 * np.stack([accuracy(results, rival, number, transfer) for number in labels], axis=1)
        band(axes, np.array(labels), at_end, color, rival, marker=marker, linestyle=STYLES[rival])
    axes.set(xscale="log", xlabel="labelled images (logarithmic)", ylabel="test accuracy (%)")
    axes.set_xticks(labels, [f"{number:,}" for number in labels], minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    legend_below(axes, 2)


def draw_epochs(axes: Axes, results: Results, transfer: str) -> None:
    """Draw the test accuracy after each epoch, and of the parameters that are kept."""
    first = results.settings["first_epochs"]
    total = 2 * first + 2 ** results.settings["cycles"] - 1
    for rival, (color, marker) in RIVALS.items():
        curves = 100 * results.curves(named(rival, MAIN, transfer), "test_accuracy")
        band(axes, np.arange(1.0, curves.shape[1] + 1), curves, color, rival, linestyle=STYLES[rival])
        axes.plot(total + 1, 100 * accuracy(results, rival, transfer=transfer).mean(), color=color, marker=marker)
    borders = (0, first, 2 * first, total, total + 1)
    for stage, (start, stop) in zip(("3", "4", "line 8", "kept"), pairwise(borders), strict=True):
        axes.axvline(start + 0.5, color=BLACK, linewidth=0.8, linestyle=":")
        axes.text((start + stop + 1) / 2, 1.01, stage, transform=axes.get_xaxis_transform(), ha="center", va="bottom")
    axes.set(xlabel="epochs", ylabel="test accuracy (%)", xlim=(0.5, total + 1.5))
    whole_numbers(axes.xaxis)
    axes.grid(alpha=0.3)
    legend_below(axes, 2)


def draw_moved(axes: Axes, results: Results, transfer: str) -> None:
    """Draw how far each layer has moved from its start."""
    for rival, label in {"one rate": "the same", "recipe": "a third", "factor 10": "a tenth"}.items():
        color, marker = RIVALS.get(rival, (VERMILION, "P"))
        moved = 100 * results.values(named(rival, MAIN, transfer), "moved")
        band(axes, np.arange(3.0), moved, color, label, marker=marker, linestyle=STYLES.get(rival, ":"))
    axes.set_xticks(range(3), ["first", "second", "last (new)"])
    axes.set(xlabel="layer", ylabel="relative distance (%)")
    axes.margins(x=0.1)
    axes.grid(alpha=0.3)
    if np.isfinite(axes.dataLim.y1):  # or all have diverged, and there is nothing to scale
        axes.set_yscale("log")
        logarithmic(axes.yaxis)
    legend_below(axes, 3, title="rate of a layer, compared with the next one's")
