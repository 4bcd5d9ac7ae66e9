"""The figures of chapter 38: the last epochs of its runs in its colours, and the checks of two papers."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lab.plots import band, over_seeds, save_figure
from lab.results import Results
from lab.verdicts.chapter38 import CHANGED, CONTROL, DECAY, FASTER, GROW, HOFFER, LAST, NEITHER, REFERENCE, REVERSED

LARGE = "1024, first half"  # of the control
COLOURS = ("tab:green", "#b8860b", "#b58fd6")  # the chapter's green, dark yellow and lilac
ROWS = (  # names, and colours: orange, lilac, blue and neon yellow are the chapter's, too
    {REFERENCE: "tab:orange", LARGE: "#b58fd6", FASTER: "tab:blue"},
    {REFERENCE: "tab:orange", CONTROL: "#c8e000"} | dict(zip(CHANGED, COLOURS, strict=True)),
    {REFERENCE: "tab:orange", CONTROL: "#c8e000"} | dict(zip(REVERSED, ("tab:cyan", "tab:brown"), strict=True)),
)


def draw(results: Results, path: Path) -> None:
    """Draw the chapter's figure, and that of the papers' checks into a file beside it."""
    draw_chapter(results, path)
    draw_papers(results, path.with_name("chapter38_papers.png"))


def draw_chapter(results: Results, path: Path) -> None:
    """Draw the last epochs of the chapter's runs: a row for each of its figures, and one for its prose."""
    half = results.settings["half"]
    figure, axes = plt.subplots(3, 2, figsize=(11, 11), sharex=True, sharey="col", layout="constrained")
    figure.suptitle(
        f"Chapter 38: what brings back the accuracy of large batches; the last epochs of each run{over_seeds(results)}"
    )
    for row, lines in zip(axes, ROWS, strict=True):
        for ax, part in zip(row, ("train", "test"), strict=True):
            for name, colour in lines.items():
                curves = 100 * results.curves(CONTROL if name == LARGE else name, f"{part}_accuracy")
                tail = curves[:, :half] if name == LARGE else curves[:, -min(LAST, half) :]
                label = f"{name}: {tail[:, -1].mean():.2f} %"
                band(ax, np.arange(1.0, 1 + tail.shape[1]), tail, colour, label.replace(", first half", ""))
            ax.set_ylabel(f"{part} accuracy (%)")
            ax.legend(loc="lower right", title="at the end")
            ax.grid(alpha=0.3)
    for ax, title in zip(axes[:, 0], ("a higher rate", "from large to small", "from small to large"), strict=True):
        ax.set_title(title, loc="left", fontweight="bold")
    if half == LAST:  # where the curves lie if the runs are as long as the chapter's
        axes[0, 0].set_ylim(93.5, 100.1)
        axes[0, 1].set_ylim(93.5, 98.6)
    for ax in axes[-1]:
        ax.set_xlabel("epochs, counted from the 30th before the last")
    save_figure(figure, path)


def draw_papers(results: Results, path: Path) -> None:
    """Draw Smith's curves against epochs and against updates, and Hoffer's adaptations."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.6), layout="constrained")
    figure.suptitle(
        "Left, middle: Smith et al. 2018, one curve against epochs.  Right: Hoffer et al. 2017, a gap closed"
    )
    for ax, abscissa in zip(axes[:2], ("epoch", "updates"), strict=True):
        for name, colour in ((DECAY, "tab:blue"), (GROW, "tab:red"), (NEITHER, "0.6")):
            x = results.curves(name, abscissa)[0]
            style = "--" if name == GROW else "-"  # lies on the other where the claim holds
            band(ax, x, results.curves(name, "train_loss"), colour, name, linestyle=style)
        ax.set(yscale="log", xlabel={"epoch": "epochs"}.get(abscissa, abscissa), ylabel="training loss")
        ax.legend()
        ax.grid(alpha=0.3)
    draw_hoffer(axes[2], results)
    save_figure(figure, path)


def draw_hoffer(axes: Axes, results: Results) -> None:
    """Draw test accuracy at the end for the small batch, the large batch, and each adaptation."""
    accuracy = [100 * results.curves(name, "test_accuracy")[:, -1] for name in HOFFER]
    rows = np.arange(len(HOFFER))
    axes.plot([values.mean() for values in accuracy], rows, "o", color="tab:blue", markersize=8)
    for row, values in zip(rows, accuracy, strict=True):
        axes.plot(values, np.full(len(values), row), "|", color="tab:blue", markersize=14)
        axes.annotate(
            f"{values.mean():.2f} %", (values.mean(), row), xytext=(0, 10), textcoords="offset points", ha="center"
        )
    axes.axvline(accuracy[0].mean(), color="0.6", linewidth=1, linestyle="--")
    axes.set(
        yticks=rows, yticklabels=list(HOFFER), xlabel="test accuracy at the end (%)", ylim=(len(HOFFER) - 0.5, -0.7)
    )
    axes.margins(x=0.15)
    axes.grid(axis="x", alpha=0.3)
