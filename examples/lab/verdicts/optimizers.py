"""The claims on optimisers, E1 to E6 and Kingma and Ba's, and the rules that decide them.

docs/experiments/rules.md has the reason for each.
"""

from math import inf, log
from typing import Any

import numpy as np

from lab.claims import Definition, Fact, Missing, Part, Rule
from lab.formats import spread
from lab.in_short import ranked
from lab.results import Curves, Results
from lab.statistics import Comparison, above

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


def descent(results: Results) -> tuple[str, list[Part]]:
    """E1: in ten random directions the gradient agrees with central differences within 1e-6, and SGD descends.

    The training loss ends below that after the first epoch with every seed, in both experiments.
    """
    error = results.called("formulas")[0]["gradient_error"]
    texts, falls = [], []
    for experiment in EXPERIMENTS:
        sgd = losses(results, experiment, "SGD")
        falls.append(bool((sgd[:, -1] < sgd[:, 0]).all()))
        texts.append(f"{experiment} {spread(sgd[:, 0])} after one epoch, {spread(sgd[:, -1])} at the end")
    measured = f"relative error of the gradient {error:.1e}; training loss of SGD: {'; '.join(texts)}"
    return measured, [Definition(error < 1e-6 and all(falls))]


def two_forms(results: Results) -> tuple[str, list[Part]]:
    """E2: the two forms of momentum lead to θ₂ = −0.200 and −0.119."""
    ours, other = (results.called("formulas")[0]["theta"][form] for form in ("classical", "pytorch"))
    measured = f"rate 0.1, then 0.01: θ₂ = {ours:.3f}; with η outside the velocity {other:.3f}"
    return measured, [Definition(abs(ours + 0.2) < 1e-9 and abs(other + 0.119) < 1e-9)]


def speed(results: Results) -> tuple[str, list[Part]]:
    """E2, speed: in both experiments Momentum takes fewer epochs to SGD's lowest training loss than SGD."""
    texts: list[str] = []
    parts: list[Part] = []
    for experiment in EXPERIMENTS:
        sgd, momentum = (losses(results, experiment, name) for name in ("SGD", "Momentum"))
        target = np.where(np.isnan(sgd), inf, sgd).min(axis=1)
        slow, fast = epochs_to(target, sgd), epochs_to(target, momentum)
        parts.append(above(f"{experiment}: epochs, SGD − Momentum", slow, fast))
        parts += edges(results, experiment, "SGD", "Momentum")
        ends = ended(results, experiment, "Momentum", "SGD")
        texts.append(f"{experiment} {spread(fast)} and {spread(slow)} (ends: {ends})")
    return f"epochs of Momentum and of SGD to SGD's lowest loss: {'; '.join(texts)}", parts


def adagrad(results: Results) -> tuple[str, list[Part]]:
    """E3: the effective rate (step/gradient) never rises, and falls more for large gradients than for rare ones.

    After 1000 steady gradients it is lower for larger gradients and higher for rarer ones; under changing gradients it
    never rises; under steady ones it falls as t to the power −½ ± 0.01.
    """
    formulas = results.called("formulas")[0]
    one, ten, rare = formulas["adagrad_rates"]
    rise, power = formulas["adagrad_rise"], formulas["adagrad_power"]
    measured = f"effective rate after 1000 steps, in η: {one:.3g} at gradients of 1, {ten:.3g} at 10, {rare:.3g} at 1 "
    measured += f"in every 25th step; at most {rise:.4f} of that before; falls as t to the power {power:.3f}"
    return measured, [Definition(ten < one < rare and rise <= 1 + 1e-9 and abs(power + 0.5) <= 0.01)]


def rmsprop(results: Results) -> tuple[str, list[Part]]:
    """E4: the effective rate rises at least tenfold when gradients become small; steady ones give steps of η ± 1 %."""
    after, last = (results.called("formulas")[0][key] for key in ("after_burst", "rmsprop_steps"))
    measured = "after gradients have become 100 times smaller, the effective rate is "
    measured += f"{after['RMSprop']:.3g} times as high (Adagrad: {after['Adagrad']:.3g}); "
    measured += f"steps under gradients of 1 and 10: {last[0]:.3f} η, {last[1]:.3f} η"
    return measured, [Definition(after["RMSprop"] >= 10 and max(abs(step - 1) for step in last) <= 0.01)]


def adam(results: Results) -> tuple[str, list[Part]]:
    """E5: Momentum's velocity over the root of RMSprop's mean square is Adam's step within 1e-9.

    Both are corrected for their start. And the first step is η within 1e-4 for gradients from 0.001 to 1000.
    """
    error, first = (results.called("formulas")[0][key] for key in ("adam_error", "adam_first"))
    measured = f"its steps differ from those made of the two by at most {error:.1e}; "
    measured += f"first steps from {min(first):.5f} to {max(first):.5f} η"
    return measured, [Definition(error < 1e-9 and max(abs(step - 1) for step in first) <= 1e-4)]


