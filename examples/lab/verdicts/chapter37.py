"""The claims of chapter 37, and the rules that decide them; docs/experiments/rules.md has the reason for each."""

from itertools import pairwise

import numpy as np

from lab.claims import Definition, Missing, Part, Rule
from lab.formats import percent
from lab.in_short import ranked
from lab.results import Curves, Results
from lab.statistics import HALF_POINT, Comparison, about, better

CLAIMS = {
    "A1": "three modes: batch (an iteration is an epoch), mini-batch, stochastic (batch size 1)",
    "A2": "generalisation gap = train accuracy − test accuracy",
    "A3": "after 30 epochs, larger batches have lower test and train accuracy: 64 > 256 > 1024",
    "A4": "batch 64: 100 % train, 98 % test",
    "A5": "batch 1024: about 96 % test",
    "A6": "batch 2: 99 % test, better than 64",
    "A7": "batch 1 generally works very badly (source D quotes the opposite: it often generalises best)",
    "A8": "smaller batches learn faster per epoch: test accuracy after the first, all batch sizes",
    "A8, as drawn": "the same, for the batch sizes that the chapter compares",
}
SIZES = (64, 256, 1024)
"""The batch sizes that the chapter compares."""
ALL_SIZES = (1, 2, *SIZES)
"""These, and those that it speaks of."""
MISSING = "its batch sizes are not all among the runs"


