"""The claims of chapter 37, and the rules that decide them, by means over the seeds.

A figure that the chapter gives as "98 %" is reproduced by what rounds to it; "about 96 %" by what lies within one
point.
"""

import numpy as np

from lab.claims import Rule
from lab.results import Curves, Results
from lab.statistics import percent

CLAIMS = {
    "A1": "three modes: batch (an iteration is an epoch), mini-batch, stochastic (batch size 1)",
    "A2": "generalisation gap = train accuracy − test accuracy",
    "A3": "after 30 epochs, larger batches have lower test and train accuracy: 64 > 256 > 1024",
    "A4": "batch 64: 100 % train, 98 % test",
    "A5": "batch 1024: about 96 % test",
    "A6": "batch 2: 99 % test, better than 64",
    "A7": "batch 1 generally works very badly (source D quotes the opposite: it often generalises best)",
    "A8": "smaller batches learn faster per epoch: test accuracy after the first",
}
SIZES = (64, 256, 1024)
"""The batch sizes that the chapter compares."""
MISSING = "its batch sizes are not all among the runs"


def three_modes(results: Results) -> tuple[str, bool | None]:
    """A1: n images make n updates at batch 1, ⌈n / 64⌉ at batch 64, and one at batch n."""
    n = results.settings["train_size"]
    if not {1, 64, n} <= set(batch_sizes(results)):
        return MISSING, None
    first = {size: after(results, size, "updates", epoch=0)[0] for size in (1, 64, n)}
    measured = "updates in an epoch at " + ", ".join(f"batch {size:,}: {first[size]:,.0f}" for size in first)
    return measured, first == {1: n, 64: -(-n // 64), n: 1}


def gap_is_the_difference(results: Results) -> tuple[str, bool]:
    """A2: the column of that name is train accuracy − test accuracy, after every epoch."""
    columns = ("generalization_gap", "train_accuracy", "test_accuracy")
    curves = [[results.curves(f"batch {size}", column) for column in columns] for size in SIZES]
    held = all(np.allclose(gap, train - test, atol=1e-12) for gap, train, test in curves)
    return f"the column generalization_gap is that difference; at the end {shown(results, columns[0])}", held


def larger_batches_end_lower(results: Results) -> tuple[str, bool]:
    """A3: at the end, both accuracies fall from 64 to 256 to 1024."""
    measured = f"test {shown(results)}; train {shown(results, 'train_accuracy')}"
    return measured, falls(results, "test_accuracy") and falls(results, "train_accuracy")


def batch_64(results: Results) -> tuple[str, bool]:
    """A4: both accuracies of batch 64 round to the chapter's."""
    train, test = after(results, 64, "train_accuracy"), after(results, 64)
    return f"train {percent(train)}, test {percent(test)}", near(train, 1.00, 0.005) and near(test, 0.98, 0.005)


def batch_1024(results: Results) -> tuple[str, bool]:
    """A5: batch 1024 ends within one point of 96 %."""
    test = after(results, 1024)
    return f"test {percent(test)}", near(test, 0.96, 0.01)


def batch_2(results: Results) -> tuple[str, bool]:
    """A6: batch 2 rounds to 99 % and ends above batch 64."""
    test = after(results, 2)
    return f"test {shown(results, sizes=(2, 64))}", near(test, 0.99, 0.005) and test.mean() > after(results, 64).mean()


def batch_1_is_worst(results: Results) -> tuple[str, bool]:
    """A7: "works very badly" means that batch 1 diverges, or ends below all other mini-batches on test images."""
    others = [size for size in batch_sizes(results) if size not in (1, results.settings["train_size"])]
    held = not after(results, 1).mean() >= min(after(results, size).mean() for size in others)  # true of NaN
    return f"test {shown(results, sizes=(1, *others))}", held


def smaller_batches_learn_faster(results: Results) -> tuple[str, bool]:
    """A8: after the first epoch, test accuracy falls from 64 to 256 to 1024."""
    return f"test {shown(results, epoch=0)}", falls(results, "test_accuracy", epoch=0)


def needs(sizes: tuple[int, ...], rule: Rule) -> Rule:
    """Return a rule that judges only if these batch sizes are among the runs."""
    return lambda results: rule(results) if set(sizes) <= set(batch_sizes(results)) else (MISSING, None)


def batch_sizes(results: Results) -> list[int]:
    """Return the batch sizes among the runs, in order."""
    return sorted({run["batch_size"] for run in results.runs})


def after(results: Results, size: int, column: str = "test_accuracy", epoch: int = -1) -> Curves:
    """Return what the runs with one batch size have in a column after an epoch: (seeds,)."""
    return results.curves(f"batch {size}", column)[:, epoch]


def near(values: Curves, claimed: float, within: float) -> bool:
    """Tell whether the mean over the seeds is no further than ``within`` from what is claimed."""
    return bool(abs(values.mean() - claimed) <= within)


def falls(results: Results, column: str, epoch: int = -1) -> bool:
    """Tell whether the mean over the seeds falls from each of the chapter's batch sizes to the next."""
    small, middle, large = (after(results, size, column, epoch).mean() for size in SIZES)
    return bool(small > middle > large)


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


RULES: dict[str, Rule] = {
    "A1": three_modes,
    "A2": needs(SIZES, gap_is_the_difference),
    "A3": needs(SIZES, larger_batches_end_lower),
    "A4": needs((64,), batch_64),
    "A5": needs((1024,), batch_1024),
    "A6": needs((2, 64), batch_2),
    "A7": needs((1, *SIZES), batch_1_is_worst),
    "A8": needs(SIZES, smaller_batches_learn_faster),
}
