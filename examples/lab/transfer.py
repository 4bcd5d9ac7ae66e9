"""Transfer learning: a network that knows some digits learns something else about digits from few labelled images.

Halving the classes of one data set, from 0–4 to 5–9, is the design of Yosinski et al. 2014. In the article on learning
rates the network knows more than it will need: of a thousand kinds of things, dogs and cats are some. So in a second
transfer a network that knows all ten digits learns to tell odd from even. Choices that the article leaves open:

- An epoch. Of 100 images it would be a handful of updates, too few for "1–2 epochs" to mean anything. The images are
  repeated until there are 2,500 of them, whatever their number, and an epoch is 100 updates with batches of 25.
- Which suggestion of the range test to take: the valley. A small trial with one seed took the steepest descent; this
  mistook noise at rates around 1e-6 for a descent, and with such a rate lines 3 and 4, or a whole network from scratch,
  learned next to nothing. The valley does so less often, but not never: the runs in full have a few rates around 1e-6
  in line 7. Where nothing descends, the rate is Adam's default; and in line 7 next to nothing descends. So the second
  transfer has another rule for line 7: a tenth of the highest rate at which the loss is within 0.1 of its least. The
  loss always rises in the end; the average for this test is shorter, and the test is not ended at the first rise, which
  may be noise.
- "Until it overfits": validation images, a quarter as many as the images to learn from, are held back from the training
  images of 5 to 9. All cycles are carried out, so that all rivals have the same number of updates, and the parameters
  go back to the epoch with the least validation loss. The test set chooses nothing. With 25 validation images this may
  go back too far; so the accuracy after all cycles is reported as well, without a verdict, and the second transfer has
  1,000 validation images.
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
from lab.verdicts.fine_tuning import HALVES, PARITY
from minidl.loop import Schedule

Parts: TypeAlias = Sequence[minidl.Dataset]
"""Images to learn from, and images for validation."""

TRUNK = 4  # layers before the last dense one: what is frozen, and whose activations are precomputed
APART = 10_000
"""The last training images: some are labelled odd or even. A network that knows all digits has not seen them."""
TO_THE_RISE: dict[str, Any] = {"smoothing": 0.9, "stop_factor": 1e6}
COLUMNS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr")


class Transfer:
    """A network that moves from one task to the other, and what is measured meanwhile.

    All random numbers come from ``seed``: rivals have the same images, initial weights and order of samples.
    """

    def __init__(self, settings: Settings, seed: int, labels: int, pretrained: bool, transfer: str = HALVES):
        self.settings, self.seed, self.transfer = settings, seed, transfer
        *self.parts, self.test = (few_of_parity if transfer == PARITY else few_labels)(settings, seed, labels)
        self.model = classifier(settings["backend"], self.rng(0), 2 if transfer == PARITY else 5)
        if pretrained:  # all but the last layer, which is new
            keys = ("pretrain_size", "pretrain_epochs", "pretrain_lr", "backend")
            known = pretrained_network(seed, *(settings[key] for key in keys), transfer)
            self.model[:TRUNK].copy_from(known[:TRUNK])
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

    def find_rate(self, model: minidl.Sequential, data: minidl.Dataset, trained: bool = False) -> float:
        """Return the rate that the range test suggests, or Adam's default; ``trained``: no layer is new any more."""
        plan: dict[str, Any] = {"batch_size": self.settings["batch_size"], "seed": self.rng(3)}
        test = minidl.lr_find(model, minidl.Adam(), data, **plan)
        suggested = test.suggestions().get(self.settings["suggestion"])
        if self.transfer == PARITY and trained:
            suggested = before_the_rise(minidl.lr_find(model, minidl.Adam(), data, **plan, **TO_THE_RISE))
        self.rates.append(suggested)
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


def before_the_rise(test: minidl.RangeTest) -> float:
    """Return a tenth of the highest rate at which the smoothed loss is within 0.1 of its least.

    The first tenth of the test, in which the average is that of a few batches, has no say in what is least.
    """
    least = min(test.smoothed[len(test.smoothed) // 10 :])
    return max(rate for rate, loss in zip(test.lr, test.smoothed, strict=True) if loss <= least + 0.1) / 10


def classifier(backend: str, rng: np.random.Generator, classes: int = 5) -> minidl.Sequential:
    """Return a network."""
    hidden = (minidl.Dense(784, 256), minidl.ReLU(), minidl.Dense(256, 256), minidl.ReLU())
    return minidl.Sequential(*hidden, minidl.Dense(256, classes), minidl.LogSoftmax(), seed=rng, backend=backend)


@cache
def pretrained_network(
    seed: int, size: int, epochs: int, lr: float, backend: str, transfer: str = HALVES
) -> minidl.Sequential:
    """Return a network that knows the digits 0 to 4, or all; always the same with one seed; it is not to be changed.

    The last `APART` training images are not shown to one that knows all digits.
    """
    rng, digits = np.random.default_rng([seed, 4]), 10 if transfer == PARITY else 5
    model = classifier(backend, rng, digits)
    size = min(size, 60_000 - APART) if transfer == PARITY else size
    known, test = (minidl.Dataset(x[labels < digits], labels[labels < digits]) for x, labels in mnist(size))
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


def few_of_parity(settings: Settings, seed: int, labels: int) -> list[minidl.Dataset]:
    """Draw images called odd (1) or even (0), equally many of each digit; 1,000 for validation; and all test images.

    They are among the last `APART` training images, and repeated until they make up an epoch.
    """
    xp, rng = minidl.get_backend(settings["backend"]), np.random.default_rng([seed, 5])
    images, test = mnist()
    apart = images[-APART:]
    shuffled = [rng.permutation(np.flatnonzero(apart.labels == digit)) for digit in range(10)]
    drawn = np.resize(np.concatenate([rows[: labels // 10] for rows in shuffled]), settings["images"])
    held_back = np.concatenate([rows[-100:] for rows in shuffled])
    parts = (apart[drawn], apart[held_back], test)
    return [minidl.Dataset(xp.asarray(part.x), xp.asarray(part.labels % 2)) for part in parts]
