"""The figure of data_parallel.py: what shared steps cost, measured and predicted."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from lab.costs import costs, whole
from lab.plots import save_figure
from lab.results import Results


def draw(results: Results, path: Path) -> None:
    """Draw seconds per step against batch size, and speed-up against ranks: measured as points, predicted as lines."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    steps = [run for run in results.runs if "batch_size" in run and run["blas_threads"] == 1]
    sizes = sorted({run["batch_size"] for run in steps})
    counts = sorted({run["ranks"] for run in steps})
    seconds = {(run["ranks"], run["batch_size"]): whole(run) for run in steps}
    model = costs(results)
    for index, ranks in enumerate(counts):
        colour = f"C{index}"
        measured = [(size, seconds[ranks, size]) for size in sizes if (ranks, size) in seconds]
        left.plot(*zip(*measured, strict=True), "o", color=colour, label=f"{ranks} rank{'s' * (ranks > 1)}")
        if model:
            b = np.geomspace(sizes[0], sizes[-1], 200)
            gradients, exchange, optimizer = model.step(b, np.array(float(ranks)))
            left.plot(b, gradients + exchange + optimizer, color=colour, linewidth=1)
            if ranks > 1:
                left.axhline(float(exchange), color=colour, linestyle=":", label=f"exchange of {ranks} ranks")
    for index, size in enumerate(sizes):
        colour = f"C{index}"
        if (1, size) in seconds:
            measured = [
                (ranks, seconds[1, size] / seconds[ranks, size]) for ranks in counts if (ranks, size) in seconds
            ]
            right.plot(*zip(*measured, strict=True), "o", color=colour, label=f"batch {size}")
        if model:
            many = 2.0 ** np.arange(9)
            gradients, exchange, optimizer = model.step(np.array(float(size)), many)
            predicted = gradients + exchange + optimizer
            right.plot(many, predicted[0] / predicted, color=colour, linewidth=1)
    left.set(xscale="log", yscale="log", xlabel="batch size B, of all ranks together", ylabel="seconds per step")
    right.set(xscale="log", yscale="log", xlabel="ranks R", ylabel="speed-up over one rank")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.suptitle("A training shared by ranks with one thread each: measured (points) and the model of costs (lines)")
    save_figure(figure, path)
