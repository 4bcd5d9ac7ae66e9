"""The claims on how the learning rate should grow with the batch size, H1 to H6, and the rules that decide them.

They were written before anything was run. docs/experiments/rules.md has the reason for each.

A *cell* is a batch size with a learning rate. The best cell of a batch size is that with the highest accuracy on images
held back, for each seed; the test set chooses nothing. The best *rate* may lie between cells: it is the lowest point of
a parabola through the logarithms of the errors, of the best cell and up to two to either side, as far as they train. A
run that diverged is right by chance, in one case of ten.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from lab.claims import Fact, Missing, Part, Rule
from lab.formats import percent, spread
from lab.results import Curves, Results
from lab.statistics import HALF_POINT, Comparison, better

CLAIMS = {
    "H1": "the best learning rate is proportional to the batch size (Goyal et al. 2017)",
    "H2": "the best learning rate is proportional to the root of the batch size (Krizhevsky 2014, Hoffer et al. 2017)",
    "H3": "the best learning rate stops growing at large batch sizes (McCandlish et al. 2018, Shallue et al. 2019)",
    "H4": "batch × k and rate × k: the same accuracy after as many epochs, from 64 to 1024 (Goyal et al. 2017)",
    "H5": "where that fails, batch × k and rate × √k is better (Hoffer et al. 2017)",
    "H6": "after as many updates, each at its best rate, a larger batch is never worse (Shallue et al. 2019)",
    "H7": "after as many epochs, each at its best rate, batches up to 32 are best (Masters and Luschi 2018)",
}
EPOCHS, UPDATES = "equal epochs", "equal updates"
BASE = 64
"""The batch size from which rates are scaled: chapter 37's."""
CHANCE = 0.1
"""The accuracy of a run that diverged."""


class Best(NamedTuple):
    """The best cell of each batch size, for each seed, and the best rate near it: (sizes, seeds)."""

    cells: Curves
    """The rate of the best cell."""
    rates: Curves
    """The best rate, which may lie between cells."""
    test: Curves
    """The test accuracy of the best cell."""


def proportional(power: float) -> Rule:
    """Return the rule of H1 and H2: over the batch sizes, log η* rises with log B by ``power`` ± ¼.

    Only batch sizes count that have room above: twice their best rate still trains, with every seed. Where it does not,
    the rate is at the edge of what is stable, which is another law than either. Three sizes are needed for a slope.
    """

    def rule(results: Results) -> tuple[str, list[Part]]:
        sizes, found = results.settings["sizes"], best(results, EPOCHS)
        counted = [i for i, size in enumerate(sizes) if has_room(results, size, found.cells[i])]
        measured = (
            f"{rates_in_words(results, found)}; room above: {', '.join(str(sizes[i]) for i in counted) or 'none'}"
        )
        if len(counted) < 3:
            return measured, [Missing("lower rates: fewer than three batch sizes have room above their best")]
        log_b, log_rate = np.log([sizes[i] for i in counted]), np.log(found.rates[counted])
        slopes = np.polyfit(log_b, log_rate, 1)[0]
        return measured, [Comparison("power of B", slopes, power - 0.25, power + 0.25), *edges(results, found)]

    return rule


def stops_growing(results: Results) -> tuple[str, list[Part]]:
    """H3: from the largest batch size but one to the largest, the best rate grows by less than √k."""
    found = best(results, EPOCHS)
    large, largest = results.settings["sizes"][-2:]
    growth = np.log(found.rates[-1] / found.rates[-2])
    part = Comparison(f"best rate, {largest} / {large}", growth, high=np.log(largest / large) / 2, unit="times")
    return rates_in_words(results, found), [part, *edges(results, found)]


def linear_scaling(results: Results) -> tuple[str, list[Part]]:
    """H4: from the best rate of batch 64, k = 4 and 16 end no more than half a point lower. How far it goes is said."""
    ends = scaled(results, 1.0)
    measured = "rate × k: " + ", ".join(f"{size}: {percent(values)}" for size, values in ends.items())
    return measured, [
        better(f"{size} − {BASE}", ends[size], ends[BASE], by=-HALF_POINT)
        if size in ends
        else Missing(f"a wider grid: batch {size} at its scaled rate")
        for size in (4 * BASE, 16 * BASE)
    ]


