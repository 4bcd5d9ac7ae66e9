"""The figures on optimisers: training loss and test accuracy on MNIST; and the walks through four landscapes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lab.landscapes import DRAWN, LANDSCAPES
from lab.plots import (
    OPTIMIZERS,
    YELLOW,
    Panel,
    Panels,
    as_pixels,
    band,
    compose,
    legend_below,
    logarithmic,
    over_seeds,
    whole_numbers,
)
from lab.results import Results
from lab.verdicts.optimizers import runs_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {"logistic": "Logistic regression, rate ∝ 1/√t", "hidden": "Two hidden layers, dropout 0.5"}
PARTS = {"train_loss": ("training loss", "training loss (logarithmic)"), "test_accuracy": ("test accuracy",) * 2}
STYLES = {"Momentum": "--", "Adagrad": "-.", "RMSprop": "--"}  # those of which curves lie on others
SEEN = {
    "ravine": "A map of a narrow ravine that runs upwards from left to right. SGD and Momentum jump from side to side "
    "before they follow its floor.",
    "saddle": "A map of a saddle with a minimum above it. Some paths first follow the ridge to the saddle point, and "
    "turn there; RMSprop, Adam and Adagrad leave it early, along diagonals. Momentum circles around the minimum.",
    "plateau": "A map of a round well in a flat plain. SGD, Momentum and Nesterov walk straight towards it in small "
    "steps; the others leap there in a few.",
    "double well": "A map of two wells. From the upper right, the paths pass the poor minimum on the right and end "
    "in the better one on the left; RMSprop stays where it started.",
}


def panels(_results: Results) -> Panels:
    """Return all panels."""
    return training() | walks()


def training() -> Panels:
    """Return training loss and test accuracy of both experiments."""
    return {
        f"{experiment}_{part}": Panel(
            f"{title}: {words[0]}",
            f"{title}: {words[0]} against epochs, a curve for each of six optimisers.",
            partial(draw_training, experiment=experiment, part=part),
            height=4.1,
            ends=True,
        )
        for part, words in PARTS.items()
        for experiment, title in TITLES.items()
    }


def walks() -> Panels:
    """Return the four landscapes."""
    return {
        place.replace(" ", "_"): Panel(
            LANDSCAPES[place].title.capitalize(), SEEN[place], partial(draw_walks, place=place), height=4.7
        )
        for place in DRAWN
    }


def draw(results: Results, path: Path) -> None:
    """Draw training loss and test accuracy of both experiments; and, in a second figure, the walks."""
    title = "Six optimisers on MNIST, each at the rate of one grid that is best in short trials"
    compose(training(), results, path, title + over_seeds(results))
    title = "Each optimiser at the rate of one grid with which it arrives first: its first 100 steps at most"
    compose(walks(), results, path.with_name(f"{path.stem}_trajectories.png"), title)


def draw_training(ax: Axes, results: Results, experiment: str, part: str) -> None:
    """Draw how training goes with each optimiser."""
    for name, colour in OPTIMIZERS.items():
        curves = (100 if "accuracy" in part else 1) * results.curves(runs_of(results, experiment, name), part)
        band(ax, np.arange(1.0, curves.shape[1] + 1), curves, colour, name, linestyle=STYLES.get(name, "-"))
    ax.set(xlabel="epochs", ylabel="test accuracy (%)" if "accuracy" in part else PARTS[part][1])
    whole_numbers(ax.xaxis)
    if "loss" in part:
        ax.set_yscale("log")
        logarithmic(ax.yaxis)
    ax.grid(alpha=0.3, which="both")
    legend_below(ax, 3)


def draw_walks(ax: Axes, results: Results, place: str) -> None:
    """Draw a landscape, with the walk of each optimiser."""
    walked = results.called("landscapes")[0]["walks"][place]
    landscape = LANDSCAPES[place]
    left, right, low, high = landscape.view
    x, y = np.meshgrid(np.linspace(left, right, 200), np.linspace(low, high, 200))
    height = landscape.value(x, y)
    levels = height.min() + np.ptp(height) * np.linspace(0, 1, 18) ** 2
    as_pixels(ax.contourf(x, y, height, levels, cmap="Greys", alpha=0.4))
    as_pixels(ax.contour(x, y, height, levels, colors="grey", linewidths=0.4))
    for width, (name, colour) in zip(np.linspace(2.5, 1, 6), OPTIMIZERS.items(), strict=True):
        found = walked[name]
        label = f"{name}, {found['rate']:.2g}: {found['steps'] or 'never'}"
        style = {"color": colour, "linewidth": width, "markersize": 2 + 2 * width}
        ax.plot(*np.array(found["path"]).T, ".-", label=label, **style)
    deepest = np.unravel_index(height.argmin(), height.shape)
    ax.plot(*landscape.start, "ws", markeredgecolor="black", label="start")
    ax.plot(x[deepest], y[deepest], "*", color=YELLOW, markeredgecolor="black", markersize=14, label="lowest point")
    ax.set(xlim=(left, right), ylim=(low, high), xlabel="w₁", ylabel="w₂")
    ax.locator_params(nbins=6)
    legend_below(ax, 2, title="rate, and steps until it is there for good")
