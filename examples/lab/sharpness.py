"""The minima that small and large batches lead to: how sharp they are, and the loss along the line through both.

The network is F1 of Keskar et al. 2017, "On large-batch training for deep learning": five layers of 512 units with
batch normalisation, trained with Adam. Its loss is taken as in training, with batch normalisation over all samples.
"""

from typing import Any

import numpy as np
import scipy

import minidl
from lab.network import mnist, train
from lab.results import Settings
from lab.sample_gradients import batch_gradient, norm
from minidl.backend import Array

RADII = (1e-3, 5e-4)
LINE = [round(-0.5 + 0.1 * step, 1) for step in range(21)]
"""Where the loss is taken: 0 is the minimum of the small batch, 1 that of the large one."""


def compare_minima(settings: Settings, seed: int) -> dict[str, Any]:
    """Train F1 with batches of 256 and of 10 %; measure sharpness, and the loss along the line through both ends."""
    data, test = mnist(settings["keskar_size"], settings["backend"])
    few = data[: settings["sharpness_samples"]]
    few_test = test[: settings["sharpness_samples"]]
    found: dict[str, Any] = {}
    ends = []
    for name, batch_size in (("small", 256), ("large", len(data.x) // 10)):
        model, epochs = keskar_f1(seed, settings["backend"], settings["keskar_width"]), settings["keskar_epochs"][name]
        optimizer = minidl.Adam(settings["keskar_lr"])
        found[name] = train(model, optimizer, data, test, epochs=epochs, batch_size=batch_size, seed=seed)
        found[name]["sharpness"] = [sharpness(model, few, radius) for radius in RADII]
        ends.append(model.params.copy())
    line = []
    for position in LINE:
        model.params[...] = (1 - position) * ends[0] + position * ends[1]
        line.append([loss_as_in_training(model, *part) for part in (few, few_test)])
    return found | {"line": line}


def keskar_f1(seed: int, backend: str, width: int) -> minidl.Sequential:
    """Return the network F1 of Keskar et al., where the width is 512."""
    layers: list[minidl.Layer] = []
    for features in (784, width, width, width, width):
        layers += [minidl.Dense(features, width), minidl.BatchNorm(width), minidl.ReLU()]
    return minidl.Sequential(*layers, minidl.Dense(width, 10), minidl.LogSoftmax(), seed=seed, backend=backend)


def sharpness(model: minidl.Sequential, data: minidl.Dataset, radius: float) -> float:
    """Return how much the loss f can rise in a small box around the weights x, in per cent of 1 + f.

    100 (max f(x + z) − f(x)) / (1 + f(x)) over |z_i| ≤ ε (|x_i| + 1), searched by ten iterations of L-BFGS-B.

    The first step of L-BFGS-B is as long as the gradient, and where the loss curves upwards it never learns to take
    longer ones: at the bottom of a valley it would not leave its start. So the box is searched in units of its sides,
    u from −1 to 1, and f is multiplied by a factor with which the first step reaches the walls.

    Source: Keskar et al. 2017, metric 2.1, in the full space.
    """
    start = model.params.copy()
    x = minidl.to_numpy(start).astype("float64")
    box = radius * (np.abs(x) + 1)

    def fall(u: Array) -> tuple[float, Array]:
        model.params[...] = minidl.array_module(start).asarray(x + box * u, dtype=start.dtype)
        slope = -minidl.to_numpy(batch_gradient(model, *data)).astype("float64")
        return -loss_as_in_training(model, *data), box * slope

    lowest, slope = fall(np.zeros_like(x))
    scale = np.sqrt(x.size) / max(norm(slope), 1e-30)

    def scaled(u: Array) -> tuple[float, Array]:
        value, slope = fall(u)
        return scale * value, scale * slope

    to_the_end: Any = {"maxiter": 10, "gtol": 0.0, "ftol": 0.0}
    bounds = scipy.optimize.Bounds(-1.0, 1.0)
    best = scipy.optimize.minimize(
        scaled, np.zeros_like(x), jac=True, method="L-BFGS-B", bounds=bounds, options=to_the_end
    )
    model.params[...] = start
    return float(100 * (lowest - best.fun / scale) / (1 - lowest))


def loss_as_in_training(model: minidl.Sequential, x: Array, labels: Array) -> float:
    """Return the mean loss with batch normalisation over all of ``x``, which depends on the weights alone."""
    return float(minidl.NLLLoss().forward(model.forward(x, training=True), labels))