def root_where_linear_fails(results: Results) -> tuple[str, list[Part]]:
    """H5: at the first larger batch size where k ends more than half a point below 64, √k ends above k.

    Further out everything may diverge; what happens there is said.
    """
    linear, root = scaled(results, 1.0), scaled(results, 0.5)
    measured = "; ".join(
        f"rate × {word}: " + ", ".join(f"{size}: {percent(values)}" for size, values in ends.items())
        for word, ends in (("k", linear), ("√k", root))
    )
    failed = [size for size in linear if size > BASE and linear[size].mean() < linear[BASE].mean() - HALF_POINT]
    if not failed:
        return measured, [Missing("batch sizes at which k fails")]
    first = min(failed)
    if (root[first] == CHANCE).all():
        return measured, [Fact(f"{first}: √k diverges as well", False, len(root[first]))]
    return measured, [better(f"{first}: √k − k", root[first], linear[first])]


def larger_is_never_worse(results: Results) -> tuple[str, list[Part]]:
    """H6: after equally many updates, each larger batch size ends no more than half a point below the next smaller."""
    found, sizes = best(results, UPDATES), results.settings["sizes"]
    parts: list[Part] = [
        better(f"{large} − {small}", found.test[i + 1], found.test[i], by=-HALF_POINT)
        for i, (small, large) in enumerate(pairwise(sizes))
    ]
    return tests_in_words(results, found), [*parts, *edges(results, found)]


def small_is_best(results: Results) -> tuple[str, list[Part]]:
    """H7: the better of the sizes up to 32, chosen on images held back, is above each size from 256 on."""
    found, sizes = best(results, EPOCHS), results.settings["sizes"]
    small = [size for size in sizes if size <= 32]
    if not small:
        return tests_in_words(results, found), [Missing("batch sizes up to 32")]
    chosen = np.array([held_back_at_best(results, EPOCHS, size) for size in small]).argmax(axis=0)
    test = found.test[: len(small)][chosen, np.arange(len(chosen))]
    parts: list[Part] = [
        better(f"up to 32 − {size}", test, found.test[i]) for i, size in enumerate(sizes) if size >= 256
    ]
    return tests_in_words(results, found), [*parts, *edges(results, found)]


def named(regime: str, size: int, rate: float) -> str:
    """Return the name of a run."""
    return f"{regime}, batch {size}, rate {rate:g}"


def cell(results: Results, regime: str, size: int, rate: float, key: str = "test_accuracy") -> Curves:
    """Return an accuracy at the end of the runs of a cell: (seeds,)."""
    return np.array([run.get(key, CHANCE) for run in results.called(named(regime, size, rate))])


def grid(results: Results, regime: str, key: str) -> Curves:
    """Return an accuracy at the end of all cells: (sizes, rates, seeds)."""
    sizes, rates = results.settings["sizes"], results.settings["rates"]
    return np.array([[cell(results, regime, size, rate, key) for rate in rates] for size in sizes])


def best(results: Results, regime: str) -> Best:
    """Return the best cells and the best rates."""
    held_back, rates = grid(results, regime, "validation_accuracy"), np.array(results.settings["rates"])
    chosen = held_back.argmax(axis=1)  # (sizes, seeds)
    test = np.take_along_axis(grid(results, regime, "test_accuracy"), chosen[:, None], axis=1)[:, 0]
    between = [
        [lowest_error(rates, held_back[i, :, seed]) for seed in range(held_back.shape[2])]
        for i in range(len(held_back))
    ]
    return Best(rates[chosen], np.array(between), test)


def lowest_error(rates: Curves, accuracy: Curves) -> float:
    """Return the rate at which a parabola through the errors near the best cell is lowest; both are logarithmic."""
    middle = int(accuracy.argmax())
    near = [i for i in range(max(0, middle - 2), min(len(rates), middle + 3)) if accuracy[i] > 2 * CHANCE]
    if len(near) < 3:
        return float(rates[middle])
    x = np.log(rates[near] / rates[middle])
    curvature, slope, _ = np.polyfit(x, np.log(1 - accuracy[near] + 1e-4), 2)  # an error of none has no logarithm
    if curvature <= 0:
        return float(rates[middle])
    step = np.log(rates[1] / rates[0])
    return float(rates[middle] * np.exp(np.clip(-slope / (2 * curvature), -step, step)))


