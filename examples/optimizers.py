"""Momentum and other optimisers: what each formula does, on drawn landscapes and on MNIST.

Question: the text says that momentum crosses plateaus and narrow ravines faster and helps to escape poor local minima,
that Adagrad's rates only fall, that RMSprop mends this, and that Adam is momentum and RMSprop in one. Does it show?

What to look at: in optimizers_trajectories.png, how each optimiser walks along a ravine, past a saddle, over a plateau
and out of a poor minimum, at the rate with which it arrives in the fewest steps. In optimizers.png, how the training
loss of all six falls in two experiments of the paper on Adam: logistic regression, and two hidden layers with dropout.

The text names no experiment, the paper only its networks and the batch size of 128. So it is chosen here: the same grid
of rates for all six; every run first trains for a short while with each rate, on a part of the training images, goes on
with those that have the lowest training loss, and takes the best: the test set has no say in it. Short trials favour
what is fast at first. Everything else in an optimiser is its default: γ = 0.9, ρ = 0.9, β₁ = 0.9, β₂ = 0.999. For
logistic regression each rate falls as 1/√t, t counting the updates, as in the paper. The paper's L2 penalty is left
out, inputs are standardised, and the training loss is that of the whole network, after each epoch, without dropout.

    python examples/optimizers.py                                 # in full: five seeds
    python examples/optimizers.py --quick                         # a taste in less than a minute
    python examples/optimizers.py --seeds 0 1 2 3 4 --jobs 2      # in full, in two processes

Sources: "Backpropagation e Treinamento de Redes Neurais: Momentum e Outros Métodos de Otimização", claims E1 to E6
among the claims of the sources; Kingma and Ba 2015, "Adam: a method for stochastic optimization", sections 6.1 and 6.2;
Sutskever et al. 2013, section 2, for momentum; Duchi et al. 2011 and Hinton's lecture 6e for Adagrad and RMSprop.
"""

from collections.abc import Callable
from math import ceil, inf, isfinite, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import pyplot as plt

import minidl
from lab.claims import claims_table, in_full
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.network import mnist, train
from lab.plots import band, over_seeds, save_figure
from lab.results import Claims, Curves, Results, Settings
from lab.runs import Run
from lab.statistics import exceeds, spread

OPTIMIZERS: dict[str, tuple[type[minidl.Optimizer], str]] = {  # with colours that the colour-blind can tell apart
    "SGD": (minidl.SGD, "#000000"),
    "Momentum": (minidl.Momentum, "#0072b2"),
    "Nesterov": (minidl.Nesterov, "#56b4e9"),
    "Adagrad": (minidl.Adagrad, "#e69f00"),
    "RMSprop": (minidl.RMSprop, "#009e73"),
    "Adam": (minidl.Adam, "#d55e00"),
}
EXPERIMENTS = {"logistic": "logistic regression, rate ∝ 1/√t", "hidden": "two hidden layers, dropout 0.5"}
CLAIMS = {
    "E1": "forward pass, loss, backward pass from the last layer to the first, gradient descent",
    "E2": "momentum is v(t) = γ v(t − 1) + η ∇L(W), W = W − v(t)",
    "E2, speed": "momentum accelerates training",
    "E3": "Adagrad: a rate for each parameter that only falls, faster for large gradients; suits rarely updated ones",
    "E4": "RMSprop divides by the root of the recent mean square, and so mends the rate that only falls",
    "E5": "Adam combines Momentum's mean of gradients with RMSprop's mean of their squares",
    "E6": "momentum crosses ravines and plateaus faster and helps to escape poor local minima",
    "Kingma 2015, fig. 1": "logistic regression: Adam is similar to SGD with Nesterov momentum, both beat Adagrad",
    "Kingma 2015, fig. 2": "two hidden layers, dropout: Adam converges better than Adagrad, RMSprop and Nesterov",
}
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
    runs = [Run("formulas", 0, measure_formulas, {}), Run("landscapes", 0, walk_all, {})]  # without chance
    runs += [
        Run(f"{experiment}: {name}", seed, train_with, {"experiment": experiment, "optimizer": name})
        for seed in args.seeds
        for experiment in EXPERIMENTS
        for name in OPTIMIZERS
    ]
    conduct(results, runs, verdicts, draw, args.jobs)


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

    def train_at(rate: float, images: int, test: minidl.Dataset, epochs: int) -> dict[str, Any]:
        updates = ceil(images / size)  # in an epoch
        return train(
            network(settings, seed, experiment == "hidden", backend=settings["backend"]),
            OPTIMIZERS[optimizer][0](rate),
            minidl.Dataset(whole.x[:images], whole.labels[:images]),
            test,
            epochs=epochs,
            batch_size=size,
            lr=(lambda t: rate / sqrt(1 + t * updates)) if experiment == "logistic" else rate,
            seed=seed,
        )

    rates, trials = settings["rates"], []
    few = minidl.Dataset(whole.x[:size], whole.labels[:size])  # in place of test images
    for images, going_on in plan["trials"]:
        ends = [train_at(rate, images, few, 1)["history"]["train_loss"] for rate in rates]
        losses = {rate: end[0] if end else inf for rate, end in zip(rates, ends, strict=True)}
        trials += [[images, rate, loss if isfinite(loss) else None] for rate, loss in losses.items()]
        rates = sorted(rates, key=losses.__getitem__)[:going_on]
    return {"rate": rates[0], "trials": trials, **train_at(rates[0], plan["images"], test, plan["epochs"])}


