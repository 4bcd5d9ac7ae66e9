"""minidl's part in the benchmark; beside steps, updates and evaluations, what only minidl is asked for.

`load`, `chapter37` and `parts` measure what a user waits for, how much memory it takes, and where the time of a step
goes.
"""

from importlib import import_module
from itertools import islice
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import minidl
from lab.contestants.floor import array_module, synchronize
from lab.contestants.launches import counted
from lab.contestants.task import IMAGES_TO_EVALUATE, Task, Work
from lab.network import mnist
from lab.network import network as network_of_chapter37
from minidl.machine import doctor
from minidl.parameters.fusing import can_fuse


def network(task: Task) -> minidl.Sequential:
    """Return the network of chapter 37, with layers as wide as the task says."""
    return network_of_chapter37(task.seed, task.backend, task.width)


def training(task: Task) -> minidl.Training:
    """Return the network and the optimiser of a task, ready for `minidl.descend`."""
    optimizer = getattr(minidl, task.optimizer)(task.lr)
    optimizer.fused = task.has("fast")
    if optimizer.fused and task.backend == "numpy" and not can_fuse():
        raise ImportError("the extra fast is not installed")
    return minidl.Training(network(task), optimizer, np.random.default_rng(task.seed))


def train(task: Task) -> Work:
    """Prepare training steps, as `minidl.fit` makes them."""
    xp = array_module(task)
    x, labels = map(xp.asarray, task.load())
    batches = ((x.take(batch, axis=0), labels.take(batch)) for batch in task.batches(xp.asarray))
    losses = minidl.descend(training(task), batches)

    def work(steps: int) -> None:
        for _ in islice(losses, steps):
            pass
        synchronize(xp)

    return work


def launches(task: Task) -> Work:
    """Prepare training steps whose kernels are counted."""
    return counted(train(task))


def update(task: Task) -> Work:
    """Prepare updates alone, always with the same gradient."""
    xp, state = array_module(task), training(task)
    model, groups = state.model, state.model.groups
    model.grads[...] = xp.asarray(0.01 * state.rng.standard_normal(model.grads.size, np.float32))

    def work(steps: int) -> None:
        for _ in range(steps):
            state.optimizer.step(model.params, model.grads, groups)
        synchronize(xp)

    return work


def evaluate(task: Task) -> Work:
    """Prepare evaluations of 10,000 images: loss and accuracy."""
    xp, model = array_module(task), network(task)
    x, labels = (xp.asarray(array[:IMAGES_TO_EVALUATE]) for array in task.load())

    def work(steps: int) -> None:
        for _ in range(steps):
            minidl.evaluate(model, (x, labels))

    return work


def load(_: Task) -> Work:
    """Prepare to load MNIST: unpack, verify, standardise."""

    def work(steps: int) -> None:
        for _ in range(steps):
            minidl.load_mnist()

    return work


def chapter37(task: Task) -> Work:
    """Prepare epochs of chapter 37, with its three batch sizes, its measurements, and all that its script imports.

    The first, before the clock starts, brings memory to its peak.
    """
    import_module("chapter37")
    train, test = mnist(task.samples)

    def work(steps: int) -> None:
        for size in (64, 256, 1024):
            sgd = minidl.SGD(0.01)
            minidl.fit(network(task), sgd, train, test, epochs=steps, batch_size=size, seed=0, progress=False)

    return work


def parts(task: Task) -> Work:
    """Prepare training steps with a clock between their parts; and measure what the machine can do at best.

    The answer has the median seconds of each part, floating-point operations per second of a large product, and bytes
    per second of a copy in main memory and in cache.
    """
    state, (x, labels), batches = training(task), task.load(), task.batches()
    model, loss, groups = state.model, state.loss, state.model.groups

    def step(took: dict[str, list[float]]) -> None:
        clock = perf_counter()

        def done(part: str) -> None:
            nonlocal clock
            now = perf_counter()
            took.setdefault(part, []).append(now - clock)
            clock = perf_counter()

        batch = next(batches)
        h, labels_of_batch = x.take(batch, axis=0), labels.take(batch)
        done("gather")
        for layer in model.layers:
            h = layer.forward(h, training=True)
            done(f"{layer.name} forward")
        loss.forward(h, labels_of_batch)
        dy = loss.backward()
        done("loss")
        for layer in reversed(model.layers[1:]):
            dy = layer.backward(dy)
            done(f"{layer.name} backward")
        model.layers[0].backward_params(dy)
        done(f"{model.layers[0].name} backward")
        state.optimizer.step(model.params, model.grads, groups)
        done("update")

    def work(steps: int) -> dict[str, Any]:
        took: dict[str, list[float]] = {}
        for _ in range(steps):
            step(took)
        return {
            "parts": {part: median(seconds) for part, seconds in took.items()},
            "flops": 1e9 * doctor.gflops(2048),
            "bandwidth": doctor.bandwidth(),
            "cache_bandwidth": doctor.bandwidth(2**17),
        }

    return work
