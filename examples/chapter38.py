"""Chapter 38: the effect of the learning rate.

Question: chapter 37 found that large batches learn less in the same number of epochs. Is what they lose lost, or does a
higher learning rate, or a smaller batch later on, bring it back? The chapter says that it all comes back.

What to look at in the figure, drawn in the chapter's colours: on top, batch 1024 at ten times the rate (blue) against
the two references of chapter 37. In the middle, training that begins with batch 1024 and then changes: only the control
(neon yellow), which just goes on, must stay below. As in the chapter, only the last 30 epochs of every run are drawn,
so that what came before the change is cut. The chapter's prose describes the change from small to large batches, its
legend and conclusion that from large to small. Both directions are run; the prose's is at the bottom.

The second figure, ``chapter38_papers.png``, repeats on a smaller scale two papers that belong here. Left and middle,
Smith et al.: dividing the learning rate by k, or multiplying the batch size by k, should give the same curve against
epochs, with fewer updates for the growing batch. Right, Hoffer et al.: a large batch generalises as well as a small one
if its rate is √k times as high, batch normalisation sees ghost batches of the small size, and the number of updates is
the same. They are added one by one, as in the columns of the paper's table 1.

The chapter leaves open what chapter 37 leaves open, and the settings are the same here. The papers' checks use the
first 20,000 training images, and plain SGD where the papers have momentum; Hoffer's has batch normalisation in front of
both ReLUs.

    python examples/chapter38.py --jobs 2      # three seeds: about an hour on two cores
    python examples/chapter38.py --quick       # a taste in less than a minute

Sources: Deep Learning Book (Data Science Academy), chapter 38, claims B1 to B7; Smith, Kindermans, Ying and Le 2018,
"Don't decay the learning rate, increase the batch size", section 5.1; Hoffer, Hubara and Soudry 2017, "Train longer,
generalize better", section 4 and table 1.
"""

from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import minidl
from lab.claims import claims_table, in_full
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.network import mnist, network, train
from lab.plots import band, over_seeds, save_figure
from lab.results import Claims, Results, Settings
from lab.runs import Run
from lab.statistics import NBSP, exceeds, percent

LAST = 30
"""How many epochs of each run the chapter draws."""
MARGIN = 2 * sqrt(0.98 * 0.02 / 10_000)
"""Two standard errors of an accuracy of 98 % on 10,000 images: 0.28 points. What differs by less, does not differ."""

FULL = {"half": 30, "train_size": 60_000, "paper_train_size": 20_000, "smith_stage": 10, "hoffer_epochs": 5}
QUICK = {"half": 2, "train_size": 3_000, "paper_train_size": 2_000, "smith_stage": 2, "hoffer_epochs": 2}

REFERENCE, LARGE, CONTROL = "64", "1024, first half", "1024, twice as long"
FASTER = "1024 at lr 0.1"
EARLY, LATE, RAISED = "1024 for 1 epoch, then 64", "1024, then 64", "1024, then lr × 10"
EARLY_REVERSED, LATE_REVERSED = "64 for 1 epoch, then 1024", "64, then 1024"
FIGURES = (  # name and the chapter's colour: orange, lilac, blue; neon yellow, green, dark yellow
    {REFERENCE: "tab:orange", LARGE: "#b58fd6", FASTER: "tab:blue"},
    {REFERENCE: "tab:orange", CONTROL: "#c8e000", EARLY: "tab:green", LATE: "#b8860b", RAISED: "#b58fd6"},
    {REFERENCE: "tab:orange", CONTROL: "#c8e000", EARLY_REVERSED: "tab:cyan", LATE_REVERSED: "tab:brown"},
)
DECAY, GROW, NEITHER = "lr ÷ 5 twice", "batch × 5 twice", "neither changes"
HOFFER: dict[str, dict[str, Any]] = {  # each row of the paper's adaptation on top of the one before
    "small batch": {"batch_size": 64, "lr": 0.1, "ghost_size": None, "longer": 1},
    "large batch": {"batch_size": 1024, "lr": 0.1, "ghost_size": None, "longer": 1},
    "+ lr × √k": {"batch_size": 1024, "lr": 0.4, "ghost_size": None, "longer": 1},
    "+ ghost batches": {"batch_size": 1024, "lr": 0.4, "ghost_size": 64, "longer": 1},
    "+ as many updates": {"batch_size": 1024, "lr": 0.4, "ghost_size": 64, "longer": 16},
}
CLAIMS = {
    "B1": "batch 1024 at learning rate 0.1 recovers 98 % test",
    "B2": "1024 for 1 epoch, then 64 for 30: 98 %",
    "B3": "1024 for 30 epochs, then 64 for 30: 98 %",
    "B4": "1024 for 60 epochs, learning rate × 10 at epoch 31: 98 %",
    "B5": "1024 for 60 epochs at 0.01: more epochs alone do not recover it",
    "B6": "starting with a large batch does not trap the model",
    "B7": "only the last 30 epochs of each run are shown",
    "prose": "64 for 1 or for 30 epochs, then 1024 for 30: 98 %",
    "Smith 2018": "lr ÷ k and batch × k: the same curve against epochs, with fewer updates",
    "Hoffer 2017": "lr × √k, ghost batches and as many updates close the gap of a large batch",
}


