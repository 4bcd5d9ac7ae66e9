"""The map of batch size and learning rate: a tap on a cell shows the curves through it.

The runs of the map keep their accuracy at the end and no history. So the curves through a cell are the accuracies of
its batch size at every rate, and those of its rate at every batch size.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, CustomJS, TapTool, UIElement
from bokeh.palettes import Cividis256
from bokeh.plotting import figure as bokeh_figure
from bokeh.transform import linear_cmap
from make_pictures import BLUE, ORANGE, RED

from moving.parts import LETTERS, paragraph, plot_of, switch

REGIMES = {"equal epochs": (BLUE, "solid"), "equal updates": (ORANGE, "dashed")}
LOWEST, HIGHEST = 85, 99
"""Per cent. What is less accurate is coloured alike, and leaves the curves."""
AXES = {"size": "batch size", "rate": "learning rate"}
ACROSS = {"size": "rate", "rate": "size"}
"""What changes along the curve on which this is the same."""


def figure(results: Path) -> UIElement:
    """Return the figure of a file of results."""
    table = cells_of(json.loads(results.read_text(encoding="utf-8"))["runs"])
    first = int(np.nanargmax(table["equal epochs"]))
    cells = ColumnDataSource(table)
    cells.selected.indices = [first]
    maps = [map_of(regime, cells) for regime in REGIMES]
    words = paragraph(table["words"][first])
    lines = {key: ColumnDataSource(curve_through(first, key, table)) for key in AXES}
    curves = {key: curves_of(key, lines[key], table) for key in AXES}
    for key, plot in curves.items():
        plot.title.text = table[f"same {key}"][first]
    choose = CustomJS(
        args={"cells": cells, "words": words, "lines": list(lines.values()), "curves": list(curves.values())},
        code="""
            const [cell] = cells.selected.indices;
            if (cell === undefined) return;  // a tap beside the map
            const data = cells.data;
            words.text = data.words[cell];
            [["size", "rate"], ["rate", "size"]].forEach(([key, across], i) => {
                const rows = [...data[key].keys()].filter((row) => data[key][row] === data[key][cell]);
                const pick = (name) => rows.map((row) => data[name][row]);
                const columns = ["equal epochs", "equal updates"].map((name) => [name, pick(name)]);
                lines[i].data = Object.fromEntries([["at", pick("log " + across)], ...columns]);
                curves[i].title.text = data["same " + key][cell];
            });
        """,
    )
    cells.selected.js_on_change("indices", choose)
    return column(switch(maps, *REGIMES), *maps, words, *curves.values(), sizing_mode="stretch_width")


def cells_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return columns with a row for each cell: its place, mean accuracies in per cent (NaN: it diverged), and texts."""
    found: dict[tuple[int, float], dict[str, list[float]]] = {}
    for run in runs:
        cell = found.setdefault((run["batch_size"], run["lr"]), {regime: [] for regime in REGIMES})
        cell[run["name"].partition(",")[0]].append(100 * run.get("test_accuracy", np.nan))
    places = sorted(found)
    size, rate = np.array(places, float).T
    table: dict[str, Any] = {"size": size, "rate": rate, "log size": np.log2(size), "log rate": np.log2(rate)}
    for regime in REGIMES:
        values = table[regime] = np.array([np.mean(found[place][regime]) for place in places])
        table[f"{regime}, text"] = ["×" if np.isnan(value) else f"{value:.1f}" for value in values]
        table[f"{regime}, ink"] = ["white" if value < 92 else "black" for value in values]
    table["same size"] = [f"batch size {size}, every learning rate" for size, _ in places]
    table["same rate"] = [f"learning rate {as_written(rate)}, every batch size" for _, rate in places]
    table["words"] = [
        f"<b>Batch size {size}, learning rate {as_written(rate)}.</b> Test accuracy after "
        + ", after ".join(f"{regime}: {said(table[regime][row])}" for regime in REGIMES)
        for row, (size, rate) in enumerate(places)
    ]
    return table


def said(accuracy: float) -> str:
    """Return an accuracy in words."""
    return "diverged" if np.isnan(accuracy) else f"{accuracy:.2f} %"


def as_written(rate: float) -> str:
    """Return a rate as a page writes it, such as 1/16."""
    return f"1/{1 / rate:g}" if rate < 1 else f"{rate:g}"


def map_of(regime: str, cells: ColumnDataSource) -> bokeh_figure:
    """Return the map of cells after equal epochs or updates."""
    table = cells.data
    steps = {key: float(np.diff(np.unique(table[f"log {key}"])).min(initial=4)) for key in AXES}
    height = 90 + 30 * len(set(table["rate"]))
    plot = plot_of(height, x_axis_label="batch size", y_axis_label="learning rate")
    colour = linear_cmap(regime, Cividis256, LOWEST, HIGHEST, nan_color="#909090")
    size = {"width": 0.96 * steps["size"], "height": 0.94 * steps["rate"]}
    tiles = plot.rect("log size", "log rate", source=cells, fill_color=colour, line_color=None, **size)
    tiles.selection_glyph = tiles.glyph.clone(line_color=RED, line_width=4)
    tiles.nonselection_glyph = None
    place: dict[str, Any] = {"text_align": "center", "text_baseline": "middle", "text_font_size": LETTERS}
    ink = {"text": f"{regime}, text", "text_color": f"{regime}, ink"}
    numbers = plot.text("log size", "log rate", source=cells, **ink, **place)
    numbers.nonselection_glyph = None
    for axis, key in ((plot.xaxis, "size"), (plot.yaxis, "rate")):
        name_ticks(axis, key, table)
    plot.grid.visible = False
    plot.add_tools(TapTool(renderers=[tiles]))
    return plot


def curve_through(cell: int, key: str, table: dict[str, Any]) -> dict[str, Any]:
    """Return the accuracies of all cells with the same batch size, or the same rate, as this one."""
    rows = table[key] == table[key][cell]
    return {"at": table[f"log {ACROSS[key]}"][rows]} | {regime: table[regime][rows] for regime in REGIMES}


def curves_of(key: str, source: ColumnDataSource, table: dict[str, Any]) -> bokeh_figure:
    """Return the plot of the curves through a cell on which ``key`` is the same."""
    across = ACROSS[key]
    ends = table[f"log {across}"].min() - 0.5, table[f"log {across}"].max() + 0.5
    labels = {"x_axis_label": AXES[across], "y_axis_label": "test accuracy (%)"}
    plot = plot_of(300, x_range=ends, y_range=(LOWEST, 100), **labels)
    for regime, (colour, dash) in REGIMES.items():
        style: dict[str, Any] = {"source": source, "color": colour, "legend_label": f"after {regime}"}
        plot.line("at", regime, line_width=2.5, line_dash=dash, **style)
        plot.scatter("at", regime, size=7, **style)
    plot.legend.label_text_font_size = LETTERS
    plot.legend.location = "top_left"
    plot.add_layout(plot.legend[0], "below")
    name_ticks(plot.xaxis, across, table, every=2 if across == "rate" else 1)  # as many as fit on a telephone
    return plot


def name_ticks(axis: Any, key: str, table: dict[str, Any], every: int = 1) -> None:
    """Write batch sizes or rates on a logarithmic axis."""
    names = {float(at): as_written(value) for at, value in zip(table[f"log {key}"], table[key], strict=True)}
    axis.ticker, axis.major_label_overrides = sorted(names)[::every], names
