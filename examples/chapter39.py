"""Chapter 39: what the batch size does to the gradient.

Question: a batch's gradient is the mean over its samples. Do these agree, or do they compete and cancel? And how do the
gradients of large batches differ from those of small ones: in length, in spread, in how far they carry the weights?

First a law that needs no experiment, but must pass one. For batches of B out of N samples, drawn without replacement,

    E‖g_B‖² = ‖G‖² + tr(Σ)/B · (N − B)/(N − 1)

with G the gradient over all samples and Σ the covariance of the samples' gradients. So at the same weights the *mean*
gradient of a batch becomes shorter as B grows, down to ‖G‖. When the chapter finds that gradients become longer with
the batch size, it can only speak of *sums* over the batch, or of weights that differ. The figure shows both reductions.

What to look at in the figure: on top, the law's line passes through the measurements; the histograms show the lengths
of batch gradients early and late in training, each batch size at the weights it has itself led to. Below, sums and
means; angles between the gradients of two samples of a batch; the way travelled from the initial weights, against
epochs and against updates. At the bottom, the minima of small and of large batches after Keskar et al.: how sharp they
are, and the loss along the line through both. Two caveats: Dinh et al. 2017 show that sharpness can be changed at will
by writing the same network with other weights, and Shallue et al. 2019 find no evidence that larger batches generalise
worse once everything else is tuned.

The gradients of single samples need no second backward pass: for a dense layer they are outer products x_b dy_bᵀ, so
that the scalar product of two of them is (x_a · x_b + 1)(dy_a · dy_b), where the 1 stands for the bias.

The chapter's settings are those of chapter 37, for 10 epochs; all runs start from the same weights, and the seed draws
the order of the samples. Keskar's network F1 (five layers of 512 units with batch normalisation, Adam) is trained on
the first 20,000 images with batches of 256 and of 10 %, and its loss is taken as in training, over the first 5,000.

    python examples/chapter39.py --jobs 2      # five seeds: about 20 minutes on two cores
    python examples/chapter39.py --quick       # a taste in less than a minute

Sources: Deep Learning Book (Data Science Academy), chapter 39, claims G1 to G4; Keskar et al. 2017, "On large-batch
training for deep learning", section 2.2 and metric 2.1; Dinh et al. 2017, "Sharp minima can generalize for deep nets";
Shallue et al. 2019, "Measuring the effects of data parallelism on neural network training".
"""

from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from scipy.optimize import Bounds, minimize

import minidl
from lab.claims import claims_table, in_full
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.network import mnist, network, train
from lab.plots import band, over_seeds, save_figure
from lab.results import Claims, Curves, Results, Settings
from lab.runs import Run
from lab.statistics import exceeds, percent, spread
from minidl.backend import Array

COLOURS = {64: "tab:orange", 256: "tab:green", 1024: "#b58fd6"}
TIMES = ("early", "late")
FULL = {
    "train_size": 60_000,
    "epochs": 10,
    "batches": 200,
    "stride": 4096,
    "law_sizes": [16, 64, 256, 1024, 4096],
    "keskar_size": 20_000,
    "keskar_epochs": {"small": 20, "large": 60},
    "keskar_width": 512,
    "sharpness_samples": 5_000,
}
QUICK = {
    "train_size": 3_000,
    "epochs": 2,
    "batches": 30,
    "stride": 1024,
    "law_sizes": [16, 64, 256, 1024],
    "keskar_size": 2_000,
    "keskar_epochs": {"small": 2, "large": 6},
    "keskar_width": 64,
    "sharpness_samples": 500,
}
KESKAR_SEEDS = 3
Looks: TypeAlias = dict[tuple[str, int], Curves]
"""What was seen at each time with each batch size, a row for each seed."""
RADII = (1e-3, 5e-4)
LINE = [round(-0.5 + 0.1 * step, 1) for step in range(21)]
CAVEATS = (
    "Dinh et al. 2017: rescaling the weights changes sharpness and leaves the function alone; "
    "Shallue et al. 2019: no evidence that larger batches generalise worse once everything is tuned."
)
CLAIMS = {
    "law": "E‖g_B‖² = ‖G‖² + tr(Σ)/B · (N − B)/(N − 1)",
    "G1": "the gradients of samples in one batch compete and cancel",
    "G2": "for the same number of samples seen, the gradient norm rises with the batch size",
    "G2 means": "for the same number of samples seen, the gradient norm rises with the batch size, taken as means",
    "G3": "norms of large-batch gradients have a heavier tail; small-batch updates are all about the same size",
    "G4": "the distance from the initial weights grows; larger batches travel less far per epoch and vary more",
    "Keskar 2017": "large batches end in sharper minima, and generalise worse",
}