def escape(results: Results) -> tuple[str, list[Part]]:
    """E6: each at its best rate, Momentum crosses ravine and plateau in fewer steps than SGD, and escapes more often.

    In the double well, of the starts in the *poor* basin a fraction at least 5 points higher ends in the better
    minimum; the claim is of escaping from poor minima. That a velocity carries out of good ones, too, is reported
    beside. The plateau is crossed when half the depth of the well is reached for good, since the claim is of crossing.
    To come to rest there is another matter, in which a velocity hinders, and is reported beside.
    """
    walks, shares = (results.called("landscapes")[0][key] for key in ("walks", "shares"))
    steps = {place: [walks[place][name]["steps"] or inf for name in ("Momentum", "SGD")] for place in walks}
    counts = (f"{place} {{:g}} and {{:g}}".format(*steps[place]) for place in ("ravine", "plateau", "plateau, at rest"))
    escapes = [f"{shares['Momentum'][part]:.0%} and {shares['SGD'][part]:.0%} " for part in ("all", "poor", "good")]
    measured = f"steps of Momentum and of SGD: {', '.join(counts).replace('inf', 'never')}; better minimum from "
    measured += f"{escapes[0]}of all starts, from {escapes[1]}of those in the poor basin, {escapes[2]}in the good one"
    parts: list[Part] = []
    for place in ("ravine", "plateau"):
        faster = steps[place][0] < steps[place][1]
        parts.append(Fact(f"{place}: {'fewer' if faster else 'not fewer'} steps", faster))
    gain = shares["Momentum"]["poor"] - shares["SGD"]["poor"]
    return measured, [*parts, Fact(f"poor basin: {100 * gain:+.0f} points", gain >= 0.05)]


def figure_1(results: Results) -> tuple[str, list[Part]]:
    """Figure 1: at the end Adam's loss is no more than 5 % above Nesterov's, and Adagrad's exceeds both.

    The paper's point is that Adam is as good as momentum; that it may be better does not speak against this.
    """
    names = ("Adam", "Nesterov", "Adagrad")
    adam, nesterov, adagrad = (np.log(losses(results, "logistic", name)[:, -1]) for name in names)
    return f"training loss at the end: {ended(results, 'logistic', *names)}", [
        Comparison("Adam / Nesterov", adam - nesterov, high=log(1.05), unit="times"),
        above("Adagrad / Adam", adagrad, adam, unit="times"),
        above("Adagrad / Nesterov", adagrad, nesterov, unit="times"),
        *edges(results, "logistic", *names),
    ]


def figure_2(results: Results) -> tuple[str, list[Part]]:
    """Figure 2: at the end the losses of Adagrad, RMSprop and Nesterov each exceed Adam's."""
    names = ("Adam", "Adagrad", "RMSprop", "Nesterov")
    adam, *others = (np.log(losses(results, "hidden", name)[:, -1]) for name in names)
    return f"training loss at the end: {ended(results, 'hidden', *names)}", [
        *(above(f"{name} / Adam", other, adam, unit="times") for name, other in zip(names[1:], others, strict=True)),
        *edges(results, "hidden", *names),
    ]


def runs_of(results: Results, experiment: str, name: str) -> str:
    """Return the name of an optimiser's runs: those that chose their rate from the wider grid, if there are any."""
    plain = f"{experiment}: {name}"
    return tuned(plain) if results.called(tuned(plain)) else plain


def tuned(name: str) -> str:
    """Return the name of the runs that choose their rate from the wider grid."""
    return f"tuned {name}"


def edges(results: Results, experiment: str, *names: str) -> list[Part]:
    """Return what is missing where the rate chosen is the edge of its grid: a better one may lie beyond."""
    missing: list[Part] = []
    for name in names:
        runs = results.called(runs_of(results, experiment, name))
        edge = {rate for run in runs if (rate := run["rate"]) in grid_ends(results, run)}
        if edge:
            shown = ", ".join(f"{rate:g}" for rate in sorted(edge))
            missing.append(Missing(f"a wider grid: {experiment}, {name} chooses its edge, {shown}"))
    return missing


def grid_ends(results: Results, run: dict[str, Any]) -> tuple[float, float]:
    """Return the lowest and the highest rate that a run has tried."""
    rates: list[float] = run.get("rates") or results.settings.get("rates") or [0.0, inf]
    return min(rates), max(rates)


def losses(results: Results, experiment: str, name: str) -> Curves:
    """Return the training loss after each epoch: (seeds, epochs)."""
    return results.curves(runs_of(results, experiment, name), "train_loss", results.settings[experiment]["epochs"])


def ended(results: Results, experiment: str, *names: str) -> str:
    """Format the training loss at the end for each optimiser, with the rates that it chose."""
    texts = []
    for name in names:
        used = sorted(set(results.values(runs_of(results, experiment, name), "rate")))
        rates = "–".join(f"{rate:g}" for rate in dict.fromkeys((used[0], used[-1])))
        texts.append(f"{name} {spread(losses(results, experiment, name)[:, -1])} (η = {rates})")
    return ", ".join(texts)


def epochs_to(target: Curves, curves: Curves) -> Curves:
    """Return after how many epochs each of the curves is at its target; one more than there were if it never is."""
    there = curves <= target[:, None]
    first: Curves = np.where(there.any(axis=1), there.argmax(axis=1) + 1.0, curves.shape[1] + 1.0)
    return first


def in_short(results: Results) -> list[str]:
    """Return the order of the optimisers, and what to look at in the figure."""
    names = ("SGD", "Momentum", "Nesterov", "Adagrad", "RMSprop", "Adam")
    ends = {name: float(losses(results, "hidden", name)[:, -1].mean()) for name in names}
    return [
        f"Training loss of the network with hidden layers after {results.settings['hidden']['epochs']} epochs, each "
        f"optimiser at the rate that short trials chose: {ranked(ends, '{:.3f}', lowest_first=True)}.",
        "The second figure, optimizers_trajectories.png, follows all six through a ravine, a saddle, a plateau and a "
        "double well.",
    ]


RULES: dict[str, Rule] = {"E1": descent, "E2": two_forms, "E2, speed": speed, "E3": adagrad, "E4": rmsprop, "E5": adam}
RULES |= {"E6": escape, "Kingma 2015, fig. 1": figure_1, "Kingma 2015, fig. 2": figure_2}
