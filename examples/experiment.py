"""What all experiments share: carry out runs, keep every finished one, say which claims held, draw seeds as a band.

An experiment is a list of named runs, each repeated with several seeds. Its results are one JSON file, written anew
after every run, so that an interrupted experiment goes on where it stopped:

    {"experiment": name,
     "settings": {...}, "environment": {...},               # equal for all runs in the file
     "runs": [{"name", "seed", ..., "blas_threads", "seconds", "history": {column: [a value for each epoch]}}],
     "claims": [{"id", "claimed", "measured", "verdict"}]}

A run depends on nothing but the settings and its own arguments, seed included. So it does not matter in which order,
in which process or on which machine the runs are carried out: one after the other here, in worker processes (`--jobs`),
or on the machines of a Dask cluster (`--dask`), for which docs/beyond_one_machine.md has the commands.
"""

import argparse
import json
import os
import platform
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from textwrap import wrap
from threading import Thread
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits
from tqdm import tqdm

import minidl
from minidl.machine import doctor
from minidl.checks import positive_int

matplotlib.use("Agg")  # draws into files, and needs no screen

NBSP = "\N{NO-BREAK SPACE}"
"""Keeps a number and its unit on one line."""

Curves: TypeAlias = NDArray[np.float64]
"""A column of several histories: (seeds, epochs)."""

Settings: TypeAlias = dict[str, Any]
Claims: TypeAlias = list[dict[str, str]]

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NOT_TESTED = "not tested in this run"

DEATHS = 3
"""A run that so many workers died in is given up; Dask by default tries once more."""


class WorkersError(Exception):
    """The workers cannot carry out the runs, and the reason lies outside the program."""


class Run(NamedTuple):
    """One run of an experiment: what ``function(settings, seed, **arguments)`` measures."""

    name: str
    seed: int
    function: Callable[..., dict[str, Any]]
    """Of a module, so that another process finds it; returns what can be written as JSON."""
    arguments: dict[str, Any]


