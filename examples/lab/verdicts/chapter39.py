"""The claims of chapter 39, and the rules that decide them; docs/experiments/rules.md has the reason for each."""

from itertools import pairwise
from typing import TypeAlias

import numpy as np

from lab.claims import Definition, Fact, Part, Rule
from lab.formats import NBSP, percent, spread
from lab.in_short import ranked
from lab.results import Curves, Results
from lab.statistics import Comparison, above, better, deviation_ratio

SIZES = (64, 256, 1024)
TIMES = ("early", "late")
CLAIMS = {
    "law": "E‖g‖² = ‖G‖² + tr(Σ)/B · (N − B)/(N − 1), for the mean gradients g of batches of B samples",
    "G1": "the gradients of samples in one batch compete and cancel",
    "G2": "for the same number of samples seen, the gradient norm rises with the batch size",
    "G2 means": "for the same number of samples seen, the gradient norm rises with the batch size, taken as means",
    "G3": "norms of large-batch gradients have a heavier tail; small-batch updates are all about the same size",
    "G4": "the distance from the initial weights grows; larger batches travel less far per epoch and vary more",
    "Keskar 2017": "large batches end in sharper minima, and generalise worse",
}
Looks: TypeAlias = dict[tuple[str, int], Curves]
"""What was seen at each time with each batch size, a row for each seed."""


def law(results: Results) -> tuple[str, list[Part]]:
    """The law: for each batch size, the mean of (measured − predicted), in standard errors, is within 3 of 0."""
    rows = np.array([run["law"] for run in results.called("law")])  # (seeds, sizes, 4)
    errors = ((rows[:, :, 2] - rows[:, :, 1]) / rows[:, :, 3]).mean(axis=0) * np.sqrt(len(rows))
    by_size = (f"B = {int(size)}: {error:+.1f}" for size, error in zip(rows[0, :, 0], errors, strict=True))
    measured = f"measured minus predicted, in standard errors: {', '.join(by_size)}"
    return measured, [Definition(bool((abs(errors) < 3).all()))]


def competing(results: Results) -> tuple[str, list[Part]]:
    """G1: a batch's gradient is shorter than half of its samples', and more than half of the angles are obtuse.

    The first is to *cancel*, the second to *compete*; at each batch size, early and late.
    """
    means, single = mean_lengths(results), looks(results, "mean_sample_norm")
    negative, cosine = looks(results, "negative_cosines"), looks(results, "mean_cosine")
    shorter = {key: means[key] / single[key] for key in means}
    measured = f"a batch's gradient over a sample's {shown(shorter, ', ')}; "
    measured += f"obtuse angles at 64: {', '.join(percent(negative[time, 64]) for time in TIMES)}, "
    measured += f"mean cosine {', '.join(spread(cosine[time, 64], '.2f') for time in TIMES)}"
    parts: list[Part] = [Comparison(f"length, {time} {size}", shorter[time, size], high=0.5) for time, size in shorter]
    parts += [Comparison(f"obtuse, {time} {size}", negative[time, size], low=0.5, unit="%") for time, size in negative]
    return measured, parts


def longer_sums(results: Results) -> tuple[str, list[Part]]:
    """G2: summed over a batch, gradients are longer at each larger batch size, early and late.

    That more is added up is arithmetic: unless gradients point the opposite ways, their sum must grow.
    """
    values = {key: lengths * key[1] for key, lengths in mean_lengths(results).items()}
    pairs = [(values[time, small], values[time, large]) for time in TIMES for small, large in pairwise(SIZES)]
    held = all(bool((small < large).all()) for small, large in pairs)
    return f"as sums over a batch: {shown(values)}", [Definition(held)]


def longer_means(results: Results) -> tuple[str, list[Part]]:
    """G2 means: the mean gradients of a batch are longer at each larger batch size, early and late."""
    values = mean_lengths(results)
    return f"as means: {shown(values)}", [
        above(f"{time}, {large} / {small}", np.log(values[time, large]), np.log(values[time, small]), unit="times")
        for time in TIMES
        for small, large in pairwise(SIZES)
    ]


def heavier_tail(results: Results) -> tuple[str, list[Part]]:
    """G3: the tail, the 95th percentile over the median, is heavier for 1024 than for 64, early and late."""
    norms = looks(results, "norms")
    tail = {key: np.percentile(values, 95, axis=1) / np.median(values, axis=1) for key, values in norms.items()}
    return f"95th percentile over median: {shown(tail)}", [
        above(f"tail of 1024 − 64, {time}", tail[time, 1024], tail[time, 64]) for time in TIMES
    ]


