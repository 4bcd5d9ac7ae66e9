"""Momentum and other optimisers: what each formula does, on drawn landscapes and on MNIST.

Question: the text says that momentum crosses plateaus and narrow ravines faster and helps to escape poor local minima,
that Adagrad's rates only fall, that RMSprop mends this, and that Adam is momentum and RMSprop in one. Is it true?

What to look at: in optimizers_trajectories.png, how each optimiser walks along a ravine, past a saddle, over a plateau
and out of a poor minimum, at the rate with which it arrives in the fewest steps. In optimizers.png, how the training
loss of all six falls in two experiments of the paper on Adam: logistic regression, and two hidden layers with dropout.

The text names no experiment, and the paper only its networks and the batch size of 128. Here all six have the same grid
of rates. Every run first tries each rate for a short while on a part of the training images, goes on with those that
have the lowest training loss, and takes the best; the test set has no say in it. Short trials favour optimisers that
are fast at first, and gradient descent chose the highest rate of the grid. So the runs called *tuned* have a wider one,
and a last round of trials that is as long as the experiment, judged by the loss on 10,000 training images held back.
Everything else in an optimiser is its default: γ = 0.9, ρ = 0.9, β₁ = 0.9, β₂ = 0.999. In logistic regression each rate
falls as 1/√t, t counting the updates, as in the paper. The paper's L2 penalty is left out, inputs are standardised, and
the training loss is that of the whole network, after each epoch, without dropout.

    python examples/optimizers.py                                 # in full: five seeds
    python examples/optimizers.py --quick                         # a taste in less than a minute
    python examples/optimizers.py --seeds 0 1 2 3 4 --jobs 2      # in full, in two processes

Sources: "Backpropagation e Treinamento de Redes Neurais: Momentum e Outros Métodos de Otimização", claims E1 to E6
among the claims of the sources; Kingma and Ba 2015, "Adam: a method for stochastic optimization", sections 6.1 and 6.2;
Sutskever et al. 2013, section 2, for momentum; Duchi et al. 2011 and Hinton's lecture 6e for Adagrad and RMSprop.
"""

from functools import partial
from math import ceil, inf, isfinite, sqrt
from typing import Any

import numpy as np

import minidl
from lab.claims import judge
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.figures.optimizers import draw
from lab.formulas import gradient_error, measure_optimizers
from lab.landscapes import fastest_walks, good_ends
from lab.network import mnist, train
from lab.results import Results, Settings
from lab.runs import Run
from lab.verdicts.optimizers import CLAIMS, EXPERIMENTS, RULES, in_short, tuned

KINDS = (minidl.SGD, minidl.Momentum, minidl.Nesterov, minidl.Adagrad, minidl.RMSprop, minidl.Adam)
OPTIMIZERS: dict[str, type[minidl.Optimizer]] = {kind.__name__: kind for kind in KINDS}
FULL = {  # trials: the images of each round, and how many rates go on from it
    "logistic": {"images": 60_000, "epochs": 20, "trials": [[60_000, 1]]},
    "hidden": {"images": 60_000, "epochs": 6, "trials": [[6_400, 3], [25_600, 1]]},
    "units": 1000,
    "steps": 2000,
}
QUICK = {
    "logistic": {"images": 10_000, "epochs": 8, "trials": [[10_000, 1]]},
    "hidden": {"images": 10_000, "epochs": 4, "trials": [[2_560, 3], [10_000, 1]]},
    "units": 200,
    "steps": 300,
}
TUNING: dict[str, dict[str, Any]] = {  # trials: images, epochs, and how many rates go on
    "logistic": {"trials": [[50_000, 1, 3], [50_000, 20, 1]]},
    "hidden": {"trials": [[6_400, 1, 4], [25_600, 1, 2], [50_000, 6, 1]]},
}
WIDER = {"rates": [float(f"{10 ** (k / 2):.3g}") for k in range(-10, 3)], "held_back": 10_000}
verdicts = partial(judge, CLAIMS, RULES, FULL)


def main(given: list[str] | None = None) -> None:
    """Run what is missing, and print which claims held."""
    args = parse(options("Momentum and other optimisers.", seeds=[0, 1, 2, 3, 4]), given)
    settings = {
        "data": "MNIST, standardised with mean and standard deviation of the training set",
        "networks": "logistic: 784-10; hidden: 784-units-units-10, ReLU and dropout 0.5 after each hidden layer",
        "initialisation": "he_normal, biases zero",
        "batch_size": 128,
        "rates": [float(f"{10 ** (k / 2):.3g}") for k in range(-8, 1)],
        "landscape_rates": [float(f"{10 ** (k / 4):.3g}") for k in range(-16, 9)],
        "dtype": "float32",
        "backend": args.backend,
    } | (QUICK if args.quick else FULL)
    results = Results(args.out / "optimizers.json", settings, environment(args.backend))
    runs = [Run("formulas", 0, measure_formulas, {}), Run("landscapes", 0, walk, {})]  # without chance
    runs += [
        Run(f"{experiment}: {name}", seed, train_with, {"experiment": experiment, "optimizer": name})
        for seed in args.seeds
        for experiment in EXPERIMENTS
        for name in OPTIMIZERS
    ]
    if not args.quick:
        runs += [
            Run(tuned(run.name), run.seed, train_tuned, run.arguments | WIDER | TUNING[run.arguments["experiment"]])
            for run in runs[2:]
        ]
    conduct(results, runs, verdicts, draw, args.jobs, in_short=in_short)


