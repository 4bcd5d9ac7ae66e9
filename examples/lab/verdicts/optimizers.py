"""The claims on optimisers, E1 to E6 and Kingma and Ba's, and for each the rule by which it counts as reproduced."""

from math import inf

import numpy as np

from lab.claims import Rule
from lab.results import Curves, Results
from lab.statistics import exceeds, spread

EXPERIMENTS = ("logistic", "hidden")
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


def descent(results: Results) -> tuple[str, bool]:
    """Judge E1.

    In ten random directions the gradient agrees with central differences within 1e-6; and with every seed the training
    loss of SGD ends below that after the first epoch, in both experiments.
    """
    error = results.called("formulas")[0]["gradient_error"]
    curves = {experiment: losses(results, experiment, "SGD") for experiment in EXPERIMENTS}
    falls = all((sgd[:, -1] < sgd[:, 0]).all() for sgd in curves.values())
    ends = (
        f"{key} {spread(sgd[:, 0])} after one epoch, {spread(sgd[:, -1])} at the end" for key, sgd in curves.items()
    )
    return (
        f"relative error of the gradient {error:.1e}; training loss of SGD: {'; '.join(ends)}",
        bool(error < 1e-6 and falls),
    )


def forms_of_momentum(results: Results) -> tuple[str, bool]:
    """Judge E2: the witness of the two forms is θ₂ = −0.200 and −0.119."""
    theta = results.called("formulas")[0]["theta"]
    return (
        f"rate 0.1, then 0.01: θ₂ = {theta['classical']:.3f}; with η outside the velocity {theta['pytorch']:.3f}",
        abs(theta["classical"] + 0.2) < 1e-9 and abs(theta["pytorch"] + 0.119) < 1e-9,
    )


def speed(results: Results) -> tuple[str, bool]:
    """Judge E2's speed: in both experiments Momentum takes fewer epochs to SGD's lowest training loss than SGD."""
    texts, faster = [], []
    for experiment in EXPERIMENTS:
        sgd, momentum = (losses(results, experiment, name) for name in ("SGD", "Momentum"))
        target = np.where(np.isnan(sgd), inf, sgd).min(axis=1)
        slow, fast = epochs_to(target, sgd), epochs_to(target, momentum)
        faster.append(exceeds(slow, fast))
        ends = ended(results, experiment, "Momentum", "SGD")
        texts.append(f"{experiment} {spread(fast)} and {spread(slow)} (ends: {ends})")
    return f"epochs of Momentum and of SGD to SGD's lowest loss: {'; '.join(texts)}", all(faster)


def adagrad(results: Results) -> tuple[str, bool]:
    """Judge E3.

    After 1000 steady gradients, the effective rate (step/gradient) is lower for larger gradients and higher for rarer
    ones; under changing gradients it never rises; under steady ones it falls as t to the power −½ ± 0.01.
    """
    formulas = results.called("formulas")[0]
    one, ten, rare = formulas["adagrad_rates"]
    rise, power = formulas["adagrad_rise"], formulas["adagrad_power"]
    return (
        f"effective rate after 1000 steps, in η: {one:.3g} at gradients of 1, {ten:.3g} at 10, {rare:.3g} at 1 in "
        f"every 25th step; at most {rise:.4f} of that before; falls as t to the power {power:.3f}",
        ten < one < rare and rise <= 1 + 1e-9 and abs(power + 0.5) <= 0.01,
    )


def rmsprop(results: Results) -> tuple[str, bool]:
    """Judge E4.

    When large gradients give way to small ones, RMSprop's effective rate rises at least tenfold; under steady gradients
    its step stays within 1 % of η.
    """
    formulas = results.called("formulas")[0]
    after, last = formulas["after_burst"], formulas["rmsprop_steps"]
    return (
        f"after gradients have become 100 times smaller, the effective rate is {after['RMSprop']:.3g} times as high"
        f" (Adagrad: {after['Adagrad']:.3g}); steps under gradients of 1 and 10: {last[0]:.3f} η, {last[1]:.3f} η",
        after["RMSprop"] >= 10 and max(abs(step - 1) for step in last) <= 0.01,
    )


