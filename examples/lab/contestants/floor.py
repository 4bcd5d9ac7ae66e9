"""The floor: the matrix products of the work, and nothing else.

All other work of a step touches each number a few times, where a product touches it hundreds of times.
"""

from itertools import pairwise
from typing import Any

import numpy as np

import minidl
from lab.contestants.task import EVALUATION_BATCH, IMAGES_TO_EVALUATE, Task, Work


def train(task: Task) -> Work:
    """Prepare the eight matrix products that backpropagation needs for a step.

    Three forward; three for the gradients of the weights; and two that carry the gradient back, since nobody asks for
    that of the images. They have the shapes, the transpositions and the memory layout that they have in minidl, the
    weights and their gradients parts of one vector, but every result has its place beforehand.
    """
    xp = array_module(task)
    weights, grads = matrices(task, xp), matrices(task, xp)
    rng = np.random.default_rng(task.seed)
    outputs = [xp.asarray(rng.standard_normal((task.batch_size, n), np.float32)) for n in task.sizes]
    d_outputs = [y.copy() for y in outputs]
    h, dh = [y.copy() for y in outputs], [y.copy() for y in outputs]  # apart from the outputs, so that nothing grows

    def work(steps: int) -> None:
        for _ in range(steps):
            for i, w in enumerate(weights):
                xp.matmul(h[i], w, out=outputs[i + 1])
            for i in (2, 1, 0):
                xp.matmul(h[i].T, dh[i + 1], out=grads[i])
                if i > 0:
                    xp.matmul(dh[i + 1], weights[i].T, out=d_outputs[i])
        synchronize(xp)

    return work


products = train
"""What other contestants do as `products` is all that this one does."""


def evaluate(task: Task) -> Work:
    """Prepare the matrix products of an evaluation, in the batches in which minidl takes them."""
    xp = array_module(task)
    weights = matrices(task, xp)
    rng = np.random.default_rng(task.seed)
    x = xp.asarray(rng.standard_normal((IMAGES_TO_EVALUATE, 784), np.float32))
    h = [xp.asarray(rng.standard_normal((EVALUATION_BATCH, n), np.float32)) for n in task.sizes]
    outputs = [y.copy() for y in h]

    def work(steps: int) -> None:
        for _ in range(steps):
            for start in range(0, IMAGES_TO_EVALUATE, EVALUATION_BATCH):
                xp.matmul(x[start : start + EVALUATION_BATCH], weights[0], out=outputs[1])
                xp.matmul(h[1], weights[1], out=outputs[2])
                xp.matmul(h[2], weights[2], out=outputs[3])
        synchronize(xp)

    return work


def array_module(task: Task) -> Any:
    """Return NumPy or CuPy, as the task says."""
    return minidl.get_backend(task.backend)


def synchronize(xp: Any) -> None:
    """Wait until a GPU has done what it was told."""
    if xp is not np:
        xp.cuda.Device().synchronize()


def matrices(task: Task, xp: Any) -> list[Any]:
    """Return a matrix for each dense layer, parts of one vector, with the places of the biases left between them."""
    rng = np.random.default_rng(task.seed)
    shapes = list(pairwise(task.sizes))
    vector = xp.asarray(0.03 * rng.standard_normal(sum((d + 1) * h for d, h in shapes), np.float32))
    parts, start = [], 0
    for d, h in shapes:
        parts.append(vector[start : start + d * h].reshape(d, h))
        start += (d + 1) * h
    return parts
