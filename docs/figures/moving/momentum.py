"""Momentum in a ravine, with a slider for the learning rate and one for γ: does the path arrive?"""

from itertools import product

import numpy as np
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, CustomJS, UIElement
from make_pictures import BLUE, ORANGE, RED

import minidl
from minidl.backend import Array
from moving.parts import paragraph, plot_of, slider

CURVATURES = np.array([1.0, 20.0])
START = np.array([-4.0, 1.0])
STEPS = 60
NEAR = 0.05
"""The distance from the minimum at which a path has arrived."""
RATES = np.arange(1, 41) * 0.005
GAMMAS = np.arange(10) * 0.1
SETTINGS = list(product(RATES, GAMMAS))
FIRST = 5 * len(GAMMAS) + 8  # η = 0.03 and γ = 0.8, as in the picture of six optimisers


def figure() -> UIElement:
    """Return the figure."""
    paths = np.array([path_of(*setting) for setting in SETTINGS])  # (settings, steps + 1, 2)
    sentences = [in_words(*setting, path) for setting, path in zip(SETTINGS, paths, strict=True)]
    along, across = np.moveaxis(paths.astype("float32"), -1, 0)
    every = ColumnDataSource({"along": along.ravel(), "across": across.ravel()})
    path = ColumnDataSource({"along": along[FIRST], "across": across[FIRST]})

    plot = plot_of(300, x_range=(-5, 5), y_range=(-1.6, 1.6), x_axis_label="along", y_axis_label="across")
    turn = np.linspace(0, 2 * np.pi, 60)
    for loss in (0.3, 2, 6, 13, 25):
        reach = np.sqrt(2 * loss / CURVATURES)
        plot.line(reach[0] * np.cos(turn), reach[1] * np.sin(turn), color="#a0a0a0")
    plot.line("along", "across", source=path, color=BLUE)
    plot.scatter("along", "across", source=path, color=BLUE, size=5)
    plot.scatter(*START[:, None], marker="square", color=ORANGE, size=11)
    plot.scatter([0], [0], marker="star", color=RED, size=16)

    rate, gamma = SETTINGS[FIRST]
    eta = slider("learning rate η", rate, start=RATES[0], end=RATES[-1], step=0.005, format="0.000")
    memory = slider("momentum γ", gamma, start=GAMMAS[0], end=GAMMAS[-1], step=0.1, format="0.0")
    words = paragraph(sentences[FIRST])
    given = {"eta": eta, "memory": memory, "every": every, "path": path, "words": words, "sentences": sentences}
    move = CustomJS(
        args=given | {"gammas": len(GAMMAS), "length": STEPS + 1},
        code="""
            const place = (slider) => Math.round((slider.value - slider.start) / slider.step);
            const setting = place(eta) * gammas + place(memory);
            const cut = (values) => values.slice(setting * length, (setting + 1) * length);
            path.data = { along: cut(every.data.along), across: cut(every.data.across) };
            words.text = sentences[setting];
        """,
    )
    eta.js_on_change("value", move)
    memory.js_on_change("value", move)
    return column(eta, memory, plot, words, sizing_mode="stretch_width")


def path_of(rate: float, gamma: float) -> Array:
    """Return the steps of momentum down the ravine, the start among them: (steps + 1, 2)."""
    w, optimizer = START.copy(), minidl.Momentum(rate, gamma=gamma)
    path = [w.copy()]
    for _ in range(STEPS):
        optimizer.step(w, CURVATURES * w)
        w.clip(-1e6, 1e6, out=w)  # enough to leave the picture
        path.append(w.copy())
    return np.array(path)


def in_words(rate: float, gamma: float, path: Array) -> str:
    """Return what becomes of a path. Exercise 2 of the page shows where the limit comes from."""
    limit = 2 * (1 + gamma) / CURVATURES.max()
    edge = f"2(1 + γ)/h = {limit:.2f}, where h = {CURVATURES.max():.0f} is the curvature across the ravine"
    if np.isclose(rate, limit):
        return f"<b>Never arrives:</b> η is equal to {edge}. The path jumps from side to side and comes no nearer."
    if rate > limit:
        return f"<b>Diverges:</b> η is above {edge}. The jumps from side to side grow without end."
    distance = np.hypot(*path.T)
    steps = np.flatnonzero(distance >= NEAR)[-1] + 1
    if steps <= STEPS:
        return f"<b>Arrives:</b> after {steps} steps it stays within {NEAR} of the minimum."
    return f"<b>Still on its way:</b> after {STEPS} steps it is {distance[-1]:.2f} from the minimum."
