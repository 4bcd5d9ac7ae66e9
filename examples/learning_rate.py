"""What the learning rate does, how to find one, and whether to let it go up and down.

Questions: does one network show all four curves of the text's picture, from a rate too low to one too high? Does the
range test find a good rate? Do rates that rise and fall do what is said of them, and reach an accuracy in fewer updates
than a rate that stays? Does a higher rate cross saddles and plateaus faster?

What to look at in the figure: above, the regimes, the range test with its suggestions, the cycles, and three optimisers
at one saddle. Below, what cycles and fixed rates do to test accuracy; the updates until it first reaches the target,
where rates above the bounds of the cycles compete too; and the steps needed for the saddle and for a plateau.

The text leaves open, and these are the settings here: network and batch size of chapter 37, He's initialisation, plain
SGD, the first 10,240 images. *Rates:* a step along a direction of curvature h is stable below 2/h. The range test is to
show that edge, where its loss first stops falling: with seed 100, none of the experiment's, at 0.04. This is the upper
bound of the cycles, and a quarter of it the lower (Smith 2017, section 3.3). Two decades below the edge should be slow,
one above too high, two above hopeless. In trials with seed 100, however, 0.3 ended with less loss than 0.025, while 1
and 3 diverged; so 1 was kept, and 0.5, untried, put between. *Cycles:* half a triangle is 2.5 epochs; an SGDR cycle 3,
or 1, 2, 4 and 8: all end with the training, after 15. *Target:* 95 %, which a trial with seed 100, at the mean of the
bounds, reached after half of its updates.

    python examples/learning_rate.py                               # in full
    python examples/learning_rate.py --quick                       # a taste in less than a minute
    python examples/learning_rate.py --seeds 0 1 2 3 4 --jobs 2    # in full, two runs at a time

Sources: the article on the learning rate, claims C1 to C6; Smith 2017, "Cyclical learning rates for training neural
networks", sections 3.1 (triangles), 3.3 (range test) and 4.1 (fewer iterations); Loshchilov and Hutter 2017, "SGDR:
stochastic gradient descent with warm restarts", section 3; Dauphin et al. 2014, "Identifying and attacking the saddle
point problem in high-dimensional non-convex optimization".
"""

from itertools import pairwise
from math import isfinite, log
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import minidl
from lab.claims import claims_table, in_full
from lab.command_line import options, parse, run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.network import mnist, network
from lab.plots import band, over_seeds, save_figure
from lab.results import Claims, Curves, Results, Settings
from lab.runs import Run
from lab.statistics import exceeds, percent, spread

CLAIMS = {
    "C1": "too low a rate is slow, a good one converges, a high one plateaus above it, a very high one diverges",
    "C2": "range test: the loss falls, flattens and rises; choose a rate to the left of its minimum",
    "C3": "triangular swings between two rates; triangular2 halves the swing with every cycle",
    "C4": "SGDR: the rate falls and jumps back, in cycles of equal or growing length; training recovers from the jump",
    "C5": "cyclical rates reach an accuracy in fewer iterations than a fixed rate",
    "C6": "the difficulty is saddle points, not local minima; a higher rate crosses them, and plateaus, faster",
    "Smith 2017": "section 4.1: triangular2 reaches an accuracy in fewer iterations than the fixed lower rate",
}
CYCLICAL = ("triangular", "triangular2", "SGDR", "SGDR growing")
OPTIMIZERS = {"SGD": minidl.SGD, "Momentum": minidl.Momentum, "Adam": minidl.Adam}
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9")  # Okabe and Ito's
Records: TypeAlias = list[dict[str, Any]]
"""The runs of a name, by seed."""
CHANCE = log(10)
"""The loss of a network that gives each of ten digits the same probability."""

