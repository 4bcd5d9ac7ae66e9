"""The benchmark's figures: steps against their products, cost against size, and the roofline."""

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lab.contestants.task import CURVE_BATCH, OPTIMIZERS
from lab.plots import save_figure
from lab.ratios import ratio, seconds
from lab.results import Results
from lab.roofline import KINDS, kind_of, measured_parts, parts_of_step, percentages, speeds

COLOURS = {
    "floor": "black",
    "minidl": "tab:red",
    "minidl fast": "darkred",
    "PyTorch": "tab:blue",
    "PyTorch fused": "tab:cyan",
    "PyTorch compiled": "tab:purple",
    "PyTorch graph": "tab:pink",
    "JAX": "tab:green",
    "scikit-learn": "tab:orange",
}
COLOURS_OF_KINDS = dict(zip(KINDS, ("tab:blue", "tab:orange", "tab:green", "tab:brown", "tab:red"), strict=True))
DRAWN = [(kind, "SGD", colour) for kind, colour in COLOURS_OF_KINDS.items()] + [("update", "Adam", "tab:pink")]
"""The kinds of parts in the roofline, the optimiser in whose run they are drawn, and a colour."""


def draw(results: Results, path: Path) -> None:
    """Draw the three figures."""
    draw_ratios(results, path)
    draw_curves(results, path.with_stem(f"{path.stem}_cost"))
    if results.settings["backend"] == "numpy":
        draw_roofline(results, path.with_stem(f"{path.stem}_roofline"))


def threads(results: Results) -> str:
    """Return how many threads each library had, in words."""
    count = results.settings["threads"]
    return f"{count} thread{'s' * (count > 1)}"


def style(name: str) -> dict[str, Any]:
    """Return how a contestant is drawn."""
    tf32 = name.endswith(" TF32")
    return {"color": COLOURS[name.removesuffix(" TF32")], "alpha": 0.5 if tf32 else 1.0}