def main(given: list[str] | None = None) -> None:
    """Run what is missing, and print which claims held."""
    args = parse(options("Chapter 39: what the batch size does to the gradient.", seeds=[0, 1, 2, 3, 4]), given)
    settings = {
        "data": "MNIST, standardised with mean and standard deviation of the training set",
        "network": "784-1024-1024-10, ReLU, log-softmax, negative log-likelihood; Keskar: F1, batch-normalised",
        "initialisation": "he_normal, biases zero, the same weights for all seeds",
        "optimizer": "SGD; Keskar: Adam",
        "lr": 0.01,
        "keskar_lr": 0.001,
        "dtype": "float32",
        "backend": args.backend,
    } | (QUICK if args.quick else FULL)
    results = Results(args.out / "chapter39.json", settings, environment(args.backend))
    runs = [Run(f"batch {size}", seed, travel, {"batch_size": size}) for seed in args.seeds for size in COLOURS]
    runs += [Run("law", seed, check_law, {}) for seed in args.seeds]
    runs += [Run("minima", seed, compare_minima, {}) for seed in args.seeds[:KESKAR_SEEDS]]
    conduct(results, runs, verdicts, draw, args.jobs)
    print(f"Caveats. {CAVEATS}")


def travel(settings: Settings, seed: int, batch_size: int) -> dict[str, Any]:
    """Train, follow the distance from the initial weights, and look at gradients after the first and the last epoch."""
    data, _ = mnist(settings["train_size"], settings["backend"])
    model, optimizer = network(0, settings["backend"]), minidl.SGD(settings["lr"])
    rng = np.random.default_rng(seed)
    start, seen, stride = model.params.copy(), 0, settings["stride"]
    way: dict[str, list[float]] = {"samples": [0], "distance": [0.0]}
    gradients = {}
    for epoch in range(settings["epochs"]):
        for x, labels in minidl.minibatches(data, batch_size, rng):
            optimizer.step(model.params, batch_gradient(model, x, labels))
            seen += len(x)
            if seen // stride > (seen - len(x)) // stride:
                way["samples"].append(seen)
                way["distance"].append(norm(model.params - start))
        if epoch in (0, settings["epochs"] - 1):
            gradients[TIMES[epoch > 0]] = look_at_gradients(model, data, batch_size, settings["batches"], rng)
    return {"way": way, "gradients": gradients}


