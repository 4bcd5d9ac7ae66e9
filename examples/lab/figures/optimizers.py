"""The figures on optimisers: training loss and test accuracy on MNIST; and the walks through four landscapes."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from lab.landscapes import DRAWN, LANDSCAPES
from lab.plots import band, over_seeds, save_figure
from lab.results import Results
from lab.verdicts.optimizers import runs_of

COLOURS = {"SGD": "#000000", "Momentum": "#0072b2", "Nesterov": "#56b4e9"}  # the colour-blind can tell them apart
COLOURS |= {"Adagrad": "#e69f00", "RMSprop": "#009e73", "Adam": "#d55e00"}
TITLES = {"logistic": "logistic regression, rate ∝ 1/√t", "hidden": "two hidden layers, dropout 0.5"}


def draw(results: Results, path: Path) -> None:
    """Draw training loss and test accuracy of both experiments; and, in a second figure, the walks."""
    draw_walks(results, path.with_name(f"{path.stem}_trajectories.png"))
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), sharex="col", layout="constrained")
    for column, (experiment, title) in enumerate(TITLES.items()):
        for name, colour in COLOURS.items():
            for ax, part, scale in zip(axes[:, column], ("train_loss", "test_accuracy"), (1, 100), strict=True):
                curves = scale * results.curves(runs_of(results, experiment, name), part)
                band(ax, np.arange(1.0, curves.shape[1] + 1), curves, colour, name)
        axes[0, column].set(title=title, yscale="log", ylabel="training loss (logarithmic)")
        axes[0, column].yaxis.set_major_formatter("{x:g}")
        axes[0, column].yaxis.set_minor_formatter("{x:g}")
        axes[1, column].set(xlabel="epochs", ylabel="test accuracy (%)")
        axes[1, column].xaxis.get_major_locator().set_params(integer=True)
    for ax in axes.flat:
        ax.grid(alpha=0.3, which="both")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    title = "Six optimisers on MNIST, each at the rate of one grid that is best in short trials"
    figure.suptitle(title + over_seeds(results))
    save_figure(figure, path)


def draw_walks(results: Results, path: Path) -> None:
    """Draw the four landscapes, with the walk of each optimiser."""
    walks = results.called("landscapes")[0]["walks"]
    figure, axes = plt.subplots(2, 2, figsize=(13, 9), layout="constrained")
    for ax, place in zip(axes.flat, DRAWN, strict=True):
        landscape = LANDSCAPES[place]
        left, right, low, high = landscape.view
        x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(low, high, 300))
        height = landscape.value(x, y)
        levels = height.min() + np.ptp(height) * np.linspace(0, 1, 18) ** 2
        ax.contourf(x, y, height, levels, cmap="Greys", alpha=0.4)
        ax.contour(x, y, height, levels, colors="grey", linewidths=0.4)
        for width, (name, colour) in zip(np.linspace(2.5, 1, 6), COLOURS.items(), strict=True):
            found = walks[place][name]
            label = f"{name}, η = {found['rate']:g}: " + (f"{found['steps']} steps" if found["steps"] else "never")
            style = {"color": colour, "linewidth": width, "markersize": 2 + 2 * width}
            ax.plot(*np.array(found["path"]).T, ".-", label=label, **style)
        deepest = np.unravel_index(height.argmin(), height.shape)
        ax.plot(*landscape.start, "ws", markeredgecolor="black", label="start")
        ax.plot(x[deepest], y[deepest], "*", color="gold", markeredgecolor="black", markersize=14, label="lowest point")
        ax.set(xlim=(left, right), ylim=(low, high), title=landscape.title, xlabel="w₁", ylabel="w₂")
        beside = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False, "fontsize": "small"}
        ax.legend(title="steps until it is there for good", **beside)
    figure.suptitle("Each optimiser at the rate of one grid with which it arrives first: its first 100 steps at most")
    save_figure(figure, path)
