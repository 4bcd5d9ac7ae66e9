"""A map of batch size and learning rate: which rate for which batch size?

Question: chapter 37 finds that large batches learn less in the same number of epochs, chapter 38 that a higher rate
brings it back. How much higher? In proportion to the batch size B, say some; in proportion to √B, say others; not
without end, say others still. Here all of six batch sizes meet all of ten rates, once for equally many epochs and once
for equally many updates.

What to look at in the figure: a cell is a batch size with a rate, coloured by test accuracy at the end. A cross marks
what diverged, a ring the best rate of a batch size, found on images held back. On the left, epochs are equal: if the
best rate is proportional to B, rings lie along the white lines, on which the noise scale ε(N/B − 1) is the same (Smith
et al. 2018); if to √B, they rise half as steeply. On the right, updates are equal: what is left of the difference
between batch sizes is noise, not the number of steps. Below, accuracy at the best rates, and along the two laws.

Network, inputs and plain SGD are those of chapter 37. The first 16,384 training images are learned from, a number that
all batch sizes divide; the last 10,000 are held back, to find the best rates. A rate does not change within a run. 768
updates are what batch 256 makes in 12 epochs.

    python examples/batch_and_rate.py --jobs 2      # in full, three seeds: about two hours on two cores
    python examples/batch_and_rate.py --quick       # a taste in less than a minute

Sources: Goyal et al. 2017, "Accurate, large minibatch SGD: training ImageNet in 1 hour", section 2.1; Krizhevsky 2014,
"One weird trick for parallelizing convolutional neural networks", section 5; Hoffer, Hubara and Soudry 2017, "Train
longer, generalize better", section 4; McCandlish et al. 2018, "An empirical model of large-batch training"; Smith,
Kindermans, Ying and Le 2018, "Don't decay the learning rate, increase the batch size", section 2; Masters and Luschi
2018, "Revisiting small batch training for deep neural networks"; Shallue et al. 2019, "Measuring the effects of data
parallelism on neural network training". Claims H1 to H7.
"""

from functools import partial
from itertools import chain, islice, repeat
from math import isfinite
from typing import Any

import numpy as np

import minidl
from lab.claims import judge
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.figures.batch_and_rate import draw
from lab.network import mnist, network
from lab.results import Results, Settings
from lab.runs import Run
from lab.verdicts.batch_and_rate import CLAIMS, EPOCHS, RULES, UPDATES, in_short, named

FULL = {"sizes": [4**k for k in range(1, 7)], "rates": [2.0**k for k in range(-9, 1)], "train_size": 16_384}
FULL |= {"epochs": 12, "updates": 768, "validation_size": 10_000, "test_size": 10_000}
QUICK = {"sizes": [64, 256, 1024], "rates": [2.0**k for k in range(-4, 0)], "train_size": 2_048}
QUICK |= {"epochs": 2, "updates": 16, "validation_size": 1_000, "test_size": 1_000}
verdicts = partial(judge, CLAIMS, RULES, FULL, scope=" (a quick run)")


def main(given: list[str] | None = None) -> None:
    """Run what is missing, and print which claims held."""
    args = parse(options("A map of batch size and learning rate.", seeds=[0, 1, 2]), given)
    settings = {
        "data": "MNIST, standardised with mean and standard deviation of the training set",
        "network": "784-1024-1024-10, ReLU, log-softmax, negative log-likelihood",
        "initialisation": "he_normal, biases zero",
        "optimizer": "SGD",
        "dtype": "float32",
        "backend": args.backend,
    } | (QUICK if args.quick else FULL)
    results = Results(args.out / "batch_and_rate.json", settings, environment(args.backend))
    runs = [run for seed in args.seeds for run in planned(settings, seed)]
    conduct(results, runs, verdicts, draw, args.jobs, in_short=in_short)


def planned(settings: Settings, seed: int) -> list[Run]:
    """Return all cells with one seed, for equal epochs and for equal updates."""
    return [
        Run(named(regime, size, rate), seed, train_cell, {"batch_size": size, "lr": rate, "updates": updates})
        for size in settings["sizes"]
        for rate in settings["rates"]
        for regime, updates in (
            (EPOCHS, settings["epochs"] * settings["train_size"] // size),
            (UPDATES, settings["updates"]),
        )
    ]


def train_cell(settings: Settings, seed: int, batch_size: int, lr: float, updates: int) -> dict[str, Any]:
    """Make so many updates at one rate, and measure loss and accuracies at the end; a divergence is a result."""
    train, held_back, test = images(settings)
    rng = np.random.default_rng(seed)
    state = minidl.Training(network(seed, settings["backend"]), minidl.SGD(lr), rng)
    epochs = (minidl.minibatches(train, batch_size, rng) for _ in repeat(None))
    with np.errstate(over="ignore", invalid="ignore"):
        for loss in minidl.descend(state, islice(chain.from_iterable(epochs), updates)):
            if not isfinite(loss):
                return {"diverged": f"the loss became infinite or NaN in update {state.updates}"}
        ends = [minidl.evaluate(state.model, part) for part in (train, held_back, test)]
    if not all(isfinite(loss) for loss, _ in ends):
        return {"diverged": f"the loss became infinite or NaN after update {state.updates}"}
    accuracies = zip(("train", "validation", "test"), ends, strict=True)
    return {"train_loss": ends[0][0]} | {f"{part}_accuracy": accuracy for part, (_, accuracy) in accuracies}


def images(settings: Settings) -> list[minidl.Dataset]:
    """Return the images to learn from, those held back, and the test images."""
    train, test = mnist(backend=settings["backend"])
    return [train[: settings["train_size"]], train[-settings["validation_size"] :], test[: settings["test_size"]]]


if __name__ == "__main__":
    run_script(main)
