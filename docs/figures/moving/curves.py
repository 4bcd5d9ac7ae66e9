"""The learning curves of an experiment, against epochs or updates, on test or training images, at a click."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, CustomJS, HoverTool, Legend, LegendItem, NumeralTickFormatter, UIElement
from bokeh.plotting import figure as bokeh_figure
from make_pictures import BLUE, GREEN, ORANGE, RED, SKY

from moving.parts import LETTERS, buttons, plot_of, switch

BLACK, PURPLE = "#000000", "#cc79a7"
STYLES = {  # colour and dash of each curve: those of the figures above, but dotted where chapter 38's prose is run
    "chapter37": {
        "batch 1": (BLACK, "solid"),
        "batch 2": (SKY, "solid"),
        "batch 64": (ORANGE, "solid"),
        "batch 256": (GREEN, "dashed"),
        "batch 1024": (PURPLE, "dashdot"),
    },
    "chapter38": {
        "64": (ORANGE, "solid"),
        "1024, twice as long": (BLACK, "dotted"),
        "1024 at lr 0.1": (BLUE, "solid"),
        "1024 for 1 epoch, then 64": (GREEN, "dashed"),
        "1024, then 64": (RED, "dashdot"),
        "1024, then lr × 10": (SKY, "solid"),
        "64 for 1 epoch, then 1024": (GREEN, "dotted"),
        "64, then 1024": (RED, "dotted"),
    },
}
LOWEST = 85
"""Per cent. What is less accurate leaves the picture."""
TIPS = [("", "$name"), ("epochs", "@epoch"), ("updates", "@updates{0,0}"), ("accuracy", "@shown{0.00} %")]


def figure(results: Path) -> UIElement:
    """Return the figure of a file of results."""
    runs = json.loads(results.read_text(encoding="utf-8"))["runs"]
    styles = STYLES[results.stem]
    histories = {name: [run["history"] for run in runs if run["name"] == name] for name in styles}
    sources = {name: ColumnDataSource(means(found)) for name, found in histories.items() if found}
    draw = partial(drawn, sources, styles)
    plots = [
        draw("epoch", x_axis_label="epochs"),
        draw("updates", x_axis_label="updates, logarithmic", x_axis_type="log"),
    ]
    part = buttons("test images", "training images")
    code = """
        for (const source of sources) {
            source.data = { ...source.data, shown: this.active ? source.data.train : source.data.test };
        }
    """
    part.js_on_change("active", CustomJS(args={"sources": list(sources.values())}, code=code))
    abscissa = switch(plots, "against epochs", "against updates")
    return column(abscissa, part, *plots, sizing_mode="stretch_width")


def means(histories: list[dict[str, list[float]]]) -> dict[str, Any]:
    """Return the means over the seeds, in per cent, as far as all of them ran."""
    epochs = min(len(history["epoch"]) for history in histories)
    found: dict[str, Any] = {name: histories[0][name][:epochs] for name in ("epoch", "updates")}
    for part in ("test", "train"):
        values = [history[f"{part}_accuracy"][:epochs] for history in histories]
        found[part] = (100 * np.mean(values, axis=0)).astype("float32")
    return found | {"shown": found["test"]}


def drawn(
    sources: dict[str, ColumnDataSource], styles: dict[str, tuple[str, str]], x: str, **options: Any
) -> bokeh_figure:
    """Return the curves against ``x``, with a legend that hides them at a click."""
    plot = plot_of(330 + 25 * len(sources), y_range=(LOWEST, 100.3), y_axis_label="accuracy (%)", **options)
    items = []
    for name, source in sources.items():
        colour, dash = styles[name]
        line = plot.line(x, "shown", source=source, color=colour, line_dash=dash, line_width=2.5, name=name)
        items.append(LegendItem(label=name, renderers=[line]))
    style = {"label_text_font_size": LETTERS, "border_line_color": None, "location": "top_left"}
    legend = Legend(items=items, click_policy="hide", **style)
    plot.add_layout(legend, "below")
    plot.add_tools(HoverTool(tooltips=TIPS))
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
    return plot
