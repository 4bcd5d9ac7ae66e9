"""The claims on batch size and overfitting, and the rules that decide them.

"Exceeds" means: paired by seed, by more than two standard errors.
"""

from collections.abc import Callable

import numpy as np

from lab.claims import Rule
from lab.results import Curves, Results
from lab.formats import percent, spread

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
BEST = -1
"""In place of an epoch: the one to which early stopping goes back."""


def larger_batch_overfits(results: Results) -> tuple[str, bool]:
    """D1: the gap (train − test accuracy) of batch 32 exceeds that of 10, whose test accuracy exceeds that of 32."""
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
    for key in (large, scaled):
        words = ", ".join(compared(*pair) for pair in zip(found[key], found[ten], strict=True))
        measured += f". Against batch 10, batch 32 at rate {key[1]:g} has these three {words}"
    (gap_10, test_10, _), (gap_32, test_32, _) = found[ten], found[large]
    return measured, exceeds(gap_32, gap_10) and exceeds(test_10, test_32)


def batch_1_is_best(results: Results) -> tuple[str, bool]:
    """D2: test accuracy at batch 1, at the better of its two rates, exceeds that at 10, at 32 and at 128."""
    test = {key: after(results, called("plain", *key)) for key in PLAIN}
    best = max(((1, SMALL_LR), (1, LR)), key=lambda key: float(np.nan_to_num(test[key].mean(), nan=-1.0)))
    others = [key for key in PLAIN if key[0] > 1 and key[1] == LR]
    measured = (
        "test accuracy " + ", ".join(f"{size} at rate {lr:g}: {percent(test[size, lr])}" for size, lr in PLAIN) + ". "
        f"Batch 1 at its better rate, {best[1]:g} (chosen by this accuracy itself, which favours the claim), is "
        + ", ".join(f"{compared(test[best], test[key])} against {key[0]}" for key in others)
        + ". Chapter 37 says that batch 1 works very badly (A7)"
    )
    return measured, all(exceeds(test[best], test[key]) for key in others)


def slow_averages_are_to_blame(results: Results, size: int) -> tuple[str, bool]:
    """D3: at batch 32, test accuracy with decay 0.9 exceeds that with 0.999 after the first epoch *and* at the end.

    Then the averages lag, and the lag lasts long enough to explain what the question saw after 60 epochs.
    """
    first = [after(results, called(variant, size), epoch=1) for variant in NORMS]
    last = [after(results, called(variant, size)) for variant in NORMS]
    gap = after(results, called("batch norm 0.999", size), "generalization_gap", 1)
    measured = (
        f"test with decay 0.9, 0.99, 0.999 after the first epoch {listed(first)}, at the end {listed(last)}; 0.9 "
        f"against 0.999: {compared(first[0], first[2])} at first, {compared(last[0], last[2])} at the end; the gap of "
        f"0.999 after the first epoch, both sets evaluated with the moving averages, is {percent(gap)}"
    )
    return measured, size != 32 or (exceeds(first[0], first[2]) and exceeds(last[0], last[2]))


def both_are_better(results: Results, size: int) -> tuple[str, bool]:
    """D4: test accuracy with both exceeds that with dropout alone and with batch normalisation (decay 0.9) alone.

    Whether using both is common, no experiment can tell.
    """
    variants = ("plain", "dropout", "batch norm 0.9", "both")
    accuracies = [after(results, called(variant, size)) for variant in variants]
    _, dropout, norm, both = accuracies
    measured = (
        f"test plain, dropout, batch norm, both: {listed(accuracies)}; both: "
        f"{compared(both, dropout)} against dropout, {compared(both, norm)} against batch norm"
    )
    return measured, exceeds(both, dropout) and exceeds(both, norm)


def too_many_epochs(results: Results, size: int) -> tuple[str, bool]:
    """D5: validation stops every plain run before its end, where the test loss exceeds that of the model it keeps."""
    name = called("plain", size)
    runs = results.paired(name)
    stops = [run["stop_epoch"] for run in runs if run["stop_epoch"]]
    best = [run["best_epoch"] for run in runs]
    kept_loss, loss = after(results, name, "test_loss", BEST), after(results, name, "test_loss")
    kept, test = after(results, name, epoch=BEST), after(results, name)
    measured = (
        f"validation stops {len(stops)} of {len(runs)} seeds, {epochs(stops)}, and keeps the model {epochs(best)}; "
        f"test loss kept {spread(kept_loss)}, at the end {spread(loss)}; test accuracy kept {percent(kept)}, at the "
        f"end {percent(test)}; at the end the loss is {compared(loss, kept_loss)}, accuracy {compared(test, kept)}"
    )
    return measured, len(stops) == len(runs) and exceeds(loss, kept_loss)


def variance_shift(results: Results, size: int) -> tuple[str, bool]:
    """Li 2018: moving variance over variance in evaluation is larger with dropout than without."""
    alone, with_dropout = (
        np.array([run.get("moving_over_real", np.nan) for run in results.paired(called(variant, size))])
        for variant in ("batch norm 0.9", "both")
    )
    measured = (
        f"moving variance over variance in evaluation {spread(alone)} without dropout, {spread(with_dropout)} with it"
    )
    return measured, exceeds(with_dropout, alone)


def at_each_size(judged: Callable[[Results, int], tuple[str, bool]], remark: str = "") -> Rule:
    """Return the rule that a claim must hold at batch 10 and at 32; ``remark`` follows what was measured."""

    def rule(results: Results) -> tuple[str, bool]:
        found = {size: judged(results, size) for size in SIZES}
        texts = [f"batch {size}: {measured}" for size, (measured, _) in found.items()]
        return ". ".join([*texts, remark] if remark else texts), all(held for _, held in found.values())

    return rule


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


def compared(one: Curves, other: Curves) -> str:
    """Tell in a word how ``one`` differs from ``other``, if it does by more than chance."""
    return "higher" if exceeds(one, other) else "lower" if exceeds(other, one) else "not told apart"


RULES: dict[str, Rule] = {
    "D1": larger_batch_overfits,
    "D2": batch_1_is_best,
    "D3": at_each_size(slow_averages_are_to_blame),
    "D4": at_each_size(both_are_better, "How common it is cannot be measured here"),
    "D5": at_each_size(too_many_epochs),
    "Li 2018": at_each_size(variance_shift),
}
