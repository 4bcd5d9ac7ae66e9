"""Why does a larger batch overfit? Batch size, dropout, batch normalisation and early stopping on few images.

Question: someone trains on 5,000 images for 60 epochs, goes from batch 10 to batch 32, and sees the network overfit. Is
it the batch size? Is it batch normalisation, whose moving averages lag behind? Would dropout help, or stopping earlier?

What to look at in the figure: whether test curves lie in the order of their batch sizes, and whether batch 32 at a
learning rate 3.2 times as high, which makes up for its fewer updates (linear scaling), coincides with batch 10; which
model early stopping would have kept (circles), and what loss and accuracy do afterwards; how long slow moving averages
spoil the first epochs; and, below, what each remedy does to gap, accuracy and loss.

The question's network, Inception-ResNet-v2, and its unnamed images are out of reach here: this is 784-256-256-10 on the
first 5,000 training images of MNIST, tested on all 10,000 test images. Optimiser and learning rate are not given: here
all runs have plain SGD at chapter 37's learning rate, so that the batch size is the only change, as in the question. A
block is dense, batch normalisation, ReLU, dropout, in this order. Early stopping watches the loss of the 1,000 images
after the first 5,000, so that the training set stays whole; with only 5,000, they would come from these. Training
continues after the stop, to show what would have followed. For D2 each batch size also has runs that try six learning
rates, and keep the one with the highest accuracy on 10,000 training images held back. Networks that differ only in
their decay are the same network: training does not use the moving averages, only evaluation does.

    python examples/overfitting.py                      # in full: five seeds
    python examples/overfitting.py --quick              # a taste in less than a minute
    python examples/overfitting.py --seeds 0 1 2 3 4 --jobs 2

Sources: the question "why does increasing the batch size cause overfitting?", claims D1 to D5; Goodfellow, Bengio and
Courville 2016, "Deep Learning", section 8.1.3 (what the answer quotes) and 7.8 (early stopping); Goyal et al. 2017,
"Accurate, large minibatch SGD", section 2.1 (linear scaling); Ioffe and Szegedy 2015, "Batch normalization", section
3.4 (dropout may be left out); Li, Chen, Hu and Yang 2018, "Understanding the disharmony between dropout and batch
normalization by variance shift", which disagrees with using both.
"""

from functools import partial
from typing import Any

import minidl
from lab.claims import judge
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.figures.overfitting import draw
from lab.network import mnist, train
from lab.results import Results, Settings
from lab.runs import Run
from lab.verdicts.overfitting import CLAIMS, LR, PLAIN, RULES, SIZES, TRIED, TUNED, called, in_short, tuned

FULL = {"epochs": 60, "train_size": 5000, "validation_size": 1000, "patience": 5}
QUICK = {"epochs": 6, "train_size": 1000, "validation_size": 1000, "patience": 2}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dropout": {"p": 0.5},
    "batch norm 0.9": {"decay": 0.9},
    "batch norm 0.99": {"decay": 0.99},
    "batch norm 0.999": {"decay": 0.999},  # TF-slim's default; its Inception-ResNet-v2 has 0.9997
    "both": {"p": 0.5, "decay": 0.9},
}
TUNING = {"rates": TRIED, "held_back": 10_000}
verdicts = partial(judge, CLAIMS, RULES, FULL, scope=" (after {epochs} epochs on {train_size:,} images)")