def main(given: list[str] | None = None) -> None:
    """Run what is missing, and print which claims held."""
    args = parse(options("Chapter 38: the effect of the learning rate.", seeds=[0, 1, 2]), given)
    settings = {
        "data": "MNIST, standardised with mean and standard deviation of the training set",
        "network": "784-1024-1024-10, ReLU, log-softmax, negative log-likelihood; Hoffer: with batch normalisation",
        "initialisation": "he_normal, biases zero",
        "optimizer": "SGD",
        "dtype": "float32",
        "backend": args.backend,
    } | (QUICK if args.quick else FULL)
    results = Results(args.out / "chapter38.json", settings, environment(args.backend))
    conduct(results, [run for seed in args.seeds for run in planned(settings, seed)], verdicts, draw, args.jobs)


def planned(settings: Settings, seed: int) -> list[Run]:
    """Return all runs with one seed. Batch size and rate are pairs of an epoch and what holds from then on."""
    half, stage = settings["half"], settings["smith_stage"]
    chapter = {
        REFERENCE: (half, [[0, 64]], [[0, 0.01]]),
        FASTER: (half, [[0, 1024]], [[0, 0.1]]),
        CONTROL: (2 * half, [[0, 1024]], [[0, 0.01]]),
        EARLY: (1 + half, [[0, 1024], [1, 64]], [[0, 0.01]]),
        LATE: (2 * half, [[0, 1024], [half, 64]], [[0, 0.01]]),
        RAISED: (2 * half, [[0, 1024]], [[0, 0.01], [half, 0.1]]),
        EARLY_REVERSED: (1 + half, [[0, 64], [1, 1024]], [[0, 0.01]]),
        LATE_REVERSED: (2 * half, [[0, 64], [half, 1024]], [[0, 0.01]]),
    }
    smith = {
        DECAY: (3 * stage, [[0, 64]], [[0, 0.1], [stage, 0.02], [2 * stage, 0.004]]),
        GROW: (3 * stage, [[0, 64], [stage, 320], [2 * stage, 1600]], [[0, 0.1]]),
        NEITHER: (3 * stage, [[0, 64]], [[0, 0.1]]),
    }
    runs = [
        Run(name, seed, train_by_plan, {"epochs": epochs, "batch_size": sizes, "lr": rates, "train_size": size})
        for plans, size in ((chapter, settings["train_size"]), (smith, settings["paper_train_size"]))
        for name, (epochs, sizes, rates) in plans.items()
    ]
    return runs + [Run(name, seed, train_normalized, arguments) for name, arguments in HOFFER.items()]


def train_by_plan(
    settings: Settings,
    seed: int,
    epochs: int,
    batch_size: list[tuple[float, float]],
    lr: list[tuple[float, float]],
    train_size: int,
) -> dict[str, Any]:
    """Train the chapter's network with batch sizes and learning rates that change after so many epochs."""
    return train(
        network(seed, settings["backend"]),
        minidl.SGD(),
        *mnist(train_size),
        epochs=epochs,
        batch_size=minidl.piecewise(dict(batch_size)),
        lr=minidl.piecewise(dict(lr)),
        seed=seed,
    )


def train_normalized(
    settings: Settings, seed: int, batch_size: int, lr: float, ghost_size: int | None, longer: int
) -> dict[str, Any]:
    """Train with batch normalisation over parts of ``ghost_size``, for ``longer`` times as many epochs."""
    return train(
        normalized_network(seed, settings["backend"], ghost_size),
        minidl.SGD(lr),
        *mnist(settings["paper_train_size"]),
        epochs=settings["hoffer_epochs"] * longer,
        batch_size=batch_size,
        seed=seed,
    )


def normalized_network(seed: int, backend: str, ghost_size: int | None, width: int = 1024) -> minidl.Sequential:
    """Return the chapter's network with batch normalisation in front of both ReLUs."""
    return minidl.Sequential(
        minidl.Dense(784, width),
        minidl.BatchNorm(width, ghost_size=ghost_size),
        minidl.ReLU(),
        minidl.Dense(width, width),
        minidl.BatchNorm(width, ghost_size=ghost_size),
        minidl.ReLU(),
        minidl.Dense(width, 10),
        minidl.LogSoftmax(),
        seed=seed,
        backend=backend,
    )


