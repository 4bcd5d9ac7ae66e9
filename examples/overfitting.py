"""Why does a larger batch overfit? Batch size, dropout, batch normalisation and early stopping on few images.

Question: someone trains on 5,000 images for 60 epochs, goes from batch 10 to batch 32, and sees the network overfit. Is
it the batch size? Is it batch normalisation, whose moving averages lag behind? Would dropout help, or stopping earlier?

What to look at in the figure: whether test curves lie in the order of their batch sizes, and whether batch 32 at a rate
3.2 times as high, which makes up for its fewer updates (linear scaling), falls on batch 10; which model early
stopping would have kept (circles), and what loss and accuracy do after; how long slow moving averages spoil the first
epochs; and, below, what each remedy does to gap, accuracy and loss.

The question's network, Inception-ResNet-v2, and its unnamed images are out of reach here: this is 784-256-256-10 on the
first 5,000 training images of MNIST, tested on all 10,000 test images. Optimizer and rate are not given: plain SGD at
chapter 37's rate for all, so that the batch size is the only change, as in the question. Blocks are dense, batch
normalisation, ReLU, dropout, in this order. Early stopping watches the loss of the 1,000 images after the first 5,000,
so that the training set stays whole; who has only 5,000 must take them from these. The training goes on after the stop,
which shows what would have come. Networks that differ in the decay alone are the same network: training does not use
the moving averages, only evaluation does.

    python examples/overfitting.py                      # in full: five seeds
    python examples/overfitting.py --quick              # a taste in less than a minute
    python examples/overfitting.py --seeds 0 1 2 3 4 --jobs 2

Sources: the question "why does increasing the batch size cause overfitting?", claims D1 to D5 among the claims of the
sources; Goodfellow, Bengio and Courville 2016, "Deep Learning", section 8.1.3 (what the answer quotes) and 7.8 (early
stopping); Goyal et al. 2017, "Accurate, large minibatch SGD", section 2.1 (linear scaling); Ioffe and Szegedy 2015,
"Batch normalization", section 3.4 (dropout may be left out); Li, Chen, Hu and Yang 2018, "Understanding the disharmony
between dropout and batch normalization by variance shift", which disagrees with using both.
"""

from pathlib import Path
from typing import Any

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

CLAIMS = {
    "D1": "on 5,000 images for 60 epochs, batch 32 overfits visibly more than batch 10",
    "D2": "small batches regularise by their noise: generalisation is often best at batch 1, at a small rate",
    "D3": "slow moving averages of batch normalisation are to blame: a smaller decay helps",
    "D4": "dropout together with batch normalisation: is it common, does it help?",
    "D5": "60 epochs are too many: stop earlier",
    "Li 2018": "below a batch normalisation, dropout makes its moving variance larger than the variance in evaluation",
}
FULL = {"epochs": 60, "train_size": 5000, "validation_size": 1000, "patience": 5}
QUICK = {"epochs": 6, "train_size": 1000, "validation_size": 1000, "patience": 2}
LR, SMALL_LR, SCALED_LR = 0.01, 0.001, 0.032  # chapter 37's; for batch 1; for batch 32, scaled from batch 10
SIZES = (10, 32)  # the question's
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dropout": {"p": 0.5},
    "batch norm 0.9": {"decay": 0.9},
    "batch norm 0.99": {"decay": 0.99},
    "batch norm 0.999": {"decay": 0.999},  # TF-slim's default; its Inception-ResNet-v2 has 0.9997
    "both": {"p": 0.5, "decay": 0.9},
}
NORMS = [variant for variant in VARIANTS if variant.startswith("batch norm")]
PLAIN = {  # batch sizes and rates without a remedy; their colours are Okabe and Ito's, black and grey apart
    (1, LR): "#8C8C8C",
    (10, LR): "#0072B2",
    (32, LR): "#D55E00",
    (128, LR): "#009E73",
    (1, SMALL_LR): "black",
    (32, SCALED_LR): "#E69F00",
}
NORM_COLOURS = ("black", "#56B4E9", "#CC79A7")
BEST = -1  # in place of an epoch: the one to which early stopping goes back


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
    conduct(results, runs, verdicts, draw, args.jobs)


