"""The claims of the article on the learning rate, C1 to C6, and the rules that decide them.

docs/experiments/rules.md has the reason for each. Runs are paired by seed. What a run ends at is the mean of its last
fifth. A run that misses the target counts as if it had reached it with the next measurement after its end.
"""

from math import inf, log
from typing import Any

import numpy as np

from lab.claims import Definition, Fact, Missing, Part, Rule
from lab.crossings import OPTIMIZERS
from lab.formats import percent, spread
from lab.in_short import ranked
from lab.policies import CYCLICAL, FACTORS, contestant, last_update, name_of, needed_updates, rates_of
from lab.results import Curves, Results, Settings
from lab.statistics import HALF_POINT, Comparison, above, better

CLAIMS = {
    "C1": "too low a rate is slow, a good one converges, a high one plateaus above it, a very high one diverges",
    "C2": "range test: the loss falls, flattens and rises; choose a rate to the left of its minimum",
    "C3": "triangular swings between two rates; triangular2 halves the swing with every cycle",
    "C4": "SGDR: the rate falls and jumps back, in cycles of equal or growing length; training recovers from the jump",
    "C5": "cyclical rates reach an accuracy in fewer iterations than a fixed rate",
    "C6": "the difficulty is saddle points, not local minima; a higher rate crosses them, and plateaus, faster",
    "Smith 2017": "section 4.1: triangular2 reaches an accuracy in fewer iterations than the fixed lower rate",
}
HOLE = 1.2
"""Neighbouring rates further apart than this factor leave room for a plateau between them."""
CHANCE = log(10)
"""The loss of a network that gives each of ten digits the same probability."""


def regimes(results: Results) -> tuple[str, list[Part]]:
    """C1: the lowest rate is slow, the best converges, the highest that trains is on a plateau, the very high diverges.

    Slow: it ends with a higher loss than the best fixed rate, and its loss is still falling. On a plateau: it ends
    higher than the best, and its loss falls by less than a tenth from the last fifth but one to the last. The
    very high rate diverges, or ends within 1 % of log 10 or above, with every seed. If the highest rate that trains
    with all seeds is the best itself, there is no plateau, provided that the next is no further than a factor `HOLE`.
    """
    rates = tested_rates(results)
    loss, before = ({rate: late(results, name_of(rate), "loss", fifth) for rate in rates} for fifth in (1, 2))
    best = least_loss(results)
    low, very_high = rates[0], rates[-1]
    hopeless = int(np.count_nonzero(~(loss[very_high] < 0.99 * CHANCE)))
    seeds = len(loss[very_high])
    measured = "loss at the end by rate: " + "; ".join(f"{rate:g}: {spread(loss[rate])}" for rate in rates)
    parts: list[Part] = [
        above(f"loss, {low:g} / {best:g}", np.log(loss[low]), np.log(loss[best]), unit="times")
        if low < best
        else Fact(f"the lowest, {low:g}, is the best", False, seeds),
        above(f"{low:g}: loss before / at the end", np.log(before[low]), np.log(loss[low]), unit="times"),
        Fact(f"{very_high:g} learns nothing with {hopeless} of {seeds}", hopeless == seeds, seeds),
    ]
    trains = [rate for rate in rates if (loss[rate] < CHANCE).all()]
    highest = max(trains, default=low)
    if highest > best:
        ends, fall = np.log(loss[highest]), np.log(before[highest]) - np.log(loss[highest])
        parts.append(above(f"loss, {highest:g} / {best:g}", ends, np.log(loss[best]), unit="times"))
        parts.append(Comparison(f"{highest:g}: loss before / at the end", fall, high=-log(0.9), unit="times"))
    else:
        following = min((rate for rate in rates if rate > highest), default=inf)
        hole = following / highest > HOLE
        text = f"no plateau: {highest:g}, the highest that trains, is the best"
        parts.append(Missing(f"rates between {highest:g} and {following:g}") if hole else Fact(text, False, seeds))
    return f"{measured}. Least at {best:g}", parts


def tested_rates(results: Results) -> list[float]:
    """Return the fixed rates that have been run, rising."""
    return [rate for rate in rates_of(results.settings) if results.called(name_of(rate))]


