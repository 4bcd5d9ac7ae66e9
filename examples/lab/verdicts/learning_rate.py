"""The claims of the article on the learning rate, C1 to C6, and for each the rule by which it counts as reproduced.

Runs are paired by seed. What a run ends at is the mean of its last fifth. A run that misses the target counts as if it
had reached it with the next measurement after its end.
"""

from itertools import pairwise
from math import log
from typing import Any

import numpy as np

from lab.claims import Rule
from lab.crossings import OPTIMIZERS
from lab.policies import CYCLICAL, last_update, name_of, rates_of
from lab.results import Curves, Results, Settings
from lab.formats import percent, spread

CLAIMS = {
    "C1": "too low a rate is slow, a good one converges, a high one plateaus above it, a very high one diverges",
    "C2": "range test: the loss falls, flattens and rises; choose a rate to the left of its minimum",
    "C3": "triangular swings between two rates; triangular2 halves the swing with every cycle",
    "C4": "SGDR: the rate falls and jumps back, in cycles of equal or growing length; training recovers from the jump",
    "C5": "cyclical rates reach an accuracy in fewer iterations than a fixed rate",
    "C6": "the difficulty is saddle points, not local minima; a higher rate crosses them, and plateaus, faster",
    "Smith 2017": "section 4.1: triangular2 reaches an accuracy in fewer iterations than the fixed lower rate",
}
CHANCE = log(10)
"""The loss of a network that gives each of ten digits the same probability."""


def regimes(results: Results) -> tuple[str, bool]:
    """C1: the lowest rate ends with a higher loss than the best fixed one, and its loss is still falling.

    One between the best and the highest ends higher, yet below log 10, and its loss falls by less than a tenth from the
    last fifth but one to the last; the highest diverges, or ends within 1 % of log 10 or above, with every seed.
    """
    rates = rates_of(results.settings)
    loss, before = ({rate: late(results, name_of(rate), "loss", fifth) for rate in rates} for fifth in (1, 2))
    best = min(rates, key=lambda rate: np.nan_to_num(loss[rate].mean(), nan=np.inf))
    slow = exceeds(loss[rates[0]], loss[best]) and exceeds(before[rates[0]], loss[rates[0]])
    plateaus = [
        rate
        for rate in rates[:-1]
        if rate > best and loss[rate].mean() < CHANCE
        if exceeds(loss[rate], loss[best]) and exceeds(loss[rate], 0.9 * before[rate])
    ]
    hopeless = not (loss[rates[-1]] < 0.99 * CHANCE).any()
    measured = "loss at the end by rate: " + "; ".join(f"{rate:g}: {spread(loss[rate])}" for rate in rates)
    measured += f". Least at {best:g}; {rates[0]:g} {'is' if slow else 'is not'} slow; "
    measured += f"on a plateau above it: {', '.join(f'{rate:g}' for rate in plateaus) or 'none'}; "
    measured += f"{rates[-1]:g} {'learns nothing' if hopeless else 'learns'}"
    return measured, slow and bool(plateaus) and hopeless


def range_tests(results: Results) -> tuple[str, bool]:
    """C2: with every seed the loss has the claimed `shape`; a tenth of the minimum's rate is a good rate.

    It ends within one point of the best fixed rate's test accuracy.
    """
    tests = results.paired("range test")
    shapes, suggested = np.array([shape(run) for run in tests]), late(results, "range test", "test_accuracy")
    accuracy = {rate: late(results, name_of(rate), "test_accuracy") for rate in rates_of(results.settings)}
    best = max(accuracy, key=lambda rate: np.nan_to_num(accuracy[rate].mean(), nan=-np.inf))
    counts = zip(("falls", "flattens", "rises"), shapes.sum(axis=0), strict=True)
    rates = [run["suggestions"].get("minimum/10") for run in tests]
    measured = f"of {len(tests)} tests, the loss " + ", ".join(f"{word} in {count}" for word, count in counts)
    measured += f"; minimum/10 is {', '.join('none' if rate is None else f'{rate:.2g}' for rate in rates)}, and "
    measured += "cannot be tried with all seeds" if None in rates else f"ends at {percent(suggested)} on test images"
    measured += f"; the best fixed rate, {best:g}, at {percent(accuracy[best])}"
    return measured, bool(shapes.all() and accuracy[best].mean() - suggested.mean() <= 0.01)


