"""What the figures that move are built from: plots as wide as the page, buttons and text, with letters of one size."""

from typing import Any

from bokeh.models import CustomJS, Div, RadioButtonGroup, Slider, UIElement
from bokeh.plotting import figure

LETTERS = "13px"


def plot_of(height: int, **options: Any) -> figure:
    """Return a plot as wide as the page, without tools."""
    plot = figure(height=height, sizing_mode="stretch_width", tools="", toolbar_location=None, **options)
    plot.title.text_font_size = LETTERS
    plot.axis.axis_label_text_font_size = plot.axis.major_label_text_font_size = LETTERS
    plot.axis.axis_label_text_font_style = "normal"
    return plot


def paragraph(text: str) -> Div:
    """Return text that a figure can change."""
    return Div(text=text, sizing_mode="stretch_width", stylesheets=[f":host {{ font-size: {LETTERS}; }}"])


def slider(title: str, value: float, **options: Any) -> Slider:
    """Return a slider as wide as the page."""
    style = f":host {{ font-size: {LETTERS}; }}"
    return Slider(title=title, value=value, sizing_mode="stretch_width", stylesheets=[style], **options)


def buttons(*labels: str) -> RadioButtonGroup:
    """Return buttons of which one is pressed, at first the first."""
    style = f".bk-btn {{ font-size: {LETTERS}; }}"
    return RadioButtonGroup(labels=list(labels), active=0, sizing_mode="stretch_width", stylesheets=[style])


def switch(plots: list[figure], *labels: str) -> UIElement:
    """Return buttons that show one of some plots, and hide the others, as they are now."""
    for plot in plots[1:]:
        plot.visible = False
    choice = buttons(*labels)
    code = "plots.forEach((plot, i) => { plot.visible = i === this.active; });"
    choice.js_on_change("active", CustomJS(args={"plots": plots}, code=code))
    return choice
