"""What the learning rate does, how to find one, and whether to let it go up and down.

Questions: does one network show all four curves of the text's picture, from a rate too low to one too high? Does the
range test find a good rate? Do cyclical rates behave as the text says, and reach an accuracy in fewer updates than a
fixed rate? Does a higher rate cross saddles and plateaus faster?

What to look at in the figure: in the top row, the regimes, the range test with its suggestions, the cycles, and three
optimisers at one saddle. In the bottom row, test accuracy with cyclical and with fixed rates; the updates until it
first reaches the target, with rates above the bounds of the cycles as well; and the steps to cross saddle and plateau.

The text leaves the settings open. Here they are network and batch size of chapter 37, He's initialisation, plain SGD,
the first 10,240 images. *Rates:* a step along a direction of curvature h is stable below 2/h. The range test should
show that edge, where its loss first stops falling: with seed 100, which the experiment does not use, at 0.04. This is
the upper bound of the cycles, and a quarter of it the lower (Smith 2017, section 3.3). Two decades below the edge
should be slow, one above too high, two above hopeless. In trials with seed 100, however, 0.3 ended with less loss than
0.025, while 1 and 3 diverged; so 1 was kept, and 0.5, untried, put between. There 0.5 diverged as well, and 0.3 was the
best: 0.35, 0.4 and 0.45 were added, to look for a plateau between. *Cycles:* half a triangle is 2.5 epochs; an SGDR
cycle 3, or 1, 2, 4 and 8: all end with the run, after 15. *Target:* 95 %, which a trial with seed 100, at the mean of
the bounds, reached after half of its updates.

*The contest* of C5 is apart from all this. The upper bound of the cycles is what Smith's procedure gives, once for each
seed; the lower bound is a quarter of it. Every contestant, a fixed rate among them, tries the same five multiples of
this bound, and goes on with the one that first reaches the target on 10,000 images held back.

    python examples/learning_rate.py                               # in full
    python examples/learning_rate.py --quick                       # a taste in less than a minute
    python examples/learning_rate.py --seeds 0 1 2 3 4 --jobs 2    # in full, two runs at a time

Sources: Zulkifli 2018, "Understanding learning rates and how it improves performance in deep learning", in Portuguese
translation, claims C1 to C6; Smith 2017, "Cyclical learning rates for training neural networks", sections 3.1
(triangles), 3.3 (range test) and 4.1 (fewer iterations); Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent
with warm restarts", section 3; Dauphin et al. 2014, "Identifying and attacking the saddle point problem in
high-dimensional non-convex optimization".
"""

from functools import partial
from itertools import chain
from math import isfinite
from typing import Any

import numpy as np

import minidl
from lab.claims import judge
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.crossings import OPTIMIZERS, cross
from lab.environment import environment
from lab.figures.learning_rate import draw
from lab.network import mnist, network
from lab.policies import CYCLICAL, FACTORS, contestant, name_of, needed_updates, rates_of, schedule_of
from lab.results import Results, Settings
from lab.runs import Run
from lab.verdicts.learning_rate import CLAIMS, RULES, in_short
from minidl.learning_rate.schedules import scheduled
from minidl.loop import Schedule

SETTINGS = {
    "data": "MNIST, standardised with mean and standard deviation of the training set",
    "network": "784-1024-1024-10, ReLU, log-softmax, negative log-likelihood; he_normal, biases zero",
    "optimizer": "SGD",
    "batch_size": 64,
    "low": 0.0003,
    "fixed": [0.01, 0.025, 0.04],  # the bounds of the cycles, and between them their mean
    "high": [0.3, 0.5, 1.0],
    "very_high": 3.0,
    "triangle_half": 2.5,  # epochs, as are the next two
    "sgdr_cycle": 3,
    "sgdr_first_cycle": 1,
    "range_test": {"min_lr": 1e-5, "max_lr": 10.0, "smoothing": 0.9},
    "crossing_rates": [0.01, 0.03, 0.1, 0.3],  # the saddle's curvature of 2 is stable below 1
    "most_steps": 20_000,
    "dtype": "float32",
}
FULL = {"train_size": 10_240, "test_size": 10_000, "epochs": 15, "every": 40, "target": 0.95, "range_updates": 320}
QUICK = {"train_size": 1_280, "test_size": 500, "epochs": 15, "every": 10, "target": 0.84, "range_updates": 160}
CONTEST = {"factors": list(FACTORS), "held_back": 10_000, "range_epochs": 8, "range_top": 1.0}
verdicts = partial(judge, CLAIMS, RULES, FULL)


def main(given: list[str] | None = None) -> None:
    """Run what is missing, and print which claims held."""
    args = parse(options("The learning rate: regimes, range test, cycles, saddles.", seeds=[0, 1, 2, 3, 4]), given)
    settings = SETTINGS | {"backend": args.backend} | (QUICK if args.quick else FULL)
    results = Results(args.out / "learning_rate.json", settings, environment(args.backend))
    policies: list[str | float] = [*CYCLICAL, *rates_of(settings)]
    runs = [Run(name_of(policy), seed, follow, {"policy": policy}) for policy in policies for seed in args.seeds]
    runs += [Run("range test", seed, range_test, {}) for seed in args.seeds]
    if not args.quick:
        runs += [
            Run(contestant(method), seed, contest, {"method": method} | CONTEST)
            for method in (*CYCLICAL, "fixed")
            for seed in args.seeds
        ]
    runs += [Run(f"crossing: {name}", seed, cross, {"optimizer": name}) for name in OPTIMIZERS for seed in args.seeds]
    conduct(results, runs, verdicts, draw, args.jobs, in_short=in_short)


