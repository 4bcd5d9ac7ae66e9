"""The network and the data of most experiments, and one training run with both."""

from functools import cache
from multiprocessing import parent_process
from typing import Any

import minidl


def network(seed: int, backend: str = "numpy", width: int = 1024) -> minidl.Sequential:
    """Return the network of chapter 37: two hidden layers of 1024 units."""
    return minidl.Sequential(
        minidl.Dense(784, width),
        minidl.ReLU(),
        minidl.Dense(width, width),
        minidl.ReLU(),
        minidl.Dense(width, 10),
        minidl.LogSoftmax(),
        seed=seed,
        backend=backend,
    )


@cache
def mnist(train_size: int = 60_000, backend: str = "numpy") -> tuple[minidl.Dataset, minidl.Dataset]:
    """Return the first ``train_size`` training images, and all test images, where ``backend`` computes."""
    xp, (train, test) = minidl.get_backend(backend), minidl.load_mnist()
    first = minidl.Dataset(train.x[:train_size], train.labels[:train_size])
    return minidl.Dataset(*map(xp.asarray, first)), minidl.Dataset(*map(xp.asarray, test))


def train(
    model: minidl.Sequential,
    optimizer: minidl.Optimizer,
    train: minidl.Dataset,
    test: minidl.Dataset,
    **options: Any,
) -> dict[str, Any]:
    """Train ``model`` as `minidl.fit` does, and return its history; divergence is a result, too.

    Returns:
        "history", a list for each column; and "diverged", the message, if the run diverged.
    """
    progress = None if parent_process() is None else False  # the bars of several workers would overwrite each other
    try:
        history = minidl.fit(model, optimizer, train, test, progress=progress, **options)
    except minidl.DivergedError as error:
        return {"history": error.history.to_dict(), "diverged": str(error)}
    return {"history": history.to_dict()}