def shape(run: dict[str, Any]) -> list[bool]:
    """Tell whether the smoothed loss of a range test falls, flattens before its minimum, and rises.

    It falls below half its first value; falls less than half as much over the factor of two before its minimum as over
    that around the steepest point; and ends above twice its minimum.
    """
    smoothed, found = run["range"]["smoothed"], run["suggestions"]
    if found.get("minimum/10") is None:
        return [False, False, False]
    least, steepest = 10 * found["minimum/10"], found["steepest"]
    rates = np.array([least / 2, least, steepest / 2**0.5, steepest * 2**0.5])
    near, bottom, above, below = np.interp(np.log(rates), np.log(run["range"]["lr"]), smoothed)
    return [bottom < smoothed[0] / 2, near - bottom < (above - below) / 2, smoothed[-1] > 2 * bottom]


def triangles(results: Results) -> tuple[str, bool]:
    """C3: the rates used have the peaks and lows that the text gives."""
    base, _, top = results.settings["fixed"]
    texts, held = [], True
    for name, factor in (("triangular", 1.0), ("triangular2", 0.5)):
        for run in results.paired(name):
            rises = np.sign(np.diff(run["history"]["lr"]))
            turns = np.array(run["history"]["lr"])[1:-1][rises[1:] != rises[:-1]]
            peaks, lows = turns[::2], turns[1::2]
            expected = base + (top - base) * factor ** np.arange(len(peaks))
            held = held and len(peaks) > 1 and np.allclose(peaks, expected) and np.allclose(lows, base)
        shown = [", ".join(f"{rate:.4g}" for rate in rates) for rates in (peaks, lows)]
        end = percent(late(results, name, "test_accuracy"))
        texts.append(f"{name}: peaks {shown[0]}; lows {shown[1]}; test accuracy at the end {end}")
    return ". ".join(texts), held


def restarts(results: Results) -> tuple[str, bool]:
    """C4: the rates have the peaks that the text gives, in cycles of equal or of doubling length; accuracy recovers.

    With both, on average over all restarts, accuracy over the first half of a new cycle is below that before the
    restart, and at the end of the cycle above.
    """
    texts, held = [], True
    for name, growth in (("SGDR", 1), ("SGDR growing", 2)):
        for run in results.paired(name):
            lr = np.array(run["history"]["lr"])
            starts = np.array([0, *np.flatnonzero(np.diff(lr) > 0) + 1])  # where the rate has jumped up
            lengths = np.diff([*starts, len(lr)])
            held = held and len(starts) > 1 and np.allclose(lr[starts], results.settings["fixed"][-1])
            held = held and bool((lengths[1:] == growth * lengths[:-1]).all())
        before, during, after = np.array([swing(run) for run in results.paired(name)]).T
        held = held and exceeds(before, during) and exceeds(after, before)
        texts.append(f"{name}: {percent(before)} before, {percent(during)} after, {percent(after)} at the cycle's end")
    return "test accuracy at a restart, mean of all: " + "; ".join(texts), held