class Landscape(NamedTuple):
    """A function of two variables, with a place to start and a value at which one has arrived."""

    title: str
    value: Callable[[Any, Any], Any]
    start: tuple[float, float]
    goal: float
    view: tuple[float, float, float, float]
    """What the figure shows: from x to x, from y to y."""


C, S = sqrt(3) / 2, 0.5  # the ravine runs at 30°: a rate for each axis cannot make it round
LANDSCAPES = {
    "ravine": Landscape(
        "narrow ravine: a quadratic with condition number 100",
        lambda x, y: ((C * x + S * y) ** 2 + 100 * (C * y - S * x) ** 2) / 2,
        start=(-3.0, -0.7),
        goal=1e-3,
        view=(-3.8, 1.2, -2.9, 0.9),
    ),
    "saddle": Landscape(
        "saddle: a start 0.001 beside the ridge",
        lambda x, y: (x**2 - y**2) / 2 + (y**2) ** 2 / 4,
        start=(-1.5, 0.001),
        goal=-0.249,
        view=(-1.9, 1.9, -0.8, 1.7),
    ),
    "plateau": Landscape(
        "plateau: a well far away, crossed at half its depth",
        lambda x, y: 1 - np.exp(-(x**2 + y**2) / 2),
        start=(-3.5, -1.5),
        goal=0.5,
        view=(-4.2, 2.4, -2.4, 2.0),
    ),
    "double well": Landscape(
        "double well: the poor minimum on the right",
        lambda x, y: (x**2 - 1) ** 2 + 0.3 * x + y**2 / 2,
        start=(1.7, 1.0),
        goal=-0.3,
        view=(-2.0, 2.0, -1.1, 1.4),
    ),
}
DRAWN = tuple(LANDSCAPES)
LANDSCAPES["plateau, at rest"] = LANDSCAPES["plateau"]._replace(goal=0.001)


def walk(landscape: Landscape, rule: minidl.Optimizer, starts: Curves, steps: int) -> Curves:
    """Return the way from each of the starts, (2, n) -> (steps + 1, 2, n); one optimiser moves them all at once.

    The gradient is exact but for rounding: ∂f/∂x = Im f(x + ih, y) / h, with a step h too small to be squared.
    """
    h = 1e-30
    path = [starts.astype(float)]
    with np.errstate(all="ignore"):  # too high a rate ends in infinity
        for _ in range(steps):
            x, y = path[-1]
            gradient = np.array([landscape.value(x + 1j * h, y).imag, landscape.value(x, y + 1j * h).imag]) / h
            points = path[-1].ravel().copy()
            rule.step(points, gradient.ravel())
            path.append(points.reshape(2, -1))
    return np.array(path)


