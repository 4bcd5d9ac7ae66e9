"""Runs in worker processes on this machine, which share its processors; or in any executor of `concurrent.futures`."""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from lab.environment import blas_threads
from lab.results import Settings
from lab.runs import Run, carry_out

DEATHS = 3
"""A run in which so many workers died is given up; Dask's default is one more."""
LOOK_EVERY = 5.0
"""Seconds from one look at the workers to the next."""


class WorkersError(Exception):
    """The workers cannot carry out the runs, for a reason outside the program."""


def by_executor(
    executor: Executor, settings: Settings, runs: list[Run], look: Callable[[], None] = lambda: None
) -> Iterator[dict[str, Any]]:
    """Yield the records of runs that ``executor`` carries out, each with the BLAS threads that its worker has.

    While there is nothing to yield, ``look`` is called every few seconds, and may raise an error.
    """
    futures = {executor.submit(carry_out, run, settings) for run in runs}
    try:
        while futures:
            done, futures = wait(futures, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            if not done:
                look()
    finally:
        for future in futures:  # those that have not begun, if this process stops
            future.cancel()


def by_processes(jobs: int, settings: Settings, runs: list[Run]) -> Iterator[dict[str, Any]]:
    """Yield the records of runs carried out by ``jobs`` worker processes, which divide the BLAS threads among them.

    When a process of a `ProcessPoolExecutor` dies, for lack of memory, say, the pool ends all others with it.
    So every worker is a pool of one: a death costs the run that was in progress there, and no other. That run is the
    next one of a new worker.

    Raises:
        WorkersError: `DEATHS` workers died in a run; all others are finished.
    """
    threads = max(1, blas_threads() // jobs)
    waiting, deaths = deque(runs), Counter[tuple[str, int]]()
    in_progress: dict[Future[dict[str, Any]], tuple[Run, Executor]] = {}
    with ExitStack() as at_the_end:

        def worker() -> Executor:  # "spawn" starts a fresh process, which nothing loaded here can influence
            pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=end_with_parent)
            return at_the_end.enter_context(pool)

        free = [worker() for _ in range(min(jobs, len(runs)))]
        while waiting or in_progress:
            while waiting and free:
                pool = free.pop()
                try:
                    future = pool.submit(carry_out, waiting[0], settings, threads)
                except BrokenProcessPool:  # its process died with no run in progress
                    free.append(worker())
                else:
                    in_progress[future] = waiting.popleft(), pool
            for future in wait(in_progress, return_when=FIRST_COMPLETED).done:
                run, pool = in_progress.pop(future)
                try:
                    yield future.result()
                    free.append(pool)
                except BrokenProcessPool:
                    free.append(worker())
                    deaths[run.name, run.seed] += 1
                    if deaths[run.name, run.seed] < DEATHS:
                        waiting.appendleft(run)
    if given_up := [f"{name}, seed {seed}" for (name, seed), count in deaths.items() if count == DEATHS]:
        raise WorkersError(f"Given up, since {DEATHS} workers died in it: {'; '.join(given_up)}")


def end_with_parent() -> None:
    """Let a worker end when its parent has ended or was killed; otherwise it would wait for work indefinitely."""
    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=wait, daemon=True).start()