def distances(results: Results) -> tuple[str, list[Part]]:
    """G4: distances grow all the time; at the end 64 is ahead of 256, and 256 of 1024; the seeds of 1024 differ more.

    They are compared with those of 64 where 64 is as far as 1024 comes, by their standard deviations.
    """
    distance = {size: travelled(results, size)[1] for size in SIZES}
    end = {size: values[:, -1] for size, values in distance.items()}
    grows = all(bool((np.diff(values.mean(axis=0)) > 0).all()) for values in distance.values())
    when = float(np.interp(end[1024].mean(), distance[64].mean(axis=0), np.arange(distance[64].shape[1])))
    as_far = np.array([np.interp(when, np.arange(len(way)), way) for way in distance[64]])
    ratio, low, high = deviation_ratio(end[1024], as_far)
    measured = f"distance at the end {', '.join(f'{size}: {spread(end[size])}' for size in SIZES)}; "
    measured += f"where 1024 ends, 64 is at {spread(as_far)}"
    vary = True if low > 1 else False if high < 1 else None
    return measured, [
        Fact("grows all the time" if grows else "does not grow all the time", grows, len(end[64])),
        *(above(f"distance, {small} − {large}", end[small], end[large]) for small, large in pairwise(SIZES)),
        Fact(f"spread, 1024 / 64: {ratio:.3g}{NBSP}× [{low:.3g}, {high:.3g}]", vary, len(as_far)),
    ]


def minima(results: Results) -> tuple[str, list[Part]]:
    """Keskar et al.: the large batch is sharper at both radii, and lower in test accuracy."""
    texts, test, sharp = [], {}, {}
    for name in ("small", "large"):
        runs = [run[name] for run in results.called("minima")]
        ends = [[run["history"][key][-1] for run in runs] for key in ("test_accuracy", "train_loss")]
        test[name], loss = np.array(ends)
        sharp[name] = wide, narrow = np.array([run["sharpness"] for run in runs]).T
        texts.append(f"{name} batch: test {percent(test[name])}, training loss {spread(loss)}, sharpness ")
        texts[-1] += f"{spread(wide)} (ε = 1e-3), {spread(narrow)} (5e-4)"
    parts: list[Part] = [
        above(f"sharpness, large / small, {radius}", np.log(large), np.log(small), unit="times")
        for radius, large, small in zip(("1e-3", "5e-4"), sharp["large"], sharp["small"], strict=True)
    ]
    return "; ".join(texts), [*parts, better("test, small − large", test["small"], test["large"])]


def looks(results: Results, key: str) -> Looks:
    """Return what was measured as ``key`` at each time with each batch size: (seeds, ...)."""
    return {
        (time, size): np.array([run["gradients"][time][key] for run in results.called(f"batch {size}")])
        for time in TIMES
        for size in SIZES
    }


def mean_lengths(results: Results) -> Looks:
    """Return the mean length of batch gradients at each time with each batch size: (seeds,)."""
    return {key: lengths.mean(axis=1) for key, lengths in looks(results, "norms").items()}


def shown(values: Looks, between: str = "; ") -> str:
    """Format one number per seed for each time and batch size."""
    by_time = (f"{time} " + ", ".join(f"{size}: {spread(values[time, size])}" for size in SIZES) for time in TIMES)
    return between.join(by_time)


def travelled(results: Results, batch_size: int) -> tuple[Curves, Curves]:
    """Return samples seen, (times,), and distances from the initial weights, (seeds, times)."""
    runs = results.called(f"batch {batch_size}")
    return np.array(runs[0]["way"]["samples"], float), np.array([run["way"]["distance"] for run in runs])


def in_short(results: Results) -> list[str]:
    """Return how long gradients are, and what to look at in the figure."""
    means = mean_lengths(results)
    lengths = {f"batch {size}": float(means[TIMES[0], size].mean()) for size in SIZES}
    return [
        f"Length of a batch's mean gradient after the first epoch, each at its own weights: "
        f"{ranked(lengths, '{:.3g}')}.",
        "In the upper left of the figure, all at the same weights: the larger the batch, the shorter its mean "
        "gradient. The line is the law, the points are measured.",
    ]


RULES: dict[str, Rule] = {"law": law, "G1": competing, "G2": longer_sums, "G2 means": longer_means, "G3": heavier_tail}
RULES |= {"G4": distances, "Keskar 2017": minima}
