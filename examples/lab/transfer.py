"""Transfer learning: a network that knows the digits 0 to 4 learns 5 to 9 from few labelled images.

Halving the classes of one data set is the design of Yosinski et al. 2014. The article on learning rates speaks of
networks that have seen a million photographs, and leaves open the choices made here:

- An epoch. Of 100 images it would be a handful of updates, too few for "1–2 epochs" to mean anything. The images are
  repeated until there are 2,500 of them, whatever their number, and an epoch is 100 updates with batches of 25.
- Which suggestion of the range test to take: the valley. A small trial with one seed took the steepest descent; this
  mistook noise at rates around 1e-6 for a descent, and with such a rate lines 3 and 4, or a whole network from scratch,
  learned next to nothing. The valley does so less often, but not never: the runs in full have a few rates around 1e-6
  in line 7. Where nothing descends, the rate is Adam's default.
- "Until it overfits": validation images, a quarter as many as the images to learn from, are held back from the training
  images of 5 to 9. All cycles are carried out, so that all rivals have the same number of updates, and the parameters
  go back to the epoch with the least validation loss. The test set chooses nothing. With 25 validation images this may
  go back too far; so the accuracy after all cycles is reported as well, without a verdict.
- Each stage has a new Adam, since it counts its steps.
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np

import minidl
from lab.network import mnist, train
from lab.results import Settings
from lab.sample_gradients import norm
from minidl.loop import Schedule

Parts: TypeAlias = Sequence[minidl.Dataset]
"""Images to learn from, and images for validation."""

TRUNK = 4  # layers before the last dense one: what is frozen, and whose activations are precomputed
COLUMNS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr")


class Transfer:
    """A network that moves from the digits 0 to 4 to the digits 5 to 9, and what is measured meanwhile.

    All random numbers come from ``seed``: rivals have the same images, initial weights and order of samples.
    """

    def __init__(self, settings: Settings, seed: int, labels: int, pretrained: bool):
        self.settings, self.seed = settings, seed
        *self.parts, self.test = few_labels(settings, seed, labels)
        self.model = classifier(settings["backend"], self.rng(0))
        if pretrained:  # all but the last layer, which is new
            keys = ("pretrain_size", "pretrain_epochs", "pretrain_lr", "backend")
            self.model[:TRUNK].copy_from(pretrained_network(seed, *(settings[key] for key in keys))[:TRUNK])
        self.start, self.pretrained = deepcopy(self.model), self.fingerprint()
        self.augment, self.order = minidl.RandomAffine(**settings["augmentation"]), self.rng(1)
        self.history: dict[str, list[float]] = {column: [] for column in ("epoch", "test_accuracy", *COLUMNS)}
        self.rates: list[float | None] = []  # as suggested
        self.best_epoch, self.diverged = 0, ""
        self.accuracy: float | None = None

    def rng(self, stream: int) -> np.random.Generator:
        """Return one of the generators of this seed."""
        return np.random.default_rng([self.seed, stream])

    def fingerprint(self) -> str:
        """Return the SHA-256 of the trunk's parameters."""
        return sha256(minidl.to_numpy(self.model[:TRUNK].params).tobytes()).hexdigest()

    def augmented(self) -> minidl.Dataset:
        """Return the training images, each changed at random."""
        x, labels = self.parts[0]
        return minidl.Dataset(self.augment(x, self.rng(2)), labels)

    def lower_rates(self, factor: float) -> None:
        """Give each layer a rate ``factor`` times lower than that of the next."""
        self.model.scale_lr("dense2", 1 / factor)
        self.model.scale_lr("dense0", 1 / factor**2)

    def find_rate(self, model: minidl.Sequential, data: minidl.Dataset) -> float:
        """Return the rate that the range test suggests, or Adam's default."""
        test = minidl.lr_find(model, minidl.Adam(), data, batch_size=self.settings["batch_size"], seed=self.rng(3))
        self.rates.append(test.suggestions().get(self.settings["suggestion"]))
        return self.rates[-1] or minidl.Adam().lr

    def fit(self, model: minidl.Sequential, parts: Parts, epochs: int, lr: Schedule, **more: Any) -> None:
        """Train ``model``, the whole network or its end, and extend the history; after divergence, do nothing."""
        if self.diverged:
            return

        def measure(_model: minidl.Sequential, _history: minidl.History) -> None:
            self.history["epoch"].append(len(self.history["epoch"]) + 1)
            self.history["test_accuracy"].append(minidl.evaluate(self.model, self.test)[1])

        more |= {"epochs": epochs, "batch_size": self.settings["batch_size"], "lr": lr, "seed": self.order}
        done = train(model, minidl.Adam(), *parts, after_epoch=measure, **more)
        for column in COLUMNS:  # what `fit` calls test is here for validation
            self.history[column] += done["history"][column.replace("validation", "test")]
        self.diverged = done.get("diverged", "")

    def train_until_overfitting(self, rate: float) -> None:
        """Train all that is not frozen in growing cycles, and go back to where the validation loss was least."""
        epochs = 2 ** self.settings["cycles"] - 1
        lr, best = minidl.cosine_restarts(rate, cycle_mult=2), minidl.EarlyStopping(patience=epochs)  # to the end
        self.fit(self.model, self.parts, epochs, lr, augment=self.augment, early_stopping=best)
        if not self.diverged:
            self.best_epoch, self.accuracy = best.best_epoch, minidl.evaluate(self.model, self.test)[1]

    def origin(self) -> str:
        """Return where the latest rate comes from."""
        return "as suggested" if self.rates[-1] else "Adam's default for want of a suggestion"

    def reached(self) -> str:
        """Return the test accuracy by now, or why there is none."""
        return self.diverged or f"{self.accuracy or self.history['test_accuracy'][-1]:.2%}"

    def record(self) -> dict[str, Any]:
        """Return what has been measured; ``moved`` is each dense layer's distance from its start, relative to it."""
        pairs = [(self.model[i : i + 1].params, self.start[i : i + 1].params) for i in (0, 2, 4)]
        moved = [None if self.diverged else norm(now - then) / norm(then) for now, then in pairs]
        measured = {key: getattr(self, key) for key in ("history", "rates", "best_epoch", "accuracy")}
        measured["last_accuracy"] = None if self.diverged else self.history["test_accuracy"][-1]
        return measured | {"moved": moved} | ({"diverged": self.diverged} if self.diverged else {})


