"""What the formulas do: gradients made for the purpose, for which there is a right answer."""

from typing import Any

import numpy as np

import minidl
from lab.results import Curves
from minidl.backend import Array


def measure_optimizers(rng: np.random.Generator) -> dict[str, Any]:
    """Measure what the text says of the formula of each optimiser."""
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
        "theta": theta,
        "adagrad_rates": (adagrad[-1] / steady[-1]).tolist(),
        "adagrad_power": float(np.polyfit(np.log(t[:, 0]), np.log(adagrad[:, 0]), 1)[0]),
        "adagrad_rise": float((rates["Adagrad"][1:] / rates["Adagrad"][:-1]).max()),
        "after_burst": {name: float(rate[-1] / rate[499]) for name, rate in rates.items()},
        "rmsprop_steps": rmsprop[-1, :2].tolist(),
        "adam_error": float(np.abs(mean / root / moves(minidl.Adam(1.0, eps=1e-30), stream) - 1).max()),
        "adam_first": first.tolist(),
    }


def moves(rule: minidl.Optimizer, gradients: Curves) -> Curves:
    """Return by how much each of the gradients, (steps, n), moves the parameters against it."""
    found = []
    for g in gradients:
        w = np.zeros(len(g))
        rule.step(w, g)
        found.append(-w)
    return np.array(found)


def gradient_error(model: minidl.Sequential, x: Array, labels: Array, rng: np.random.Generator) -> float:
    """Return how far backward() is from central differences of the loss in ten random directions, relatively."""
    loss = minidl.NLLLoss()
    loss.forward(model.forward(x, training=True), labels)
    model.backward(loss.backward())
    start = model.params.copy()
    found: list[list[float]] = []
    for _ in range(10):
        direction = rng.normal(size=len(start))
        direction *= 1e-6 / np.linalg.norm(direction)
        values = []
        for point in (start + direction, start - direction):
            model.params[...] = point
            values.append(float(loss.forward(model.forward(x), labels)))
        found.append([(values[0] - values[1]) / 2, float(model.grads @ direction)])
    measured, exact = np.array(found).T
    return float(np.linalg.norm(measured - exact) / np.linalg.norm(exact))
