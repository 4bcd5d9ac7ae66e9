"""Fine-tuning: which learning rates suit a network that has learned something already?

Question: a network that can tell the digits 0 to 4 apart is to learn 5 to 9 from few labelled images. The article has a
recipe of eight lines for this. Is it better than training from scratch? Are its two ideas worth their trouble: first to
train the new last layer with all others frozen, and then to give earlier layers lower rates?

What to look at in the figure: on the left, test accuracy against the number of labelled images, for the recipe and its
rivals, all with equally many updates. In the middle, the way there, through the lines of the recipe that train: 3, 4
and 8. On the right, how far each layer ends from where it started: lower rates keep the first one close.

The article speaks of networks that have seen a million photographs; halving the classes of one data set is the design
of Yosinski et al. It leaves open, and these are the choices here:

- An epoch. Of 100 images it would be a handful of updates, too few for "1–2 epochs" to mean anything. The images are
  repeated until they are 2,500, whatever their number, and an epoch is 100 updates with batches of 25.
- Which suggestion of the range test to take: the valley. In a small trial with one seed, before any run in full, it was
  the steepest descent; that took noise at rates around 1e-6 for a descent, and what was trained with them, lines 3 and
  4 or a whole network from scratch, learned next to nothing. The valley does so less often, not never: the runs in full
  have a few rates around 1e-6 in line 7. Where nothing descends, the rate is Adam's default. In line 2 the test sees
  the precomputed activations, in line 7 augmented images.
- "Until it overfits": validation images, a quarter as many as the images to learn from, are held back from the training
  images of 5 to 9. All cycles of line 8 are carried out, so that all rivals have the same number of updates, and the
  parameters go back to the epoch of line 8 with the least validation loss, the rivals' to one of the same epochs.
  Nothing is chosen by the test set. With 25 validation images this may go back too far; so what all cycles end with is
  reported as well, without a verdict.
- Each layer's rate is a third of the next one's, so that the first has a ninth of the last. Beside it stand runs with
  2.6, Howard and Ruder's number, and 10, the upper end of the article's range.
- A new Adam for each stage, since it counts its steps. Precomputed are the activations of images as they are, as in
  fast.ai: the augmentation of line 1 begins with line 4.

Rivals: *one rate* leaves out line 6; *last layer only* leaves out 5 and 6; *all at once* trains all layers of the
pretrained network from the start, with the recipe's lower rates; *from scratch* starts from random weights, at one
rate. The last two have the updates of lines 3 and 4, too, all of them augmented.

Slips of the article: of its recipe's lines 2, 6 and 7 speak of the rate, not "two, five and seven"; and its
``learn.sched.plot_lr()`` draws the rate against iterations, the loss against the rate being ``learn.sched.plot()``.

    python examples/fine_tuning.py                               # the experiment in full, five seeds
    python examples/fine_tuning.py --quick                       # a taste in less than a minute
    python examples/fine_tuning.py --seeds 0 1 2 3 4 --jobs 2    # in full, shared by two processes

Sources: the article on learning rates, claims C7 to C9 among the claims of the sources; Howard and Ruder 2018,
"Universal language model fine-tuning for text classification", section 3.2; Yosinski et al. 2014, "How transferable are
features in deep neural networks?", section 2.
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import minidl
from lab.claims import claims_table, in_full
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.network import mnist, train
from lab.plots import band, over_seeds, save_figure
from lab.results import Claims, Curves, Results, Settings
from lab.runs import Run
from lab.statistics import exceeds, percent, spread
from minidl.schedules import Schedule

Parts: TypeAlias = Sequence[minidl.Dataset]
"""Images to learn from, and images for validation."""

MAIN = 100  # labelled images, with which claims are judged
TRUNK = 4  # layers before the last dense one: what is frozen, and whose activations are precomputed
RIVALS = {  # name: color, marker
    "recipe": ("tab:blue", "o"),
    "one rate": ("tab:orange", "s"),
    "all at once": ("tab:green", "^"),
    "last layer only": ("tab:purple", "D"),
    "from scratch": ("tab:gray", "v"),
}
CLAIMS = {
    "C7": "differential rates: earlier layers 3×–10× lower",
    "C8": "freezing and unfreezing: the last layer first, then all",
    "C9": "the recipe of eight lines",
    "Howard & Ruder 2018": "section 3.2: with each layer, a rate 2.6 times lower works well",
}
COLUMNS = {  # of the runs' histories: what `fit` calls test is here for validation
    "train_loss": "train_loss",
    "train_accuracy": "train_accuracy",
    "validation_loss": "test_loss",
    "validation_accuracy": "test_accuracy",
    "lr": "lr",
}
FULL = {"labels": [20, MAIN, 500, 2500], "pretrain_size": 60_000, "pretrain_epochs": 5, "images": 2500, "cycles": 4}
QUICK = {"labels": [20, MAIN], "pretrain_size": 10_000, "pretrain_epochs": 2, "images": 1000, "cycles": 3}


def main(given: list[str] | None = None) -> None:
    """Run what is missing; print which claims held, and what each line of the recipe did."""
    args = parse(options("The article on learning rates: fine-tuning.", seeds=[0, 1, 2, 3, 4]), given)
    settings = {
        "data": "MNIST, standardised; pretrained on 0 to 4 among the first pretrain_size images, fine-tuned on 5 to 9",
        "network": "784-256-256-5, ReLU, log-softmax, negative log-likelihood",
        "initialisation": "he_normal, biases zero",
        "optimizer": "Adam, new in each stage",
        "pretrain_lr": 0.001,
        "augmentation": {"shift": 2.0, "rotation": 10.0, "scale": 0.1},
        "suggestion": "valley",
        "first_epochs": 2,  # of line 3, and again of line 4
        "batch_size": 25,
        "dtype": "float32",
        "backend": args.backend,
    } | (QUICK if args.quick else FULL)
    results = Results(args.out / "fine_tuning.json", settings, environment(args.backend))
    runs = [run for seed in args.seeds for labels in settings["labels"] for run in planned(labels, seed)]
    conduct(results, runs, verdicts, draw, args.jobs)
    shown = results.called(named("recipe", MAIN))[0]
    print("\n".join([f"The recipe with {MAIN} labels, seed {shown['seed']}, line by line:", *shown["steps"]]))


def planned(labels: int, seed: int) -> list[Run]:
    """Return the runs with so many labelled images: the rivals and, at `MAIN`, the recipe with other factors."""
    factors = {"recipe": 3.0, "one rate": 1.0} | ({"factor 2.6": 2.6, "factor 10": 10.0} if labels == MAIN else {})
    with_labels = {"labels": labels}
    return [
        *(Run(named(rival, labels), seed, in_stages, with_labels | {"factor": factors[rival]}) for rival in factors),
        Run(named("last layer only", labels), seed, in_stages, with_labels | {"factor": 1.0, "unfreeze": False}),
        Run(named("all at once", labels), seed, at_once, with_labels | {"factor": 3.0, "pretrained": True}),
        Run(named("from scratch", labels), seed, at_once, with_labels | {"factor": 1.0, "pretrained": False}),
    ]


def named(rival: str, labels: int) -> str:
    """Return the name of a run."""
    return f"{rival}, {labels} labels"


def in_stages(settings: Settings, seed: int, labels: int, factor: float, unfreeze: bool = True) -> dict[str, Any]:
    """Follow the recipe line by line."""
    way, epochs = Transfer(settings, seed, labels, pretrained=True), settings["first_epochs"]
    model, last = way.model, way.model[TRUNK:]
    model.freeze("dense0", "dense2")
    features, held_back = (minidl.Dataset(minidl.predict(model[:TRUNK], x), labels) for x, labels in way.parts)
    steps = [f"augmentation made ready; {features.x.shape[1]} activations of the trunk precomputed for each image"]
    rate = way.find_rate(last, features)
    steps.append(f"rate of the last layer, {way.origin()}: {rate:.2g}")
    way.fit(last, (features, held_back), epochs, minidl.constant(rate))
    steps.append(f"last layer trained on the activations, {epochs} epochs: test {way.reached()}")
    way.fit(way.model, way.parts, epochs, minidl.cosine_restarts(rate), augment=way.augment)
    steps.append(f"last layer trained with augmentation, {epochs} cycles of 1 epoch: test {way.reached()}")
    trunk = {"pretrained": way.pretrained, "after line 4": way.fingerprint()}
    if unfreeze:
        model.unfreeze()
    steps.append("all layers unfrozen" if unfreeze else "left out")
    way.lower_rates(factor)
    rates = ", ".join(f"{layer.lr_scale:.3g}" for layer in model.layers[::2])
    steps.append("left out" if factor == 1 else f"rates of the layers, from first to last, times {rates}")
    rate = way.find_rate(model, way.augmented())
    steps.append(f"rate of the network, {way.origin()}: {rate:.2g}")
    way.train_until_overfitting(rate)
    steps.append(f"all that is not frozen trained, least validation loss after epoch {way.best_epoch}: {way.reached()}")
    trunk["end"] = way.fingerprint()
    return way.record() | {"trunk": trunk, "steps": [f"{line} {step}" for line, step in enumerate(steps, start=1)]}


def at_once(settings: Settings, seed: int, labels: int, factor: float, pretrained: bool) -> dict[str, Any]:
    """Train all layers from the start, with as many updates as the recipe, in cycles of the same lengths."""
    way = Transfer(settings, seed, labels, pretrained)
    way.lower_rates(factor)
    rate, epochs = way.find_rate(way.model, way.augmented()), 2 * settings["first_epochs"]
    way.fit(way.model, way.parts, epochs, minidl.cosine_restarts(rate), augment=way.augment)
    way.train_until_overfitting(rate)
    return way.record()


class Transfer:
    """A network on its way from the digits 0 to 4 to the digits 5 to 9, and what is measured on that way.

    All that is random comes from ``seed``: rivals have the same images, initial weights and order of samples.
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
        self.rates.append(test.suggestions()[self.settings["suggestion"]])
        return self.rates[-1] or minidl.Adam().lr

    def fit(self, model: minidl.Sequential, parts: Parts, epochs: int, lr: Schedule, **more: Any) -> None:
        """Train ``model``, the whole network or its end, and lengthen the history; after divergence, do nothing."""
        if self.diverged:
            return

        def measure(_model: minidl.Sequential, _history: minidl.History) -> None:
            self.history["epoch"].append(len(self.history["epoch"]) + 1)
            self.history["test_accuracy"].append(minidl.evaluate(self.model, self.test)[1])

        more |= {"epochs": epochs, "batch_size": self.settings["batch_size"], "lr": lr, "seed": self.order}
        done = train(model, minidl.Adam(), *parts, after_epoch=measure, **more)
        for column, in_fit in COLUMNS.items():
            self.history[column] += done["history"][in_fit]
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


