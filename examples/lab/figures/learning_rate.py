"""The figure on the learning rate: regimes, range test, cycles, steps across a saddle, and what they lead to."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lab.crossings import OPTIMIZERS, height
from lab.plots import band, over_seeds, save_figure
from lab.policies import CYCLICAL, contestant, last_update, name_of, schedule_of
from lab.results import Results
from lab.verdicts.learning_rate import CHANCE, needed, tested_rates

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9")  # Okabe and Ito's


def draw(results: Results, path: Path) -> None:
    """Draw all panels."""
    figure, axes = plt.subplot_mosaic("abcd;eefg", figsize=(18, 9), layout="constrained")
    draw_regimes(results, axes["a"])
    draw_range_tests(results, axes["b"])
    draw_cycles(results, axes["c"], axes["e"])
    draw_needed(results, axes["f"])
    draw_crossings(results, axes["d"], axes["g"])
    for name in "abceg":
        axes[name].grid(alpha=0.3)
    title = "The learning rate: too low and too high, how to find it, and what comes of letting it swing"
    figure.suptitle(title + over_seeds(results))
    save_figure(figure, path)


def curve(results: Results, axes: Axes, name: str, column: str, colour: Any, label: str, scale: float = 1.0) -> None:
    """Draw a column of the histories called ``name`` against updates."""
    updates, values = results.curves(name, "updates"), scale * results.curves(name, column)
    whole = np.isfinite(values).all(axis=1) & all(values.shape)
    if whole.any():  # those that have not diverged
        band(axes, updates[whole][0], values[whole], colour, label)
    else:
        axes.plot([], color=colour, label=label)


def draw_regimes(results: Results, axes: Axes) -> None:
    """Draw the loss of every fixed rate."""
    rates = tested_rates(results)
    for rate, colour in zip(rates, plt.get_cmap("viridis_r")(np.linspace(0.15, 1, len(rates))), strict=True):
        runs = results.called(name_of(rate))
        lost = sum("diverged" in run for run in runs)
        label = f"{rate:g}: {lost} of {len(runs)} diverged" if lost else f"{rate:g}"
        curve(results, axes, name_of(rate), "loss", colour, label)
    axes.axhline(CHANCE, color="black", linestyle=":", linewidth=1)
    axes.set(title="Fixed rates (dotted: chance)", xlabel="updates", ylabel="training loss (logarithmic)", yscale="log")
    axes.set_ylim(top=1e4)
    axes.legend(title="learning rate", ncols=2, fontsize="small", loc="upper right")


def draw_range_tests(results: Results, axes: Axes) -> None:
    """Draw the smoothed loss of every range test, and what the first suggests."""
    tests = results.called("range test")
    for test in tests:
        alpha = 1.0 if test is tests[0] else 0.3
        axes.plot(test["range"]["lr"], test["range"]["smoothed"], color=COLOURS[0], alpha=alpha)
    for (name, rate), colour in zip(tests[0]["suggestions"].items(), COLOURS[1:4], strict=True):
        if rate is not None:
            axes.axvline(rate, color=colour, linestyle="--", label=f"{name}: {rate:.2g}")
    axes.axvspan(results.settings["fixed"][0], results.settings["fixed"][-1], color="0.9", label="bounds of the cycles")
    axes.set(title="Range test", ylabel="smoothed loss", ylim=(0, 6))
    axes.set(xlabel="learning rate (logarithmic)", xscale="log")
    axes.legend(title=f"suggested with seed {tests[0]['seed']}", fontsize="small", loc="upper left")


def draw_cycles(results: Results, rates: Axes, accuracies: Axes) -> None:
    """Draw the cycles, and the accuracies that they and the fixed rates lead to."""
    settings = results.settings
    updates = np.arange(last_update(settings))
    for name, colour in zip(CYCLICAL, COLOURS, strict=False):
        schedule = schedule_of(settings, name)
        lr = [schedule(update * settings["batch_size"] / settings["train_size"]) for update in updates]
        rates.plot(updates, lr, color=colour, linestyle="--" if "SGDR" in name else "-", label=name)
        curve(results, accuracies, name, "test_accuracy", colour, name, scale=100)
    for rate, grey in zip(settings["fixed"], ("0.7", "0.45", "0"), strict=True):
        curve(results, accuracies, name_of(rate), "test_accuracy", grey, f"fixed at {rate:g}", scale=100)
    accuracies.axhline(100 * settings["target"], color="black", linestyle=":", linewidth=1, label="target")
    accuracies.set(title="Cycles against fixed rates", xlabel="updates", ylabel="test accuracy (%)")
    accuracies.set_ylim(100 * settings["target"] - 7, 100 * settings["target"] + 4)
    accuracies.legend(ncols=2, loc="lower right")
    rates.set(title="The cycles", xlabel="updates", ylabel="learning rate", ylim=(0, 1.4 * settings["fixed"][-1]))
    rates.legend(ncols=2, fontsize="small", loc="upper right")


def draw_needed(results: Results, axes: Axes) -> None:
    """Draw the updates until the target, a dot for each seed."""
    settings = results.settings
    names = [*CYCLICAL, *map(name_of, settings["fixed"] + settings["high"])]
    colours = [*COLOURS[:4], "0.7", "0.45", "0", *[COLOURS[4]] * 3]
    chosen = [name for name in map(contestant, (*CYCLICAL, "fixed")) if results.called(name)]
    names, colours = [*names, *chosen], [*colours, *[*COLOURS[:4], "0"][: len(chosen)]]
    for row, (name, colour) in enumerate(zip(names, colours, strict=True)):
        counts = needed(settings, results.called(name))
        reached = counts[counts <= last_update(settings)]
        if len(reached) < len(counts):
            text = f"{len(counts) - len(reached)} of {len(counts)} miss it"
            axes.text(0.02, row, text, transform=axes.get_yaxis_transform(), va="center")
        else:
            axes.barh(row, counts.mean(), color=colour, alpha=0.6)
        axes.plot(reached, [row] * len(reached), "o", color=colour, markeredgecolor="white")
    axes.set_yticks(range(len(names)), [name.replace("rate ", "").replace(" ", "\n") for name in names])
    axes.set(title=f"Updates until {settings['target']:.0%} on test images", xlabel="updates")
    axes.set(xlim=(0, last_update(settings)), ylim=(len(names) - 0.4, -0.6))


def draw_crossings(results: Results, saddle: Axes, steps: Axes) -> None:
    """Draw the saddle with a trajectory of each optimiser, and the steps against the rate."""
    rates = results.settings["crossing_rates"]
    x, y = np.meshgrid(np.linspace(-0.9, 1.1, 100), np.linspace(-1.2, 1.2, 100))
    saddle.contourf(x, y, height("saddle", x, y), levels=20, cmap="Greys", alpha=0.8)
    for name, colour, marker in zip(OPTIMIZERS, COLOURS, "o^s", strict=False):
        path = np.array(results.called(f"crossing: {name}")[0]["path"])
        label = f"{name}: {len(path) - 1} steps"
        saddle.plot(*path.T, marker=marker, markersize=4, color=colour, linewidth=1, label=label)
        for landscape, style in (("saddle", "-"), ("plateau", "--")):
            counts = results.values(f"crossing: {name}", f"{landscape}_steps").mean(axis=0)
            steps.plot(rates, counts, color=colour, ls=style, marker=marker, label=f"{name}, {landscape}")
    saddle.set(title=f"From a saddle's ridge, at rate {rates[-2]:g}", xlabel="x", ylabel="y")
    saddle.legend(loc="upper left", fontsize="small")
    steps.set(title="Steps to cross", xlabel="learning rate (logarithmic)", ylabel="steps (logarithmic)")
    steps.set(xscale="log", yscale="log", ylim=(1, 1e5))
    steps.legend(ncols=2, fontsize="small", loc="upper right")
