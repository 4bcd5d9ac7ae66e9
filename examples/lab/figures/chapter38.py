"""The figures of chapter 38: the last epochs of its runs, and the checks of two papers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lab.plots import (
    BATCHES,
    BLACK,
    BLUE,
    GREEN,
    GREY,
    SKY,
    VERMILION,
    Panel,
    Panels,
    band,
    compose,
    legend_below,
    logarithmic,
    over_seeds,
)
from lab.results import Results
from lab.verdicts.chapter38 import CHANGED, CONTROL, DECAY, FASTER, GROW, HOFFER, LAST, NEITHER, REFERENCE, REVERSED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGE = "1024, first half"  # of the control
COLOURS = {REFERENCE: BATCHES[64], LARGE: BATCHES[1024], FASTER: BLUE, CONTROL: BLACK}
COLOURS |= dict(zip(CHANGED, (GREEN, VERMILION, SKY), strict=True)) | dict(
    zip(REVERSED, (GREEN, VERMILION), strict=True)
)
STYLES = {CONTROL: ":", CHANGED[0]: "--", CHANGED[1]: "-.", REVERSED[0]: "--"}  # where curves lie together
GROUPS = {  # the chapter's two figures, and one for its prose
    "higher_rate": ("A higher rate", (REFERENCE, LARGE, FASTER)),
    "large_to_small": ("From large to small", (REFERENCE, CONTROL, *CHANGED)),
    "small_to_large": ("From small to large", (REFERENCE, CONTROL, *REVERSED)),
}


def panels(_results: Results) -> Panels:
    """Return all panels."""
    return chapter() | papers()


def chapter() -> Panels:
    """Return train and test accuracy in the last epochs of each run."""
    return {
        f"{group}_{part}": Panel(
            f"{title}: {part} accuracy",
            f"{part.capitalize()} accuracy in the last epochs of each run, a curve for each way to train. {title}.",
            partial(draw_last_epochs, names=names, part=part),
            height=4.4,
            ends=True,
        )
        for group, (title, names) in GROUPS.items()
        for part in ("train", "test")
    }


def papers() -> Panels:
    """Return Smith's curves against epochs and against updates, and Hoffer's adaptations."""
    smith = "Smith et al. 2018: a lower rate or a larger batch"
    return {
        "smith_epochs": Panel(
            f"{smith}, against epochs",
            "Training loss against epochs, on a logarithmic axis. The curve with a falling rate and the dashed one "
            "with a growing batch lie on one another; the one in which neither changes leaves them.",
            partial(draw_smith, abscissa="epoch"),
            ends=True,
        ),
        "smith_updates": Panel(
            f"{smith}, against updates",
            "The same curves against updates: the dashed one, with a growing batch, ends after far fewer.",
            partial(draw_smith, abscissa="updates"),
            ends=True,
        ),
        "hoffer": Panel(
            "Hoffer et al. 2017: a gap closed",
            "Test accuracy at the end in five rows, a stroke for each seed and a dot for their mean: the small batch, "
            "the large batch, and the large one with one adaptation after the other.",
            draw_hoffer,
            height=3.0,
        ),
    }


def draw(results: Results, path: Path) -> None:
    """Draw the chapter's figure, and that of the papers' checks into a file beside it."""
    title = "Chapter 38: what brings back the accuracy of large batches; the last epochs of each run"
    compose(chapter(), results, path, title + over_seeds(results))
    compose(papers(), results, path.with_name("chapter38_papers.png"), "What two papers say of it", columns=3)


def draw_last_epochs(ax: Axes, results: Results, names: tuple[str, ...], part: str) -> None:
    """Draw the last epochs of some runs."""
    half = results.settings["half"]
    for name in names:
        curves = 100 * results.curves(CONTROL if name == LARGE else name, f"{part}_accuracy")
        tail = curves[:, :half] if name == LARGE else curves[:, -min(LAST, half) :]
        label = f"{name.removesuffix(', first half')}: {tail[:, -1].mean():.2f} %"
        band(ax, np.arange(1.0, 1 + tail.shape[1]), tail, COLOURS[name], label, linestyle=STYLES.get(name, "-"))
    if half == LAST:  # where the curves lie if the runs are as long as the chapter's
        ax.set_ylim(93.5, 100.1 if part == "train" else 98.6)
    ax.set(xlabel="epochs, from the 30th before the last", ylabel=f"{part} accuracy (%)")
    ax.grid(alpha=0.3)
    legend_below(ax, 1, title="at the end:")


def draw_smith(ax: Axes, results: Results, abscissa: str) -> None:
    """Draw the training loss of three plans."""
    for name, colour, style in ((DECAY, BLUE, "-"), (GROW, VERMILION, "--"), (NEITHER, GREY, "-.")):
        x = results.curves(name, abscissa)[0]
        band(ax, x, results.curves(name, "train_loss"), colour, name, linestyle=style)
    ax.set(yscale="log", xlabel={"epoch": "epochs"}.get(abscissa, abscissa), ylabel="training loss (logarithmic)")
    logarithmic(ax.yaxis)
    ax.legend()
    ax.grid(alpha=0.3)


def draw_hoffer(axes: Axes, results: Results) -> None:
    """Draw test accuracy at the end for the small batch, the large batch, and each adaptation."""
    accuracy = [100 * results.curves(name, "test_accuracy")[:, -1] for name in HOFFER]
    rows = np.arange(len(HOFFER))
    axes.plot([values.mean() for values in accuracy], rows, "o", color=BLUE, markersize=8)
    for row, values in zip(rows, accuracy, strict=True):
        axes.plot(values, np.full(len(values), row), "|", color=BLUE, markersize=14)
        axes.annotate(
            f"{values.mean():.2f} %", (values.mean(), row), xytext=(0, 8), textcoords="offset points", ha="center"
        )
    axes.axvline(accuracy[0].mean(), color=GREY, linewidth=1, linestyle="--")
    axes.set(
        yticks=rows, yticklabels=list(HOFFER), xlabel="test accuracy at the end (%)", ylim=(len(HOFFER) - 0.5, -0.8)
    )
    axes.locator_params(axis="x", nbins=5)
    axes.margins(x=0.2)
    axes.grid(axis="x", alpha=0.3)
