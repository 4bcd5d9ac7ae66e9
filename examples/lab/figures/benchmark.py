"""The benchmark's figures: steps against their products, cost against size, and the roofline."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.contestants.task import CURVE_BATCH, OPTIMIZERS
from lab.plots import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    Panel,
    Panels,
    compose,
    legend_below,
    logarithmic,
)
from lab.ratios import ratio, seconds
from lab.results import Results
from lab.roofline import KINDS, kind_of, measured_parts, parts_of_step, percentages, speeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "floor": BLACK,
    "minidl": VERMILION,
    "minidl fast": ORANGE,
    "PyTorch": BLUE,
    "PyTorch fused": SKY,
    "PyTorch compiled": PURPLE,
    "PyTorch graph": YELLOW,
    "JAX": GREEN,
    "scikit-learn": GREY,
}
MARKERS = dict(zip(COLOURS, "o^vsD<>P*", strict=True))
COLOURS_OF_KINDS = dict(zip(KINDS, (SKY, ORANGE, GREEN, GREY, VERMILION), strict=True))
DRAWN = [(kind, "SGD", colour) for kind, colour in COLOURS_OF_KINDS.items()] + [("update", "Adam", PURPLE)]
"""The kinds of parts in the roofline, the optimiser in whose run they are drawn, and a colour."""


def panels(results: Results) -> Panels:
    """Return all panels."""
    return steps(results) | costs(results) | (roofline() if results.settings["backend"] == "numpy" else {})


def steps(results: Results) -> Panels:
    """Return the time of a step as a multiple of its products, and the memory it needs."""
    bars = len(results.settings["batch_sizes"]) * (len(results.settings["contestants"]) - 1)
    return {
        f"steps_{optimizer}": Panel(
            f"{optimizer}: a step as a multiple of its matrix products, with its interval of 90 %",
            f"{optimizer}: bars of the time of a step divided by that of its matrix products, for each contestant in "
            "three groups, one for each batch size. A line marks 1. The larger the batch, the nearer the bars to it.",
            partial(draw_steps, optimizer=optimizer),
            height=1.9 + 0.2 * bars,
        )
        for optimizer in OPTIMIZERS
    } | {
        "memory": Panel(
            f"Peak memory of the process, images included ({middle_run(results)})",
            "Bars of the peak memory of each contestant, with the number of megabytes at the end.",
            draw_memory,
        )
    }


def costs(results: Results) -> Panels:
    """Return what a step or an epoch costs, against batch size, width and number of samples, where measured."""
    seen = "a line for each contestant, both axes logarithmic, and dotted the slope in which the products grow."
    drawn = {
        "cost_batch": Panel(
            "Cost of a step against the batch size (width 1024, SGD)",
            f"Milliseconds a step against the batch size: {seen} The lines are flat at small batches and reach that "
            "slope at large ones.",
            partial(draw_curve, what="batch"),
            height=4.4,
            ends=True,
        ),
        "cost_width": Panel(
            f"Cost of a step against the width (batch {CURVE_BATCH}, SGD)",
            f"Milliseconds a step against the units in each hidden layer: {seen}",
            partial(draw_curve, what="width"),
            height=4.4,
            ends=True,
        ),
        "cost_samples": Panel(
            f"Cost of an epoch against the training images (batch {CURVE_BATCH}, width 1024, SGD)",
            f"Milliseconds an epoch against the number of training images: {seen} All lines are straight and parallel.",
            partial(draw_curve, what="samples"),
            height=4.4,
            ends=True,
        ),
    }
    settings = results.settings
    there = {"cost_width": settings["curve_widths"], "cost_samples": settings["curve_samples"]}
    return {name: panel for name, panel in drawn.items() if there.get(name, True)}


def roofline() -> Panels:
    """Return the speed of each part of a step below two roofs, memory and arithmetic; and its part of the time."""
    return {
        "roofline": Panel(
            "The speed of each part of a step, and what bounds it",
            "Speed against operations per byte, both logarithmic, below two roofs that rise and bend into one level "
            "line. The dense layers lie near the level roof; rectifiers and updates lie on the left, near the rising "
            "one; log-softmax and loss lie far below it.",
            draw_roofline,
            height=5.2,
        ),
        "shares": Panel(
            "Where the time of a step goes",
            "Stacked bars of the parts of a step in per cent, for each optimiser and batch size. The dense layers take "
            "most, the more the larger the batch; the update takes more with Adam than with SGD.",
            draw_shares,
            height=4.4,
        ),
    }


def draw(results: Results, path: Path) -> None:
    """Draw the three figures."""
    count = results.settings["threads"]
    threads = f"{count} thread{'s' * (count > 1)}"
    title = f"A training step of 784-1024-1024-10, {threads}: medians, intervals of 90 %"
    compose(steps(results), results, path, title, columns=3)
    title = f"What training costs with SGD, {threads} (both axes logarithmic)"
    compose(costs(results), results, path.with_stem(f"{path.stem}_cost"), title, columns=3)
    if results.settings["backend"] == "numpy":
        title = f"Where the time of a step goes, {threads}, and what bounds it"
        compose(roofline(), results, path.with_stem(f"{path.stem}_roofline"), title)


def style(name: str) -> dict[str, Any]:
    """Return how a contestant is drawn."""
    tf32 = name.endswith(" TF32")
    return {"color": COLOURS[name.removesuffix(" TF32")], "alpha": 0.5 if tf32 else 1.0}


def draw_steps(ax: Axes, results: Results, optimizer: str) -> None:
    """Draw a bar for each contestant and batch size, with its interval and its length."""
    sizes = results.settings["batch_sizes"]
    names = [name for name in results.settings["contestants"] if name != "floor"]
    width = 0.86 / len(names)
    for i, name in enumerate(names):
        label: str | None = name
        for position, size in enumerate(sizes):
            times = ratio(results, f"{optimizer}, batch {size}", name, "floor")
            if times is not None:
                y = position + (i - (len(names) - 1) / 2) * width
                ax.barh(y, times.value, 0.9 * width, **style(name), label=label)
                lines = [[max(0, times.value - times.low)], [max(0, times.high - times.value)]]
                ax.errorbar(times.value, y, xerr=lines, color=BLACK, linewidth=1)
                place: dict[str, Any] = {"xytext": (3, 0), "textcoords": "offset points", "va": "center_baseline"}
                ax.annotate(f"{times.value:.2f}", (max(times.value, times.high), y), **place)
                label = None  # one entry in the legend is enough
    ax.axvline(1, color=BLACK, linewidth=1)
    ax.set(xlabel="step / its matrix products", xlim=(0, 1.2 * ax.dataLim.x1))
    ax.set_yticks(range(len(sizes)), [f"batch\n{size}" for size in sizes])
    ax.set_ylim(len(sizes) - 0.5, -0.5)
    legend_below(ax, 2)


def middle_run(results: Results) -> str:
    """Return the name of the run with the middle batch size."""
    sizes = results.settings["batch_sizes"]
    return f"SGD, batch {sizes[len(sizes) // 2]}"


def draw_memory(ax: Axes, results: Results) -> None:
    """Draw the peak memory of each contestant, at the middle batch size."""
    peaks = results.called(middle_run(results))[0]["peak_bytes"]
    shown = [name for name in peaks if name != "floor"]
    bars = ax.barh(shown, [peaks[name] / 1e6 for name in shown], color=[style(name)["color"] for name in shown])
    ax.bar_label(bars, fmt="%.0f", padding=3)
    ax.invert_yaxis()
    ax.set(xlabel="MB")
    ax.locator_params(axis="x", nbins=4)
    ax.margins(x=0.18)


def draw_curve(ax: Axes, results: Results, what: str) -> None:
    """Draw the time of each contestant against one size, with the slope in which the products grow."""
    key = {"batch": "curve_batch_sizes", "width": "curve_widths", "samples": "curve_samples"}[what]
    values: list[int] = results.settings[key]
    for name in results.settings["contestants"]:
        points = []
        for value in values:
            times = seconds(results, f"curve, {what} {value}").get(name)
            if times:
                steps = results.called(f"curve, {what} {value}")[0]["steps"] if what == "samples" else 1
                points.append((value, 1000 * steps * median(times)))
        if points:
            marker = MARKERS[name.removesuffix(" TF32")]
            ax.plot(*zip(*points, strict=True), marker=marker, markersize=5, **style(name), label=name)
        if points and name == "floor":
            (first, _), (last, most) = points[0], points[-1]
            slope = 2 if what == "width" else 1  # the products of the middle layer grow with the square
            lowest = most * (first / last) ** slope
            ax.plot([first, last], [lowest, most], ":", color=BLACK, label=f"slope {slope}")
    labels = {"batch": "batch size", "width": "units in each hidden layer", "samples": "training images"}
    ax.set(
        xscale="log", yscale="log", xlabel=labels[what], ylabel=f"ms {'an epoch' if what == 'samples' else 'a step'}"
    )
    ax.set_xticks(values, [str(value) for value in values])
    ax.minorticks_off()
    logarithmic(ax.yaxis)
    ax.grid(alpha=0.3)
    legend_below(ax, 2)


def draw_roofline(ax: Axes, results: Results) -> None:
    """Draw the speed of each part of a step below the roofs."""
    flops, bandwidth, cache_bandwidth = speeds(results)
    intensity = np.geomspace(0.05, 1000, 200)
    for speed, line, memory in ((bandwidth, "-", "main memory"), (cache_bandwidth, "--", "cache")):
        roof = np.minimum(flops, intensity * speed) / 1e9
        ax.plot(intensity, roof, line, color=BLACK, linewidth=1, label=f"roof: {memory}")
    sizes = results.settings["batch_sizes"]
    for size, marker in zip(sizes, "os^Dv<>P" * len(sizes), strict=False):
        for kind, optimizer, colour in DRAWN:
            points = operations_and_speeds(results, kind, optimizer, size)
            if any(speed > 0 for _, speed in points):
                label = f"{kind} ({optimizer})" if kind == "update" else kind
                ax.plot(*zip(*points, strict=True), marker, color=colour, label=label if size == sizes[0] else None)
        ax.plot([], [], marker, color=BLACK, fillstyle="none", label=f"batch {size}")
    ax.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="GFLOP/s")
    logarithmic(ax.xaxis, ax.yaxis)
    ax.grid(alpha=0.3)
    legend_below(ax, 2)


def operations_and_speeds(results: Results, kind: str, optimizer: str, size: int) -> list[tuple[float, float]]:
    """Return operations per byte and billion operations per second, for each part of a kind."""
    took = measured_parts(results, optimizer, size)
    counts = {name: part for name, part in parts_of_step(size, optimizer).items() if kind_of(name) == kind}
    return [(c.operations / c.traffic, c.operations / took[name] / 1e9) for name, c in counts.items()]


def draw_shares(ax: Axes, results: Results) -> None:
    """Draw which percentage of a step each kind of part takes."""
    runs = [(optimizer, size) for optimizer in OPTIMIZERS for size in results.settings["batch_sizes"]]
    rows = [f"{optimizer}, {size}" for optimizer, size in runs]
    shares = [percentages(measured_parts(results, *run)) for run in runs]
    left = np.zeros(len(rows))
    for kind, colour in COLOURS_OF_KINDS.items():
        widths = [share[kind] for share in shares]
        bars = ax.barh(rows, widths, left=left, color=colour, label=kind)
        ax.bar_label(bars, [f"{width:.0f}" if width >= 8 else "" for width in widths], label_type="center")
        left += widths
    ax.invert_yaxis()
    ax.set(xlabel="% of the step", ylabel="optimiser, batch size", xlim=(0, 100))
    legend_below(ax, 2)
