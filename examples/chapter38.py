"""Chapter 38: the effect of the learning rate.

Question: chapter 37 found that large batches learn less in the same number of epochs. Is this accuracy lost, or does a
higher learning rate, or a smaller batch later on, bring it back? The chapter says that all of it comes back.

What to look at in the figure, in colours near the chapter's: on top, batch 1024 at ten times the learning rate (blue)
beside the two references of chapter 37. In the middle, runs that begin with batch 1024 and then change: only the
control (black, dotted), which changes nothing, should stay below. As in the chapter, only the last 30 epochs of a run
are drawn, so that everything before the change is cut. The chapter's prose describes the change from small to large
batches, its legend and conclusion the one from large to small. Both directions are run; the prose's is at the bottom.

The second figure, ``chapter38_papers.png``, repeats on a smaller scale two papers that belong here. Left and middle,
Smith et al.: dividing the learning rate by k, or multiplying the batch size by k, should give the same curve against
epochs, with fewer updates for the growing batch. Right, Hoffer et al.: a large batch generalises as well as a small one
if its learning rate is √k times as high, batch normalisation sees ghost batches of the small size, and the number of
updates is the same. They are added one by one, as in the columns of the paper's table 1.

Settings that the chapter leaves open are those of chapter37.py. The papers' checks use the first 20,000 training
images, and plain SGD where the papers have momentum; Hoffer's has batch normalisation before both ReLUs.

    python examples/chapter38.py --jobs 2      # five seeds: about two hours on two cores
    python examples/chapter38.py --quick       # a taste in less than a minute

Sources: Deep Learning Book (Data Science Academy), chapter 38, claims B1 to B7, which retells Kevin Shen, "Effect of
batch size on training dynamics" (Mini Distill, 2018); Smith, Kindermans, Ying and Le 2018, "Don't decay the learning
rate, increase the batch size", section 5.1; Hoffer, Hubara and Soudry 2017, "Train longer, generalize better", section
4 and table 1.
"""

from functools import partial
from typing import Any

import minidl
from lab.claims import judge
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.figures.chapter38 import draw
from lab.network import mnist, network, train
from lab.results import Results, Settings
from lab.runs import Run
from lab.verdicts.chapter38 import CLAIMS, RULES, in_short

FULL = {"half": 30, "train_size": 60_000, "paper_train_size": 20_000, "smith_stage": 10, "hoffer_epochs": 5}
QUICK = {"half": 2, "train_size": 3_000, "paper_train_size": 2_000, "smith_stage": 2, "hoffer_epochs": 2}
HOFFER: dict[str, dict[str, Any]] = {  # each row adds one step of the paper's adaptation to the row before
    "small batch": {"batch_size": 64, "lr": 0.1, "ghost_size": None, "longer": 1},
    "large batch": {"batch_size": 1024, "lr": 0.1, "ghost_size": None, "longer": 1},
    "+ lr × √k": {"batch_size": 1024, "lr": 0.4, "ghost_size": None, "longer": 1},
    "+ ghost batches": {"batch_size": 1024, "lr": 0.4, "ghost_size": 64, "longer": 1},
    "+ as many updates": {"batch_size": 1024, "lr": 0.4, "ghost_size": 64, "longer": 16},
}
verdicts = partial(judge, CLAIMS, RULES, FULL, scope=" (a quick run)")


def main(given: list[str] | None = None) -> None:
    """Run what is missing, and print which claims held."""
    args = parse(options("Chapter 38: the effect of the learning rate.", seeds=[0, 1, 2, 3, 4]), given)
    settings = {
        "data": "MNIST, standardised with mean and standard deviation of the training set",
        "network": "784-1024-1024-10, ReLU, log-softmax, negative log-likelihood; Hoffer: with batch normalisation",
        "initialisation": "he_normal, biases zero",
        "optimizer": "SGD",
        "dtype": "float32",
        "backend": args.backend,
    } | (QUICK if args.quick else FULL)
    results = Results(args.out / "chapter38.json", settings, environment(args.backend))
    runs = [run for seed in args.seeds for run in planned(settings, seed)]
    conduct(results, runs, verdicts, draw, args.jobs, in_short=in_short)


def planned(settings: Settings, seed: int) -> list[Run]:
    """Return all runs with one seed. Batch size and learning rate are pairs: an epoch, and the value from then on."""
    half, stage = settings["half"], settings["smith_stage"]
    chapter = {
        "64": (half, [[0, 64]], [[0, 0.01]]),
        "1024 at lr 0.1": (half, [[0, 1024]], [[0, 0.1]]),
        "1024, twice as long": (2 * half, [[0, 1024]], [[0, 0.01]]),
        "1024 for 1 epoch, then 64": (1 + half, [[0, 1024], [1, 64]], [[0, 0.01]]),
        "1024, then 64": (2 * half, [[0, 1024], [half, 64]], [[0, 0.01]]),
        "1024, then lr × 10": (2 * half, [[0, 1024]], [[0, 0.01], [half, 0.1]]),
        "64 for 1 epoch, then 1024": (1 + half, [[0, 64], [1, 1024]], [[0, 0.01]]),
        "64, then 1024": (2 * half, [[0, 64], [half, 1024]], [[0, 0.01]]),
    }
    smith = {
        "lr ÷ 5 twice": (3 * stage, [[0, 64]], [[0, 0.1], [stage, 0.02], [2 * stage, 0.004]]),
        "batch × 5 twice": (3 * stage, [[0, 64], [stage, 320], [2 * stage, 1600]], [[0, 0.1]]),
        "neither changes": (3 * stage, [[0, 64]], [[0, 0.1]]),
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
    """Return the chapter's network with batch normalisation before both ReLUs."""
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


if __name__ == "__main__":
    run_script(main)