SETTINGS = {
    "data": "MNIST, standardised with mean and standard deviation of the training set",
    "network": "784-1024-1024-10, ReLU, log-softmax, negative log-likelihood; he_normal, biases zero",
    "optimizer": "SGD",
    "batch_size": 64,
    "low": 0.0003,
    "fixed": [0.01, 0.025, 0.04],  # the bounds of the cycles, and between them their mean
    "high": [0.3, 0.5, 1.0],
    "very_high": 3.0,
    "triangle_half": 2.5,  # epochs, as are the next two
    "sgdr_cycle": 3,
    "sgdr_first_cycle": 1,
    "range_test": {"min_lr": 1e-5, "max_lr": 10.0, "smoothing": 0.9},
    "crossing_rates": [0.01, 0.03, 0.1, 0.3],  # the saddle's curvature of 2 bears less than 1
    "most_steps": 20_000,
    "dtype": "float32",
}
FULL = {"train_size": 10_240, "test_size": 10_000, "epochs": 15, "every": 40, "target": 0.95, "range_updates": 320}
QUICK = {"train_size": 1_280, "test_size": 1_000, "epochs": 15, "every": 10, "target": 0.84, "range_updates": 160}


def main(given: list[str] | None = None) -> None:
    """Run what is missing, and print which claims held."""
    args = parse(options("The learning rate: regimes, range test, cycles, saddles.", seeds=[0, 1, 2, 3, 4]), given)
    settings = SETTINGS | {"backend": args.backend} | (QUICK if args.quick else FULL)
    results = Results(args.out / "learning_rate.json", settings, environment(args.backend))
    policies: list[str | float] = [*CYCLICAL, *rates_of(settings)]
    runs = [Run(name_of(policy), seed, follow, {"policy": policy}) for policy in policies for seed in args.seeds]
    runs += [Run("range test", seed, range_test, {}) for seed in args.seeds]
    runs += [Run(f"crossing: {name}", seed, cross, {"optimizer": name}) for name in OPTIMIZERS for seed in args.seeds]
    conduct(results, runs, verdicts, draw, args.jobs)


def name_of(policy: str | float) -> str:
    """Return what a training with a cyclical policy, or at a fixed rate, is called."""
    return policy if isinstance(policy, str) else f"rate {policy:g}"


def rates_of(settings: Settings) -> list[float]:
    """Return the fixed rates, rising."""
    return [settings["low"], *settings["fixed"], *settings["high"], settings["very_high"]]


def schedule_of(settings: Settings, policy: str | float) -> minidl.schedules.Schedule:
    """Return the rate as a function of time."""
    base, _, top = settings["fixed"]
    half, cycle, first = (settings[key] for key in ("triangle_half", "sgdr_cycle", "sgdr_first_cycle"))
    schedules = {
        "triangular": minidl.triangular(base, top, half),
        "triangular2": minidl.triangular2(base, top, half),
        "SGDR": minidl.cosine_restarts(top, cycle_length=cycle),
        "SGDR growing": minidl.cosine_restarts(top, cycle_length=first, cycle_mult=2),
    }
    return schedules[policy] if isinstance(policy, str) else minidl.constant(policy)


def images(settings: Settings) -> tuple[minidl.Dataset, minidl.Dataset]:
    """Return the first training images and the first test images, where the network computes."""
    train, test = mnist(settings["train_size"], settings["backend"])
    return train, minidl.Dataset(*(part[: settings["test_size"]] for part in test))