def held_back_at_best(results: Results, regime: str, size: int) -> Curves:
    """Return the accuracy on images held back at the best rate of a batch size: (seeds,)."""
    values: Curves = np.array(
        [cell(results, regime, size, rate, "validation_accuracy") for rate in results.settings["rates"]]
    ).max(axis=0)
    return values


def has_room(results: Results, size: int, cells: Curves) -> bool:
    """Tell whether twice the rate of a batch size's best cell still trains, with every seed."""
    twice = cell(results, EPOCHS, size, 2 * cells.max())
    return bool(len(twice) and twice.min() > 2 * CHANCE)


def scaled(results: Results, power: float) -> dict[int, Curves]:
    """Return how batch sizes end whose rate is that of `BASE` times k to the ``power``, as far as this is known.

    The rate of `BASE` is the best cell's on average over the seeds, on images held back. Where the highest rate of the
    grid diverges with all seeds, higher ones do.
    """
    sizes, rates = results.settings["sizes"], results.settings["rates"]
    means = grid(results, EPOCHS, "validation_accuracy")[sizes.index(BASE)].mean(axis=1)
    start, ends = rates[int(means.argmax())], {}
    for size in sizes:
        rate = start * (size / BASE) ** power
        highest = results.called(named(EPOCHS, size, rates[-1]))
        if rate in rates:
            ends[size] = cell(results, EPOCHS, size, rate)
        elif rate > rates[-1] and all("diverged" in run for run in highest):
            ends[size] = np.full(len(highest), CHANCE)
    return ends


def edges(results: Results, found: Best) -> list[Part]:
    """Return what is missing where the best cell of a batch size has the lowest or the highest rate of the grid."""
    rates, sizes = results.settings["rates"], results.settings["sizes"]
    middle = np.median(found.cells, axis=1)
    at_edge = [size for size, rate in zip(sizes, middle, strict=True) if not rates[0] < rate < rates[-1]]
    return [Missing(f"a wider grid: the best rate of batch {size} is its edge") for size in at_edge]


def rates_in_words(results: Results, found: Best) -> str:
    """Format the best rates and their noise scales ε(N/B − 1)."""
    n = results.settings["train_size"]
    return "best rate (noise scale) " + ", ".join(
        f"{size}: {spread(rates)} ({spread(rates * (n / size - 1))})"
        for size, rates in zip(results.settings["sizes"], found.rates, strict=True)
    )


def tests_in_words(results: Results, found: Best) -> str:
    """Format the test accuracies at the best rates."""
    pairs = zip(results.settings["sizes"], found.test, strict=True)
    return "test at the best rate " + ", ".join(f"{size}: {percent(test)}" for size, test in pairs)


def once_run(rule: Rule) -> Rule:
    """Return a rule that judges only if the map has been run."""
    return lambda results: rule(results) if results.runs else ("", [Missing("the map")])


def in_short(results: Results) -> list[str]:
    """Return the best rates, and what to look at in the figure."""
    found, sizes = best(results, EPOCHS), results.settings["sizes"]
    rates = ", ".join(f"{rate:g} for batch {size}" for size, rate in zip(sizes, found.cells[:, 0], strict=True))
    return [
        f"The best of the rates tried, after as many epochs: {rates}.",
        "In the figure, a ring marks the best rate of each batch size, a cross what diverged. Do the rings lie along "
        "the white lines, on which the rate grows in proportion to the batch size?",
    ]


RULES: dict[str, Rule] = {
    "H1": once_run(proportional(1.0)),
    "H2": once_run(proportional(0.5)),
    "H3": once_run(stops_growing),
    "H4": once_run(linear_scaling),
    "H5": once_run(root_where_linear_fails),
    "H6": once_run(larger_is_never_worse),
    "H7": once_run(small_is_best),
}
