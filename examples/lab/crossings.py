"""How many steps it takes to leave a saddle, and to cross a plateau, at several learning rates.

Source: Dauphin et al. 2014, "Identifying and attacking the saddle point problem in high-dimensional non-convex
optimization".
"""

from typing import Any

import numpy as np

import minidl
from lab.results import Curves, Settings

OPTIMIZERS = {"SGD": minidl.SGD, "Momentum": minidl.Momentum, "Adam": minidl.Adam}


def height(landscape: str, x: Curves, y: Curves) -> Curves:
    """Return the loss: a saddle at (0, 0) between minima at (0, ±1), or a plateau around a hollow at (0, 0)."""
    loss: Curves = x**2 + (y**2 - 1) ** 2 / 4 if landscape == "saddle" else -np.exp(-(x**2 + y**2) / 2)
    return loss


def gradient(landscape: str, w: Curves) -> Curves:
    """Return the gradient of `height` at w = (x, y)."""
    x, y = w
    return np.array([2 * x, y**3 - y]) if landscape == "saddle" else w * np.exp(-(w @ w) / 2)


def cross(settings: Settings, seed: int, optimizer: str) -> dict[str, Any]:
    """Count the steps of an optimiser: from beside the saddle's ridge, and over the plateau from anywhere around it."""
    rng = np.random.default_rng(seed)
    angle, rates, most = rng.uniform(0, 2 * np.pi), settings["crossing_rates"], settings["most_steps"]
    starts = {"saddle": [1.0, 1e-4 * rng.normal()], "plateau": [3.5 * np.cos(angle), 3.5 * np.sin(angle)]}
    paths = {
        (landscape, rate): walk(landscape, np.array(start), OPTIMIZERS[optimizer](rate), most)
        for landscape, start in starts.items()
        for rate in rates
    }
    steps = {f"{landscape}_steps": [len(paths[landscape, rate]) - 1 for rate in rates] for landscape in starts}
    return steps | {"path": np.array(paths["saddle", rates[-2]]).tolist()}


def walk(landscape: str, w: Curves, optimizer: minidl.Optimizer, most_steps: int) -> list[Curves]:
    """Return the path from ``w`` until |y| > 0.5 beside the saddle, or until the hollow's centre is nearer than 1."""
    path = [w.copy()]
    while len(path) <= most_steps and not (abs(w[1]) > 0.5 if landscape == "saddle" else w @ w < 1):
        optimizer.step(w, gradient(landscape, w))
        path.append(w.copy())
    return path