def main(given: list[str] | None = None) -> None:
    """Run what is missing, and print which claims held."""
    args = parse(options("Why does a larger batch overfit?", seeds=[0, 1, 2, 3, 4]), given)
    settings = {
        "data": "MNIST, standardised with mean and standard deviation of all 60,000 training images",
        "network": "784-256-256-10, ReLU, log-softmax, negative log-likelihood",
        "initialisation": "he_normal, biases zero",
        "optimizer": "SGD",
        "dtype": "float32",
        "backend": args.backend,
    } | (QUICK if args.quick else FULL)
    results = Results(args.out / "overfitting.json", settings, environment(args.backend))
    planned = [("plain", size, lr) for size, lr in PLAIN]
    planned += [(variant, size, LR) for variant in VARIANTS if variant != "plain" for size in SIZES]
    runs = [
        Run(called(*what), seed, train_with, dict(zip(("variant", "batch_size", "lr"), what, strict=True)))
        for what in planned
        for seed in args.seeds
    ]
    if not args.quick:
        runs += [Run(tuned(size), seed, tune, TUNING | {"batch_size": size}) for size in TUNED for seed in args.seeds]
    conduct(results, runs, verdicts, draw, args.jobs, in_short=in_short)


def train_with(settings: Settings, seed: int, variant: str, batch_size: int, lr: float) -> dict[str, Any]:
    """Train one variant to the end, and note after which epoch validation would have stopped it."""
    n, both = settings["train_size"], settings["train_size"] + settings["validation_size"]
    images, test_set = mnist(both, settings["backend"])
    train_set, validation = (minidl.Dataset(images.x[part], images.labels[part]) for part in (slice(n), slice(n, both)))
    model, stopping = build(seed, settings["backend"], **VARIANTS[variant]), minidl.EarlyStopping(settings["patience"])
    stops: list[int] = []

    def watch(model: minidl.Sequential, history: minidl.History) -> None:
        if not stops and stopping.should_stop(model, len(history), minidl.evaluate(model, validation)[0]):
            stops.append(len(history))

    plan = {"epochs": settings["epochs"], "batch_size": batch_size, "seed": seed, "after_epoch": watch}
    measured = train(model, minidl.SGD(lr), train_set, test_set, **plan)
    measured |= {"best_epoch": stopping.best_epoch, "stop_epoch": stops[0] if stops else None}  # None: never
    if "decay" in VARIANTS[variant] and "diverged" not in measured:
        measured["moving_over_real"] = moving_over_real(model, train_set.x)
    return measured


def tune(settings: Settings, seed: int, batch_size: int, rates: list[float], held_back: int) -> dict[str, Any]:
    """Train at each rate, and return the run whose accuracy at the end is highest on images held back."""
    images, test_set = mnist(backend=settings["backend"])
    train_set, judges = images[: settings["train_size"]], images[-held_back:]
    found = []
    for rate in rates:
        model, plan = build(seed, settings["backend"]), {"epochs": settings["epochs"], "batch_size": batch_size}
        measured = train(model, minidl.SGD(rate), train_set, test_set, seed=seed, **plan)
        accuracy = 0.0 if "diverged" in measured else minidl.evaluate(model, judges)[1]
        found.append((accuracy, rate, measured))
    _, rate, measured = max(found, key=lambda tried: tried[0])
    return {"rate": rate, "tries": [[rate, accuracy] for accuracy, rate, _ in found]} | measured


def build(seed: int, backend: str, p: float = 0.0, decay: float = 0.0, width: int = 256) -> minidl.Sequential:
    """Return a network of two blocks, with dropout if p > 0, and batch normalisation if its decay > 0."""
    layers: list[minidl.Layer] = []
    for features in (784, width):
        layers.append(minidl.Dense(features, width))
        layers += [minidl.BatchNorm(width, decay)] if decay else []
        layers.append(minidl.ReLU())
        layers += [minidl.Dropout(p)] if p else []
    return minidl.Sequential(*layers, minidl.Dense(width, 10), minidl.LogSoftmax(), seed=seed, backend=backend)


def moving_over_real(model: minidl.Sequential, x: Any) -> float:
    """Return the moving variance of the last batch normalisation over the variance of its inputs in evaluation."""
    where, norm = [(i, layer) for i, layer in enumerate(model.layers) if isinstance(layer, minidl.BatchNorm)][-1]
    return float(norm.moving_var.mean() / minidl.predict(model[:where], x).var(axis=0).mean())


if __name__ == "__main__":
    run_script(main)