def arrivals(landscape: Landscape, path: Curves) -> Curves:
    """Return, for each of n ways (steps + 1, 2, n), after how many steps it is at the goal for good; inf for never."""
    with np.errstate(all="ignore"):
        there = landscape.value(path[:, 0], path[:, 1]) <= landscape.goal  # no number is not there
    return np.where(there[-1], len(there) - np.logical_and.accumulate(there[::-1]).sum(axis=0), inf)


def walk_all(settings: Settings, _seed: int) -> dict[str, Any]:
    """Walk through every landscape with every optimiser at every rate of the grid; keep the fastest walk of each.

    In the double well also start at 201 places spread evenly over both basins, and keep the share that ends in the
    better minimum, at the rate where it is highest: of all starts, and of those in the poor and in the good basin.
    """
    rates, steps = settings["landscape_rates"], settings["steps"]
    walks: dict[str, dict[str, Any]] = {place: {} for place in LANDSCAPES}
    shares: dict[str, dict[str, float]] = {}
    well, spots = LANDSCAPES["double well"], np.array([np.linspace(-2, 2, 201), np.ones(201)])
    in_poor = spots[0] > 0.0379  # the top of the barrier: where 4x(x² − 1) + 0.3 = 0
    for name, (kind, _) in OPTIMIZERS.items():
        for place, landscape in LANDSCAPES.items():
            paths = [walk(landscape, kind(rate), np.array(landscape.start)[:, None], steps) for rate in rates]
            needed = [float(arrivals(landscape, path)[0]) for path in paths]
            with np.errstate(all="ignore"):
                ends = [np.nan_to_num(landscape.value(*path[-100:, :, 0].T).max(), nan=inf) for path in paths]
            best = min(range(len(rates)), key=lambda i: (needed[i], ends[i]))  # if none arrives, the lowest in the end
            found = int(needed[best]) if isfinite(needed[best]) else None
            seen = paths[best][: min(found or 100, 100) + 1, :, 0]
            walks[place][name] = {"rate": rates[best], "steps": found, "path": seen.round(3).tolist()}
        arrived = np.array([np.isfinite(arrivals(well, walk(well, kind(rate), spots, steps))) for rate in rates])
        best = int(arrived.mean(axis=1).argmax())
        parts = {"all": arrived[best], "poor": arrived[best, in_poor], "good": arrived[best, ~in_poor]}
        shares[name] = {"rate": rates[best]} | {part: float(there.mean()) for part, there in parts.items()}
    return {"walks": walks, "shares": shares}


def moves(rule: minidl.Optimizer, gradients: Curves) -> Curves:
    """Return by how much each of the gradients, (steps, n), moves the parameters against it."""
    found = []
    for g in gradients:
        w = np.zeros(len(g))
        rule.step(w, g)
        found.append(-w)
    return np.array(found)


def measure_formulas(settings: Settings, seed: int) -> dict[str, Any]:
    """Measure what the text says of each formula, with gradients made for it."""
    rng = np.random.default_rng(seed)
    theta = {}
    for form in ("classical", "pytorch"):
        rule, w = minidl.Momentum(form=form), np.zeros(1)
        for rule.lr in (0.1, 0.01):
            rule.step(w, np.ones(1))
        theta[form] = float(w[0])

    t, ones = np.arange(1.0, 1001)[:, None], np.ones((1000, 1))
    steady = np.hstack([ones, 10 * ones, t % 25 == 0])  # 1; 10; and 1 in every 25th step, the last among them
    adagrad, rmsprop = moves(minidl.Adagrad(1.0), steady), moves(minidl.RMSprop(1.0), steady)
    burst = rng.normal(size=(1000, 1)) * np.where(t <= 500, 10.0, 0.1)
    rates = {kind.__name__: (moves(kind(1.0), burst) / burst)[:, 0] for kind in (minidl.Adagrad, minidl.RMSprop)}

    stream = rng.normal(size=(1000, 5)) * 10.0 ** np.arange(-2, 3)
    mean = moves(minidl.Momentum(1 - 0.9, gamma=0.9), stream) / (1 - 0.9**t)
    root = stream / moves(minidl.RMSprop(1.0, rho=0.999, eps=1e-30), stream) / np.sqrt(1 - 0.999**t)
    first = moves(minidl.Adam(1.0), np.logspace(-3, 3, 7)[None])[0]
    return {
        "gradient_error": gradient_error(settings, rng),
        "theta": theta,
        "adagrad_rates": (adagrad[-1] / steady[-1]).tolist(),
        "adagrad_power": float(np.polyfit(np.log(t[:, 0]), np.log(adagrad[:, 0]), 1)[0]),
        "adagrad_rise": float((rates["Adagrad"][1:] / rates["Adagrad"][:-1]).max()),
        "after_burst": {name: float(rate[-1] / rate[499]) for name, rate in rates.items()},
        "rmsprop_steps": rmsprop[-1, :2].tolist(),
        "adam_error": float(np.abs(mean / root / moves(minidl.Adam(1.0, eps=1e-30), stream) - 1).max()),
        "adam_first": first.tolist(),
    }