def follow(settings: Settings, seed: int, policy: str | float) -> dict[str, Any]:
    """Train with a policy, and measure several times an epoch: `minidl.fit` in small, which would only do so once.

    The history has an entry for every so many updates: the rate of the first of them, the mean loss of their batches,
    and the accuracy on test images after the last.
    """
    train, test = images(settings)
    model, optimizer, loss = network(seed, settings["backend"]), minidl.SGD(), minidl.NLLLoss()
    schedule, rng, every = schedule_of(settings, policy), np.random.default_rng(seed), settings["every"]
    history: dict[str, list[float]] = {"updates": [], "lr": [], "loss": [], "test_accuracy": []}
    updates, total, first_lr = 0, 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # a divergence is a result
        for _ in range(settings["epochs"]):
            for x, labels in minidl.minibatches(train, settings["batch_size"], rng):
                optimizer.lr = schedule(updates * settings["batch_size"] / settings["train_size"])
                if updates % every == 0:
                    total, first_lr = 0.0, optimizer.lr
                total += float(loss.forward(model.forward(x, training=True), labels))
                if not isfinite(total):
                    return {"history": history, "diverged": f"the loss became infinite or NaN in update {updates + 1}"}
                model.backward(loss.backward())
                optimizer.step(model.params, model.grads)
                updates += 1
                if updates % every == 0:
                    row = (updates, first_lr, total / every, minidl.evaluate(model, test)[1])
                    for column, value in zip(history.values(), row, strict=True):
                        column.append(value)
    return {"history": history}


def range_test(settings: Settings, seed: int) -> dict[str, Any]:
    """Carry out a range test; then train at the rate that it suggests, a tenth of that of the least loss."""
    train, model = images(settings)[0], network(seed, settings["backend"])
    how = settings["range_test"] | {"updates": settings["range_updates"], "batch_size": settings["batch_size"]}
    found = minidl.lr_range_test(model, minidl.SGD(), train, seed=seed, **how)
    measured = {"range": vars(found), "suggestions": found.suggestions()}
    suggested = found.minimum_tenth()
    return measured | ({"no_suggestion": True} if suggested is None else follow(settings, seed, suggested))


def height(landscape: str, x: Curves, y: Curves) -> Curves:
    """Return the loss: a saddle at (0, 0) between minima at (0, ±1), or a plateau around a hollow at (0, 0)."""
    loss: Curves = x**2 + (y**2 - 1) ** 2 / 4 if landscape == "saddle" else -np.exp(-(x**2 + y**2) / 2)
    return loss


def gradient(landscape: str, w: Curves) -> Curves:
    """Return the gradient of `height` at w = (x, y)."""
    x, y = w
    return np.array([2 * x, y**3 - y]) if landscape == "saddle" else w * np.exp(-(w @ w) / 2)


