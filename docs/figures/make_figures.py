"""Draw the book's figures that need no long experiment: schedules, the range test, a confusion matrix.

python docs/figures/make_figures.py [FOLDER]        # default: the folder of this script
"""

import sys
from math import cos, pi
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws into files, and needs no screen

import numpy as np
from make_drawings import STYLE, WIDTH
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

import minidl
from minidl.loop import Schedule


def main() -> None:
    """Draw all figures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    train, test = minidl.load_mnist()
    figure = schedules()
    smallest = min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text())
    figure.savefig(folder / "schedules.png", dpi=130, metadata={"Smallest letters in points": f"{smallest:g}"})
    with plt.rc_context(STYLE):
        range_test(train).savefig(folder / "lr_range_test.svg", metadata={"Date": None})
        confusion(train, test).savefig(folder / "confusion.svg", metadata={"Date": None})
    plt.close("all")


def schedules() -> Figure:
    """Draw each schedule of a paper beside the paper's own picture, redrawn from its description."""
    figure, column = plt.subplots(10, 1, figsize=(7.2, 24), layout="constrained")
    axes = column.reshape(5, 2)
    figure.suptitle(
        "First of each pair: minidl's schedules. Second: what the papers draw\n"
        "or describe, plotted without minidl from their words."
    )

    smith = "Smith 2017, figure 2"
    peaks = np.array([0, 2, 4, 6, 8, 10, 12])
    draw(axes[0, 0], 12, {"triangular(0.001, 0.006, 2)": minidl.triangular(0.001, 0.006, 2)})
    axes[0, 1].plot(peaks, [0.001, 0.006] * 3 + [0.001], "o-", label=f"{smith}: corners of triangular")
    draw(
        axes[1, 0],
        12,
        {
            "triangular2(0.001, 0.006, 2)": minidl.triangular2(0.001, 0.006, 2),
            "exp_range(0.001, 0.006, 2, 0.8)": minidl.exp_range(0.001, 0.006, 2, 0.8),
        },
    )
    halved = [0.001, 0.006, 0.001, 0.0035, 0.001, 0.00225, 0.001]
    axes[1, 1].plot(peaks, halved, "o-", label=f"{smith}: corners of triangular2")
    t = np.linspace(0, 12, 500)
    axes[1, 1].plot(t, 0.001 + 0.005 * 0.8**t, "--", color="tab:orange", label="the height that exp_range may reach")

    sgdr = {"T_0 = 50": (50, 1), "T_0 = 100": (100, 1), "T_0 = 1, T_mult = 2": (1, 2), "T_0 = 10, T_mult = 2": (10, 2)}
    steps = {0: 0.05, 60: 0.01, 120: 0.002, 160: 0.0004}
    restarts = {name: minidl.cosine_restarts(0.05, 0, *lengths) for name, lengths in sgdr.items()}
    draw(axes[2, 0], 200, {"piecewise: ÷ 5 after 60, 120, 160": minidl.piecewise(steps)} | restarts)
    axes[2, 1].stairs(list(steps.values()), [0, 60, 120, 160, 200], baseline=None, label="default scheme, η = 0.05")
    for name, (length, mult) in sgdr.items():
        axes[2, 1].plot(np.arange(200), sgdr_by_counting(0.05, length, mult, 200), label=name)
    axes[2, 1].set_title("Loshchilov and Hutter 2017, figure 1, by epochs")
    for ax in axes[2]:
        ax.set(yscale="log", ylim=(1e-4, 20))

    draw(axes[3, 0], 20, {"one_cycle(0.08, length=20)": minidl.one_cycle(0.08, 20)})
    corners = [0.008, 0.08, 0.008, 0.00008]
    axes[3, 1].plot(
        [0, 9, 18, 20], corners, "o-", label="Smith 2018, section 4.1: up, down, annihilation (lengths chosen)"
    )

    simple = {
        "constant(0.02)": minidl.constant(0.02),
        "step_decay(0.1, 0.5, every=4)": minidl.step_decay(0.1, 0.5, 4),
        "exponential_decay(0.1, 0.8)": minidl.exponential_decay(0.1, 0.8),
    }
    warm = minidl.piecewise({0: minidl.linear(0.001, 0.1, 2), 2: minidl.cosine_restarts(0.1, 0, 2, 2)})
    draw(axes[4, 0], 16, simple | {"warm-up, then restarts": warm})
    sizes = {
        "piecewise({0: 1024, 10: 64})": minidl.piecewise({0: 1024, 10: 64}),
        "step_decay(64, 2, every=4)": minidl.step_decay(64, 2, 4),
    }
    draw(axes[4, 1], 16, sizes)
    axes[4, 1].set(ylabel="batch size", yscale="log", ylim=(50, 4000), title="as schedules of the batch size")

    for ax in axes.flat:
        if ax.get_yscale() == "linear":
            ax.set_ylim(0, 1.4 * ax.get_ylim()[1])  # room for the legend
        ax.legend(fontsize=9, loc="upper right", ncols=2 if len(ax.get_lines()) > 2 else 1)
        ax.grid(alpha=0.3)
        ax.set_xlabel("epochs")
        ax.set_ylabel(ax.get_ylabel() or "learning rate")
    return figure


