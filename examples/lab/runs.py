"""A run: one measurement of an experiment, with one seed.

It depends on nothing but the settings and its own arguments, seed included. So it does not matter in which order, in
which process or on which machine the runs are carried out.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from lab.environment import blas_threads
from lab.results import Settings


class Run(NamedTuple):
    """One run of an experiment: what ``function(settings, seed, **arguments)`` measures."""

    name: str
    seed: int
    function: Callable[..., dict[str, Any]]
    """A function of a module, so that another process finds it; returns what can be written as JSON."""
    arguments: dict[str, Any]


def carry_out(run: Run, settings: Settings, threads: int | None = None) -> dict[str, Any]:
    """Return the record of a run, with ``threads`` threads for matrix products; None leaves their number as it is."""
    started = perf_counter()
    with threadpool_limits(threads, user_api="blas"):
        measured = run.function(settings, run.seed, **run.arguments)
        return {
            "name": run.name,
            "seed": run.seed,
            **run.arguments,
            "blas_threads": blas_threads(),
            "seconds": round(perf_counter() - started, 1),
            **measured,
        }


def summary(record: dict[str, Any]) -> str:
    """Return one line about a finished run."""
    line = f"{record['name']}, seed {record['seed']}: {record['seconds']:.0f} s"
    if record.get("history", {}).get("epoch"):
        line += "".join(f", {part} {record['history'][f'{part}_accuracy'][-1]:.2%}" for part in ("train", "test"))
    return line + (f", {record['diverged']}" if "diverged" in record else "")