def least_loss(results: Results) -> float:
    """Return the fixed rate whose training loss is least at the end: the test set chooses nothing."""
    ends = {rate: late(results, name_of(rate), "loss").mean() for rate in tested_rates(results)}
    return min(ends, key=lambda rate: float(np.nan_to_num(ends[rate], nan=np.inf)))


def range_tests(results: Results) -> tuple[str, list[Part]]:
    """C2: with every seed the loss has the claimed `shape`; a tenth of the minimum's rate is a good rate.

    It ends no more than half a point below the test accuracy of the fixed rate with the least training loss.
    """
    tests = results.paired("range test")
    shapes, suggested = np.array([shape(run) for run in tests]), late(results, "range test", "test_accuracy")
    best = least_loss(results)
    rates = [run["suggestions"].get("minimum/10") for run in tests]
    accuracy = late(results, name_of(best), "test_accuracy")
    measured = f"minimum/10 is {', '.join('none' if rate is None else f'{rate:.2g}' for rate in rates)}, and "
    measured += "cannot be tried with all seeds" if None in rates else f"ends at {percent(suggested)} on test images"
    measured += f"; the fixed rate with the least training loss, {best:g}, at {percent(accuracy)}"
    parts: list[Part] = [
        Fact(f"the loss {word} in {int(count)} of {len(tests)}", bool(count == len(tests)), len(tests))
        for word, count in zip(("falls", "flattens", "rises"), shapes.sum(axis=0), strict=True)
    ]
    return measured, [*parts, better(f"minimum/10 − {best:g}", suggested, accuracy, by=-HALF_POINT)]


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


def triangles(results: Results) -> tuple[str, list[Part]]:
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
    return ". ".join(texts), [Definition(bool(held))]


def restarts(results: Results) -> tuple[str, list[Part]]:
    """C4: the rates have the peaks that the text gives, in cycles of equal or of doubling length; accuracy recovers.

    With both, on average over all restarts, accuracy at the end of a new cycle is no more than half a point below that
    before the restart. Whether it dips in between is reported.
    """
    texts: list[str] = []
    parts: list[Part] = []
    for name, growth in (("SGDR", 1), ("SGDR growing", 2)):
        runs = results.paired(contestant(name)) or results.paired(name)
        shaped = []
        for run in runs:
            lr = np.array(run["history"]["lr"])
            starts = np.array([0, *np.flatnonzero(np.diff(lr) > 0) + 1])  # where the rate has jumped up
            lengths = np.diff([*starts, len(lr)])
            top = (run.get("bounds") or results.settings["fixed"])[-1]
            peaks = len(starts) > 1 and np.allclose(lr[starts], top)
            shaped.append(bool(peaks and (lengths[1:] == growth * lengths[:-1]).all()))
        before, during, after = np.array([swing(run) for run in runs]).T
        parts += [Definition(all(shaped)), better(f"{name}: end − before", after, before, by=-HALF_POINT)]
        texts.append(f"{name}: {percent(before)} before, {percent(during)} after, {percent(after)} at the cycle's end")
    return "test accuracy at a restart, mean of all: " + "; ".join(texts), parts


