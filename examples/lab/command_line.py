"""The command line of an experiment: the options that all have, and a line in place of a traceback."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import minidl
from lab.workers import WorkersError
from minidl.checks import positive_int
from minidl.machine import doctor
from minidl.machine.terminal import any_console


def options(description: str, seeds: list[int]) -> argparse.ArgumentParser:
    """Return a parser with the options that all experiments have; ``seeds`` are those of the experiment in full."""
    parser = argparse.ArgumentParser(description=description, epilog="An interrupted call goes on where it stopped.")
    shown = " ".join(map(str, seeds))
    parser.set_defaults(all_seeds=seeds)
    parser.add_argument(
        "--seeds", type=int, nargs="+", metavar="SEED", help=f"repeat every run with each ({shown}; quick: {seeds[0]})"
    )
    workers = parser.add_mutually_exclusive_group()  # two ways to say who does the jobs
    workers.add_argument(
        "--jobs", type=int, metavar="N", help="worker processes that share the runs (one a core, if runs are many)"
    )
    workers.add_argument("--dask", dest="jobs", metavar="ADDRESS", help="a Dask scheduler whose workers share the runs")
    parser.add_argument(
        "--backend", choices=minidl.BACKENDS, default="auto", help="auto: CuPy where it can, else NumPy"
    )
    parser.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="folder for results (results)")
    parser.add_argument("--quick", action="store_true", help="a taste in less than a minute, without verdicts")
    return parser


def parse(parser: argparse.ArgumentParser, given: list[str] | None) -> argparse.Namespace:
    """Read the command line, or ``given`` in its place, and end with a message where an option is wrong."""
    args = parser.parse_args(given)
    args.seeds = args.seeds or args.all_seeds[: 1 if args.quick else None]
    try:  # before any run is started
        if isinstance(args.jobs, int):
            positive_int("--jobs", args.jobs)
        if min(args.seeds) < 0:
            raise ValueError(f"--seeds: expected at least 0, got {min(args.seeds)}")
        args.backend = minidl.get_backend(args.backend).__name__
    except ValueError as error:
        parser.error(str(error))
    return args


def run_script(main: Callable[[], None]) -> None:
    """Call ``main``, and end with a line in place of a traceback where the reason lies outside the program."""
    any_console()
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
    """Start the same command again, if OpenBLAS runs kernels older than the processor and nobody has chosen them.

    OpenBLAS makes its choice while NumPy is imported, and only then can it be seen. So the process replaces itself,
    under the same number, with the better choice in a variable that its workers inherit; see `minidl.machine.doctor`.
    """
    running = (doctor.blas_library() or {}).get("architecture", "")
    kernel = doctor.newer_kernel(running, doctor.cpu_flags())
    if kernel is not None and "OPENBLAS_CORETYPE" not in os.environ:
        print(f"OpenBLAS runs kernels for {running}: started again with OPENBLAS_CORETYPE={kernel}.", flush=True)
        os.environ["OPENBLAS_CORETYPE"] = kernel
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
