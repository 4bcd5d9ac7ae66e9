"""Figures of panels: curves of several seeds as a mean with a band around it, in colours that everyone can tell apart.

An experiment draws panels, each into axes of its own. A script puts them together into one picture; the book shows each
by itself, so large that it can be read on a telephone (docs/results/make_figures.py).

Most of Matplotlib is imported when something is drawn: it takes longer to load than the engine, and workers draw
nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import zip_longest
from math import inf, log10
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import matplotlib

from lab.results import Curves, Results

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

matplotlib.use("Agg")  # draws into files, and needs no screen

# Okabe and Ito's colours, which the colour-blind can tell apart, with a grey. A thing has one colour in all figures.
BLACK, ORANGE, SKY, GREEN, YELLOW = "#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442"
BLUE, VERMILION, PURPLE, GREY = "#0072b2", "#d55e00", "#cc79a7", "#8c8c8c"
BATCHES = {1: BLACK, 2: SKY, 10: BLUE, 32: VERMILION, 64: ORANGE, 128: GREEN, 256: GREEN, 1024: PURPLE}
"""Of batch sizes. The chapters' figures have orange, green and lilac for 64, 256 and 1024; lilac is redder here."""
OPTIMIZERS = {"SGD": BLACK, "Momentum": BLUE, "Nesterov": SKY, "Adagrad": ORANGE, "RMSprop": GREEN, "Adam": VERMILION}

WIDTH = 4.8
"""Inches of a panel."""
STYLE: dict[Any, Any] = {
    "font.size": 11,  # of all letters: 358 pixels wide, a panel has letters of 11 pixels
    "axes.titlesize": 11,
    "figure.titlesize": 12,
    "legend.fontsize": 11,
    "legend.title_fontsize": 11,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.handlelength": 1.6,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.3,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",  # letters stay letters
    "svg.hashsalt": "minidl",  # the same file each time
}


class Panel(NamedTuple):
    """One of the drawings of an experiment."""

    title: str
    alt: str
    """What one sees, in words."""
    draw: Callable[[Axes, Results], None]
    height: float = 3.5
    """Inches."""
    ends: bool = False
    """Whether the words should go on with the order in which the curves end."""


Panels: TypeAlias = dict[str, Panel]
"""By names that become names of files."""


def compose(panels: Panels, results: Results, path: Path, title: str, columns: int = 2) -> None:
    """Draw panels into one picture, row by row."""
    columns = min(columns, len(panels))
    drawn = list(panels.values())
    rows = [drawn[start : start + columns] for start in range(0, len(drawn), columns)]
    heights = [max(panel.height for panel in row) + 0.5 for row in rows]
    size = WIDTH * columns, sum(heights) + 0.4
    with matplotlib.rc_context(STYLE):
        figure = empty(*size)
        axes = figure.subplots(len(rows), columns, height_ratios=heights, squeeze=False)
        for ax, panel in zip_longest(axes.flat, drawn):
            if panel is None:
                ax.remove()
            else:
                panel.draw(ax, results)
                ax.set_title(fill(panel.title, 52))
        figure.suptitle(fill(title, 50 * columns))
        save_figure(figure, path)


def empty(width: float, height: float) -> Figure:
    """Return a figure without axes; the sizes are inches."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def single(panel: Panel, results: Results) -> Figure:
    """Draw a panel by itself; the title is for the page that shows it."""
    figure = empty(WIDTH, panel.height)
    panel.draw(figure.subplots(), results)
    return figure


def described(panel: Panel, results: Results) -> str:
    """Return what one sees on a panel, in words."""
    if not panel.ends:
        return panel.alt
    with matplotlib.rc_context(STYLE):
        figure = single(panel, results)
    curves = [line for line in figure.axes[0].lines if not str(line.get_label()).startswith("_")]
    ends = {str(line.get_label()): float(line.get_ydata()[-1]) for line in curves}  # type: ignore[index, arg-type]
    highest_first = sorted(ends, key=lambda label: -ends[label] if ends[label] == ends[label] else inf)
    return f"{panel.alt} At the end, from the highest: {'; '.join(highest_first)}."


def over_seeds(results: Results) -> str:
    """Return the end of a figure's title: what `band` draws, if there are several seeds."""
    seeds = len({run["seed"] for run in results.runs})
    return f"; mean and range of {seeds} seeds" if seeds > 1 else ""


def band(axes: Axes, x: Curves, curves: Curves, colour: Any, label: str, **style: Any) -> None:
    """Draw the mean of several curves (seeds, points), and their range as a band if there are several."""
    axes.plot(x, curves.mean(axis=0), color=colour, label=label, **style)
    if len(curves) > 1:
        axes.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.25, linewidth=0)


def as_pixels(drawn: Artist) -> None:
    """Let a filled contour be pixels in a vector graphic, which keeps it small; before 3.11 Matplotlib cannot."""
    if matplotlib.__version_info__ >= (3, 11):
        drawn.set_rasterized(True)


def legend_below(axes: Axes, columns: int = 2, **more: Any) -> None:
    """Put the legend below the axes, where it covers no curve."""
    from matplotlib.transforms import ScaledTranslation

    below = axes.transAxes + ScaledTranslation(0, -39 / 72, axes.figure.dpi_scale_trans)
    more |= {"loc": "upper right", "bbox_to_anchor": (1, 0), "bbox_transform": below, "borderaxespad": 0}
    axes.legend(ncols=columns, frameon=False, alignment="left", **more)


def whole_numbers(axis: Axis) -> None:
    """Label an axis with whole numbers: there is no half epoch."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def logarithmic(*axes: Axis) -> None:
    """Label logarithmic axes with few numbers in letters of one size: those of an exponent would be too small."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in axes:
        low, high = sorted(axis.get_view_interval())
        axis.set_major_locator(LogLocator(subs=(1.0,) if high > 70 * low else (1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axis.set_minor_formatter(NullFormatter())


def number(value: float) -> str:
    """Return 0.01, 2, 500, and beyond them powers of ten such as 10⁻⁴."""
    exponent = round(log10(value)) if value > 0 else 0
    if 0.001 <= value < 10_000 or abs(log10(value) - exponent) > 1e-9:
        return f"{value:,g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to ``path``, by way of a second file."""
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    svg = path.suffix == ".svg"  # without a date, it is the same file each time
    figure.savefig(partial, dpi=100 if svg else 150, metadata={"Date": None, "Creator": None} if svg else None)
    partial.replace(path)
