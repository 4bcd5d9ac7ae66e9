"""The figure on the learning rate: regimes, range test, cycles, steps across a saddle, and what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from lab.crossings import height
from lab.plots import (
    BLACK,
    BLUE,
    GREEN,
    OPTIMIZERS,
    ORANGE,
    SKY,
    VERMILION,
    Panel,
    Panels,
    as_pixels,
    band,
    compose,
    legend_below,
    logarithmic,
    over_seeds,
)
from lab.policies import CYCLICAL, contestant, last_update, name_of, schedule_of
from lab.results import Results
from lab.verdicts.learning_rate import CHANCE, needed, tested_rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = dict(zip(CYCLICAL, (BLUE, ORANGE, GREEN, VERMILION), strict=True))
STYLES = dict(zip(CYCLICAL, ("-", "-", "--", "-."), strict=True))
FIXED = (("0.7", "-"), ("0.45", "--"), (BLACK, "-."))
"""The colour and the line of the fixed rates that cycles are compared with, from low to high."""
MARKERS = {"SGD": "o", "Momentum": "^", "Adam": "s"}


def panels(results: Results) -> Panels:
    """Return all panels."""
    settings = results.settings
    return {
        "regimes": Panel(
            "Fixed rates",
            "Training loss against updates, on a logarithmic axis, a curve for each fixed rate, the darker the higher. "
            "A dotted line shows the loss of chance.",
            draw_regimes,
            height=4.3,
            ends=True,
        ),
        "range_test": Panel(
            "The range test",
            "Smoothed loss against the learning rate, on a logarithmic axis, a curve for each seed: it is flat, falls, "
            "and rises again. Dashed vertical lines are the rates that are suggested, all to the left of the minimum.",
            draw_range_tests,
            height=4.3,
        ),
        "cycles": Panel(
            "The cycles",
            "Learning rate against updates: two zigzags between two bounds, one of which gets lower, and two that fall "
            "along a cosine and jump back, one of them in cycles that get longer.",
            draw_cycles,
            height=3.9,
        ),
        "saddle": Panel(
            f"From a saddle's ridge, at rate {settings['crossing_rates'][-2]:g}",
            "Three paths on a map of a saddle. SGD stops for long at the saddle point before it leaves at a right "
            "angle; Momentum swings past it and leaves sooner; Adam leaves along a diagonal in few steps.",
            draw_saddle,
            height=4.1,
        ),
        "accuracies": Panel(
            "Cycles against fixed rates",
            "Test accuracy against updates, a curve for each cycle and, in greys, for each fixed rate; a dotted line "
            "is the target.",
            draw_accuracies,
            height=4.9,
            ends=True,
        ),
        "needed": Panel(
            f"Updates until {settings['target']:.0%} on test images",
            "Bars of the updates that each cycle and each fixed rate needs to reach the target, with a dot for each "
            "seed; where seeds miss it, there is a word in place of the bar.",
            draw_needed,
            height=4.9,
        ),
        "crossings": Panel(
            "Steps to cross",
            "Steps against the learning rate, both logarithmic: six lines that fall, in the order SGD, Momentum, Adam "
            "from above, and for each optimiser the plateau, dashed, above the saddle.",
            draw_crossings,
            height=4.1,
        ),
    }


def draw(results: Results, path: Path) -> None:
    """Draw all panels into one picture."""
    title = "The learning rate: too low and too high, how to find it, and what comes of letting it swing"
    compose(panels(results), results, path, title + over_seeds(results), columns=4)


def curve(axes: Axes, results: Results, name: str, column: str, colour: Any, label: str, **style: Any) -> None:
    """Draw a column of the histories called ``name`` against updates, without runs that have diverged."""
    scale = 100 if "accuracy" in column else 1
    updates, values = results.curves(name, "updates"), scale * results.curves(name, column)
    whole = np.isfinite(values).all(axis=1) & all(values.shape)
    if whole.any():
        band(axes, updates[whole][0], values[whole], colour, label, **style)


def draw_regimes(axes: Axes, results: Results) -> None:
    """Draw the loss of every fixed rate."""
    rates, none = tested_rates(results), []
    for rate, colour in zip(rates, matplotlib.colormaps["viridis_r"](np.linspace(0.15, 1, len(rates))), strict=True):
        runs = results.called(name_of(rate))
        lost = sum("diverged" in run for run in runs)
        if lost == len(runs):
            none.append(f"{rate:g}")
        curve(axes, results, name_of(rate), "loss", colour, f"{rate:g} ({lost} diverged)" if lost else f"{rate:g}")
    axes.axhline(CHANCE, color=BLACK, linestyle=":", linewidth=1)
    axes.set(xlabel="updates", ylabel="training loss (logarithmic)", yscale="log")
    logarithmic(axes.yaxis)
    diverged = f"diverged with all seeds: {', '.join(none)}\n" if none else ""
    legend_below(axes, 3, title=f"{diverged}learning rate; dotted: chance")


def draw_range_tests(axes: Axes, results: Results) -> None:
    """Draw the smoothed loss of every range test, and what the first suggests."""
    tests = results.called("range test")
    for test in tests:
        alpha = 1.0 if test is tests[0] else 0.3
        axes.plot(test["range"]["lr"], test["range"]["smoothed"], color=BLUE, alpha=alpha)
    suggested = tests[0]["suggestions"].items()
    for (name, rate), colour, style in zip(suggested, (ORANGE, GREEN, VERMILION), ("--", "-.", ":"), strict=True):
        if rate is not None:
            axes.axvline(rate, color=colour, linestyle=style, label=f"{name}: {rate:.2g}")
    axes.axvspan(results.settings["fixed"][0], results.settings["fixed"][-1], color="0.9", label="cycles' bounds")
    axes.set(xlabel="learning rate (logarithmic)", ylabel="smoothed loss", xscale="log", ylim=(0, 4))
    logarithmic(axes.xaxis)
    axes.grid(alpha=0.3)
    legend_below(axes, 2, title=f"suggested with seed {tests[0]['seed']}")


def draw_cycles(axes: Axes, results: Results) -> None:
    """Draw the cycles."""
    settings = results.settings
    updates = np.arange(last_update(settings))
    for name in CYCLICAL:
        schedule = schedule_of(settings, name)
        lr = [schedule(update * settings["batch_size"] / settings["train_size"]) for update in updates]
        axes.plot(updates, lr, color=COLOURS[name], linestyle=STYLES[name], label=name)
    axes.set(xlabel="updates", ylabel="learning rate", ylim=(0, None))
    axes.grid(alpha=0.3)
    legend_below(axes, 2)


def draw_accuracies(axes: Axes, results: Results) -> None:
    """Draw the accuracies that the cycles and the fixed rates lead to."""
    settings = results.settings
    for name in CYCLICAL:
        curve(axes, results, name, "test_accuracy", COLOURS[name], name, linestyle=STYLES[name])
    for rate, (grey, style) in zip(settings["fixed"], FIXED, strict=True):
        curve(axes, results, name_of(rate), "test_accuracy", grey, f"fixed at {rate:g}", linestyle=style)
    axes.axhline(100 * settings["target"], color=BLACK, linestyle=":", linewidth=1)
    axes.set(xlabel="updates", ylabel="test accuracy (%; dotted: the target)")
    axes.set_ylim(100 * settings["target"] - 7, 100 * settings["target"] + 2)
    axes.grid(alpha=0.3)
    legend_below(axes, 2)


def draw_needed(axes: Axes, results: Results) -> None:
    """Draw the updates until the target, a dot for each seed."""
    settings = results.settings
    rows = {name: (name, COLOURS[name]) for name in CYCLICAL}
    rows |= {name_of(rate): (f"fixed {rate:g}", grey) for rate, (grey, _) in zip(settings["fixed"], FIXED, strict=True)}
    rows |= {name_of(rate): (f"fixed {rate:g}", SKY) for rate in settings["high"]}
    chosen = [name for name in (*CYCLICAL, "fixed") if results.called(contestant(name))]
    rows |= {contestant(name): (f"chosen: {name}", COLOURS.get(name, BLACK)) for name in chosen}
    for row, (name, (_, colour)) in enumerate(rows.items()):
        counts = needed(settings, results.called(name))
        reached = counts[counts <= last_update(settings)]
        if len(reached) < len(counts):
            text = f"{len(counts) - len(reached)} of {len(counts)} miss it"
            axes.text(0.98, row, text, transform=axes.get_yaxis_transform(), ha="right", va="center")
        else:
            axes.barh(row, counts.mean(), color=colour, alpha=0.6)
        axes.plot(reached, [row] * len(reached), "o", color=colour, markeredgecolor="white", markersize=5)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows.values()])
    axes.set(xlabel="updates", xlim=(0, last_update(settings)), ylim=(len(rows) - 0.4, -0.6))
    axes.locator_params(axis="x", nbins=4)
    axes.grid(alpha=0.3, axis="x")


def draw_saddle(axes: Axes, results: Results) -> None:
    """Draw the saddle with a trajectory of each optimiser."""
    x, y = np.meshgrid(np.linspace(-0.9, 1.1, 100), np.linspace(-1.2, 1.2, 100))
    as_pixels(axes.contourf(x, y, height("saddle", x, y), levels=20, cmap="Greys", alpha=0.6))
    for name, marker in MARKERS.items():
        path = np.array(results.called(f"crossing: {name}")[0]["path"])
        style: dict[str, Any] = {
            "marker": marker,
            "markersize": 4,
            "linewidth": 1,
            "label": f"{name}: {len(path) - 1} steps",
        }
        axes.plot(*path.T, color=OPTIMIZERS[name], **style)
    axes.set(xlabel="x", ylabel="y")
    axes.locator_params(nbins=5)
    legend_below(axes, 2)


def draw_crossings(axes: Axes, results: Results) -> None:
    """Draw the steps against the rate."""
    rates = results.settings["crossing_rates"]
    for name, marker in MARKERS.items():
        for landscape, style in (("saddle", "-"), ("plateau", "--")):
            counts = results.values(f"crossing: {name}", f"{landscape}_steps").mean(axis=0)
            drawn: dict[str, Any] = {"linestyle": style, "marker": marker, "label": f"{name}, {landscape}"}
            axes.plot(rates, counts, color=OPTIMIZERS[name], **drawn)
    axes.set(xlabel="learning rate (logarithmic)", ylabel="steps (logarithmic)", xscale="log", yscale="log")
    logarithmic(axes.xaxis, axes.yaxis)
    axes.grid(alpha=0.3)
    legend_below(axes, 2)