def gradient_error(settings: Settings, rng: np.random.Generator) -> float:
    """Return how far backward() is from central differences of the loss in ten random directions, relatively."""
    model, loss = network(settings, 0, hidden=True, p=0.0, dtype="float64"), minidl.NLLLoss()
    images = mnist(settings["hidden"]["images"])[0]
    x, labels = images.x[:128].astype("float64"), images.labels[:128]
    loss.forward(model.forward(x, training=True), labels)
    model.backward(loss.backward())
    start = model.params.copy()
    found: list[list[float]] = []
    for _ in range(10):
        way = rng.normal(size=len(start))
        way *= 1e-6 / np.linalg.norm(way)
        values = []
        for point in (start + way, start - way):
            model.params[...] = point
            values.append(float(loss.forward(model.forward(x), labels)))
        found.append([(values[0] - values[1]) / 2, float(model.grads @ way)])
    measured, exact = np.array(found).T
    return float(np.linalg.norm(measured - exact) / np.linalg.norm(exact))


def verdicts(results: Results) -> Claims:
    """Hold the claims against the results, in `formulas_hold` and `trainings_hold`; only the full experiment can tell.

    - E1: in ten random directions the gradient agrees with central differences within 1e-6; and with every seed SGD's
      training loss ends below that after the first epoch, in both experiments.
    - E2: the witness of the two forms is θ₂ = −0.200 and −0.119.
    - E2, speed: in both experiments Momentum takes fewer epochs to SGD's lowest training loss than SGD, by `exceeds`.
    - E3: after 1000 steady gradients, the effective rate (step/gradient) is lower for larger gradients and higher for
      rarer ones; under changing gradients it never rises; under steady ones it falls as t to the power −½ ± 0.01.
    - E4: when large gradients give way to small ones, RMSprop's effective rate rises at least tenfold; under steady
      gradients its step stays within 1 % of η.
    - E5: Momentum's velocity over the root of RMSprop's mean square, both corrected for their start, is Adam's step
      within 1e-9; and its first step is η within 1e-4 for gradients from 0.001 to 1000.
    - E6: at the best rate of each, Momentum takes fewer steps than SGD through the ravine and over the plateau; and in
      the double well, of starts spread over both basins, a share at least 5 points higher ends in the better minimum.
      The plateau is crossed when half the depth of the well is reached for good, since the claim is of crossing. To
      come to rest there is another matter, in which a velocity hinders, and is reported beside.
    - Figure 1: at the end the mean losses of Adam and Nesterov differ by at most 5 %, and Adagrad's `exceeds` both.
    - Figure 2: at the end the losses of Adagrad, RMSprop and Nesterov each exceed Adam's.
    """
    found = formulas_hold(results) | trainings_hold(results)
    return claims_table(CLAIMS, found, in_full(results.settings, FULL))