def swing(run: dict[str, Any]) -> list[float]:
    """Return test accuracy before a restart, in the first half of the new cycle, and at its end: means of all."""
    lr, accuracy = np.array(run["history"]["lr"]), np.array(run["history"]["test_accuracy"])
    starts = np.flatnonzero(np.diff(lr) > 0) + 1
    if "diverged" in run or not len(starts):
        return [np.nan] * 3
    ends = np.array([*starts[1:], len(lr)])
    halves = [accuracy[start : (start + end + 1) // 2].mean() for start, end in zip(starts, ends, strict=True)]
    return [float(np.mean(part)) for part in (accuracy[starts - 1], halves, accuracy[ends - 1])]


def fewer_updates(results: Results) -> tuple[str, list[Part]]:
    """C5: triangular reaches the target in fewer updates than a fixed rate.

    Both try the same multiples of the upper bound that Smith's procedure gives; images held back choose.
    """
    settings = results.settings
    fixed, higher = ([name_of(rate) for rate in settings[key]] for key in ("fixed", "high"))
    counts = {name: needed(settings, results.paired(name)) for name in (*CYCLICAL, *fixed, *higher)}
    target = f"updates to {settings['target']:.0%} on test images"
    measured = f"{target}: " + "; ".join(f"{name}: {in_words(settings, count)}" for name, count in counts.items())
    contest = {name: results.paired(contestant(name)) for name in (*CYCLICAL, "fixed")}
    if not all(contest.values()):
        return measured, [Missing("cycles with bounds by Smith's procedure, against a fixed rate chosen as they are")]
    tried = {name: needed(settings, runs) for name, runs in contest.items()}
    measured += "; chosen from equally many: " + "; ".join(
        f"{name} {in_words(settings, count)}" for name, count in tried.items()
    )
    edges = [
        Missing(f"a wider grid: {name} chooses its edge")
        for name in ("triangular", "fixed")
        if not FACTORS[0] < np.median([run["factor"] for run in contest[name]]) < FACTORS[-1]
    ]
    return measured, [above("updates, fixed − triangular", tried["fixed"], tried["triangular"]), *edges]


def crossings(results: Results) -> tuple[str, list[Part]]:
    """C6: for SGD, every rise of the rate makes the steps fewer, with every start. Only this half can be tested.

    On a saddle it is arithmetic: the distance from the ridge grows by 1 + ηh with each step.
    """
    texts, held = [], True
    for name in OPTIMIZERS:
        for landscape in ("saddle", "plateau"):
            steps = np.array([run[f"{landscape}_steps"] for run in results.paired(f"crossing: {name}")], float)
            falls = bool((np.diff(steps, axis=1) < 0).all())
            held = held and (falls or name != "SGD")
            texts.append(f"{name}, {landscape}: {' → '.join(f'{mean:,.0f}' for mean in steps.mean(axis=0))}")
    rates = " → ".join(f"{rate:g}" for rate in results.settings["crossing_rates"])
    measured = f"steps at rates {rates}: {'; '.join(texts)}. "
    measured += "Whether saddles and not local minima make training difficult cannot be decided on two landscapes"
    return measured, [Definition(held)]


def smith(results: Results) -> tuple[str, list[Part]]:
    """Smith's own comparison: triangular2 reaches the target in fewer updates than its lower bound."""
    names, settings = (name_of(results.settings["fixed"][0]), "triangular2"), results.settings
    lower, cyclical = (needed(settings, results.paired(name)) for name in names)
    measured = f"lower rate: {in_words(settings, lower)}; triangular2: {in_words(settings, cyclical)}"
    measured = f"updates to {settings['target']:.0%}: {measured}"
    return measured, [above("updates, lower rate − triangular2", lower, cyclical)]


def late(results: Results, name: str, column: str, fifth: int = 1) -> Curves:
    """Return the mean of a column over the last fifth of each run, or the second to last; NaN if it diverged."""
    means = []
    for run in results.paired(name):
        trained = "history" in run and "diverged" not in run
        parts = np.array_split(run["history"][column], 5) if trained else []
        means.append(parts[-fifth].mean() if trained else np.nan)
    return np.array(means)


def needed(settings: Settings, runs: list[dict[str, Any]]) -> Curves:
    """Return the updates until the target was first reached: (seeds,)."""
    return np.array([needed_updates(settings, run["history"]) for run in runs], float)


def in_words(settings: Settings, counts: Curves) -> str:
    """Format the updates until the target, one number per seed."""
    missed = np.count_nonzero(counts > last_update(settings))
    return f"not reached with {missed} of {len(counts)} seeds" if missed else spread(counts, ",.0f")


def in_short(results: Results) -> list[str]:
    """Return what the rates reached, and what to look at in the figure."""
    losses = {f"rate {rate:g}": float(late(results, name_of(rate), "loss").mean()) for rate in tested_rates(results)}
    return [
        f"Training loss at the end: {ranked(losses, '{:.2g}', lowest_first=True)}.",
        "The figure has the whole curves (upper left), from a rate too low to one too high, and beside them the range "
        "test that looks for a good one.",
    ]


RULES: dict[str, Rule] = {"C1": regimes, "C2": range_tests, "C3": triangles, "C4": restarts, "C5": fewer_updates}
RULES |= {"C6": crossings, "Smith 2017": smith}