def draw(axes: Axes, epochs: float, lines: dict[str, Schedule]) -> None:
    """Draw schedules as functions of time."""
    t = np.linspace(0, epochs, 4001)[:-1]
    for name, schedule in lines.items():
        axes.plot(t, [schedule(float(time)) for time in t], label=name)


def sgdr_by_counting(peak: float, length: int, mult: int, epochs: int) -> list[float]:
    """Return a rate an epoch as the paper's algorithm has it: count up, and start again at the end of a cycle."""
    rates, since = [], 0
    for _ in range(epochs):
        if since == length:
            since, length = 0, length * mult
        rates.append(0.5 * peak * (1 + cos(pi * since / length)))
        since += 1
    return rates


def range_test(train: minidl.Dataset) -> Figure:
    """Draw the range test of chapter 37's network."""
    model = minidl.Sequential(
        minidl.Dense(784, 1024),
        minidl.ReLU(),
        minidl.Dense(1024, 1024),
        minidl.ReLU(),
        minidl.Dense(1024, 10),
        minidl.LogSoftmax(),
        seed=0,
    )
    result = minidl.lr_range_test(model, minidl.SGD(), train, min_lr=1e-5, smoothing=0.9, updates=150)
    figure, axes = plt.subplots(figsize=(WIDTH / 96, 360 / 96), layout="constrained")
    result.plot(axes)
    axes.set(title="", xticks=[1e-4, 1e-3, 1e-2, 1e-1, 1], xticklabels=["0.0001", "0.001", "0.01", "0.1", "1"])
    axes.set_xticks([], minor=True)
    for line, style in zip(axes.lines[2:], ("-.", "--", ":"), strict=True):
        line.set_linestyle(style)
    axes.legend(loc="upper right", bbox_to_anchor=(1, -0.18), ncols=2, frameon=False)
    return figure


def confusion(train: minidl.Dataset, test: minidl.Dataset) -> Figure:
    """Draw the confusion matrix of the model that the page on looking at results trains."""
    layers = minidl.Dense(784, 64), minidl.ReLU(), minidl.Dense(64, 10), minidl.LogSoftmax()
    model = minidl.Sequential(*layers, seed=0)
    minidl.fit(model, minidl.SGD(0.1), train[:3000], epochs=5, batch_size=50, seed=0, progress=False)
    figure, axes = plt.subplots(figsize=(WIDTH / 96, 360 / 96), layout="constrained")
    with plt.rc_context({"font.size": 1.2 * STYLE["font.size"]}):  # the counts are "small"
        minidl.plot_confusion_matrix(minidl.confusion_matrix(model, test), axes)
    return figure


if __name__ == "__main__":
    main()