def formulas_hold(results: Results) -> dict[str, tuple[str, bool]]:
    """Return what was measured without a training, and whether the claim held: E2 to E6."""
    formulas, places = results.called("formulas")[0], results.called("landscapes")[0]
    theta, after = formulas["theta"], formulas["after_burst"]
    one, ten, rare = formulas["adagrad_rates"]
    rise, power = formulas["adagrad_rise"], formulas["adagrad_power"]
    last, first, error = formulas["rmsprop_steps"], formulas["adam_first"], formulas["adam_error"]
    crossed = ("ravine", "plateau")
    ours, theirs = (
        {place: walks[name]["steps"] or inf for place, walks in places["walks"].items()} for name in ("Momentum", "SGD")
    )
    share, other = places["shares"]["Momentum"], places["shares"]["SGD"]
    return {
        "E2": (
            f"rate 0.1, then 0.01: θ₂ = {theta['classical']:.3f}; with η outside the velocity {theta['pytorch']:.3f}",
            abs(theta["classical"] + 0.2) < 1e-9 and abs(theta["pytorch"] + 0.119) < 1e-9,
        ),
        "E3": (
            f"effective rate after 1000 steps, in η: {one:.3g} at gradients of 1, {ten:.3g} at 10, {rare:.3g} at 1 in "
            f"every 25th step; at most {rise:.4f} of that before; falls as t to the power {power:.3f}",
            ten < one < rare and rise <= 1 + 1e-9 and abs(power + 0.5) <= 0.01,
        ),
        "E4": (
            f"after gradients have become 100 times smaller, the effective rate is {after['RMSprop']:.3g} times as high"
            f" (Adagrad: {after['Adagrad']:.3g}); steps under gradients of 1 and 10: {last[0]:.3f} η, {last[1]:.3f} η",
            after["RMSprop"] >= 10 and max(abs(step - 1) for step in last) <= 0.01,
        ),
        "E5": (
            f"its steps differ from those made of the two by at most {error:.1e}; first steps from {min(first):.5f} to "
            f"{max(first):.5f} η",
            error < 1e-9 and max(abs(step - 1) for step in first) <= 1e-4,
        ),
        "E6": (
            "steps of Momentum and of SGD: "
            + ", ".join(
                f"{place} {ours[place]:g} and {theirs[place]:g}" for place in (*crossed, "plateau, at rest")
            ).replace("inf", "never")
            + f"; better minimum from {share['all']:.0%} and {other['all']:.0%} of all starts, from {share['poor']:.0%}"
            f" and {other['poor']:.0%} of those in the poor basin, {share['good']:.0%} and {other['good']:.0%} in the "
            "good one",
            all(ours[place] < theirs[place] for place in crossed) and share["all"] >= other["all"] + 0.05,
        ),
    }


def trainings_hold(results: Results) -> dict[str, tuple[str, bool]]:
    """Return what was measured on MNIST, and whether the claim held: E1, the speed of momentum, and the paper's."""
    losses = {}
    for experiment in EXPERIMENTS:
        for name in OPTIMIZERS:
            epochs = results.settings[experiment]["epochs"]
            losses[experiment, name] = results.curves(f"{experiment}: {name}", "train_loss", epochs)
    end = {key: curves[:, -1] for key, curves in losses.items()}

    def ended(experiment: str, *names: str) -> str:
        used = {name: sorted(set(results.values(f"{experiment}: {name}", "rate"))) for name in names}
        rates = {
            name: "–".join(f"{rate:g}" for rate in dict.fromkeys((used[name][0], used[name][-1]))) for name in names
        }
        return ", ".join(f"{name} {spread(end[experiment, name])} (η = {rates[name]})" for name in names)

    def epochs_to(target: Curves, curves: Curves) -> Curves:
        there = curves <= target[:, None]
        first: Curves = np.where(there.any(axis=1), there.argmax(axis=1) + 1.0, curves.shape[1] + 1.0)
        return first

    descent, speed, falls, faster = [], [], [], []
    for experiment in EXPERIMENTS:
        sgd, momentum = losses[experiment, "SGD"], losses[experiment, "Momentum"]
        falls.append(bool((sgd[:, -1] < sgd[:, 0]).all()))
        descent.append(f"{experiment} {spread(sgd[:, 0])} after one epoch, {spread(sgd[:, -1])} at the end")
        target = np.where(np.isnan(sgd), inf, sgd).min(axis=1)
        slow, fast = epochs_to(target, sgd), epochs_to(target, momentum)
        faster.append(exceeds(slow, fast))
        speed.append(f"{experiment} {spread(fast)} and {spread(slow)} (ends: {ended(experiment, 'Momentum', 'SGD')})")
    error = results.called("formulas")[0]["gradient_error"]
    adam, nesterov, adagrad = (end["logistic", name] for name in ("Adam", "Nesterov", "Adagrad"))
    similar = bool(abs(adam.mean() / nesterov.mean() - 1) <= 0.05)
    others = ("Adagrad", "RMSprop", "Nesterov")
    return {
        "E1": (
            f"relative error of the gradient {error:.1e}; training loss of SGD: {'; '.join(descent)}",
            error < 1e-6 and all(falls),
        ),
        "E2, speed": (f"epochs of Momentum and of SGD to SGD's lowest loss: {'; '.join(speed)}", all(faster)),
        "Kingma 2015, fig. 1": (
            f"training loss at the end: {ended('logistic', 'Adam', 'Nesterov', 'Adagrad')}",
            similar and exceeds(adagrad, adam) and exceeds(adagrad, nesterov),
        ),
        "Kingma 2015, fig. 2": (
            f"training loss at the end: {ended('hidden', 'Adam', *others)}",
            all(exceeds(end["hidden", name], end["hidden", "Adam"]) for name in others),
        ),
    }