def network(settings: Settings, seed: int, hidden: bool, p: float = 0.5, **how: str) -> minidl.Sequential:
    """Return one of the paper's networks."""
    layers: list[minidl.Layer] = []
    for size_in in (784, settings["units"]) if hidden else ():
        layers += [minidl.Dense(size_in, settings["units"]), minidl.ReLU(), minidl.Dropout(p)]
    last = minidl.Dense(settings["units"] if hidden else 784, 10)
    return minidl.Sequential(*layers, last, minidl.LogSoftmax(), seed=seed, **how)


def train_with(settings: Settings, seed: int, experiment: str, optimizer: str) -> dict[str, Any]:
    """Choose the rate in short trials, on training images alone; then train with it."""
    plan, size = settings[experiment], settings["batch_size"]
    whole, test = mnist(plan["images"])
    train_at = partial(train_once, settings, seed, experiment, optimizer)
    rates, trials = settings["rates"], []
    few = minidl.Dataset(whole.x[:size], whole.labels[:size])  # in place of test images
    for images, going_on in plan["trials"]:
        ends = [train_at(rate, whole[:images], few, 1)["history"]["train_loss"] for rate in rates]
        losses = {rate: end[0] if end else inf for rate, end in zip(rates, ends, strict=True)}
        trials += [[images, rate, loss if isfinite(loss) else None] for rate, loss in losses.items()]
        rates = sorted(rates, key=losses.__getitem__)[:going_on]
    return {"rate": rates[0], "trials": trials, **train_at(rates[0], whole, test, plan["epochs"])}


def train_tuned(
    settings: Settings,
    seed: int,
    experiment: str,
    optimizer: str,
    rates: list[float],
    held_back: int,
    trials: list[list[int]],
) -> dict[str, Any]:
    """Choose the rate by the loss on images held back, in trials that become as long as the experiment; then train."""
    plan, tried = settings[experiment], []
    whole, test = mnist(plan["images"])
    train_at = partial(train_once, settings, seed, experiment, optimizer)
    for images, epochs, going_on in trials:
        found = [train_at(rate, whole[:images], whole[-held_back:], epochs) for rate in rates]
        ends = [inf if "diverged" in run else run["history"]["test_loss"][-1] for run in found]
        losses = dict(zip(rates, ends, strict=True))
        tried += [[images, epochs, rate, loss if isfinite(loss) else None] for rate, loss in losses.items()]
        rates = sorted(rates, key=losses.__getitem__)[:going_on]
    return {"rate": rates[0], "tried": tried, **train_at(rates[0], whole, test, plan["epochs"])}


def train_once(
    settings: Settings,
    seed: int,
    experiment: str,
    optimizer: str,
    rate: float,
    data: minidl.Dataset,
    test: minidl.Dataset,
    epochs: int,
) -> dict[str, Any]:
    """Train at one rate, which falls as 1/√t in logistic regression."""
    updates = ceil(len(data.x) / settings["batch_size"])  # in an epoch
    return train(
        network(settings, seed, experiment == "hidden", backend=settings["backend"]),
        OPTIMIZERS[optimizer](rate),
        data,
        test,
        epochs=epochs,
        batch_size=settings["batch_size"],
        lr=(lambda t: rate / sqrt(1 + t * updates)) if experiment == "logistic" else rate,
        seed=seed,
    )


def measure_formulas(settings: Settings, seed: int) -> dict[str, Any]:
    """Measure what the text says of backpropagation, and of the formula of each optimiser."""
    rng = np.random.default_rng(seed)
    formulas = measure_optimizers(rng)
    model = network(settings, 0, hidden=True, p=0.0, dtype="float64")
    x, labels = (array[:128] for array in mnist(settings["hidden"]["images"])[0])
    return {"gradient_error": gradient_error(model, x.astype("float64"), labels, rng)} | formulas


def walk(settings: Settings, _seed: int) -> dict[str, Any]:
    """Walk through every landscape with every optimiser at every rate of a grid."""
    grid = OPTIMIZERS, settings["landscape_rates"], settings["steps"]
    return {"walks": fastest_walks(*grid), "shares": good_ends(*grid)}


if __name__ == "__main__":
    run_script(main)
