"""The claims of chapter 38 and of two papers, and the rules that decide them, by means over the seeds."""

from functools import partial
from math import sqrt

import numpy as np

from lab.claims import Rule
from lab.results import Curves, Results
from lab.formats import NBSP, percent

REFERENCE, CONTROL, FASTER = "64", "1024, twice as long", "1024 at lr 0.1"
EARLY, LATE, RAISED = CHANGED = ("1024 for 1 epoch, then 64", "1024, then 64", "1024, then lr × 10")
REVERSED = ("64 for 1 epoch, then 1024", "64, then 1024")
DECAY, GROW, NEITHER = "lr ÷ 5 twice", "batch × 5 twice", "neither changes"
HOFFER = ("small batch", "large batch", "+ lr × √k", "+ ghost batches", "+ as many updates")
CLAIMS = {
    "B1": "batch 1024 at learning rate 0.1 recovers 98 % test",
    "B2": "1024 for 1 epoch, then 64 for 30: 98 %",
    "B3": "1024 for 30 epochs, then 64 for 30: 98 %",
    "B4": "1024 for 60 epochs, learning rate × 10 at epoch 31: 98 %",
    "B5": "1024 for 60 epochs at 0.01: more epochs alone do not recover it",
    "B6": "starting with a large batch does not trap the model",
    "B7": "only the last 30 epochs of each run are shown",
    "prose": "64 for 1 or for 30 epochs, then 1024 for 30: 98 %",
    "Smith 2018": "lr ÷ k and batch × k: the same curve against epochs, with fewer updates",
    "Hoffer 2017": "lr × √k, ghost batches and as many updates close the gap of a large batch",
}
LAST = 30
"""How many epochs of each run the chapter draws."""
MARGIN = 2 * sqrt(0.98 * 0.02 / 10_000)
"""Two standard errors of an accuracy of 98 % on 10,000 images: 0.28 points. A smaller difference counts as none."""


def recovers(results: Results, names: tuple[str, ...], beside: tuple[str, ...] = ()) -> tuple[str, bool]:
    """B1 to B4, prose: the accuracies round to 98 %."""
    return shown(results, *names, *beside), rounds_to_98(results, *names)


def epochs_alone_do_not(results: Results) -> tuple[str, bool]:
    """B5: the control does not round to 98 %, and lies below each run that changed, by more than chance."""
    below = all(exceeds(end(results, name), end(results, CONTROL)) for name in CHANGED)
    return shown(results, CONTROL), below and not rounds_to_98(results, CONTROL)


def no_trap(results: Results) -> tuple[str, bool]:
    """B6: whenever and however it changed, a run ends no more than `MARGIN` below the reference."""
    lowest = end(results, REFERENCE).mean() - MARGIN
    measured = f"{shown(results, REFERENCE, *CHANGED)}; a margin of {100 * MARGIN:.2f}{NBSP}points counts as none"
    return measured, all(end(results, name).mean() >= lowest for name in CHANGED)


def last_epochs(results: Results) -> tuple[str, bool]:
    """B7: the runs are long enough for their last `LAST` epochs to be drawn."""
    cut = results.curves(CONTROL, "test_accuracy")[:, : results.settings["half"]]
    return (
        f"so it is done here; the control's first half, which is cut, rises from {percent(cut[:, 0])} "
        f"to {percent(cut[:, -1])}",
        all(len(run["history"]["epoch"]) >= LAST for run in results.called(CONTROL)),
    )


def smith(results: Results) -> tuple[str, bool]:
    """Smith 2018: the two curves are the same, and the growing batch has fewer updates.

    The same means: after the first change, test accuracies never differ by more than `MARGIN`; and training losses end
    closer together, as a ratio, than a quarter of the way to what training without a change reaches.
    """
    stage = results.settings["smith_stage"]
    decay, grow = (results.curves(name, "test_accuracy", 3 * stage).mean(axis=0) for name in (DECAY, GROW))
    apart = np.abs(decay - grow)[stage:].max()
    loss = {name: results.curves(name, "train_loss")[:, -1].mean() for name in (DECAY, GROW, NEITHER)}
    together = abs(np.log(loss[DECAY] / loss[GROW])) <= abs(np.log(loss[DECAY] / loss[NEITHER])) / 4
    updates = {name: results.curves(name, "updates")[0, -1] for name in (DECAY, GROW)}
    return (
        f"after the first change the test accuracies are at most {100 * apart:.2f}{NBSP}points apart; training "
        f"loss at the end {loss[DECAY]:.2g} and {loss[GROW]:.2g} ({loss[NEITHER]:.2g} with neither), "
        f"after {updates[DECAY]:,.0f} and {updates[GROW]:,.0f} updates",
        bool(apart <= MARGIN and together and updates[GROW] < updates[DECAY]),
    )


def hoffer(results: Results) -> tuple[str, bool]:
    """Hoffer 2017: there is a gap, by more than chance, and with all adaptations it is no wider than `MARGIN`."""
    small, large, *_, adapted = (end(results, name) for name in HOFFER)
    return shown(results, *HOFFER), exceeds(small, large) and bool(adapted.mean() >= small.mean() - MARGIN)


def end(results: Results, name: str) -> Curves:
    """Return the test accuracy at the end of each run of this name: (seeds,)."""
    return results.curves(name, "test_accuracy")[:, -1]


def rounds_to_98(results: Results, *names: str) -> bool:
    """Tell whether the mean test accuracy of all these runs rounds to 98 %."""
    return all(abs(end(results, name).mean() - 0.98) <= 0.005 for name in names)


def shown(results: Results, *names: str) -> str:
    """Format the test accuracies at the end."""
    return "test " + ", ".join(f"{name}: {percent(end(results, name))}" for name in names)


RULES: dict[str, Rule] = {
    "B1": partial(recovers, names=(FASTER,), beside=(REFERENCE,)),
    "B2": partial(recovers, names=(EARLY,)),
    "B3": partial(recovers, names=(LATE,)),
    "B4": partial(recovers, names=(RAISED,)),
    "B5": epochs_alone_do_not,
    "B6": no_trap,
    "B7": last_epochs,
    "prose": partial(recovers, names=REVERSED),
    "Smith 2018": smith,
    "Hoffer 2017": hoffer,
}
