"""The claims on batch size and overfitting, and the rules that decide them.

docs/experiments/rules.md has the reason for each.
"""

from collections.abc import Callable

import numpy as np

from lab.claims import Fact, Missing, Part, Rule
from lab.formats import percent, spread
from lab.in_short import ranked
from lab.results import Curves, Results
from lab.statistics import HALF_POINT, above, better, decide

CLAIMS = {
    "D1": "on 5,000 images for 60 epochs, batch 32 overfits visibly more than batch 10",
    "D2": "small batches regularise by their noise: generalisation is often best at batch 1, at a small rate",
    "D3": "slow moving averages of batch normalisation are to blame: a smaller decay helps",
    "D4": "dropout together with batch normalisation: is it common, does it help?",
    "D5": "60 epochs are too many: stop earlier",
    "Li 2018": "below a batch normalisation, dropout makes its moving variance larger than the variance in evaluation",
}
SIZES = (10, 32)  # the question's
LR, SMALL_LR, SCALED_LR = 0.01, 0.001, 0.032  # chapter 37's; for batch 1; for batch 32, scaled from batch 10
PLAIN = ((1, LR), (10, LR), (32, LR), (128, LR), (1, SMALL_LR), (32, SCALED_LR))
"""Batch sizes and learning rates of the runs without a remedy."""
NORMS = ("batch norm 0.9", "batch norm 0.99", "batch norm 0.999")
TUNED = (1, 10, 32, 128)
"""The batch sizes that are compared with a learning rate each, chosen on images held back."""
TRIED = [0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316]
"""The learning rates that each of them tries."""
BEST = -1
"""In place of an epoch: the one to which early stopping goes back."""


def larger_batch_overfits(results: Results) -> tuple[str, list[Part]]:
    """D1: batch 32 overfits *visibly* more than 10, at the same rate, by accuracy and by loss.

    Its gap in accuracy is wider by more than half a point, and its gap in the loss is wider. With all training images
    right, the first is test accuracy by another name; the second is a witness of its own.
    """
    ten, large, scaled = (10, LR), (32, LR), (32, SCALED_LR)
    found = {}
    for key in (ten, large, scaled):
        name = called("plain", *key)
        loss_gap = after(results, name, "test_loss") - after(results, name, "train_loss")
        found[key] = after(results, name, "generalization_gap"), after(results, name), loss_gap
    measured = "; ".join(
        f"batch {size} at rate {lr:g}: gap {percent(gap)}, test accuracy {percent(test)}, gap in the "
        f"loss {spread(loss_gap)}"
        for (size, lr), (gap, test, loss_gap) in found.items()
    )
    (gap_10, _, loss_10), (gap_32, _, loss_32) = found[ten], found[large]
    return measured, [
        better("gap, 32 − 10", gap_32, gap_10, by=HALF_POINT)._replace(noise=0.0),
        above("gap in the loss, 32 − 10", loss_32, loss_10),
    ]


def batch_1_is_best(results: Results) -> tuple[str, list[Part]]:
    """D2: each at the rate chosen on images held back, batch 1 is above 10, 32 and 128, and its rate the lowest."""
    test = {key: after(results, called("plain", *key)) for key in PLAIN}
    measured = "at given rates: test accuracy " + ", ".join(
        f"{size} at rate {lr:g}: {percent(test[size, lr])}" for size, lr in PLAIN
    )
    if not all(results.called(tuned(size)) for size in TUNED):
        return measured, [Missing("runs whose rate is chosen on images held back, for each batch size")]
    best = {size: after(results, tuned(size)) for size in TUNED}
    rates = {size: np.array([run["rate"] for run in results.paired(tuned(size))]) for size in TUNED}
    measured += "; at the rates chosen: " + ", ".join(
        f"{size}: {percent(best[size])} (rates {', '.join(f'{rate:g}' for rate in sorted(set(rates[size])))})"
        for size in TUNED
    )
    parts: list[Part] = [better(f"1 − {size}", best[1], best[size]) for size in TUNED[1:]]
    parts += [above(f"rate of {size} / 1", np.log(rates[size]), np.log(rates[1]), unit="times") for size in TUNED[1:]]
    edge = [size for size in TUNED if not TRIED[0] < np.median(rates[size]) < TRIED[-1]]
    return measured, [*parts, *(Missing(f"a wider grid: batch {size} chooses its edge") for size in edge)]