def called(variant: str, batch_size: int, lr: float = LR) -> str:
    """Return the name of a run."""
    return f"{variant}, batch {batch_size}" + ("" if lr == LR else f", rate {lr:g}")


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
    """Return the moving variance of the last batch normalisation over what its inputs have in evaluation."""
    where, norm = [(i, layer) for i, layer in enumerate(model.layers) if isinstance(layer, minidl.BatchNorm)][-1]
    return float(norm.moving_var.mean() / minidl.predict(model[:where], x).var(axis=0).mean())


def verdicts(results: Results) -> Claims:
    """Hold the claims against the runs. "Exceeds" means: paired by seed, by more than two standard errors.

    - D1: at batch 32 the gap (train − test accuracy) exceeds that at 10, and test accuracy at 10 exceeds that at 32.
    - D2: the test accuracy at batch 1, at the better of its two rates, exceeds that at 10, at 32 and at 128.
    - D3: at batch 32, test accuracy with decay 0.9 exceeds that with 0.999 after the first epoch *and* at the end: the
      averages lag, and the lag lasts long enough to explain what the question saw after 60 epochs.
    - D4: test accuracy with both exceeds that with dropout alone and that with batch normalisation (decay 0.9) alone,
      at batch 10 and at 32. Whether it is common, no experiment can tell.
    - D5: at batch 10 and at 32, plain, validation stops the training before its last epoch with every seed, and the
      test loss at the end exceeds that of the model which early stopping keeps.
    - Li 2018: moving variance over variance in evaluation is larger with dropout than without, at batch 10 and at 32.
    """
    settings, found = results.settings, judge_sizes(results)
    ten, large = (judge_variants(results, size) for size in SIZES)
    for identity in ten:
        texts = [f"batch {size}: {judged[identity][0]}" for size, judged in zip(SIZES, (ten, large), strict=True)]
        texts += ["How common it is cannot be measured here"] if identity == "D4" else []
        found[identity] = (". ".join(texts), ten[identity][1] and large[identity][1])
    decided = in_full(settings, FULL)
    scope = "" if decided else f" (after {settings['epochs']} epochs on {settings['train_size']:,} images)"
    return claims_table(CLAIMS, found, decided, scope)


def judge_sizes(results: Results) -> dict[str, tuple[str, bool]]:
    """Return what was found on D1 and D2, where batch sizes are compared, and whether the claim held."""
    gap, test, loss, train_loss = (
        {key: after(results, called("plain", *key), column) for key in PLAIN}
        for column in ("generalization_gap", "test_accuracy", "test_loss", "train_loss")
    )
    loss_gap = {key: loss[key] - train_loss[key] for key in PLAIN}
    ten, large, scaled = (10, LR), (32, LR), (32, SCALED_LR)
    d1 = "; ".join(
        f"batch {key[0]} at rate {key[1]:g}: gap {percent(gap[key])}, test accuracy {percent(test[key])}, gap in the "
        f"loss {spread(loss_gap[key])}"
        for key in (ten, large, scaled)
    )
    for key in (large, scaled):
        words = [compared(values[key], values[ten]) for values in (gap, test, loss_gap)]
        d1 += f". Against batch 10, batch 32 at rate {key[1]:g} has these three {', '.join(words)}"
    best = max(((1, SMALL_LR), (1, LR)), key=lambda key: float(np.nan_to_num(test[key].mean(), nan=-1.0)))
    others = [key for key in PLAIN if key[0] > 1 and key[1] == LR]
    d2 = (
        "test accuracy " + ", ".join(f"{size} at rate {lr:g}: {percent(test[size, lr])}" for size, lr in PLAIN) + ". "
        f"Batch 1 at its better rate, {best[1]:g} (chosen by this accuracy itself, which favours the claim), is "
        + ", ".join(f"{compared(test[best], test[key])} against {key[0]}" for key in others)
        + ". Chapter 37 says that batch 1 works very badly (A7)"
    )
    return {
        "D1": (d1, exceeds(gap[large], gap[ten]) and exceeds(test[ten], test[large])),
        "D2": (d2, all(exceeds(test[best], test[key]) for key in others)),
    }