def cross(settings: Settings, seed: int, optimizer: str) -> dict[str, Any]:
    """Count steps: from beside the saddle's ridge to |y| > 0.5; and over the plateau, from 3.5 to 1 from the centre."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    starts = {"saddle": [1.0, 1e-4 * rng.normal()], "plateau": [3.5 * np.cos(angle), 3.5 * np.sin(angle)]}
    paths: dict[str, list[Curves]] = {}
    for landscape, start in starts.items():
        for rate in settings["crossing_rates"]:
            w, rolling = np.array(start), OPTIMIZERS[optimizer](rate)
            paths[f"{landscape} {rate:g}"] = path = [w.copy()]
            while len(path) <= settings["most_steps"] and not (abs(w[1]) > 0.5 if landscape == "saddle" else w @ w < 1):
                rolling.step(w, gradient(landscape, w))
                path.append(w.copy())
    measured: dict[str, Any] = {
        f"{landscape}_steps": [len(paths[f"{landscape} {rate:g}"]) - 1 for rate in settings["crossing_rates"]]
        for landscape in starts
    }
    return measured | {"path": np.array(paths[f"saddle {settings['crossing_rates'][-2]:g}"]).tolist()}


def late(runs: Records, column: str, fifth: int = 1) -> Curves:
    """Return the mean of a column over the last fifth of each training, or the second to last; NaN if it diverged."""
    means = []
    for run in runs:
        trained = "history" in run and "diverged" not in run
        parts = np.array_split(run["history"][column], 5) if trained else []
        means.append(parts[-fifth].mean() if trained else np.nan)
    return np.array(means)


def last_update(settings: Settings) -> int:
    """Return how many updates a training makes."""
    return int(settings["epochs"] * settings["train_size"] / settings["batch_size"])


def needed(settings: Settings, runs: Records) -> Curves:
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


def verdicts(results: Results) -> Claims:
    """Hold the claims against the runs, paired by seed. What a training ends at is the mean of its last fifth.

    C1: the lowest rate ends with a higher loss than the best fixed one, and is still falling; one between the best and
        the highest ends higher, yet below log 10, and its loss falls by less than a tenth from the last fifth but one
        to the last; the highest diverges, or ends within 1 % of log 10 or above, with every seed.
    C2: with every seed, the smoothed loss falls below half its first value; falls less than half as much over the
        factor of two before its minimum as over that around the steepest point; and ends above twice its minimum. And
        the rate a tenth of that of the minimum ends within one point of the best fixed rate's test accuracy.
    C3: the rates used have the peaks and lows that the text says.
    C4: the same, and cycles of equal or of doubling length; and with both, on the mean of all restarts, accuracy over
        the first half of a new cycle is below that before the restart, and that at the end of it above.
    C5: triangular reaches the target in fewer updates than the best of three fixed rates: its bounds and their mean.
    C6: for SGD, every rise of the rate makes the steps fewer, on saddle and plateau. Only this half can be tested.
    Smith 2017: triangular2 reaches the target in fewer updates than its lower bound.

    A training that misses the target counts as if it had reached it with the next measurement after its end.
    """
    judges = (regimes, range_tests, triangles, restarts, fewer_updates, crossings, smith)
    runs = {name: results.paired(name) for name in {run["name"] for run in results.runs}}
    found = {identity: judge(results.settings, runs) for identity, judge in zip(CLAIMS, judges, strict=True)}
    return claims_table(CLAIMS, found, in_full(results.settings, FULL))


def regimes(settings: Settings, runs: dict[str, Records]) -> tuple[str, bool]:
    """Judge C1."""
    rates = rates_of(settings)
    loss, before = ({rate: late(runs[name_of(rate)], "loss", fifth) for rate in rates} for fifth in (1, 2))
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


def shape(run: dict[str, Any]) -> list[bool]:
    """Tell of a range test whether the loss falls, flattens before its minimum, and rises."""
    smoothed, found = run["range"]["smoothed"], run["suggestions"]
    if found["minimum/10"] is None:
        return [False, False, False]
    least, steepest = 10 * found["minimum/10"], found["steepest"]
    rates = np.array([least / 2, least, steepest / 2**0.5, steepest * 2**0.5])
    near, bottom, above, below = np.interp(np.log(rates), np.log(run["range"]["lr"]), smoothed)
    return [bottom < smoothed[0] / 2, near - bottom < (above - below) / 2, smoothed[-1] > 2 * bottom]


def range_tests(settings: Settings, runs: dict[str, Records]) -> tuple[str, bool]:
    """Judge C2."""
    tests = runs["range test"]
    shapes, suggested = np.array([shape(run) for run in tests]), late(tests, "test_accuracy")
    accuracy = {rate: late(runs[name_of(rate)], "test_accuracy") for rate in rates_of(settings)}
    best = max(accuracy, key=lambda rate: np.nan_to_num(accuracy[rate].mean(), nan=-np.inf))
    counts = zip(("falls", "flattens", "rises"), shapes.sum(axis=0), strict=True)
    rates = [run["suggestions"]["minimum/10"] for run in tests]
    measured = f"of {len(tests)} tests, the loss " + ", ".join(f"{word} in {count}" for word, count in counts)
    measured += f"; minimum/10 is {', '.join('none' if rate is None else f'{rate:.2g}' for rate in rates)}, and "
    measured += "cannot be tried with all seeds" if None in rates else f"ends at {percent(suggested)} on test images"
    measured += f"; the best fixed rate, {best:g}, at {percent(accuracy[best])}"
    return measured, bool(shapes.all() and accuracy[best].mean() - suggested.mean() <= 0.01)


def triangles(settings: Settings, runs: dict[str, Records]) -> tuple[str, bool]:
    """Judge C3."""
    base, _, top = settings["fixed"]
    texts, held = [], True
    for name, factor in (("triangular", 1.0), ("triangular2", 0.5)):
        for run in runs[name]:
            rises = np.sign(np.diff(run["history"]["lr"]))
            turns = np.array(run["history"]["lr"])[1:-1][rises[1:] != rises[:-1]]
            peaks, lows = turns[::2], turns[1::2]
            expected = base + (top - base) * factor ** np.arange(len(peaks))
            held = held and len(peaks) > 1 and np.allclose(peaks, expected) and np.allclose(lows, base)
        shown = [", ".join(f"{rate:.4g}" for rate in rates) for rates in (peaks, lows)]
        end = percent(late(runs[name], "test_accuracy"))
        texts.append(f"{name}: peaks {shown[0]}; lows {shown[1]}; test accuracy at the end {end}")
    return ". ".join(texts), held


def swing(run: dict[str, Any]) -> list[float]:
    """Return test accuracy before a restart, in the first half of the new cycle, and at its end: means of all."""
    lr, accuracy = np.array(run["history"]["lr"]), np.array(run["history"]["test_accuracy"])
    starts = np.flatnonzero(np.diff(lr) > 0) + 1
    if "diverged" in run or not len(starts):
        return [np.nan] * 3
    ends = np.array([*starts[1:], len(lr)])
    halves = [accuracy[start : (start + end + 1) // 2].mean() for start, end in zip(starts, ends, strict=True)]
    return [float(np.mean(part)) for part in (accuracy[starts - 1], halves, accuracy[ends - 1])]


def restarts(settings: Settings, runs: dict[str, Records]) -> tuple[str, bool]:
    """Judge C4."""
    texts, held = [], True
    for name, growth in (("SGDR", 1), ("SGDR growing", 2)):
        for run in runs[name]:
            lr = np.array(run["history"]["lr"])
            starts = np.array([0, *np.flatnonzero(np.diff(lr) > 0) + 1])  # where the rate has jumped up
            lengths = np.diff([*starts, len(lr)])
            held = held and len(starts) > 1 and np.allclose(lr[starts], settings["fixed"][-1])
            held = held and bool((lengths[1:] == growth * lengths[:-1]).all())
        before, during, after = np.array([swing(run) for run in runs[name]]).T
        held = held and exceeds(before, during) and exceeds(after, before)
        texts.append(f"{name}: {percent(before)} before, {percent(during)} after, {percent(after)} at the cycle's end")
    return "test accuracy at a restart, mean of all: " + "; ".join(texts), held


def fewer_updates(settings: Settings, runs: dict[str, Records]) -> tuple[str, bool]:
    """Judge C5."""
    fixed, higher = ([name_of(rate) for rate in settings[key]] for key in ("fixed", "high"))
    counts = {name: needed(settings, runs[name]) for name in (*CYCLICAL, *fixed, *higher)}
    best = min(fixed, key=lambda name: counts[name].mean())
    fewer = [name for name in CYCLICAL if exceeds(counts[best], counts[name])]
    measured = f"updates to {settings['target']:.0%} on test images: "
    measured += "; ".join(f"{name}: {in_words(settings, count)}" for name, count in counts.items())
    measured += f". Fewer than {best}, the best within the bounds of the cycles: {', '.join(fewer) or 'none'}"
    return measured, "triangular" in fewer


def smith(settings: Settings, runs: dict[str, Records]) -> tuple[str, bool]:
    """Judge Smith's own comparison."""
    lower, cyclical = (needed(settings, runs[name]) for name in (name_of(settings["fixed"][0]), "triangular2"))
    measured = f"lower rate: {in_words(settings, lower)}; triangular2: {in_words(settings, cyclical)}"
    return f"updates to {settings['target']:.0%}: {measured}", exceeds(lower, cyclical)