def draw_ratios(results: Results, path: Path) -> None:
    """Draw the time of a step as a multiple of its products, and the memory it needs."""
    figure, axes = plt.subplots(len(OPTIMIZERS) + 1, 1, figsize=(10, 10), layout="constrained")
    for ax, optimizer in zip(axes, OPTIMIZERS, strict=False):
        draw_steps(ax, results, optimizer)
    handles = dict(zip(*axes[0].get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    draw_memory(axes[-1], results)
    figure.suptitle(f"A training step of 784-1024-1024-10, {threads(results)}: medians, intervals of 90 %")
    save_figure(figure, path)


def draw_steps(ax: Axes, results: Results, optimizer: str) -> None:
    """Draw a bar for each contestant and batch size, with its interval."""
    sizes = results.settings["batch_sizes"]
    names = [name for name in results.settings["contestants"] if name != "floor"]
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        for position, size in enumerate(sizes):
            times = ratio(results, f"{optimizer}, batch {size}", name, "floor")
            if times is not None:
                x = position + (i - (len(names) - 1) / 2) * width
                ax.bar(x, times.value, 0.9 * width, **style(name), label=name)
                lines = [[max(0, times.value - times.low)], [max(0, times.high - times.value)]]
                ax.errorbar(x, times.value, lines, color="black", linewidth=1)
                top = max(times.value, times.high)
                place: dict[str, Any] = {"xytext": (0, 2), "textcoords": "offset points", "ha": "center"}
                ax.annotate(f"{times.value:.2f}", (x, top), **place, fontsize=7)
    ax.axhline(1, color="black", linewidth=1)
    ax.set(ylabel="step / its matrix products", title=f"{optimizer}: time")
    ax.set_xticks(range(len(sizes)), [f"batch {size}" for size in sizes])
    ax.margins(y=0.12)


def draw_memory(ax: Axes, results: Results) -> None:
    """Draw the peak memory of each contestant, at the middle batch size."""
    sizes = results.settings["batch_sizes"]
    run = f"SGD, batch {sizes[len(sizes) // 2]}"
    peaks = results.called(run)[0]["peak_bytes"]
    shown = [name for name in peaks if name != "floor"]
    bars = ax.barh(shown, [peaks[name] / 1e6 for name in shown], color=[style(name)["color"] for name in shown])
    ax.bar_label(bars, fmt="%.0f", padding=3)
    ax.invert_yaxis()
    ax.set(xlabel="MB", title=f"Peak memory of the process, images included ({run})")
    ax.margins(x=0.08)


def draw_curves(results: Results, path: Path) -> None:
    """Draw what a step or an epoch costs, against batch size, width and number of samples."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.8), layout="constrained")
    draw_curve(axes[0], results, "batch", results.settings["curve_batch_sizes"])
    draw_curve(axes[1], results, "width", results.settings["curve_widths"])
    draw_curve(axes[2], results, "samples", results.settings["curve_samples"])
    axes[0].set(xlabel="batch size", ylabel="ms a step", title="Batch size (width 1024)")
    axes[1].set(xlabel="units in each hidden layer", ylabel="ms a step", title=f"Width (batch {CURVE_BATCH})")
    axes[2].set(xlabel="training images", ylabel="ms an epoch", title=f"Samples (batch {CURVE_BATCH}, width 1024)")
    figure.suptitle(f"What training costs with SGD, {threads(results)} (both axes logarithmic)")
    save_figure(figure, path)


def draw_curve(ax: Axes, results: Results, what: str, values: list[int]) -> None:
    """Draw the time of each contestant against one size, with the slope in which the products grow."""
    for name in results.settings["contestants"]:
        points = []
        for value in values:
            times = seconds(results, f"curve, {what} {value}").get(name)
            if times:
                steps = results.called(f"curve, {what} {value}")[0]["steps"] if what == "samples" else 1
                points.append((value, 1000 * steps * median(times)))
        if points:
            ax.plot(*zip(*points, strict=True), "o-", markersize=4, **style(name), label=name)
        if points and name == "floor":
            (first, _), (last, most) = points[0], points[-1]
            slope = 2 if what == "width" else 1  # the products of the middle layer grow with the square
            lowest = most * (first / last) ** slope
            ax.plot([first, last], [lowest, most], ":", color="gray", label=f"slope {slope}")
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(values, [f"{value:,}" for value in values])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter("{x:g}")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)


def draw_roofline(results: Results, path: Path) -> None:
    """Draw the speed of each part of a step below the two roofs, memory and arithmetic; and its part of the time."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 6), layout="constrained", width_ratios=[3, 2])
    flops, bandwidth, cache_bandwidth = speeds(results)
    intensity = np.geomspace(0.05, 1000, 200)
    for speed, line, memory in ((bandwidth, "k-", "main memory"), (cache_bandwidth, "k--", "cache")):
        roof = np.minimum(flops, intensity * speed) / 1e9
        left.plot(intensity, roof, line, linewidth=1, label=f"roof: {memory}, arithmetic")
    sizes = results.settings["batch_sizes"]
    for size, marker in zip(sizes, "os^Dv<>P" * len(sizes), strict=False):
        for kind, optimizer, colour in DRAWN:
            points = operations_and_speeds(results, kind, optimizer, size)
            if any(speed > 0 for _, speed in points):
                label = f"{kind} ({optimizer})" if kind == "update" else kind
                left.plot(*zip(*points, strict=True), marker, color=colour, label=label if size == sizes[0] else None)
        left.plot([], [], marker, color="black", fillstyle="none", label=f"batch {size}")
    left.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="GFLOP/s", title="Speed of each part")
    left.grid(alpha=0.3)
    left.legend(fontsize=8)
    draw_shares(right, results)
    figure.suptitle(f"Where the time of a step goes, {threads(results)}, and what bounds it")
    save_figure(figure, path)


def operations_and_speeds(results: Results, kind: str, optimizer: str, size: int) -> list[tuple[float, float]]:
    """Return operations per byte and billion operations per second, for each part of a kind."""
    took = measured_parts(results, optimizer, size)
    counts = {name: part for name, part in parts_of_step(size, optimizer).items() if kind_of(name) == kind}
    return [(c.operations / c.traffic, c.operations / took[name] / 1e9) for name, c in counts.items()]


def draw_shares(ax: Axes, results: Results) -> None:
    """Draw which percentage of a step each kind of part takes."""
    runs = [(optimizer, size) for optimizer in OPTIMIZERS for size in results.settings["batch_sizes"]]
    rows = [f"{optimizer}, batch {size}" for optimizer, size in runs]
    shares = [percentages(measured_parts(results, *run)) for run in runs]
    left = np.zeros(len(rows))
    for kind, colour in COLOURS_OF_KINDS.items():
        widths = [share[kind] for share in shares]
        bars = ax.barh(rows, widths, left=left, color=colour, label=kind)
        ax.bar_label(bars, [f"{width:.0f}" if width >= 3 else "" for width in widths], label_type="center", fontsize=8)
        left += widths
    ax.invert_yaxis()
    ax.set(xlabel="% of the step", title="Shares of the time", xlim=(0, 100))
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3)