def norm(params: Any) -> float:
    """Return the length of a vector."""
    return float(np.linalg.norm(minidl.to_numpy(params)))


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


def verdicts(results: Results) -> Claims:
    """Hold the claims against the test accuracy with 100 labelled images; those with other numbers are only shown.

    "Better" means: above by more than two standard errors of the difference, paired over the seeds.

    - C7 is reproduced if the recipe, with factor 3, is better than at one rate.
    - C8, if freezing does what it says (in every run of the recipe the trunk is bit for bit the pretrained one after
      line 4, and is not at the end), and the recipe is better than the last layer only and than all layers at once.
    - C9, if the recipe is better than training from scratch. Whether yet another recipe is better stays open.
    - Howard and Ruder's number, if factor 2.6 is better than one rate.
    """
    recipe, one_rate, last, once, scratch, ruder, ten = (
        accuracy(results, rival)
        for rival in ("recipe", "one rate", "last layer only", "all at once", "from scratch", "factor 2.6", "factor 10")
    )
    recipes = [run for run in results.runs if run["name"].startswith("recipe,")]
    trunks = [run["trunk"] for run in recipes]
    silent = sum(run["rates"][-1] is None for run in recipes)
    still = sum(trunk["after line 4"] == trunk["pretrained"] for trunk in trunks)
    changed = sum(trunk["end"] != trunk["pretrained"] for trunk in trunks)
    freezing = f"trunk unchanged after line 4 in {still} of {len(trunks)} runs, changed at the end in {changed}"
    against = {rival: compared(results, "recipe", rival) for rival in RIVALS if rival != "recipe"}
    works = still == changed == len(trunks)
    found = {
        "C7": (f"{against['one rate']}; factor 10: {percent(ten)}", exceeds(recipe, one_rate)),
        "C8": (
            f"{freezing}; {against['last layer only']}; {against['all at once']}",
            works and exceeds(recipe, last) and exceeds(recipe, once),
        ),
        "C9": (
            f"{against['from scratch']}; line 7 had no suggestion in {silent} of {len(recipes)} runs",
            exceeds(recipe, scratch),
        ),
        "Howard & Ruder 2018": (compared(results, "factor 2.6", "one rate"), exceeds(ruder, one_rate)),
    }
    return claims_table(CLAIMS, found, in_full(results.settings, FULL))