def crossings(settings: Settings, runs: dict[str, Records]) -> tuple[str, bool]:
    """Judge C6."""
    texts, held = [], True
    for name in OPTIMIZERS:
        for landscape in ("saddle", "plateau"):
            steps = np.array([run[f"{landscape}_steps"] for run in runs[f"crossing: {name}"]], float)
            falls = all(exceeds(lower, higher) for lower, higher in pairwise(steps.T))
            held = held and (falls or name != "SGD")
            texts.append(f"{name}, {landscape}: {' → '.join(f'{mean:,.0f}' for mean in steps.mean(axis=0))}")
    measured = f"steps at rates {' → '.join(f'{rate:g}' for rate in settings['crossing_rates'])}: {'; '.join(texts)}. "
    measured += "Whether saddles and not local minima make training difficult cannot be decided on two landscapes"
    return measured, held


def draw(results: Results, path: Path) -> None:
    """Draw all panels."""
    figure, axes = plt.subplot_mosaic("abcd;eefg", figsize=(18, 9), layout="constrained")
    draw_regimes(results, axes["a"])
    draw_range_tests(results, axes["b"])
    draw_cycles(results, axes["c"], axes["e"])
    draw_needed(results, axes["f"])
    draw_crossings(results, axes["d"], axes["g"])
    for name in "abceg":
        axes[name].grid(alpha=0.3)
    title = "The learning rate: too low and too high, how to find it, and what comes of letting it swing"
    figure.suptitle(title + over_seeds(results))
    save_figure(figure, path)


