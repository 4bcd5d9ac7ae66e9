"""Curves of several seeds as a mean with a band around it, and figures written whole or not at all."""

import os
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.results import Curves, Results

matplotlib.use("Agg")  # draws into files, and needs no screen


def over_seeds(results: Results) -> str:
    """Return the end of a figure's title: what `band` draws, if there are several seeds."""
    seeds = len({run["seed"] for run in results.runs})
    return f"; mean and range of {seeds} seeds" if seeds > 1 else ""


def band(axes: Axes, x: Curves, curves: Curves, colour: str, label: str, **style: Any) -> None:
    """Draw the mean of several curves (seeds, points), and their range as a band if there are several."""
    axes.plot(x, curves.mean(axis=0), color=colour, label=label, linewidth=1.6, **style)
    if len(curves) > 1:
        axes.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.25, linewidth=0)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to ``path``, by way of a second file."""
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    figure.savefig(partial, dpi=150)
    plt.close(figure)
    partial.replace(path)