def look_at_gradients(
    model: minidl.Sequential, data: minidl.Dataset, batch_size: int, batches: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Measure lengths of batch gradients and of samples' gradients, and angles between these within a batch."""
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


def compare_minima(settings: Settings, seed: int) -> dict[str, Any]:
    """Train Keskar's F1 with small and large batches; measure sharpness, and the loss along the line through both."""
    data, test = mnist(settings["keskar_size"], settings["backend"])
    few = minidl.Dataset(*(array[: settings["sharpness_samples"]] for array in data))
    few_test = minidl.Dataset(*(array[: settings["sharpness_samples"]] for array in test))
    found: dict[str, Any] = {}
    ends = []
    for name, batch_size in (("small", 256), ("large", len(data.x) // 10)):
        model, epochs = keskar_f1(seed, settings["backend"], settings["keskar_width"]), settings["keskar_epochs"][name]
        optimizer = minidl.Adam(settings["keskar_lr"])
        found[name] = train(model, optimizer, data, test, epochs=epochs, batch_size=batch_size, seed=seed)
        found[name]["sharpness"] = [sharpness(model, few, radius) for radius in RADII]
        ends.append(model.params.copy())
    line = []
    for way in LINE:
        model.params[...] = (1 - way) * ends[0] + way * ends[1]
        line.append([loss_as_in_training(model, *part) for part in (few, few_test)])
    return found | {"line": line}


def keskar_f1(seed: int, backend: str, width: int) -> minidl.Sequential:
    """Return the network F1 of Keskar et al., where the width is 512."""
    layers: list[minidl.Layer] = []
    for features in (784, width, width, width, width):
        layers += [minidl.Dense(features, width), minidl.BatchNorm(width), minidl.ReLU()]
    return minidl.Sequential(*layers, minidl.Dense(width, 10), minidl.LogSoftmax(), seed=seed, backend=backend)


def sharpness(model: minidl.Sequential, data: minidl.Dataset, radius: float) -> float:
    """Return how much the loss f can rise in a small box around the weights x, in per cent of 1 + f.

    100 (max f(x + z) − f(x)) / (1 + f(x)) over |z_i| ≤ ε (|x_i| + 1), searched by ten iterations of L-BFGS-B.

    Its first step is as long as the gradient, and where the loss curves upwards it never learns to take longer ones: at
    the bottom of a valley it would not leave its start. So the box is searched in units of its sides, u from −1 to 1,
    and f is multiplied by what makes the first step lead to its walls.

    Source: Keskar et al. 2017, metric 2.1, in the full space.
    """
    start = model.params.copy()
    x = minidl.to_numpy(start).astype("float64")
    box = radius * (np.abs(x) + 1)

    def fall(u: Array) -> tuple[float, Array]:
        model.params[...] = minidl.array_module(start).asarray(x + box * u, dtype=start.dtype)
        slope = -minidl.to_numpy(batch_gradient(model, *data)).astype("float64")
        return -loss_as_in_training(model, *data), box * slope

    lowest, slope = fall(np.zeros_like(x))
    scale = np.sqrt(x.size) / max(norm(slope), 1e-30)

    def scaled(u: Array) -> tuple[float, Array]:
        value, slope = fall(u)
        return scale * value, scale * slope

    to_the_end: Any = {"maxiter": 10, "gtol": 0.0, "ftol": 0.0}
    best = minimize(scaled, np.zeros_like(x), jac=True, method="L-BFGS-B", bounds=Bounds(-1.0, 1.0), options=to_the_end)
    model.params[...] = start
    return float(100 * (lowest - best.fun / scale) / (1 - lowest))


def loss_as_in_training(model: minidl.Sequential, x: Array, labels: Array) -> float:
    """Return the mean loss with batch normalisation over all of ``x``, which depends on the weights alone."""
    return float(minidl.NLLLoss().forward(model.forward(x, training=True), labels))


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
    """Return some samples, without replacement."""
    return next(minidl.minibatches(data, min(size, len(data.x)), rng))


def norm(vector: Array) -> float:
    """Return the Euclidean length of a vector."""
    return float(minidl.array_module(vector).sqrt(vector @ vector))


def verdicts(results: Results) -> Claims:
    """Hold the claims against what was measured.

    The law holds if the mean over the seeds of (measured − predicted), in standard errors, is within 3 of 0 for every
    batch size. G1: the samples' gradients *cancel* if a batch's gradient is shorter than half of theirs, and *compete*
    if more than half of the angles between them are obtuse, at each batch size, early and late. G2 is judged twice: for
    sums over a batch, and for means. G3: the tail is the 95th percentile over the median, and must be heavier for 1024
    than for 64, early and late. G4: distances grow all the time; at the end 64 is ahead of 256, and this of 1024; and
    where 64 is as far as 1024 comes, the distances of the seeds differ less. Keskar: the large batch is sharper at both
    radii, and lower in test accuracy. Differences must exceed chance, see `lab.statistics.exceeds`.
    """
    sizes = list(COLOURS)

    def rises(values: Looks) -> bool:
        steps = [(time, pair) for time in TIMES for pair in pairwise(sizes)]
        return all(exceeds(values[time, large], values[time, small]) for time, (small, large) in steps)

    def shown(values: Looks, between: str = "; ") -> str:
        return between.join(
            f"{time} " + ", ".join(f"{size}: {spread(values[time, size])}" for size in sizes) for time in TIMES
        )

    law = np.array([run["law"] for run in results.called("law")])  # (seeds, sizes, 4)
    errors = ((law[:, :, 2] - law[:, :, 1]) / law[:, :, 3]).mean(axis=0) * np.sqrt(len(law))
    norms, single = looks(results, "norms"), looks(results, "mean_sample_norm")
    negative, cosine = looks(results, "negative_cosines"), looks(results, "mean_cosine")
    means = {key: values.mean(axis=1) for key, values in norms.items()}
    sums = {(time, size): size * values for (time, size), values in means.items()}
    shorter = {key: means[key] / single[key] for key in means}
    tail = {key: np.percentile(values, 95, axis=1) / np.median(values, axis=1) for key, values in norms.items()}
    distance = {size: ways(results, size)[1] for size in sizes}
    grows = all(bool((np.diff(distance[size].mean(axis=0)) > 0).all()) for size in sizes)
    ordered = all(exceeds(distance[small][:, -1], distance[large][:, -1]) for small, large in pairwise(sizes))
    far = distance[1024][:, -1]
    deviation = float(np.interp(far.mean(), distance[64].mean(axis=0), deviations(distance[64])))
    minima = results.called("minima")
    sharp = {name: np.array([run[name]["sharpness"] for run in minima]) for name in ("small", "large")}
    test, loss = (
        {name: np.array([run[name]["history"][column][-1] for run in minima]) for name in sharp}
        for column in ("test_accuracy", "train_loss")
    )
    found = {
        "law": (
            "measured minus predicted, in standard errors: "
            + ", ".join(f"B = {int(size)}: {error:+.1f}" for size, error in zip(law[0, :, 0], errors, strict=True)),
            bool((abs(errors) < 3).all()),
        ),
        "G1": (
            f"a batch's gradient over a sample's {shown(shorter, ', ')}; "
            f"obtuse angles at 64: {percent(negative['early', 64])}, {percent(negative['late', 64])}, "
            f"mean cosine {spread(cosine['early', 64], '.2f')}, {spread(cosine['late', 64], '.2f')}",
            all(shorter[key].mean() < 0.5 and negative[key].mean() > 0.5 for key in shorter),
        ),
        "G2": (f"as sums over a batch: {shown(sums)}", rises(sums)),
        "G2 means": (f"as means: {shown(means)}", rises(means)),
        "G3": (
            f"95th percentile over median: {shown(tail)}",
            all(exceeds(tail[time, 1024], tail[time, 64]) for time in TIMES),
        ),
        "G4": (
            "distance at the end "
            + ", ".join(f"{size}: {spread(distance[size][:, -1])}" for size in sizes)
            + f"; at a distance of {far.mean():.2f} the seeds of 64 differ by {deviation:.2g}, those of 1024 by "
            f"{deviations(distance[1024])[-1]:.2g}",
            grows and ordered and bool(deviations(distance[1024])[-1] > deviation),
        ),
        "Keskar 2017": (
            "; ".join(
                f"{name} batch: test {percent(test[name])}, training loss {spread(loss[name])}, sharpness "
                f"{spread(sharp[name][:, 0])} (ε = 1e-3), {spread(sharp[name][:, 1])} (5e-4)"
                for name in sharp
            ),
            exceeds(test["small"], test["large"])
            and all(exceeds(sharp["large"][:, i], sharp["small"][:, i]) for i in range(len(RADII))),
        ),
    }
    decided = in_full(results.settings, FULL)
    return claims_table(CLAIMS, found, decided, "" if decided else " (a quick run)")


def looks(results: Results, key: str) -> Looks:
    """Return what was measured as ``key`` at each time with each batch size: (seeds, ...)."""
    return {
        (time, size): np.array([run["gradients"][time][key] for run in results.called(f"batch {size}")])
        for time in TIMES
        for size in COLOURS
    }


def ways(results: Results, batch_size: int) -> tuple[Curves, Curves]:
    """Return samples seen, (times,), and distances from the initial weights, (seeds, times)."""
    runs = results.called(f"batch {batch_size}")
    return np.array(runs[0]["way"]["samples"], float), np.array([run["way"]["distance"] for run in runs])


def deviations(curves: Curves) -> Curves:
    """Return the standard deviation over the seeds, 0 where there is one only."""
    return curves.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros(curves.shape[1])


def draw(results: Results, path: Path) -> None:
    """Draw the law, the gradients, the ways and the minima."""
    figure, axes = plt.subplots(3, 3, figsize=(14, 11.5), layout="constrained")
    figure.suptitle(f"Chapter 39: what the batch size does to the gradient{over_seeds(results)}")
    draw_law(axes[0, 0], results)
    draw_lengths(axes[0, 1], results, "early", 1)
    draw_lengths(axes[0, 2], results, "late", results.settings["epochs"])
    draw_reductions(axes[1, 0], results)
    draw_angles(axes[1, 1], results)
    draw_ways(axes[1, 2], axes[2, 0], results)
    draw_minima(axes[2, 1], axes[2, 2], results)
    save_figure(figure, path)


def draw_law(ax: Axes, results: Results) -> None:
    """Draw E‖g_B‖² as predicted, and as measured."""
    law = np.array([run["law"] for run in results.called("law")])
    sizes, predicted, measured = law[0, :, 0], law[:, :, 1], law[:, :, 2]
    floor = np.mean([run["full_gradient"] ** 2 for run in results.called("law")])
    ax.plot(sizes, predicted.mean(axis=0), color="0.5", label="‖G‖² + tr(Σ)/B · (N − B)/(N − 1)")
    ax.plot(
        np.tile(sizes, len(law)), measured.ravel(), "o", color="tab:blue", alpha=0.6, label="measured, one point a seed"
    )
    ax.axhline(floor, color="0.5", linestyle=":", label="‖G‖²")
    ax.set(
        xscale="log", yscale="log", xlabel="batch size B", ylabel="mean of ‖g_B‖²", title="The law, at the same weights"
    )
    ax.legend()


def draw_lengths(ax: Axes, results: Results, time: str, after: int) -> None:
    """Draw histograms of the lengths of batch gradients, of all seeds together."""
    norms = looks(results, "norms")
    pooled = {size: norms[time, size].ravel() for size in COLOURS}
    edges = np.geomspace(min(map(min, pooled.values())), max(map(max, pooled.values())), 40).tolist()
    for size, colour in COLOURS.items():
        ax.hist(pooled[size], edges, histtype="stepfilled", color=colour, alpha=0.6, label=f"batch {size}")
    ax.set(xscale="log", xlabel="length of a batch's mean gradient", ylabel="batches")
    ax.set_title(f"{time}: after {after} epoch{'s' * (after > 1)}, each at its own weights")
    ax.legend()


def draw_reductions(ax: Axes, results: Results) -> None:
    """Draw the lengths of means and of sums against the batch size."""
    sizes, norms = np.array(list(COLOURS), float), looks(results, "norms")
    for time, style in zip(TIMES, ("-", "--"), strict=True):
        means = np.stack([norms[time, size].mean(axis=1) for size in COLOURS], axis=1)
        band(ax, sizes, means * sizes, "tab:red", f"sum, {time}", marker="o", linestyle=style)
        band(ax, sizes, means, "tab:blue", f"mean, {time}", marker="o", linestyle=style)
    ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel="length of a batch's gradient")
    ax.set(xticks=sizes, xticklabels=list(COLOURS), title="Two reductions: the sum grows, by definition nearly")
    ax.minorticks_off()
    ax.legend()


def draw_angles(ax: Axes, results: Results) -> None:
    """Draw the histogram of cosines between the gradients of samples in a batch of 64."""
    edges = np.linspace(-1, 1, 41)
    for time, colour in zip(TIMES, ("tab:cyan", "tab:brown"), strict=True):
        counts = np.sum([run["gradients"][time]["cosines"] for run in results.called("batch 64")], axis=0)
        ax.stairs(100 * counts / counts.sum(), edges, fill=True, color=colour, alpha=0.5, label=time)
    ax.axvline(0, color="0.3", linewidth=1)
    ax.set(xlabel="cosine between two samples' gradients", ylabel="pairs (%)", title="Samples of one batch of 64")
    ax.set_xticks([-1, -0.5, 0, 0.5, 1])
    ax.legend()


def draw_ways(against_epochs: Axes, against_updates: Axes, results: Results) -> None:
    """Draw the distance from the initial weights."""
    n = results.settings["train_size"]
    for size, colour in COLOURS.items():
        samples, distance = ways(results, size)
        band(against_epochs, samples / n, distance, colour, f"batch {size}")
        band(against_updates, samples[1:] / size, distance[:, 1:], colour, f"batch {size}")  # 0 has no logarithm
    against_epochs.set(xlabel="epochs", ylabel="distance from the initial weights", title="The way, against epochs")
    against_updates.set(xlabel="updates (logarithmic)", ylabel="distance from the initial weights", xscale="log")
    against_updates.set_title("The way, against updates")
    for ax in (against_epochs, against_updates):
        ax.legend()
        ax.grid(alpha=0.3)


def draw_minima(points: Axes, line: Axes, results: Results) -> None:
    """Draw sharpness, and the loss on the line from the small batch's minimum to the large batch's."""
    runs = results.called("minima")
    for name, colour, shift in (("small", "tab:orange", -0.08), ("large", "#b58fd6", 0.08)):
        values = np.array([run[name]["sharpness"] for run in runs])
        for column in range(len(RADII)):
            x = np.full(len(values), column + shift)
            points.plot(x, values[:, column], "o", color=colour, label=None if column else f"{name} batch")
    points.set(xticks=range(len(RADII)), xticklabels=[f"ε = {radius:g}" for radius in RADII], xlim=(-0.5, 1.5))
    points.set(yscale="log", ylabel="sharpness (%)", title="Keskar: sharpness, a point a seed")
    points.legend()
    curves = np.array([run["line"] for run in runs])  # (seeds, points, 2)
    for part, (label, colour) in enumerate((("training images", "tab:blue"), ("test images", "tab:red"))):
        band(line, np.array(LINE), curves[:, :, part], colour, label)
    for place, name in ((0, "small"), (1, "large")):
        line.axvline(place, color="0.7", linewidth=1)
        line.annotate(name, (place, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", color="0.4")
    line.set(yscale="log", xlabel="position on the line", ylabel="loss")
    line.set_title("Along the line through both minima", pad=16)
    line.legend()


if __name__ == "__main__":
    run_script(main)