class Results:
    """The results of an experiment, in memory and in ``path``.

    Runs of an earlier call with the same settings in the same environment are taken up, from ``path`` or from a file
    beside it. Results of other settings are kept under another name: what took hours is never overwritten.
    """

    def __init__(self, path: Path, settings: Settings, environment: dict[str, Any]):
        self.path = path
        self.data: dict[str, Any] = {
            "experiment": path.stem,
            "settings": settings,
            "environment": environment,
            "runs": [],
            "claims": [],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and self._runs_in(path) is None:
            number = 1
            while (kept := path.with_suffix(f".{number}.json")).exists():
                number += 1
            path.rename(kept)
            print(f"{path} is not of these settings and this environment; it is kept as {kept}.")
        for file in (path, *sorted(path.parent.glob(f"{path.stem}.*.json"))):
            self._take_up(file)

    @property
    def settings(self) -> Settings:
        """What all runs have in common."""
        settings: Settings = self.data["settings"]
        return settings

    @property
    def runs(self) -> list[dict[str, Any]]:
        """All finished runs, in the order of their names and seeds."""
        runs: list[dict[str, Any]] = self.data["runs"]
        return runs

    def has(self, name: str, seed: int) -> bool:
        """Tell whether this run is finished."""
        return any(run["name"] == name and run["seed"] == seed for run in self.runs)

    def add(self, record: dict[str, Any]) -> None:
        """Add a finished run: its name, seed, and whatever it measured."""
        self.runs.append(record)
        self._take_up(self.path)  # another process may have written there meanwhile

    def save(self, claims: Claims) -> None:
        """Write everything to ``path``, by way of a second file, so that no crash leaves half a file."""
        self.data["claims"] = claims
        text = json.dumps(self.data, indent=1, ensure_ascii=False, allow_nan=False)
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def called(self, name: str) -> list[dict[str, Any]]:
        """Return the runs called ``name``, by seed."""
        return [run for run in self.runs if run["name"] == name]

    def paired(self, name: str) -> list[dict[str, Any]]:
        """Return the runs called ``name`` with the seeds that all names have, so that they can be compared in pairs."""
        names = {run["name"] for run in self.runs}
        return [run for run in self.called(name) if all(self.has(other, run["seed"]) for other in names)]

    def values(self, name: str, key: str) -> Curves:
        """Return what each run called ``name`` measured as ``key``: (seeds, ...)."""
        return np.array([run[key] for run in self.called(name)], float)

    def curves(self, name: str, column: str, epochs: int | None = None) -> Curves:
        """Return a column of the histories of the runs called ``name``: (seeds, epochs).

        After a run has diverged, its curve is NaN: no number, which no comparison holds for. How long the curves would
        be if all had, only ``epochs`` can say.
        """
        columns = [run["history"][column] + [np.nan] * ("diverged" in run) for run in self.called(name)]
        curves = np.full((len(columns), epochs or max([1, *map(len, columns)])), np.nan)
        for curve, values in zip(curves, columns, strict=True):
            curve[: len(values)] = values
        return curves

    def _take_up(self, path: Path) -> None:
        """Add the runs in ``path`` that are not here yet. Their order does not depend on when they were finished."""
        self.runs.extend(run for run in self._runs_in(path) or [] if not self.has(run["name"], run["seed"]))
        self.runs.sort(key=lambda run: (run["name"], run["seed"]))

    def _runs_in(self, path: Path) -> list[dict[str, Any]] | None:
        """Return the runs in a file; None if it is not a whole file of results with these settings."""
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
            runs: list[dict[str, Any]] = old["runs"]
            for run in runs:
                history = run.get("history", {})
                columns = np.array(list(history.values()), float)  # of equal length
                if not np.isfinite(columns).all() or not {"name", "seed"} <= set(run):
                    return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None
        same = all(old.get(key) == self.data[key] for key in ("experiment", "settings", "environment"))
        return runs if same else None


def conduct(
    results: Results,
    runs: list[Run],
    verdicts: Callable[[Results], Claims],
    draw: Callable[[Results, Path], None],
    jobs: int | str = 1,
    executor: Executor | None = None,
) -> None:
    """Carry out the runs that are missing; then judge the claims, draw the figure, and print both.

    Args:
        results: is added to, and saved, after every run.
        runs: what is planned.
        verdicts: returns the table of claims.
        draw: writes the figure.
        jobs: worker processes on this machine, which share its processors; or the address of a Dask scheduler.
        executor: any executor of `concurrent.futures`, in place of both.

    Raises:
        WorkersError: no Dask cluster answers, its workers are not like this process, or a run ends every worker that
            takes it up. What was finished is saved.
    """
    missing = [run for run in runs if not results.has(run.name, run.seed)]
    if len(missing) < len(runs):
        print(f"{len(runs) - len(missing)} of {len(runs)} runs were finished earlier.")
    with tqdm(total=len(missing), unit="run", desc=results.path.stem, disable=jobs == 1 and executor is None) as bar:
        for record in _carried_out(results, missing, jobs, executor):
            results.add(record)
            results.save([])
            bar.write(summary(record), file=sys.stdout)
            bar.update()
    claims = verdicts(results)
    results.save(claims)
    figure = results.path.with_suffix(".png")
    draw(results, figure)
    print_claims(claims)
    decided = any(row["verdict"] in (REPRODUCED, NOT_REPRODUCED) for row in claims)
    if decided and len({run["seed"] for run in results.runs}) == 1:
        print("This is one seed: what the table calls better or worse may be so by chance.")
    print(f"Figure and numbers are in {figure} and {results.path}.")


def _carried_out(
    results: Results, runs: list[Run], jobs: int | str, executor: Executor | None
) -> Iterator[dict[str, Any]]:
    """Yield what each run measured, as soon as it is finished."""
    if executor is not None:
        yield from _by_executor(executor, results.settings, runs)
    elif isinstance(jobs, str):
        yield from _by_dask(jobs, results, runs)
    elif jobs > 1:
        yield from _by_processes(jobs, results.settings, runs)
    else:
        for number, run in enumerate(runs, start=1):
            print(f"run {number}/{len(runs)}: {run.name}, seed {run.seed}")
            yield carry_out(run, results.settings)


def _by_executor(executor: Executor, settings: Settings, runs: list[Run]) -> Iterator[dict[str, Any]]:
    """Yield the records of runs that ``executor`` carries out, each with the BLAS threads its worker has."""
    futures = [executor.submit(carry_out, run, settings) for run in runs]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:  # what has not begun, if this process stops
            future.cancel()


def _by_processes(jobs: int, settings: Settings, runs: list[Run]) -> Iterator[dict[str, Any]]:
    """Yield the records of runs carried out by worker processes, which divide the BLAS threads among them.

    When a process of a `ProcessPoolExecutor` dies, killed for want of memory, say, the pool ends all others with it.
    So every worker is a pool of one: a death costs the run that was in progress there, and no other. That run is the
    next one of a new worker.
    """
    threads = max(1, blas_threads() // jobs)
    waiting, deaths = deque(runs), Counter[tuple[str, int]]()
    in_progress: dict[Future[dict[str, Any]], tuple[Run, Executor]] = {}
    with ExitStack() as at_the_end:

        def worker() -> Executor:  # starts from nothing: what others have loaded cannot influence it
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


def _by_dask(address: str, results: Results, runs: list[Run]) -> Iterator[dict[str, Any]]:
    """Yield the records of runs carried out by a Dask cluster, which itself repeats the run of a worker that died.

    A worker has one thread for runs, so that a run has a process for itself; and as many for matrix products as it was
    started with, by Dask's default one.
    """
    try:
        import distributed
    except ModuleNotFoundError:
        raise WorkersError("--dask: needs the package distributed; install '.[distributed]'") from None
    try:
        client = distributed.Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise WorkersError(f"--dask: no scheduler answers at {address}: {error}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=30)
        except TimeoutError as error:
            raise WorkersError(f"--dask: the scheduler at {address} has no workers") from error
        for name, threads in client.nthreads().items():
            if threads != 1:
                raise WorkersError(f"--dask: expected workers with --nthreads 1, {name} has {threads}")
        client.upload_file(__file__)  # and to workers that come later; the script itself travels with its functions
        expected = results.data["environment"]
        backend = "cupy" if "cupy" in expected else "numpy"
        for name, found in client.run(environment, backend).items():
            if other := [key for key in expected if found.get(key) != expected[key]]:
                differences = ", ".join(f"{key}: {found.get(key)} instead of {expected[key]}" for key in other)
                raise WorkersError(
                    f"--dask: expected workers in the environment of this process, {name} has {differences}"
                )
        try:
            yield from _by_executor(client.get_executor(pure=False), results.settings, runs)
        except distributed.KilledWorker as error:
            raise WorkersError(f"--dask: {error}") from error


def end_with_parent() -> None:
    """Let a worker end when its parent has ended, even by being killed; it would wait for work for ever."""
    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=wait, daemon=True).start()


def carry_out(run: Run, settings: Settings, threads: int | None = None) -> dict[str, Any]:
    """Return the record of a run, made with so many threads in matrix products; None leaves them alone."""
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


def train(
    model: minidl.Sequential,
    optimizer: minidl.Optimizer,
    train: minidl.Dataset,
    test: minidl.Dataset,
    **options: Any,
) -> dict[str, Any]:
    """Return the history of a training, and where it ended if it diverged: that is a result, too."""
    progress = None if parent_process() is None else False  # workers' bars would write over each other
    try:
        history = minidl.fit(model, optimizer, train, test, progress=progress, **options)
    except minidl.DivergedError as error:
        return {"history": error.history.to_dict(), "diverged": str(error)}
    return {"history": history.to_dict()}


def network(seed: int, backend: str = "numpy", width: int = 1024) -> minidl.Sequential:
    """Return the network of chapter 37: two hidden layers of 1024 units."""
    return minidl.Sequential(
        minidl.Dense(784, width),
        minidl.ReLU(),
        minidl.Dense(width, width),
        minidl.ReLU(),
        minidl.Dense(width, 10),
        minidl.LogSoftmax(),
        seed=seed,
        backend=backend,
    )


@cache
def mnist(train_size: int = 60_000, backend: str = "numpy") -> tuple[minidl.Dataset, minidl.Dataset]:
    """Return the first ``train_size`` training images, and all test images, where ``backend`` computes."""
    xp, (train, test) = minidl.get_backend(backend), minidl.load_mnist()
    first = minidl.Dataset(train.x[:train_size], train.labels[:train_size])
    return minidl.Dataset(*map(xp.asarray, first)), minidl.Dataset(*map(xp.asarray, test))


def blas_threads() -> int:
    """Return how many threads a matrix product may use."""
    return max((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)


def environment(backend: str) -> dict[str, Any]:
    """Return what numbers depend on besides the settings: the machine and the libraries."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    found = {
        "minidl": minidl.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": doctor.cpu_name(),
        "cores": os.cpu_count(),
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("OPENBLAS_") and name != "OPENBLAS_NUM_THREADS"  # which the runs say themselves
        },
    }
    if backend == "cupy":
        cupy = minidl.get_backend("cupy")
        found["cupy"] = cupy.__version__
        found["gpu"] = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return found


def in_full(settings: Settings, full: Settings) -> bool:
    """Tell whether an experiment has its settings in full; only then can it decide claims."""
    return all(settings[key] == value for key, value in full.items())


def claim(identity: str, claimed: str, measured: str, held: bool | None) -> dict[str, str]:
    """Return a row of the table of claims; ``held`` is None where this run cannot tell."""
    verdict = NOT_TESTED if held is None else REPRODUCED if held else NOT_REPRODUCED
    return {"id": identity, "claimed": claimed, "measured": measured, "verdict": verdict}


def claims_table(claims: dict[str, str], found: dict[str, tuple[str, bool]], decided: bool, scope: str = "") -> Claims:
    """Return the table of claims.

    Args:
        claims: what is claimed, by identity, in the order of the table.
        found: for each of them what was measured, and whether it held.
        decided: whether this run is one that can tell.
        scope: stands behind what was measured.
    """
    return [
        claim(identity, claimed, found[identity][0] + scope, found[identity][1] if decided else None)
        for identity, claimed in claims.items()
    ]


def percent(fractions: Curves) -> str:
    """Format one number per seed as mean ± standard deviation (of the sample, n − 1), in per cent."""
    shown = spread(100 * fractions, ".2f")
    return shown if "diverged" in shown else f"{shown}{NBSP}%"


def spread(values: Curves, form: str = ".3g") -> str:
    """Format one number per seed as mean ± standard deviation (of the sample, n − 1)."""
    if not np.isfinite(values).all():
        return f"diverged with {np.count_nonzero(~np.isfinite(values))} of {len(values)} seeds"
    if len(values) == 1:
        return f"{values[0]:{form}}"
    return f"{values.mean():{form}}{NBSP}±{NBSP}{values.std(ddof=1):{form}}"


def exceeds(one: Curves, other: Curves) -> bool:
    """Tell whether ``one``, a number per seed, is above ``other``, by more than chance would bring about.

    The seeds are paired. Their mean difference must be more than twice its standard error; with one seed, above 0.
    """
    difference = one - other
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return bool(difference.mean() > 2 * error)


def summary(record: dict[str, Any]) -> str:
    """Return a line on a finished run."""
    line = f"{record['name']}, seed {record['seed']}: {record['seconds']:.0f} s"
    if record.get("history", {}).get("epoch"):
        line += "".join(f", {part} {record['history'][f'{part}_accuracy'][-1]:.2%}" for part in ("train", "test"))
    return line + (f", {record['diverged']}" if "diverged" in record else "")


def print_claims(claims: Claims) -> None:
    """Print the table of claims, long cells on several lines."""
    widths = {"id": max(len(row["id"]) for row in claims), "claimed": 32, "measured": 46, "verdict": 22}
    print("\n" + "  ".join(f"{column:<{width}}" for column, width in widths.items()).rstrip())
    print("  ".join("-" * width for width in widths.values()))
    for row in claims:
        cells = [wrap(row[column], width) for column, width in widths.items()]
        for line in range(max(map(len, cells))):
            parts = (cell[line] if line < len(cell) else "" for cell in cells)
            print("  ".join(f"{part:<{width}}" for part, width in zip(parts, widths.values(), strict=True)).rstrip())
        print()


def over_seeds(results: Results) -> str:
    """Return the end of a figure's title: what `band` draws, if there are several seeds."""
    seeds = len({run["seed"] for run in results.runs})
    return f"; mean and range of {seeds} seeds" if seeds > 1 else ""


def band(axes: Axes, x: Curves, curves: Curves, colour: str, label: str, **style: Any) -> None:
    """Draw the mean of several curves (seeds, points), and where there are several their range as a band."""
    axes.plot(x, curves.mean(axis=0), color=colour, label=label, linewidth=1.6, **style)
    if len(curves) > 1:
        axes.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.25, linewidth=0)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to ``path``, by way of a second file."""
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    figure.savefig(partial, dpi=150)
    plt.close(figure)
    partial.replace(path)


def options(description: str, seeds: list[int]) -> argparse.ArgumentParser:
    """Return a parser with the options that all experiments have; ``seeds`` are those of the experiment in full."""
    parser = argparse.ArgumentParser(description=description, epilog="An interrupted call goes on where it stopped.")
    shown = " ".join(map(str, seeds))
    parser.set_defaults(all_seeds=seeds)
    parser.add_argument(
        "--seeds", type=int, nargs="+", metavar="SEED", help=f"repeat every run with each ({shown}; quick: {seeds[0]})"
    )
    workers = parser.add_mutually_exclusive_group()  # two ways to say who does the jobs
    workers.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes that share the runs (1)")
    workers.add_argument("--dask", dest="jobs", metavar="ADDRESS", help="a Dask scheduler whose workers share the runs")
    parser.add_argument(
        "--backend", choices=minidl.BACKENDS, default="auto", help="auto: CuPy where it can, else NumPy"
    )
    parser.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="folder for results (results)")
    parser.add_argument("--quick", action="store_true", help="a taste in less than a minute, without verdicts")
    return parser


def parse(parser: argparse.ArgumentParser, given: list[str] | None) -> argparse.Namespace:
    """Read the command line, or ``given`` in its place, and refuse what cannot be."""
    args = parser.parse_args(given)
    args.seeds = args.seeds or args.all_seeds[: 1 if args.quick else None]
    try:  # before any run is started
        if not isinstance(args.jobs, str):
            positive_int("--jobs", args.jobs)
        if min(args.seeds) < 0:
            raise ValueError(f"--seeds: expected at least 0, got {min(args.seeds)}")
        args.backend = minidl.get_backend(args.backend).__name__
    except ValueError as error:
        parser.error(str(error))
    return args


def run_script(main: Callable[[], None]) -> None:
    """Call ``main``, and end with a line in place of a traceback where the reason lies outside the program."""
    restart_with_newer_kernels()
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nStopped. Finished runs are kept: the same command goes on after them.")
    except WorkersError as error:
        sys.exit(f"\n{error}\nFinished runs are kept: the same command goes on after them.")
    except OSError as error:
        sys.exit(f"\nResults cannot be written: {error}")


def restart_with_newer_kernels() -> None:
    """Start the same command anew, if OpenBLAS runs kernels older than the processor and nobody has chosen them.

    OpenBLAS makes its choice while NumPy is imported, and only then can it be seen. So the process takes its own place,
    under the same number, with the better choice in a variable that its workers inherit; see `minidl.doctor`.
    """
    running = (doctor.blas_library() or {}).get("architecture", "")
    kernel = doctor.newer_kernel(running, doctor.cpu_flags())
    if kernel is not None and "OPENBLAS_CORETYPE" not in os.environ:
        print(f"OpenBLAS runs kernels for {running}: started again with OPENBLAS_CORETYPE={kernel}.", flush=True)
        os.environ["OPENBLAS_CORETYPE"] = kernel
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
