"""The figure of data_parallel.py: what shared steps cost, measured and predicted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lab.costs import costs, whole
from lab.plots import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Panel,
    Panels,
    compose,
    legend_below,
    logarithmic,
)
from lab.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK)
MARKERS = "os^Dv<>"


def panels(_results: Results) -> Panels:
    """Return seconds per step against batch size, and speed-up against ranks."""
    return {
        "seconds": Panel(
            "Seconds per step: measured (points), and by the model of costs (lines)",
            "Seconds per step against the batch size, both logarithmic, points and a line for each number of ranks: "
            "flat at small batches, then rising. Level dotted lines are the exchanges.",
            draw_seconds,
            height=4.2,
        ),
        "speed_up": Panel(
            "Speed-up: measured (points), and by the model of costs (lines)",
            "Speed-up over one rank against the number of ranks, both logarithmic, points and a line for each batch "
            "size: the larger the batch, the farther the line rises before it flattens.",
            draw_speed_up,
            height=4.7,
        ),
    }


def draw(results: Results, path: Path) -> None:
    """Draw both panels into one picture."""
    compose(panels(results), results, path, "Training shared by ranks with one thread each")


def measured(results: Results) -> dict[tuple[int, int], float]:
    """Return the seconds of a step, by ranks and batch size."""
    steps = [run for run in results.runs if "batch_size" in run and run["blas_threads"] == 1]
    return {(run["ranks"], run["batch_size"]): whole(run) for run in steps}


def draw_seconds(ax: Axes, results: Results) -> None:
    """Draw seconds per step against batch size."""
    seconds, model = measured(results), costs(results)
    counts, sizes = (sorted({key[i] for key in seconds}) for i in (0, 1))
    for ranks, colour, marker in zip(counts, COLOURS, MARKERS, strict=False):
        points = [(size, seconds[ranks, size]) for size in sizes if (ranks, size) in seconds]
        ax.plot(*zip(*points, strict=True), marker, color=colour, label=f"{ranks} rank{'s' * (ranks > 1)}")
        if model:
            b = np.geomspace(sizes[0], sizes[-1], 200)
            gradients, exchange, optimizer = model.step(b, np.array(float(ranks)))
            ax.plot(b, gradients + exchange + optimizer, color=colour, linewidth=1)
            if ranks > 1:
                ax.axhline(float(exchange), color=colour, linestyle=":", label=f"exchange of {ranks} ranks")
    ax.set(xscale="log", yscale="log", xlabel="batch size B, of all ranks together", ylabel="seconds per step")
    finish(ax)


def draw_speed_up(ax: Axes, results: Results) -> None:
    """Draw the speed-up over one rank."""
    seconds, model = measured(results), costs(results)
    counts, sizes = (sorted({key[i] for key in seconds}) for i in (0, 1))
    for size, colour, marker in zip(sizes, COLOURS, MARKERS, strict=False):
        if (1, size) in seconds:
            points = [(ranks, seconds[1, size] / seconds[ranks, size]) for ranks in counts if (ranks, size) in seconds]
            ax.plot(*zip(*points, strict=True), marker, color=colour, label=f"batch {size}")
        if model:
            many = 2.0 ** np.arange(9)
            gradients, exchange, optimizer = model.step(np.array(float(size)), many)
            predicted = gradients + exchange + optimizer
            ax.plot(many, predicted[0] / predicted, color=colour, linewidth=1)
    ax.set(xscale="log", yscale="log", xlabel="ranks R", ylabel="speed-up over one rank")
    finish(ax)


def finish(ax: Axes) -> None:
    """Label the logarithmic axes, and draw the legend."""
    logarithmic(ax.xaxis, ax.yaxis)
    ax.grid(alpha=0.3)
    legend_below(ax, 2)
