"""The claims of chapter 38 and of two papers, and the rules that decide them.

docs/experiments/rules.md has the reason for each.
"""

from functools import partial

import numpy as np

from lab.claims import Definition, Part, Rule
from lab.formats import NBSP, percent
from lab.in_short import ranked
from lab.results import Curves, Results
from lab.statistics import HALF_POINT, Comparison, about, above, better

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


def reaches_98(results: Results, names: tuple[str, ...]) -> tuple[str, list[Part]]:
    """B2 to B4, prose: each accuracy is 98 %, to half a point."""
    return shown(results, *names), [about(name, end(results, name), 0.98) for name in names]


def recovers(results: Results) -> tuple[str, list[Part]]:
    """B1: the accuracy is 98 %, to half a point, and no more than half a point below that of batch 64."""
    parts: list[Part] = [about(FASTER, end(results, FASTER), 0.98), as_good(results, FASTER, REFERENCE)]
    return shown(results, FASTER, REFERENCE), parts


def epochs_alone_do_not(results: Results) -> tuple[str, list[Part]]:
    """B5: the control ends below 98 % by more than half a point, and below each run that changed."""
    control = end(results, CONTROL)
    parts: list[Part] = [about(CONTROL, control, 0.98)._replace(low=0.0, high=0.98 - HALF_POINT, noise=0.0)]
    parts += [better(f"{name} − control", end(results, name), control) for name in CHANGED]
    return shown(results, CONTROL), parts


def no_trap(results: Results) -> tuple[str, list[Part]]:
    """B6: whenever and however it changed, a run ends no more than half a point below the reference."""
    return shown(results, REFERENCE, *CHANGED), [as_good(results, name, REFERENCE) for name in CHANGED]


def last_epochs(results: Results) -> tuple[str, list[Part]]:
    """B7: the runs are long enough for their last `LAST` epochs to be drawn."""
    cut = results.curves(CONTROL, "test_accuracy")[:, : results.settings["half"]]
    return (
        f"so it is done here; the control's first half, which is cut, rises from {percent(cut[:, 0])} "
        f"to {percent(cut[:, -1])}",
        [Definition(all(len(run["history"]["epoch"]) >= LAST for run in results.called(CONTROL)))],
    )


def smith(results: Results) -> tuple[str, list[Part]]:
    """Smith 2018: the training losses are the same at the end of both later stages, and the updates are fewer.

    The same: the logarithms of the losses are no further apart than a quarter of the way to a run without a change,
    which must itself be lower. Test accuracy has no say: the run without a change, too, has the same.
    """
    stage = results.settings["smith_stage"]
    curves = {name: results.curves(name, "train_loss", 3 * stage) for name in (DECAY, GROW, NEITHER)}
    accuracy = {name: results.curves(name, "test_accuracy", 3 * stage)[:, -1] for name in curves}
    updates = {name: results.curves(name, "updates")[0, -1] for name in (DECAY, GROW)}
    parts: list[Part] = [Definition(bool(updates[GROW] < updates[DECAY]))]
    for epoch in (2 * stage, 3 * stage):
        decay, grow, neither = (np.log(curves[name][:, epoch - 1]) for name in (DECAY, GROW, NEITHER))
        parts.append(above(f"loss after epoch {epoch}, decay / neither", decay, neither, unit="times"))
        part = (grow - decay) / (decay - neither)
        parts.append(Comparison(f"(grow − decay) / (decay − neither) after epoch {epoch}", part, -0.25, 0.25))
    loss = [curves[name][:, -1].mean() for name in (DECAY, GROW, NEITHER)]
    apart = [100 * np.abs(accuracy[name] - accuracy[DECAY]).max() for name in (GROW, NEITHER)]
    return (
        f"training loss at the end {loss[0]:.2g} and {loss[1]:.2g} ({loss[2]:.2g} with neither), after "
        f"{updates[DECAY]:,.0f} and {updates[GROW]:,.0f} updates; test accuracies end within {apart[0]:.2f}{NBSP}"
        f"points of each other, but also within {apart[1]:.2f}{NBSP}points of that with neither: they show nothing",
        parts,
    )


def hoffer(results: Results) -> tuple[str, list[Part]]:
    """Hoffer 2017: the large batch is below the small one; with all adaptations it is as good, to half a point."""
    small, large, *_, adapted = HOFFER
    return shown(results, *HOFFER), [
        better("small − large", end(results, small), end(results, large)),
        better("adapted − small", end(results, adapted), end(results, small), by=-HALF_POINT),
    ]


def as_good(results: Results, name: str, other: str) -> Part:
    """Compare the accuracies at the end: is the first no more than half a point below the other?"""
    return better(f"{name} − {other}", end(results, name), end(results, other), by=-HALF_POINT)


def end(results: Results, name: str) -> Curves:
    """Return the test accuracy at the end of each run of this name: (seeds,)."""
    return results.curves(name, "test_accuracy")[:, -1]


def shown(results: Results, *names: str) -> str:
    """Format the test accuracies at the end."""
    return "test " + ", ".join(f"{name}: {percent(end(results, name))}" for name in names)


def in_short(results: Results) -> list[str]:
    """Return the order of the curves, and what to look at in the figure."""
    names = {
        "batch 64": "64",
        "batch 1024 at ten times the rate": "1024 at lr 0.1",
        "batch 1024": CONTROL,
        "batch 1024, then 64": LATE,
        "batch 1024, then ten times the rate": RAISED,
    }
    ends = {shown: 100 * float(end(results, name).mean()) for shown, name in names.items()}
    return [
        f"Test accuracy at the end: {ranked(ends)}.",
        "In the middle of the figure, runs begin with batch 1024 and then change; the neon yellow one does not. Do the "
        "others rise above it?",
    ]


RULES: dict[str, Rule] = {
    "B1": recovers,
    "B2": partial(reaches_98, names=(EARLY,)),
    "B3": partial(reaches_98, names=(LATE,)),
    "B4": partial(reaches_98, names=(RAISED,)),
    "B5": epochs_alone_do_not,
    "B6": no_trap,
    "B7": last_epochs,
    "prose": partial(reaches_98, names=REVERSED),
    "Smith 2018": smith,
    "Hoffer 2017": hoffer,
}