def verdicts(results: Results) -> Claims:
    """Hold the claims against the means over the seeds.

    "98 %" is reproduced by what rounds to it (B1 to B4, prose). The control must not round to it, and must lie below
    each of these by more than chance (B5). A model is not trapped if it ends no more than `MARGIN` below the reference,
    whenever and however it changed (B6). Smith's curves are the same if their accuracies never differ by more than
    `MARGIN` after the first change, and their training losses end closer together, as a ratio, than a quarter of the
    way to what training without a change reaches. Hoffer's gap must be there, and end no wider than `MARGIN`.
    """
    test = {name: results.curves(name, "test_accuracy") for name in {run["name"] for run in results.runs}}
    last = {name: curves[:, -1] for name, curves in test.items()}
    updates = {name: results.curves(name, "updates")[0, -1] for name in (DECAY, GROW)}

    def rounds_to_98(*names: str) -> bool:
        return all(abs(last[name].mean() - 0.98) <= 0.005 for name in names)

    def shown(*names: str) -> str:
        return "test " + ", ".join(f"{name}: {percent(last[name])}" for name in names)

    changed = (EARLY, LATE, RAISED)
    stays_below = not rounds_to_98(CONTROL) and all(exceeds(last[name], last[CONTROL]) for name in changed)
    cut = results.curves(CONTROL, "test_accuracy")[:, : results.settings["half"]]
    stage = results.settings["smith_stage"]
    decay, grow = (results.curves(name, "test_accuracy", 3 * stage).mean(axis=0) for name in (DECAY, GROW))
    apart = np.abs(decay - grow)[stage:].max()
    loss = {name: results.curves(name, "train_loss")[:, -1].mean() for name in (DECAY, GROW, NEITHER)}
    together = abs(np.log(loss[DECAY] / loss[GROW])) <= abs(np.log(loss[DECAY] / loss[NEITHER])) / 4
    small, large, *_, adapted = HOFFER
    found = {
        "B1": (shown(FASTER, REFERENCE), rounds_to_98(FASTER)),
        "B2": (shown(EARLY), rounds_to_98(EARLY)),
        "B3": (shown(LATE), rounds_to_98(LATE)),
        "B4": (shown(RAISED), rounds_to_98(RAISED)),
        "B5": (shown(CONTROL), stays_below),
        "B6": (
            f"{shown(REFERENCE, *changed)}; a margin of {100 * MARGIN:.2f}{NBSP}points counts as none",
            all(last[name].mean() >= last[REFERENCE].mean() - MARGIN for name in changed),
        ),
        "B7": (
            f"so it is done here; the control's first half, which is cut, rises from {percent(cut[:, 0])} "
            f"to {percent(cut[:, -1])}",
            all(len(run["history"]["epoch"]) >= LAST for run in results.called(CONTROL)),
        ),
        "prose": (shown(EARLY_REVERSED, LATE_REVERSED), rounds_to_98(EARLY_REVERSED, LATE_REVERSED)),
        "Smith 2018": (
            f"after the first change the test accuracies are at most {100 * apart:.2f}{NBSP}points apart; training "
            f"loss at the end {loss[DECAY]:.2g} and {loss[GROW]:.2g} ({loss[NEITHER]:.2g} with neither), "
            f"after {updates[DECAY]:,.0f} and {updates[GROW]:,.0f} updates",
            bool(apart <= MARGIN and together and updates[GROW] < updates[DECAY]),
        ),
        "Hoffer 2017": (
            shown(*HOFFER),
            exceeds(last[small], last[large]) and bool(last[adapted].mean() >= last[small].mean() - MARGIN),
        ),
    }
    decided = in_full(results.settings, FULL)
    return claims_table(CLAIMS, found, decided, "" if decided else " (a quick run)")


def draw(results: Results, path: Path) -> None:
    """Draw the chapter's figures, and those of the papers' checks beside them."""
    figure, axes = plt.subplots(3, 2, figsize=(11, 11), sharex=True, sharey="col", layout="constrained")
    figure.suptitle(
        f"Chapter 38: what brings back the accuracy of large batches; the last epochs of each run{over_seeds(results)}"
    )
    for row, lines in zip(axes, FIGURES, strict=True):
        for ax, part in zip(row, ("train", "test"), strict=True):
            for name, colour in lines.items():
                curves = 100 * results.curves(CONTROL if name == LARGE else name, f"{part}_accuracy")
                half = results.settings["half"]
                tail = curves[:, :half] if name == LARGE else curves[:, -min(LAST, half) :]
                label = f"{name}: {tail[:, -1].mean():.2f} %"
                band(ax, np.arange(1.0, 1 + tail.shape[1]), tail, colour, label.replace(", first half", ""))
            ax.set_ylabel(f"{part} accuracy (%)")
            ax.legend(loc="lower right", title="at the end")
            ax.grid(alpha=0.3)
    for ax, title in zip(axes[:, 0], ("a higher rate", "from large to small", "from small to large"), strict=True):
        ax.set_title(title, loc="left", fontweight="bold")
    if in_full(results.settings, FULL):
        axes[0, 0].set_ylim(93.5, 100.1)
        axes[0, 1].set_ylim(93.5, 98.6)
    for ax in axes[-1]:
        ax.set_xlabel("epochs, counted from the 30th before the last")
    save_figure(figure, path)

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
    save_figure(figure, path.with_name("chapter38_papers.png"))


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


if __name__ == "__main__":
    run_script(main)