def accuracy(results: Results, rival: str, labels: int = MAIN) -> Curves:
    """Return the test accuracy at the end of each run; NaN where it diverged."""
    return results.values(named(rival, labels), "accuracy")


def compared(results: Results, one: str, other: str) -> str:
    """Say how two rivals compare with `MAIN` labels, as kept and after all cycles, and with other numbers."""
    a, b = accuracy(results, one), accuracy(results, other)
    relation = "better than" if exceeds(a, b) else "worse than" if exceeds(b, a) else "not clearly better or worse than"
    ends = " and ".join(percent(results.values(named(rival, MAIN), "last_accuracy")) for rival in (one, other))
    found = f"{one} ({percent(a)}) is {relation} {other} ({percent(b)}), after all cycles {ends}"
    for number in results.settings["labels"]:
        if number != MAIN and results.called(named(one, number)):
            points = 100 * (accuracy(results, one, number) - accuracy(results, other, number))
            found += f"; with {number:,} labels the difference is {spread(points, '.2f')} points"
    return found


def draw(results: Results, path: Path) -> None:
    """Draw accuracy against labels, accuracy against epochs, and how far the layers have moved."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 5.2), layout="constrained")
    labels = results.settings["labels"]
    for rival, (color, marker) in RIVALS.items():
        at_end = 100 * np.stack([accuracy(results, rival, number) for number in labels], axis=1)
        band(axes[0], np.array(labels), at_end, color, rival, marker=marker)
    axes[0].set(xscale="log", xlabel="labelled images to learn from (logarithmic)", ylabel="test accuracy (%)")
    axes[0].set_xticks(labels, [f"{number:,}" for number in labels], minor=False)
    axes[0].minorticks_off()
    axes[0].set_title("What is reached", pad=20)
    draw_way(results, axes[1])
    draw_moved(results, axes[2])
    for ax in axes:
        ax.grid(alpha=0.3)
    figure.suptitle(f"Fine-tuning: a network that knows the digits 0–4 learns 5–9 from few images{over_seeds(results)}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(RIVALS))
    save_figure(figure, path)


def draw_way(results: Results, axes: Axes) -> None:
    """Draw the test accuracy after each epoch, and of the parameters that are kept."""
    first = results.settings["first_epochs"]
    total = 2 * first + 2 ** results.settings["cycles"] - 1
    for rival, (color, marker) in RIVALS.items():
        curves = 100 * results.curves(named(rival, MAIN), "test_accuracy")
        band(axes, np.arange(1.0, curves.shape[1] + 1), curves, color, rival)
        axes.plot(total + 1, 100 * accuracy(results, rival).mean(), color=color, marker=marker)
    stages = {
        "line 3": (0, first),
        "line 4": (first, 2 * first),
        "line 8": (2 * first, total),
        "kept": (total, total + 1),
    }
    for stage, (start, stop) in stages.items():
        axes.axvline(start + 0.5, color="black", linewidth=0.8, linestyle=":")
        axes.text((start + stop + 1) / 2, 1.01, stage, transform=axes.get_xaxis_transform(), ha="center")
    axes.set(xlabel="epochs", ylabel="test accuracy (%)", xlim=(0.5, total + 1.5))
    axes.set_xticks(range(first, total + 1, first))
    axes.set_title(f"The way there, with {MAIN} images", pad=20)


def draw_moved(results: Results, axes: Axes) -> None:
    """Draw how far each layer has moved from its start."""
    for rival, label in {"one rate": "the same", "recipe": "a third", "factor 10": "a tenth"}.items():
        color, marker = RIVALS.get(rival, ("tab:red", "P"))
        band(axes, np.arange(3.0), 100 * results.values(named(rival, MAIN), "moved"), color, label, marker=marker)
    axes.set_xticks(range(3), ["first layer", "second layer", "last layer (new)"])
    axes.set_ylabel("distance from the start, relative (%, logarithmic)")
    if np.isfinite(axes.dataLim.y1):  # or all have diverged, and there is nothing to scale
        axes.set_yscale("log")
    axes.legend(title="rate of a layer, compared\nwith the next one's", loc="lower right")
    axes.set_title(f"How far the layers move, with {MAIN} images", pad=20)


if __name__ == "__main__":
    run_script(main)