def judge_variants(results: Results, size: int) -> dict[str, tuple[str, bool]]:
    """Return what was found on the other claims with one batch size, and whether the claim held there."""

    def at(variant: str, column: str = "test_accuracy", epoch: int | None = None) -> Curves:
        return after(results, called(variant, size), column, epoch)

    first = [at(variant, epoch=1) for variant in NORMS]
    last = [at(variant) for variant in NORMS]
    gap = at("batch norm 0.999", "generalization_gap", 1)
    d3 = (
        f"test with decay 0.9, 0.99, 0.999 after the first epoch {listed(first)}, at the end {listed(last)}; 0.9 "
        f"against 0.999: {compared(first[0], first[2])} at first, {compared(last[0], last[2])} at the end; the gap of "
        f"0.999 after the first epoch, both sets evaluated with the moving averages, is {percent(gap)}"
    )
    plain, dropout, norm, both = (at(variant) for variant in ("plain", "dropout", "batch norm 0.9", "both"))
    d4 = (
        f"test plain, dropout, batch norm, both: {listed([plain, dropout, norm, both])}; both: "
        f"{compared(both, dropout)} against dropout, {compared(both, norm)} against batch norm"
    )
    runs = results.paired(called("plain", size))
    stops = [run["stop_epoch"] for run in runs if run["stop_epoch"]]
    best = [run["best_epoch"] for run in runs]
    kept_loss, loss, kept = at("plain", "test_loss", BEST), at("plain", "test_loss"), at("plain", epoch=BEST)
    d5 = (
        f"validation stops {len(stops)} of {len(runs)} seeds, {epochs(stops)}, and keeps the model {epochs(best)}; "
        f"test loss kept {spread(kept_loss)}, at the end {spread(loss)}; test accuracy kept {percent(kept)}, at the "
        f"end {percent(plain)}; at the end the loss is {compared(loss, kept_loss)}, accuracy {compared(plain, kept)}"
    )
    shifts = [
        np.array([run.get("moving_over_real", np.nan) for run in results.paired(called(variant, size))])
        for variant in ("batch norm 0.9", "both")
    ]
    li = f"moving variance over variance in evaluation {spread(shifts[0])} without dropout, {spread(shifts[1])} with it"
    return {
        "D3": (d3, size != 32 or (exceeds(first[0], first[2]) and exceeds(last[0], last[2]))),
        "D4": (d4, exceeds(both, dropout) and exceeds(both, norm)),
        "D5": (d5, len(stops) == len(runs) and exceeds(loss, kept_loss)),
        "Li 2018": (li, exceeds(shifts[1], shifts[0])),
    }


def after(results: Results, name: str, column: str, epoch: int | None = None) -> Curves:
    """Return a column after an epoch (None: the last planned), a number per seed; NaN once a run has diverged."""
    values = []
    for run in results.paired(name):
        number = run["best_epoch"] if epoch == BEST else epoch or results.settings["epochs"]
        history = [np.nan, *run["history"][column]]
        values.append(history[number] if number < len(history) else np.nan)
    return np.array(values)


def epochs(numbers: list[int]) -> str:
    """Format a list of epochs."""
    return f"after epoch {', '.join(map(str, numbers))}" if numbers else "after no epoch"


def listed(accuracies: list[Curves]) -> str:
    """Format several accuracies."""
    return ", ".join(percent(values) for values in accuracies)


def compared(one: Curves, other: Curves) -> str:
    """Tell in a word how ``one`` differs from ``other``, if it does by more than chance."""
    return "higher" if exceeds(one, other) else "lower" if exceeds(other, one) else "not told apart"


