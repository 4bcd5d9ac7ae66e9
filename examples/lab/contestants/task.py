"""A task: what a contestant has to do, and with what."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Work: TypeAlias = Callable[[int], dict[str, Any] | None]
"""Does so many steps, and has finished them when it returns; what it returns goes into the answer."""

IMAGES_TO_EVALUATE = 10_000
EVALUATION_BATCH = 1000
LEARNING_RATE = {"SGD": 0.01, "Adam": 0.001}
OPTIMIZERS = tuple(LEARNING_RATE)
CURVE_BATCH = 256
"""Batch size where the width or the number of samples varies."""


class Task(NamedTuple):
    """What to do, and with what."""

    contestant: str
    """The library, then its modes, separated by blanks: "PyTorch compiled TF32"."""
    kind: str
    """``train``, ``products``, ``update``, ``evaluate``, ``load``, ``chapter37`` or ``parts``: a function's name."""
    data: str
    """The folder of x.npy and labels.npy."""
    threads: int
    backend: str = "numpy"
    """``numpy`` or ``cupy``: whether the GPU is used, by PyTorch too."""
    optimizer: str = "SGD"
    batch_size: int = 64
    width: int = 1024
    samples: int = 60_000
    seed: int = 0

    @property
    def library(self) -> str:
        """The contestant without its modes."""
        return self.contestant.split()[0]

    def has(self, mode: str) -> bool:
        """Tell whether the contestant runs in this mode."""
        return mode in self.contestant.split()[1:]

    @property
    def lr(self) -> float:
        """The optimiser's learning rate."""
        return LEARNING_RATE[self.optimizer]

    @property
    def sizes(self) -> list[int]:
        """The numbers of features from the input to the output."""
        return [784, self.width, self.width, 10]

    def load(self) -> tuple[Array, Array]:
        """Return images (samples, 784) and labels, as many as fill whole batches."""
        whole = self.samples - self.samples % self.batch_size
        x, labels = (np.load(Path(self.data) / f"{name}.npy")[:whole] for name in ("x", "labels"))
        return x, labels

    def orders(self) -> Iterator[Array]:
        """Yield a new random order of the samples for each epoch, without end."""
        rng = np.random.default_rng(self.seed)
        while True:
            yield rng.permutation(self.samples - self.samples % self.batch_size)

    def batches(self, convert: Callable[[Array], Any] = lambda order: order) -> Iterator[Any]:
        """Yield which samples are in each batch, without end; each epoch's order is converted as a whole."""
        for order in map(convert, self.orders()):
            for start in range(0, len(order), self.batch_size):
                yield order[start : start + self.batch_size]