def three_modes(results: Results) -> tuple[str, list[Part]]:
    """A1: n images make n updates at batch 1, ⌈n / 64⌉ at batch 64, and one at batch n."""
    n = results.settings["train_size"]
    if not {1, 64, n} <= set(batch_sizes(results)):
        return MISSING, [Missing(MISSING)]
    first = {size: after(results, size, "updates", epoch=0)[0] for size in (1, 64, n)}
    measured = "updates in an epoch at " + ", ".join(f"batch {size:,}: {first[size]:,.0f}" for size in first)
    return measured, [Definition(first == {1: n, 64: -(-n // 64), n: 1})]


def gap_is_the_difference(results: Results) -> tuple[str, list[Part]]:
    """A2: the column of that name is train accuracy − test accuracy, after every epoch."""
    columns = ("generalization_gap", "train_accuracy", "test_accuracy")
    curves = [[results.curves(f"batch {size}", column) for column in columns] for size in SIZES]
    held = all(np.allclose(gap, train - test, atol=1e-12) for gap, train, test in curves)
    measured = f"the column generalization_gap is that difference; at the end {shown(results, columns[0])}"
    return measured, [Definition(held)]


def larger_batches_end_lower(results: Results) -> tuple[str, list[Part]]:
    """A3: at the end, both accuracies fall from 64 to 256 to 1024."""
    measured = f"test {shown(results)}; train {shown(results, 'train_accuracy')}"
    return measured, falls(results, SIZES, "test_accuracy") + falls(results, SIZES, "train_accuracy")


def batch_64(results: Results) -> tuple[str, list[Part]]:
    """A4: both accuracies of batch 64 are the chapter's, to half a point."""
    train, test = after(results, 64, "train_accuracy"), after(results, 64)
    measured = f"train {percent(train)}, test {percent(test)}"
    return measured, [about("train", train, 1.00)._replace(noise=0.0), about("test", test, 0.98)]


def batch_1024(results: Results) -> tuple[str, list[Part]]:
    """A5: the test accuracy of batch 1024 is 96 %, to half a point."""
    test = after(results, 1024)
    return f"test {percent(test)}", [about("1024", test, 0.96)]


def batch_2(results: Results) -> tuple[str, list[Part]]:
    """A6: the test accuracy of batch 2 is 99 %, to half a point, and above that of 64."""
    test = after(results, 2)
    return f"test {shown(results, sizes=(2, 64))}", [about("2", test, 0.99), higher(results, 2, 64)]


def batch_1_is_bad(results: Results) -> tuple[str, list[Part]]:
    """A7: batch 1 ends more than half a point below batch 64, the chapter's standard, and below 2, its neighbour.

    "Very badly" has no number. A difference that the chapter's whole per cents can show is the least that it may mean.
    """
    others = [size for size in batch_sizes(results) if size not in (1, results.settings["train_size"])]
    parts: list[Part] = [higher(results, size, 1, HALF_POINT) for size in (2, 64)]
    return f"test {shown(results, sizes=(1, *others))}", parts


def smaller_batches_learn_faster(results: Results) -> tuple[str, list[Part]]:
    """A8: after the first epoch, test accuracy falls from each batch size among the runs to the next."""
    sizes = batch_sizes(results)
    return f"test {shown(results, epoch=0, sizes=tuple(sizes))}", falls(results, sizes, "test_accuracy", epoch=0)


def smaller_batches_drawn_learn_faster(results: Results) -> tuple[str, list[Part]]:
    """A8, as drawn: the same, from 64 to 256 to 1024."""
    return f"test {shown(results, epoch=0)}", falls(results, SIZES, "test_accuracy", epoch=0)


def needs(sizes: tuple[int, ...], rule: Rule) -> Rule:
    """Return a rule that judges only if these batch sizes are among the runs."""
    return lambda results: rule(results) if set(sizes) <= set(batch_sizes(results)) else (MISSING, [Missing(MISSING)])


def batch_sizes(results: Results) -> list[int]:
    """Return the batch sizes among the runs, in order."""
    return sorted({run["batch_size"] for run in results.runs})


def after(results: Results, size: int, column: str = "test_accuracy", epoch: int = -1) -> Curves:
    """Return what the runs with one batch size have in a column after an epoch: (seeds,)."""
    return results.curves(f"batch {size}", column)[:, epoch]


def higher(
    results: Results, one: int, other: int, by: float = 0.0, column: str = "test_accuracy", epoch: int = -1
) -> Comparison:
    """Compare two batch sizes with the seeds that both have: is ``one`` above ``other``, by more than ``by``?"""
    seeds = [[run["seed"] for run in results.called(f"batch {size}")] for size in (one, other)]
    both = sorted(set(seeds[0]) & set(seeds[1]))
    first = after(results, one, column, epoch)[np.isin(seeds[0], both)]
    second = after(results, other, column, epoch)[np.isin(seeds[1], both)]
    compared = better(f"{column.partition('_')[0]} {one} − {other}", first, second, by)
    return compared if column == "test_accuracy" else compared._replace(noise=0.0)


def falls(
    results: Results, sizes: tuple[int, ...] | list[int], column: str = "test_accuracy", epoch: int = -1
) -> list[Part]:
    """Compare each batch size with the next larger: does accuracy fall?"""
    return [higher(results, small, large, 0.0, column, epoch) for small, large in pairwise(sizes)]


def shown(results: Results, column: str = "test_accuracy", epoch: int = -1, sizes: tuple[int, ...] = SIZES) -> str:
    """Format a column after an epoch, for several batch sizes."""
    return ", ".join(
        f"{size}: {percent(after(results, size, column, epoch))}{fewer_seeds(results, size)}" for size in sizes
    )


def fewer_seeds(results: Results, batch_size: int) -> str:
    """Say with how many seeds a batch size was run, if with fewer than another."""
    count = len(results.called(f"batch {batch_size}"))
    most = max(len(results.called(run["name"])) for run in results.runs)
    return "" if count == most else f" ({count} seed{'s' * (count > 1)})"


def in_short(results: Results) -> list[str]:
    """Return the order of the curves, and what to look at in the figure."""
    sizes, settings = batch_sizes(results), results.settings
    ends = {f"batch {size}": 100 * float(after(results, size).mean()) for size in sizes}
    updates = ", ".join(f"{-(-settings['train_size'] // size):,} at batch {size:,}" for size in sizes)
    return [
        f"Test accuracy after {settings['epochs']} epochs on {settings['train_size']:,} images: {ranked(ends)}.",
        f"The figure has the same curves against epochs (left) and against updates (right). Updates in an epoch: "
        f"{updates}.",
    ]


RULES: dict[str, Rule] = {
    "A1": three_modes,
    "A2": needs(SIZES, gap_is_the_difference),
    "A3": needs(SIZES, larger_batches_end_lower),
    "A4": needs((64,), batch_64),
    "A5": needs((1024,), batch_1024),
    "A6": needs((2, 64), batch_2),
    "A7": needs((1, 2, 64), batch_1_is_bad),
    "A8": needs(ALL_SIZES, smaller_batches_learn_faster),
    "A8, as drawn": needs(SIZES, smaller_batches_drawn_learn_faster),
}