def curve(results: Results, axes: Axes, name: str, column: str, colour: Any, label: str, scale: float = 1.0) -> None:
    """Draw a column of the histories called ``name`` against updates."""
    updates, values = results.curves(name, "updates"), scale * results.curves(name, column)
    whole = np.isfinite(values).all(axis=1) & all(values.shape)
    if whole.any():  # those that have not diverged
        band(axes, updates[whole][0], values[whole], colour, label)
    else:
        axes.plot([], color=colour, label=label)


def draw_regimes(results: Results, axes: Axes) -> None:
    """Draw the loss of every fixed rate."""
    rates = rates_of(results.settings)
    for rate, colour in zip(rates, plt.get_cmap("viridis_r")(np.linspace(0.15, 1, len(rates))), strict=True):
        runs = results.called(name_of(rate))
        lost = sum("diverged" in run for run in runs)
        curve(
            results, axes, name_of(rate), "loss", colour, f"{rate:g}" + f": {lost} of {len(runs)} diverged" * bool(lost)
        )
    axes.axhline(CHANCE, color="black", linestyle=":", linewidth=1)
    axes.set(title="Fixed rates (dotted: chance)", xlabel="updates", ylabel="training loss (logarithmic)", yscale="log")
    axes.set_ylim(top=1e4)
    axes.legend(title="learning rate", ncols=2, fontsize="small", loc="upper right")


def draw_range_tests(results: Results, axes: Axes) -> None:
    """Draw the smoothed loss of every range test, and what the first suggests."""
    tests = results.called("range test")
    for test in tests:
        alpha = 1.0 if test is tests[0] else 0.3
        axes.plot(test["range"]["lr"], test["range"]["smoothed"], color=COLOURS[0], alpha=alpha)
    for (name, rate), colour in zip(tests[0]["suggestions"].items(), COLOURS[1:4], strict=True):
        if rate is not None:
            axes.axvline(rate, color=colour, linestyle="--", label=f"{name}: {rate:.2g}")
    axes.axvspan(results.settings["fixed"][0], results.settings["fixed"][-1], color="0.9", label="bounds of the cycles")
    axes.set(
        title="Range test", xlabel="learning rate (logarithmic)", ylabel="smoothed loss", xscale="log", ylim=(0, 6)
    )
    axes.legend(title=f"suggested with seed {tests[0]['seed']}", fontsize="small", loc="upper left")