def draw(results: Results, path: Path) -> None:
    """Draw the curves of the plain runs and of the decays; below, what each variant ends with."""
    figure, axes = plt.subplots(2, 3, figsize=(15, 9), layout="constrained")
    ends: dict[str, list[float]] = {"test_accuracy": [], "test_loss": []}
    for (size, lr), colour in PLAIN.items():
        name, label = called("plain", size, lr), f"batch {size}" + ("" if lr == LR else f" at rate {lr:g}")
        line(axes[0, 0], results, name, "train_accuracy", colour, "", ":")
        for ax, column in zip(axes[0], ends, strict=False):
            line(ax, results, name, column, colour, label, "-" if lr == LR else "--")
            ends[column].extend(after(results, name, column))
        best = [run["best_epoch"] for run in results.paired(name)]
        axes[0, 1].scatter(best, after(results, name, "test_loss", BEST), 28, colour, edgecolor="white", zorder=3)
    # What is long past at the end would press the rest together; a run that diverged has no end.
    axes[0, 0].set_ylim(100 * np.fmin.reduce(ends["test_accuracy"], initial=1) - 3, 100.5)
    lowest, highest = np.fmin.reduce(ends["test_loss"], initial=1), np.fmax.reduce(ends["test_loss"], initial=0.1)
    axes[0, 1].set_ylim(0.5 * lowest, 1.5 * highest)
    for name, colour in zip(NORMS, NORM_COLOURS, strict=True):
        for size, style in zip(SIZES, ("--", "-"), strict=True):
            label = f"decay {name.split()[-1]}, batch {size}"
            line(axes[0, 2], results, called(name, size), "test_accuracy", colour, label, style, most=10)
    axes[0, 0].set(title="No remedy: training dotted, test solid or dashed", ylabel="training and test accuracy (%)")
    axes[0, 1].set(title="No remedy; circles: what early stopping keeps", ylabel="test loss (nats)")
    axes[0, 2].set(title="Batch norm: slow averages lag at first", ylabel="test accuracy (%)")
    axes[0, 2].legend(loc="lower right")
    for ax in axes[0]:
        ax.set_xlabel("epochs")
        ax.xaxis.get_major_locator().set_params(integer=True)
    dots(axes[1, 0], results, "generalization_gap", "train − test accuracy at the end (percentage points)")
    dots(axes[1, 1], results, "test_accuracy", "test accuracy at the end (%)")
    dots(axes[1, 2], results, "test_loss", "test loss at the end (nats)")
    for ax in axes.flat:
        ax.grid(alpha=0.3)
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    scale = f"{results.settings['train_size']:,} images, {results.settings['epochs']} epochs{over_seeds(results)}"
    figure.suptitle(f"Batch size and overfitting: {scale}")
    save_figure(figure, path)


def line(
    ax: Axes, results: Results, name: str, column: str, colour: str, label: str, style: str, most: int | None = None
) -> None:
    """Draw a column against its epochs, the first ``most`` of them; accuracies in per cent."""
    curves = results.curves(name, column)[:, :most] * (100 if "accuracy" in column else 1)
    band(ax, np.arange(1.0, curves.shape[1] + 1), curves, colour, label, linestyle=style)


def dots(ax: Axes, results: Results, column: str, label: str) -> None:
    """Draw what runs end with: a row for each variant and batch size, a dot for each seed, a stroke for their mean."""
    plain, *others = VARIANTS
    rows = {plain: (plain, None), "early stopping": (plain, BEST)} | {name: (name, None) for name in others}
    for size, shift in zip(SIZES, (-0.15, 0.15), strict=True):
        for row, (variant, epoch) in enumerate(rows.values()):
            values = after(results, called(variant, size), column, epoch) * (1 if "loss" in column else 100)
            ax.scatter(values, np.full(len(values), row + shift), 20, PLAIN[size, LR], alpha=0.6)
            ax.plot([values.mean()] * 2, [row + shift - 0.13, row + shift + 0.13], color=PLAIN[size, LR])
    first = ax.get_subplotspec().is_first_col()  # type: ignore[union-attr]
    ax.set(yticks=range(len(rows)), yticklabels=list(rows) if first else [], xlabel=label)
    ax.invert_yaxis()


if __name__ == "__main__":
    run_script(main)
