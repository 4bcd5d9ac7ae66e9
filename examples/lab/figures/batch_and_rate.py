"""The figure of the map: accuracy of every cell for equal epochs and equal updates, best rates, and the two laws."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lab.plots import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    VERMILION,
    Panel,
    Panels,
    band,
    compose,
    legend_below,
    over_seeds,
)
from lab.results import Results
from lab.verdicts.batch_and_rate import BASE, EPOCHS, UPDATES, best, grid, named, scaled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOWEST = 85
"""What is less accurate, in per cent, is drawn alike, or leaves the picture."""
COLOURS = {EPOCHS: (BLUE, "o", "-"), UPDATES: (ORANGE, "s", "--")}
LAWS = {  # by the power of k
    1.0: ("rate × k", GREEN, "o", "-"),
    0.5: ("rate × √k", PURPLE, "s", "--"),
    0.0: ("rate", BLACK, "^", ":"),
}


def panels(_results: Results) -> Panels:
    """Return both maps, accuracy at the best rates, and accuracy at scaled rates."""
    seen = (
        "a grid of batch sizes and learning rates, both logarithmic; each cell has its test accuracy, and a × where a "
        "run diverged. A circle marks the best rate of each batch size, and white lines are lines of equal noise scale."
    )
    return {
        "map_epochs": Panel(
            f"The map for {EPOCHS}", f"For {EPOCHS}: {seen}", partial(draw_map, regime=EPOCHS), height=4.8
        ),
        "map_updates": Panel(
            f"The map for {UPDATES}", f"For {UPDATES}: {seen}", partial(draw_map, regime=UPDATES), height=4.8
        ),
        "best": Panel(
            "Each batch size at its best rate",
            "Test accuracy against the batch size, each at its best rate: one curve for equal epochs, one for equal "
            "updates.",
            draw_best,
            ends=True,
        ),
        "laws": Panel(
            "The laws, equal epochs",
            f"Test accuracy against the batch size for equal epochs, with rates that grow from the best one of {BASE} "
            "in proportion to the batch size, to its root, or not at all.",
            draw_laws,
            height=3.7,
            ends=True,
        ),
    }


def draw(results: Results, path: Path) -> None:
    """Draw all panels into one picture."""
    n = results.settings["train_size"]
    compose(panels(results), results, path, f"Batch size and learning rate, {n:,} images{over_seeds(results)}")


def draw_map(axes: Axes, results: Results, regime: str) -> None:
    """Draw the mean test accuracy of each cell, what diverged, the best rates, and lines of equal noise scale."""
    sizes, rates = (np.array(results.settings[key], float) for key in ("sizes", "rates"))
    x, y, n = np.log2(sizes), np.log2(rates), results.settings["train_size"]
    accuracy = 100 * grid(results, regime, "test_accuracy").mean(axis=2).T  # (rates, sizes)
    drawn = axes.pcolormesh(x, y, np.maximum(accuracy, LOWEST), cmap="viridis", shading="nearest")
    axes.figure.colorbar(drawn, ax=axes, label=f"test accuracy (%; {LOWEST} and below alike)", aspect=30)
    middle = np.mean([LOWEST, accuracy.max()])  # above it, colours are light
    span = np.geomspace(sizes[0] / 2, min(2 * sizes[-1], n / 2), 50)
    for scale in np.geomspace(0.1, 1000, 9):
        axes.plot(np.log2(span), np.log2(scale / (n / span - 1)), color="white", linewidth=0.8, alpha=0.7)
    for row, column in np.ndindex(accuracy.shape):
        runs = results.called(named(regime, int(sizes[column]), float(rates[row])))
        text = "×" if any("diverged" in run for run in runs) else f"{accuracy[row, column]:.1f}"
        color = "black" if accuracy[row, column] > middle else "white"
        axes.text(x[column], y[row], text, ha="center", va="center", color=color)
    rings = np.log2(best(results, regime).rates).mean(axis=1)
    axes.plot(x, rings, "o", markersize=26, markerfacecolor="none", markeredgecolor=VERMILION, markeredgewidth=2)
    axes.set(xlabel="batch size", ylabel="learning rate")
    axes.set(xlim=(x[0] - 1, x[-1] + 1), ylim=(y[0] - 0.5, y[-1] + 0.5))
    axes.set_xticks(x, [f"{size:g}" for size in sizes])
    axes.set_yticks(y, [f"1/{1 / rate:g}" if rate < 1 else f"{rate:g}" for rate in rates])


def draw_best(axes: Axes, results: Results) -> None:
    """Draw the test accuracy of each batch size at its best rate."""
    sizes = np.array(results.settings["sizes"], float)
    for regime, (colour, marker, style) in COLOURS.items():
        curves = 100 * best(results, regime).test.T
        band(axes, sizes, curves, colour, regime, marker=marker, linestyle=style)
    axes.set(xscale="log", xlabel="batch size", ylabel="test accuracy (%)")
    axes.legend()
    axes.grid(alpha=0.3)
    label(axes, results)


def draw_laws(axes: Axes, results: Results) -> None:
    """Draw the test accuracy after equal epochs, with rates scaled from the best one of `BASE`."""
    for power, (name, colour, marker, style) in LAWS.items():
        ends = scaled(results, power)
        if ends:
            curves = 100 * np.array(list(ends.values())).T
            band(axes, np.array(list(ends), float), curves, colour, name, marker=marker, linestyle=style)
    axes.set(xscale="log", xlabel=f"batch size, {BASE} × k", ylabel="test accuracy (%)")
    axes.set_ylim(bottom=max(axes.get_ylim()[0], LOWEST))
    axes.grid(alpha=0.3)
    label(axes, results)
    legend_below(axes, 3)


def label(axes: Axes, results: Results) -> None:
    """Name the batch sizes on the axis."""
    axes.set_xticks(results.settings["sizes"], [str(size) for size in results.settings["sizes"]])
    axes.minorticks_off()