def swing(run: dict[str, Any]) -> list[float]:
    """Return test accuracy before a restart, in the first half of the new cycle, and at its end: means of all."""
    lr, accuracy = np.array(run["history"]["lr"]), np.array(run["history"]["test_accuracy"])
    starts = np.flatnonzero(np.diff(lr) > 0) + 1
    if "diverged" in run or not len(starts):
        return [np.nan] * 3
    ends = np.array([*starts[1:], len(lr)])
    halves = [accuracy[start : (start + end + 1) // 2].mean() for start, end in zip(starts, ends, strict=True)]
    return [float(np.mean(part)) for part in (accuracy[starts - 1], halves, accuracy[ends - 1])]


def fewer_updates(results: Results) -> tuple[str, bool]:
    """C5: triangular reaches the target in fewer updates than the best of its bounds and their mean."""
    settings = results.settings
    fixed, higher = ([name_of(rate) for rate in settings[key]] for key in ("fixed", "high"))
    counts = {name: needed(settings, results.paired(name)) for name in (*CYCLICAL, *fixed, *higher)}
    best = min(fixed, key=lambda name: counts[name].mean())
    fewer = [name for name in CYCLICAL if exceeds(counts[best], counts[name])]
    measured = f"updates to {settings['target']:.0%} on test images: "
    measured += "; ".join(f"{name}: {in_words(settings, count)}" for name, count in counts.items())
    measured += f". Fewer than {best}, the best within the bounds of the cycles: {', '.join(fewer) or 'none'}"
    return measured, "triangular" in fewer


def crossings(results: Results) -> tuple[str, bool]:
    """C6: for SGD, every rise of the rate makes the steps fewer. Only this half of the claim can be tested."""
    texts, held = [], True
    for name in OPTIMIZERS:
        for landscape in ("saddle", "plateau"):
            steps = np.array([run[f"{landscape}_steps"] for run in results.paired(f"crossing: {name}")], float)
            falls = all(exceeds(lower, higher) for lower, higher in pairwise(steps.T))
            held = held and (falls or name != "SGD")
            texts.append(f"{name}, {landscape}: {' → '.join(f'{mean:,.0f}' for mean in steps.mean(axis=0))}")
    rates = " → ".join(f"{rate:g}" for rate in results.settings["crossing_rates"])
    measured = f"steps at rates {rates}: {'; '.join(texts)}. "
    measured += "Whether saddles and not local minima make training difficult cannot be decided on two landscapes"
    return measured, held


def smith(results: Results) -> tuple[str, bool]:
    """Smith's own comparison: triangular2 reaches the target in fewer updates than its lower bound."""
    names, settings = (name_of(results.settings["fixed"][0]), "triangular2"), results.settings
    lower, cyclical = (needed(settings, results.paired(name)) for name in names)
    measured = f"lower rate: {in_words(settings, lower)}; triangular2: {in_words(settings, cyclical)}"
    return f"updates to {settings['target']:.0%}: {measured}", exceeds(lower, cyclical)


def late(results: Results, name: str, column: str, fifth: int = 1) -> Curves:
    """Return the mean of a column over the last fifth of each run, or the second to last; NaN if it diverged."""
    means = []
    for run in results.paired(name):
        trained = "history" in run and "diverged" not in run
        parts = np.array_split(run["history"][column], 5) if trained else []
        means.append(parts[-fifth].mean() if trained else np.nan)
    return np.array(means)


def needed(settings: Settings, runs: list[dict[str, Any]]) -> Curves:
    """Return the updates until the target was first reached; if it was not, one measurement more than there were."""
    counts, missed = [], last_update(settings) + settings["every"]
    for run in runs:
        updates, accuracies = (np.array(run["history"][column]) for column in ("updates", "test_accuracy"))
        counts.append(min(updates[accuracies >= settings["target"]], default=missed))
    return np.array(counts, float)


def in_words(settings: Settings, counts: Curves) -> str:
    """Format the updates until the target, one number per seed."""
    missed = np.count_nonzero(counts > last_update(settings))
    return f"not reached with {missed} of {len(counts)} seeds" if missed else spread(counts, ",.0f")


RULES: dict[str, Rule] = {"C1": regimes, "C2": range_tests, "C3": triangles, "C4": restarts, "C5": fewer_updates}
RULES |= {"C6": crossings, "Smith 2017": smith}
