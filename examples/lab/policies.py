"""The learning rates that are compared: some that stay, and some that rise and fall."""

import minidl
from lab.results import Settings
from minidl.loop import Schedule

CYCLICAL = ("triangular", "triangular2", "SGDR", "SGDR growing")


def rates_of(settings: Settings) -> list[float]:
    """Return the fixed rates, rising."""
    return [settings["low"], *settings["fixed"], *settings["high"], settings["very_high"]]


def name_of(policy: str | float) -> str:
    """Return the name of the runs with a cyclical policy, or at a fixed rate."""
    return policy if isinstance(policy, str) else f"rate {policy:g}"


def schedule_of(settings: Settings, policy: str | float) -> Schedule:
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


def last_update(settings: Settings) -> int:
    """Return how many updates a run makes."""
    return int(settings["epochs"] * settings["train_size"] / settings["batch_size"])
