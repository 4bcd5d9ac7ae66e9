"""The learning rates that are compared: some that stay, and some that rise and fall; and when one has arrived."""

import minidl
from lab.results import Settings
from minidl.loop import Schedule

CYCLICAL = ("triangular", "triangular2", "SGDR", "SGDR growing")
FINER = (0.35, 0.4, 0.45)
"""Fixed rates between the highest that trained in a first experiment, 0.3, and the lowest that diverged, 0.5."""
FACTORS = (0.25, 0.5, 1, 2, 4)
"""What each contestant of C5 tries: so many times the upper bound that Smith's procedure gives, all the same number."""


def rates_of(settings: Settings) -> list[float]:
    """Return the fixed rates, rising."""
    return sorted([settings["low"], *settings["fixed"], *settings["high"], *FINER, settings["very_high"]])


def name_of(policy: str | float) -> str:
    """Return the name of the runs with a cyclical policy, or at a fixed rate."""
    return policy if isinstance(policy, str) else f"rate {policy:g}"


def contestant(method: str) -> str:
    """Return the name of the runs in which a method is tried with several bounds, chosen on images held back."""
    return f"contest: {method}"


def schedule_of(settings: Settings, policy: str | float, bounds: tuple[float, float] | None = None) -> Schedule:
    """Return the rate as a function of time; ``bounds`` are those of the cycles, if not the settings'."""
    base, top = bounds or (settings["fixed"][0], settings["fixed"][-1])
    half, cycle, first = (settings[key] for key in ("triangle_half", "sgdr_cycle", "sgdr_first_cycle"))
    schedules = {
        "triangular": minidl.triangular(base, top, half),
        "triangular2": minidl.triangular2(base, top, half),
        "SGDR": minidl.cosine_restarts(top, cycle_length=cycle),
        "SGDR growing": minidl.cosine_restarts(top, cycle_length=first, cycle_mult=2),
    }
    return schedules[policy] if isinstance(policy, str) else minidl.constant(policy)


def last_update(settings: Settings) -> int:
    """Return how many updates a run makes."""
    return int(settings["epochs"] * settings["train_size"] / settings["batch_size"])


def needed_updates(settings: Settings, history: dict[str, list[float]]) -> int:
    """Return the updates until the target was first reached; if it was not, one measurement more than there were."""
    pairs = zip(history["updates"], history["test_accuracy"], strict=True)
    reached = (int(updates) for updates, accuracy in pairs if accuracy >= settings["target"])
    return min(reached, default=last_update(settings) + settings["every"])