def draw_cycles(results: Results, rates: Axes, accuracies: Axes) -> None:
    """Draw the cycles, and the accuracies that they and the fixed rates lead to."""
    settings = results.settings
    updates = np.arange(last_update(settings))
    for name, colour in zip(CYCLICAL, COLOURS, strict=False):
        schedule = schedule_of(settings, name)
        lr = [schedule(update * settings["batch_size"] / settings["train_size"]) for update in updates]
        rates.plot(updates, lr, color=colour, linestyle="--" if "SGDR" in name else "-", label=name)
        curve(results, accuracies, name, "test_accuracy", colour, name, scale=100)
    for rate, grey in zip(settings["fixed"], ("0.7", "0.45", "0"), strict=True):
        curve(results, accuracies, name_of(rate), "test_accuracy", grey, f"fixed at {rate:g}", scale=100)
    accuracies.axhline(100 * settings["target"], color="black", linestyle=":", linewidth=1, label="target")
    accuracies.set(title="Cycles against fixed rates", xlabel="updates", ylabel="test accuracy (%)")
    accuracies.set_ylim(100 * settings["target"] - 7, 100 * settings["target"] + 4)
    accuracies.legend(ncols=2, loc="lower right")
    rates.set(title="The cycles", xlabel="updates", ylabel="learning rate", ylim=(0, 1.4 * settings["fixed"][-1]))
    rates.legend(ncols=2, fontsize="small", loc="upper right")


def draw_needed(results: Results, axes: Axes) -> None:
    """Draw the updates until the target, a dot for each seed."""
    settings = results.settings
    names = [*CYCLICAL, *map(name_of, settings["fixed"] + settings["high"])]
    colours = [*COLOURS[:4], "0.7", "0.45", "0", *[COLOURS[4]] * 3]
    for row, (name, colour) in enumerate(zip(names, colours, strict=True)):
        counts = needed(settings, results.called(name))
        reached = counts[counts <= last_update(settings)]
        if len(reached) < len(counts):
            text = f"{len(counts) - len(reached)} of {len(counts)} miss it"
            axes.text(0.02, row, text, transform=axes.get_yaxis_transform(), va="center")
        else:
            axes.barh(row, counts.mean(), color=colour, alpha=0.6)
        axes.plot(reached, [row] * len(reached), "o", color=colour, markeredgecolor="white")
    axes.set_yticks(range(len(names)), [name.replace("rate ", "").replace(" ", "\n") for name in names])
    axes.set(title=f"Updates until {settings['target']:.0%} on test images", xlabel="updates")
    axes.set(xlim=(0, last_update(settings)), ylim=(len(names) - 0.4, -0.6))


def draw_crossings(results: Results, saddle: Axes, steps: Axes) -> None:
    """Draw the saddle with a trajectory of each optimiser, and the steps against the rate."""
    rates = results.settings["crossing_rates"]
    x, y = np.meshgrid(np.linspace(-0.9, 1.1, 100), np.linspace(-1.2, 1.2, 100))
    saddle.contourf(x, y, height("saddle", x, y), levels=20, cmap="Greys", alpha=0.8)
    for name, colour, marker in zip(OPTIMIZERS, COLOURS, "o^s", strict=False):
        path = np.array(results.called(f"crossing: {name}")[0]["path"])
        saddle.plot(
            *path.T, marker=marker, markersize=4, color=colour, linewidth=1, label=f"{name}: {len(path) - 1} steps"
        )
        for landscape, style in (("saddle", "-"), ("plateau", "--")):
            counts = results.values(f"crossing: {name}", f"{landscape}_steps").mean(axis=0)
            steps.plot(rates, counts, color=colour, ls=style, marker=marker, label=f"{name}, {landscape}")
    saddle.set(title=f"From a saddle's ridge, at rate {rates[-2]:g}", xlabel="x", ylabel="y")
    saddle.legend(loc="upper left", fontsize="small")
    steps.set(title="Steps to cross", xlabel="learning rate (logarithmic)", ylabel="steps (logarithmic)")
    steps.set(xscale="log", yscale="log", ylim=(1, 1e5))
    steps.legend(ncols=2, fontsize="small", loc="upper right")


if __name__ == "__main__":
    run_script(main)