def adam(results: Results) -> tuple[str, bool]:
    """Judge E5.

    Momentum's velocity over the root of RMSprop's mean square, both corrected for their start, is Adam's step within
    1e-9; and its first step is η within 1e-4 for gradients from 0.001 to 1000.
    """
    formulas = results.called("formulas")[0]
    error, first = formulas["adam_error"], formulas["adam_first"]
    return (
        f"its steps differ from those made of the two by at most {error:.1e}; first steps from {min(first):.5f} to "
        f"{max(first):.5f} η",
        error < 1e-9 and max(abs(step - 1) for step in first) <= 1e-4,
    )


def escape(results: Results) -> tuple[str, bool]:
    """Judge E6.

    At the best rate of each, Momentum takes fewer steps than SGD through the ravine and over the plateau; and in the
    double well, of starts spread over both basins, a fraction at least 5 points higher ends in the better minimum. The
    plateau is crossed when half the depth of the well is reached for good, since the claim is of crossing. To come to
    rest there is another matter, in which a velocity hinders, and is reported beside.
    """
    places = results.called("landscapes")[0]
    ours, theirs = (
        {place: walks[name]["steps"] or inf for place, walks in places["walks"].items()} for name in ("Momentum", "SGD")
    )
    share, other = places["shares"]["Momentum"], places["shares"]["SGD"]
    crossed = ("ravine", "plateau")
    steps = (f"{place} {ours[place]:g} and {theirs[place]:g}" for place in (*crossed, "plateau, at rest"))
    return (
        f"steps of Momentum and of SGD: {', '.join(steps).replace('inf', 'never')}"
        f"; better minimum from {share['all']:.0%} and {other['all']:.0%} of all starts, from {share['poor']:.0%}"
        f" and {other['poor']:.0%} of those in the poor basin, {share['good']:.0%} and {other['good']:.0%} in the "
        "good one",
        all(ours[place] < theirs[place] for place in crossed) and share["all"] >= other["all"] + 0.05,
    )


def figure_1(results: Results) -> tuple[str, bool]:
    """Judge figure 1: in the end the mean losses of Adam and Nesterov differ by at most 5 %; Adagrad's exceeds both."""
    adam, nesterov, adagrad = (losses(results, "logistic", name)[:, -1] for name in ("Adam", "Nesterov", "Adagrad"))
    similar = bool(abs(adam.mean() / nesterov.mean() - 1) <= 0.05)
    return (
        f"training loss at the end: {ended(results, 'logistic', 'Adam', 'Nesterov', 'Adagrad')}",
        similar and exceeds(adagrad, adam) and exceeds(adagrad, nesterov),
    )


def figure_2(results: Results) -> tuple[str, bool]:
    """Judge figure 2: at the end the losses of Adagrad, RMSprop and Nesterov each exceed Adam's."""
    adam, *others = (losses(results, "hidden", name)[:, -1] for name in ("Adam", "Adagrad", "RMSprop", "Nesterov"))
    return (
        f"training loss at the end: {ended(results, 'hidden', 'Adam', 'Adagrad', 'RMSprop', 'Nesterov')}",
        all(exceeds(other, adam) for other in others),
    )


def losses(results: Results, experiment: str, name: str) -> Curves:
    """Return the training loss after each epoch: (seeds, epochs)."""
    return results.curves(f"{experiment}: {name}", "train_loss", results.settings[experiment]["epochs"])


def ended(results: Results, experiment: str, *names: str) -> str:
    """Format the training loss at the end for each optimiser, with the rates that it chose."""
    texts = []
    for name in names:
        used = sorted(set(results.values(f"{experiment}: {name}", "rate")))
        rates = "–".join(f"{rate:g}" for rate in dict.fromkeys((used[0], used[-1])))
        texts.append(f"{name} {spread(losses(results, experiment, name)[:, -1])} (η = {rates})")
    return ", ".join(texts)


def epochs_to(target: Curves, curves: Curves) -> Curves:
    """Return after how many epochs each of the curves is at its target; one more than there were if it never is."""
    there = curves <= target[:, None]
    first: Curves = np.where(there.any(axis=1), there.argmax(axis=1) + 1.0, curves.shape[1] + 1.0)
    return first


RULES: dict[str, Rule] = {
    "E1": descent,
    "E2": forms_of_momentum,
    "E2, speed": speed,
    "E3": adagrad,
    "E4": rmsprop,
    "E5": adam,
    "E6": escape,
    "Kingma 2015, fig. 1": figure_1,
    "Kingma 2015, fig. 2": figure_2,
}
