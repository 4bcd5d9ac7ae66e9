"""The whole of an experiment: carry out the runs that are missing, judge the claims, draw the figure."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lab.claims import NOT_TESTED, UNDECIDED, print_claims
from lab.cluster import by_dask
from lab.in_short import print_in_short
from lab.results import Claims, Results
from lab.runs import Run, carry_out, summary
from lab.statistics import FEWEST
from lab.workers import by_executor, by_processes
from minidl.machine import doctor


def conduct(
    results: Results,
    runs: list[Run],
    verdicts: Callable[[Results], Claims],
    draw: Callable[[Results, Path], None],
    jobs: int | str | None = 1,
    executor: Executor | None = None,
    in_short: Callable[[Results], list[str]] | None = None,
) -> None:
    """Carry out the runs that are missing; then judge the claims, draw the figure, and print what came out.

    Args:
        results: is added to, and saved, after every run.
        runs: what is planned.
        verdicts: returns the table of claims.
        draw: writes the figure.
        jobs: worker processes on this machine, which share its processors; or the address of a Dask scheduler; or
            None for as many as are fastest for the whole plan, so that a run goes on with as many threads as it began.
        executor: any executor of `concurrent.futures`, in place of both.
        in_short: returns two lines on what the runs show, printed in place of a table that decides nothing.

    Raises:
        WorkersError: no Dask cluster answers, its workers are not like this process, or a run ends every worker that
            takes it up. All finished runs are saved.
    """
    missing = [run for run in runs if not results.has(run.name, run.seed)]
    if len(missing) < len(runs):
        print(f"{len(runs) - len(missing)} of {len(runs)} runs were finished earlier.")
    jobs = fastest(len(runs), results.settings.get("backend")) if jobs is None else jobs
    with tqdm(total=len(missing), unit="run", desc=results.path.stem, disable=jobs == 1 and executor is None) as bar:
        for record in carried_out(results, missing, jobs, executor):
            results.add(record)
            results.save([])
            bar.write(summary(record), file=sys.stdout)
            bar.update()
    claims = verdicts(results)
    results.save(claims)
    figure = results.path.with_suffix(".png")
    draw(results, figure)
    if in_short is not None and all(row["verdict"] == NOT_TESTED for row in claims):
        print_in_short(in_short(results))
    else:
        print_claims(claims)
    seeds = len({run["seed"] for run in results.runs})
    if seeds < FEWEST and any(row["verdict"] == UNDECIDED for row in claims):
        print(f"With fewer than {FEWEST} seeds nothing is decided that chance could have brought about: see --seeds.")
    print(f"Figure and numbers are in {figure} and {results.path}.")


def fastest(runs: int, backend: str | None) -> int:
    """Return with how many worker processes so many runs are finished the soonest.

    All processors share a product, but only one does what lies between two products. So a worker for each processor is
    faster, if it does not have to wait for the others at the end. By hand, on two cores, six runs of chapter 37 took
    0.84 of the time of one process, and three runs, one longer than the others, as long. A GPU has its own ways.
    """
    workers = doctor.available_cpus()
    return workers if backend == "numpy" and runs >= 2 * workers else 1


def carried_out(
    results: Results, runs: list[Run], jobs: int | str, executor: Executor | None
) -> Iterator[dict[str, Any]]:
    """Yield what each run measured, as soon as it is finished."""
    if executor is not None:
        yield from by_executor(executor, results.settings, runs)
    elif isinstance(jobs, str):
        yield from by_dask(jobs, results, runs)
    elif jobs > 1:
        yield from by_processes(jobs, results.settings, runs)
    else:
        for number, run in enumerate(runs, start=1):
            print(f"run {number}/{len(runs)}: {run.name}, seed {run.seed}")
            yield carry_out(run, results.settings)