def follow(settings: Settings, seed: int, policy: str | float) -> dict[str, Any]:
    """Train with a policy, and measure on test images."""
    return train_along(settings, seed, schedule_of(settings, policy), *images(settings))


def train_along(
    settings: Settings,
    seed: int,
    schedule: Schedule,
    train: minidl.Dataset,
    test: minidl.Dataset,
    epochs: int | None = None,
) -> dict[str, Any]:
    """Train along a schedule, and measure several times an epoch, which `minidl.fit` would do only once.

    The history has an entry for every so many updates: the rate of the first of them, the mean loss of their batches,
    and the accuracy on ``test`` after the last.
    """
    every, rng = settings["every"], np.random.default_rng(seed)
    state = minidl.Training(network(seed, settings["backend"]), minidl.SGD(), rng)
    passes = (minidl.minibatches(train, settings["batch_size"], rng) for _ in range(epochs or settings["epochs"]))
    batches = scheduled(chain.from_iterable(passes), state, schedule, len(train.x))
    history: dict[str, list[float]] = {"updates": [], "lr": [], "loss": [], "test_accuracy": []}
    with np.errstate(over="ignore", invalid="ignore"):  # a divergence is a result
        for loss in minidl.descend(state, batches):
            if (state.updates - 1) % every == 0:
                total, first_lr = 0.0, state.optimizer.lr
            total += float(loss)
            if not isfinite(total):
                return {"history": history, "diverged": f"the loss became infinite or NaN in update {state.updates}"}
            if state.updates % every == 0:
                row = (state.updates, first_lr, total / every, minidl.evaluate(state.model, test)[1])
                for column, value in zip(history.values(), row, strict=True):
                    column.append(value)
    return {"history": history}


def contest(
    settings: Settings,
    seed: int,
    method: str,
    factors: list[float],
    held_back: int,
    range_epochs: int,
    range_top: float,
) -> dict[str, Any]:
    """Try a method with several upper bounds; go on with the one that first reaches the target on images held back.

    Where several do so at the same time, the higher accuracy at the end decides.
    """
    train, test = images(settings)
    judges = mnist(backend=settings["backend"])[0][-held_back:]
    top = smiths_bound(settings, seed, train, judges, range_epochs, range_top)
    schedules, tries = {}, []
    for factor in factors:
        bounds = (top * factor / 4, top * factor)
        fixed = minidl.constant(bounds[1])
        schedules[factor] = fixed if method == "fixed" else schedule_of(settings, method, bounds)
        tried = train_along(settings, seed, schedules[factor], train, judges)
        accuracies = [] if "diverged" in tried else tried["history"]["test_accuracy"]
        tries.append([factor, needed_updates(settings, tried["history"]), accuracies[-1] if accuracies else 0.0])
    factor = min(tries, key=lambda found: (found[1], -found[2]))[0]
    measured = {"bound": top, "factor": factor, "bounds": [top * factor / 4, top * factor], "tries": tries}
    return measured | train_along(settings, seed, schedules[factor], train, test)


def smiths_bound(
    settings: Settings, seed: int, train: minidl.Dataset, judges: minidl.Dataset, epochs: int, top: float
) -> float:
    """Return the upper bound of the cycles by Smith's procedure (2017, section 3.3).

    The rate rises from 0 in a straight line over several epochs; the bound is where accuracy stops rising.
    """
    found = train_along(settings, seed, lambda t: top * t / epochs, train, judges, epochs)["history"]
    return float(found["lr"][int(np.argmax(found["test_accuracy"]))])


def images(settings: Settings) -> tuple[minidl.Dataset, minidl.Dataset]:
    """Return the first training images and the first test images, where the network computes."""
    train, test = mnist(settings["train_size"], settings["backend"])
    return train, test[: settings["test_size"]]


def range_test(settings: Settings, seed: int) -> dict[str, Any]:
    """Carry out a range test; then train at the rate that it suggests, a tenth of that of the least loss."""
    train, model = images(settings)[0], network(seed, settings["backend"])
    how = settings["range_test"] | {"updates": settings["range_updates"], "batch_size": settings["batch_size"]}
    found = minidl.lr_range_test(model, minidl.SGD(), train, seed=seed, **how)
    suggestions = dict.fromkeys(("steepest", "valley", "minimum/10")) | found.suggestions()  # None: no suggestion
    measured, suggested = {"range": vars(found), "suggestions": suggestions}, suggestions["minimum/10"]
    return measured | ({"no_suggestion": True} if suggested is None else follow(settings, seed, suggested))


if __name__ == "__main__":
    run_script(main)