def draw(results: Results, path: Path) -> None:
    """Draw training loss and test accuracy of both experiments; and, in a second figure, the walks."""
    draw_walks(results, path.with_name(f"{path.stem}_trajectories.png"))
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), sharex="col", layout="constrained")
    for column, (experiment, title) in enumerate(EXPERIMENTS.items()):
        for name, (_, colour) in OPTIMIZERS.items():
            for ax, part, scale in zip(axes[:, column], ("train_loss", "test_accuracy"), (1, 100), strict=True):
                curves = scale * results.curves(f"{experiment}: {name}", part)
                band(ax, np.arange(1.0, curves.shape[1] + 1), curves, colour, name)
        axes[0, column].set(title=title, yscale="log", ylabel="training loss (logarithmic)")
        axes[0, column].yaxis.set_major_formatter("{x:g}")
        axes[0, column].yaxis.set_minor_formatter("{x:g}")
        axes[1, column].set(xlabel="epochs", ylabel="test accuracy (%)")
        axes[1, column].xaxis.get_major_locator().set_params(integer=True)
    for ax in axes.flat:
        ax.grid(alpha=0.3, which="both")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    figure.suptitle(
        f"Six optimisers on MNIST, each at the rate of one grid that is best in short trials{over_seeds(results)}"
    )
    save_figure(figure, path)


def draw_walks(results: Results, path: Path) -> None:
    """Draw the four landscapes, with the walk of each optimiser."""
    walks = results.called("landscapes")[0]["walks"]
    figure, axes = plt.subplots(2, 2, figsize=(13, 9), layout="constrained")
    for ax, place in zip(axes.flat, DRAWN, strict=True):
        landscape = LANDSCAPES[place]
        left, right, low, high = landscape.view
        x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(low, high, 300))
        height = landscape.value(x, y)
        levels = height.min() + np.ptp(height) * np.linspace(0, 1, 18) ** 2
        ax.contourf(x, y, height, levels, cmap="Greys", alpha=0.4)
        ax.contour(x, y, height, levels, colors="grey", linewidths=0.4)
        for width, (name, (_, colour)) in zip(np.linspace(2.5, 1, 6), OPTIMIZERS.items(), strict=True):
            found = walks[place][name]
            label = f"{name}, η = {found['rate']:g}: " + (f"{found['steps']} steps" if found["steps"] else "never")
            ax.plot(
                *np.array(found["path"]).T, ".-", color=colour, label=label, linewidth=width, markersize=2 + 2 * width
            )
        deepest = np.unravel_index(height.argmin(), height.shape)
        ax.plot(*landscape.start, "ws", markeredgecolor="black", label="start")
        ax.plot(x[deepest], y[deepest], "*", color="gold", markeredgecolor="black", markersize=14, label="lowest point")
        ax.set(xlim=(left, right), ylim=(low, high), title=landscape.title, xlabel="w₁", ylabel="w₂")
        ax.legend(
            loc="upper left",
            bbox_to_anchor=(1, 1),
            frameon=False,
            fontsize="small",
            title="steps until it is there for good",
        )
    figure.suptitle("Each optimiser at the rate of one grid with which it arrives first: its first 100 steps at most")
    save_figure(figure, path)


if __name__ == "__main__":
    run_script(main)
