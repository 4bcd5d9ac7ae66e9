"""The benchmark's targets, and for each the rule by which it is met: ratios of medians, a time, a number of bytes.

A ratio meets its target if its whole interval does, and misses it if the whole interval does. The interval holds the
true ratio nine times in ten, so that its upper end alone is wrong once in twenty.
"""

from collections.abc import Callable

from lab.claims import NOT_REPRODUCED, REPRODUCED, Fact, Missing, Part, Rule, judge
from lab.contestants.task import OPTIMIZERS
from lab.formats import NBSP
from lab.ratios import Ratio, ratio, seconds
from lab.results import Claims, Results, Settings

TARGETS = {
    "S1": "with `fast`, a step of SGD takes at most 1.20 × its products at batch 64",
    "S2": "the same, at most 1.12 × at batch 256",
    "S3": "the same, at most 1.08 × at batch 1024",
    "S4": "with `fast`, a step of SGD or Adam takes less time than in JAX and each mode of PyTorch at all batch sizes",
    "S5": "with `fast`, an update of Adam takes at most 2 × as long as PyTorch's fused one",
    "S6": "evaluating 10,000 images takes at most 1.15 × its products",
    "S7": "chapter 37 needs at most 700 MB",
    "S8": "importing minidl takes at most 1.3 × as long as importing NumPy",
    "S9": "with `fast`, a step of Adam takes at most 1.45 × its products at batch 64",
    "S10": "the same, at most 1.20 × at batch 256",
    "S11": "the same, at most 1.10 × at batch 1024",
}
GPU_TARGETS = {
    "S12": "on a GPU, a step of SGD or Adam takes less time than in PyTorch, as it is, at batch 64, 256 and 1024",
}
"""Targets of ``benchmark.py --backend cupy``."""
FAST = "minidl fast"
RACES = [f"{optimizer}, batch {size}" for optimizer in OPTIMIZERS for size in (64, 256, 1024)]
"""The runs of S4."""
NOT_MEASURED = "not measured"


def targets_table(full: Settings, results: Results, targets: dict[str, str] = TARGETS) -> Claims:
    """Return the table of targets; only a benchmark with its settings in full decides them."""
    words = {REPRODUCED: "met", NOT_REPRODUCED: "not met"}
    rows = judge(targets, RULES, full, results)
    return [row | {"verdict": words.get(row["verdict"], row["verdict"])} for row in rows]


def at_most(most: float, run: str, other: str = "floor", one: str = FAST) -> Rule:
    """Return a rule: in this run ``one`` takes at most ``most`` times as long as ``other``."""

    def rule(results: Results) -> tuple[str, list[Part]]:
        times = ratio(results, run, one, other)
        return (str(times), [below(times, most)]) if times else (NOT_MEASURED, [Missing(NOT_MEASURED)])

    return rule


def below(times: Ratio, most: float) -> Part:
    """Tell on which side of ``most`` the whole interval lies."""
    if times.low <= most < times.high:
        return Fact(f"{most:g} is within the interval: more rounds would tell", None)
    return Fact(f"{'below' if times.high <= most else 'above'} {most:g}", times.high <= most)


def ahead_of(is_rival: Callable[[str], bool]) -> Rule:
    """Return a rule: in every race minidl is ahead of the nearest rival. Nobody is ahead of one that was missing."""

    def rule(results: Results) -> tuple[str, list[Part]]:
        nearest = {}
        for run in RACES:
            rivals = [name for name in seconds(results, run) if is_rival(name)]
            against = [(times, name) for name in rivals if (times := ratio(results, run, name, FAST))]
            if against:
                nearest[run] = min(against)
        if not nearest:
            return NOT_MEASURED, [Missing(NOT_MEASURED)]
        absent = len(nearest) < len(RACES) or any(
            is_rival(name) for run in results.runs for name in run.get("missing", ())
        )
        parts: list[Part] = [Missing("races with all rivals")] if absent else []
        for run, (times, _) in nearest.items():
            ahead = True if times.low > 1 else None if times.high > 1 else False
            words = {True: "ahead", False: "behind", None: "either way"}
            parts.append(Fact(f"{run}: {words[ahead]}", ahead))
        return "the nearest: " + "; ".join(f"{run}: {name} {times}" for run, (times, name) in nearest.items()), parts

    return rule


def memory_of_chapter37(results: Results) -> tuple[str, list[Part]]:
    """S7: the peak memory of the process that trains as chapter 37 does."""
    peak = next((run["peak_bytes"].get("minidl") for run in results.called("chapter 37")), None)
    if not peak:
        return NOT_MEASURED, [Missing(NOT_MEASURED)]
    return f"{peak / 1e6:.0f}{NBSP}MB", [Fact(f"{'below' if peak <= 700e6 else 'above'} 700 MB", peak <= 700e6)]


def in_short(results: Results) -> list[str]:
    """Return how far minidl is above the products, and what to look at in the figure."""
    times = ratio(results, "SGD, batch 64", "minidl", "floor")
    return [
        f"A step of SGD at batch 64 takes {times} as long as its eight matrix products alone, which BLAS computes.",
        "The figure has a bar for each contestant; install PyTorch, JAX and scikit-learn to see theirs.",
    ]


RULES: dict[str, Rule] = {
    "S1": at_most(1.20, "SGD, batch 64"),
    "S2": at_most(1.12, "SGD, batch 256"),
    "S3": at_most(1.08, "SGD, batch 1024"),
    "S4": ahead_of(lambda name: name.split()[0] in ("PyTorch", "JAX")),
    "S5": at_most(2, "update, Adam", "PyTorch fused"),
    "S6": at_most(1.15, "evaluate", one="minidl"),
    "S7": memory_of_chapter37,
    "S8": at_most(1.3, "import", "numpy", one="minidl"),
    "S9": at_most(1.45, "Adam, batch 64"),
    "S10": at_most(1.20, "Adam, batch 256"),
    "S11": at_most(1.10, "Adam, batch 1024"),
    "S12": ahead_of(lambda name: name == "PyTorch"),
}
