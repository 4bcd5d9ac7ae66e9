"""The gradient of a batch, the gradients of its samples, and the law that connects their lengths.

For batches of B out of N samples, drawn without replacement,

    E‖g_B‖² = ‖G‖² + tr(Σ)/B · (N − B)/(N − 1)

with G the gradient over all samples and Σ the covariance of the samples' gradients. So at the same weights the *mean*
gradient of a batch becomes shorter as B grows, down to ‖G‖.

The gradients of single samples need no second backward pass: for a dense layer they are outer products x_b dy_bᵀ, so
that the scalar product of two of them is (x_a · x_b + 1)(dy_a · dy_b), where the 1 stands for the bias.
"""

from typing import Any

import numpy as np

import minidl
from lab.network import mnist, network
from lab.results import Settings
from minidl.backend import Array


def batch_gradient(model: minidl.Sequential, x: Array, labels: Array) -> Array:
    """Return the gradient of the mean loss over a batch."""
    loss = minidl.NLLLoss()
    loss.forward(model.forward(x, training=True), labels)
    model.backward(loss.backward())
    return model.grads


def sample_products(model: minidl.Sequential, x: Array, labels: Array) -> Array:
    """Return the scalar products of the gradients of all pairs of samples, (B, B)."""
    inputs, upstream, loss = [], [], minidl.NLLLoss()
    for layer in model.layers:
        inputs.append(x)
        x = layer.forward(x, training=True)
    loss.forward(x, labels)
    dy = loss.backward() * len(x)  # of each sample's own loss, in place of the mean
    for layer in reversed(model.layers):
        upstream.append(dy)
        dy = layer.backward(dy)
    pairs = zip(model.layers, inputs, reversed(upstream), strict=True)
    products = [(a @ a.T + 1) * (dy @ dy.T) for layer, a, dy in pairs if isinstance(layer, minidl.Dense)]
    return minidl.to_numpy(sum(products[1:], products[0])).astype("float64")


def draw_batch(data: minidl.Dataset, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return ``size`` samples, or all if there are fewer, drawn without replacement."""
    return next(minidl.minibatches(data, min(size, len(data.x)), rng))


def norm(vector: Array) -> float:
    """Return the Euclidean length of a vector."""
    return float(minidl.array_module(vector).sqrt(vector @ vector))


def look_at_gradients(
    model: minidl.Sequential, data: minidl.Dataset, batch_size: int, batches: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Measure the lengths of batch gradients and of samples' gradients, and the angles between these within a batch."""
    norms = [norm(batch_gradient(model, *draw_batch(data, batch_size, rng))) for _ in range(batches)]
    products = sample_products(model, *draw_batch(data, min(batch_size, 256), rng))
    lengths = np.sqrt(products.diagonal())
    cosines = (products / np.outer(lengths, lengths))[np.triu_indices(len(products), 1)]
    return {
        "norms": [float(f"{value:.5g}") for value in norms],
        "mean_sample_norm": float(lengths.mean()),
        "mean_cosine": float(cosines.mean()),
        "negative_cosines": float((cosines < 0).mean()),
        "cosines": np.histogram(cosines, 40, (-1, 1))[0].tolist(),
    }


def check_law(settings: Settings, seed: int) -> dict[str, Any]:
    """Measure the mean of ‖g_B‖² at the weights after one epoch, and what the law predicts from single samples."""
    data, test = mnist(settings["train_size"], settings["backend"])
    model = network(0, settings["backend"])
    minidl.fit(model, minidl.SGD(settings["lr"]), data, test, epochs=1, batch_size=64, seed=seed, progress=False)
    n, rng = len(data.x), np.random.default_rng(seed)
    full, squares = 0.0 * model.params, 0.0
    for x, labels in minidl.minibatches(data, min(1000, n), rng):
        full += batch_gradient(model, x, labels) * (len(x) / n)
        squares += float(sample_products(model, x, labels).trace()) / n
    trace = squares - norm(full) ** 2  # tr(Σ) = E‖g‖² − ‖G‖²
    measured = []
    for size in settings["law_sizes"]:
        batches = [norm(batch_gradient(model, *draw_batch(data, size, rng))) ** 2 for _ in range(settings["batches"])]
        error = np.std(batches, ddof=1) / np.sqrt(len(batches))
        predicted = norm(full) ** 2 + trace / size * (n - size) / (n - 1)
        measured.append([size, predicted, float(np.mean(batches)), float(error)])
    return {"full_gradient": norm(full), "trace": trace, "law": measured}