def slow_averages_are_to_blame(results: Results, size: int) -> tuple[str, list[Part]]:
    """D3: at batch 32, decay 0.9 is visibly better than 0.999, by half a point, after the first epoch *and* at the end.

    Then the averages lag, and the lag lasts long enough to explain what the question saw after 60 epochs.
    """
    first = [after(results, called(variant, size), epoch=1) for variant in NORMS]
    last = [after(results, called(variant, size)) for variant in NORMS]
    gap = after(results, called("batch norm 0.999", size), "generalization_gap", 1)
    measured = (
        f"test with decay 0.9, 0.99, 0.999 after the first epoch {listed(first)}, at the end {listed(last)}; the gap "
        f"of 0.999 after the first epoch, both sets evaluated with the moving averages, is {percent(gap)}"
    )
    if size != 32:
        return measured, []
    return measured, [
        better("0.9 − 0.999, first epoch", first[0], first[2], by=HALF_POINT),
        better("0.9 − 0.999, at the end", last[0], last[2], by=HALF_POINT),
    ]


def both_are_better(results: Results, size: int) -> tuple[str, list[Part]]:
    """D4: test accuracy with both exceeds that with dropout alone and with batch normalisation (decay 0.9) alone.

    Whether using both is common, no experiment can tell.
    """
    variants = ("plain", "dropout", "batch norm 0.9", "both")
    accuracies = [after(results, called(variant, size)) for variant in variants]
    _, dropout, norm, both = accuracies
    return f"test plain, dropout, batch norm, both: {listed(accuracies)}", [
        better(f"{size}: both − dropout", both, dropout),
        better(f"{size}: both − batch norm", both, norm),
    ]


def too_many_epochs(results: Results, size: int) -> tuple[str, list[Part]]:
    """D5: validation stops every plain run before its end, where the test loss exceeds that of the model it keeps."""
    name = called("plain", size)
    runs = results.paired(name)
    stops = [run["stop_epoch"] for run in runs if run["stop_epoch"]]
    best = [run["best_epoch"] for run in runs]
    kept_loss, loss = after(results, name, "test_loss", BEST), after(results, name, "test_loss")
    kept, test = after(results, name, epoch=BEST), after(results, name)
    accuracy = better("", test, kept)
    measured = (
        f"validation stops {len(stops)} of {len(runs)} seeds, {epochs(stops)}, and keeps the model {epochs(best)}; "
        f"test loss kept {spread(kept_loss)}, at the end {spread(loss)}; test accuracy kept {percent(kept)}, at the "
        f"end {percent(test)}{', higher' if decide([accuracy]) == [True] else ''}"
    )
    return measured, [
        Fact(f"{size}: stopped {len(stops)} of {len(runs)}", len(stops) == len(runs), len(runs)),
        above(f"{size}: loss, end / kept", np.log(loss), np.log(kept_loss), unit="times"),
    ]


def variance_shift(results: Results, size: int) -> tuple[str, list[Part]]:
    """Li 2018: moving variance over variance in evaluation is larger with dropout than without."""
    alone, with_dropout = (
        np.array([run.get("moving_over_real", np.nan) for run in results.paired(called(variant, size))])
        for variant in ("batch norm 0.9", "both")
    )
    measured = (
        f"moving variance over variance in evaluation {spread(alone)} without dropout, {spread(with_dropout)} with it"
    )
    return measured, [above(f"{size}: with − without", with_dropout, alone)]


def at_each_size(judged: Callable[[Results, int], tuple[str, list[Part]]], remark: str = "") -> Rule:
    """Return the rule that a claim must hold at batch 10 and at 32; ``remark`` follows what was measured."""

    def rule(results: Results) -> tuple[str, list[Part]]:
        found = {size: judged(results, size) for size in SIZES}
        texts = [f"batch {size}: {measured}" for size, (measured, _) in found.items()]
        return ". ".join([*texts, remark] if remark else texts), [part for _, parts in found.values() for part in parts]

    return rule


def tuned(batch_size: int) -> str:
    """Return the name of a run that chooses its rate."""
    return f"tuned, batch {batch_size}"


def called(variant: str, batch_size: int, lr: float = LR) -> str:
    """Return the name of a run."""
    return f"{variant}, batch {batch_size}" + ("" if lr == LR else f", rate {lr:g}")


def after(results: Results, name: str, column: str = "test_accuracy", epoch: int | None = None) -> Curves:
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


def in_short(results: Results) -> list[str]:
    """Return the order of the variants, and what to look at in the figure."""
    ends = {f"batch {size}": 100 * float(after(results, called("plain", size)).mean()) for size in SIZES}
    settings = results.settings
    return [
        f"Test accuracy after {settings['epochs']} epochs on {settings['train_size']:,} images, without dropout or "
        f"batch normalisation: {ranked(ends)}.",
        "The figure has the gap between training and test accuracy, and what dropout and batch normalisation do to it.",
    ]


RULES: dict[str, Rule] = {
    "D1": larger_batch_overfits,
    "D2": batch_1_is_best,
    "D3": at_each_size(slow_averages_are_to_blame),
    "D4": at_each_size(both_are_better, "How common it is cannot be measured here"),
    "D5": at_each_size(too_many_epochs),
    "Li 2018": at_each_size(variance_shift),
}
