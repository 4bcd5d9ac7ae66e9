"""The figure of the map: accuracy of every cell for equal epochs and equal updates, best rates, and the two laws."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lab.plots import band, over_seeds, save_figure
from lab.results import Results
from lab.verdicts.batch_and_rate import BASE, EPOCHS, UPDATES, best, grid, named, scaled

LOWEST = 85
"""What is less accurate, in per cent, is drawn alike, or leaves the picture."""
COLOURS = {EPOCHS: "tab:blue", UPDATES: "tab:orange"}


def draw(results: Results, path: Path) -> None:
    """Draw both maps, accuracy at the best rates, and accuracy at scaled rates."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 9), layout="constrained")
    for ax, regime in zip(axes[0], (EPOCHS, UPDATES), strict=True):
        draw_map(results, regime, ax)
    draw_best(results, axes[1, 0])
    draw_laws(results, axes[1, 1])
    n = results.settings["train_size"]
    figure.suptitle(f"Batch size and learning rate, {n:,} images{over_seeds(results)}")
    save_figure(figure, path)


def draw_map(results: Results, regime: str, axes: Axes) -> None:
    """Draw the mean test accuracy of each cell, what diverged, the best rates, and lines of equal noise scale."""
    sizes, rates = (np.array(results.settings[key], float) for key in ("sizes", "rates"))
    x, y, n = np.log2(sizes), np.log2(rates), results.settings["train_size"]
    accuracy = 100 * grid(results, regime, "test_accuracy").mean(axis=2).T  # (rates, sizes)
    drawn = axes.pcolormesh(x, y, np.maximum(accuracy, LOWEST), cmap="viridis", shading="nearest")
    axes.figure.colorbar(drawn, ax=axes, label=f"test accuracy (%; {LOWEST} and below alike)")
    for row, column in np.ndindex(accuracy.shape):
        runs = results.called(named(regime, int(sizes[column]), float(rates[row])))
        text = "×" if any("diverged" in run for run in runs) else f"{accuracy[row, column]:.1f}"
        color = "black" if accuracy[row, column] > 94 else "white"
        axes.text(x[column], y[row], text, ha="center", va="center", fontsize=7, color=color)
    span = np.geomspace(sizes[0] / 2, min(2 * sizes[-1], n / 2), 50)
    for scale in np.geomspace(0.1, 1000, 9):
        axes.plot(np.log2(span), np.log2(scale / (n / span - 1)), color="white", linewidth=0.8)
    rings = np.log2(best(results, regime).rates).mean(axis=1)
    axes.plot(x, rings, "o", markersize=22, markerfacecolor="none", markeredgecolor="tab:red", markeredgewidth=1.5)
    axes.set(xlabel="batch size", ylabel="learning rate", title=regime)
    axes.set(xlim=(x[0] - 1, x[-1] + 1), ylim=(y[0] - 0.5, y[-1] + 0.5))
    axes.set_xticks(x, [f"{size:g}" for size in sizes])
    axes.set_yticks(y, [f"1/{1 / rate:g}" if rate < 1 else f"{rate:g}" for rate in rates])


def draw_best(results: Results, axes: Axes) -> None:
    """Draw the test accuracy of each batch size at its best rate."""
    sizes = np.array(results.settings["sizes"], float)
    for regime, colour in COLOURS.items():
        band(axes, sizes, 100 * best(results, regime).test.T, colour, regime, marker="o")
    axes.set(xscale="log", xlabel="batch size", ylabel="test accuracy (%)", title="Each at its best rate")
    axes.legend()
    axes.grid(alpha=0.3)
    label(axes, results)


def draw_laws(results: Results, axes: Axes) -> None:
    """Draw the test accuracy after equal epochs, with rates scaled from the best one of `BASE`."""
    for power, colour, name in (
        (1.0, "tab:green", "rate × k"),
        (0.5, "tab:purple", "rate × √k"),
        (0.0, "black", "rate"),
    ):
        ends = scaled(results, power)
        if ends:
            band(axes, np.array(list(ends), float), 100 * np.array(list(ends.values())).T, colour, name, marker="o")
    axes.set(xscale="log", xlabel=f"batch size, {BASE} × k", ylabel="test accuracy (%)", title="The laws, equal epochs")
    axes.set_ylim(bottom=max(axes.get_ylim()[0], LOWEST))
    axes.legend()
    axes.grid(alpha=0.3)
    label(axes, results)


def label(axes: Axes, results: Results) -> None:
    """Name the batch sizes on the axis."""
    axes.set_xticks(results.settings["sizes"], [str(size) for size in results.settings["sizes"]])
    axes.minorticks_off()