def classifier(backend: str, rng: np.random.Generator) -> minidl.Sequential:
    """Return a network for five classes."""
    hidden = (minidl.Dense(784, 256), minidl.ReLU(), minidl.Dense(256, 256), minidl.ReLU())
    return minidl.Sequential(*hidden, minidl.Dense(256, 5), minidl.LogSoftmax(), seed=rng, backend=backend)


@cache
def pretrained_network(seed: int, size: int, epochs: int, lr: float, backend: str) -> minidl.Sequential:
    """Return a network that knows the digits 0 to 4, always the same with one seed; it is not to be changed."""
    rng = np.random.default_rng([seed, 4])
    model = classifier(backend, rng)
    known, test = (minidl.Dataset(x[labels < 5], labels[labels < 5]) for x, labels in mnist(size))
    minidl.fit(model, minidl.Adam(lr), known, test, epochs=epochs, batch_size=64, seed=rng, progress=False)
    return model


def few_labels(settings: Settings, seed: int, labels: int) -> list[minidl.Dataset]:
    """Draw images of 5 to 9, called 0 to 4: to learn from, equally many of each; for validation; and all test images.

    The first are repeated until they make up an epoch. With one seed, few images are among the many.
    """
    xp, rng = minidl.get_backend(settings["backend"]), np.random.default_rng([seed, 5])
    images, test = mnist()
    shuffled = [rng.permutation(np.flatnonzero(images.labels == digit)) for digit in range(5, 10)]
    drawn = np.resize(np.concatenate([rows[: labels // 5] for rows in shuffled]), settings["images"])
    held_back = np.concatenate([rows[-(labels // 20) :] for rows in shuffled])
    parts = ((images, drawn), (images, held_back), (test, test.labels >= 5))
    return [minidl.Dataset(xp.asarray(part.x[rows]), xp.asarray(part.labels[rows] - 5)) for part, rows in parts]
