"""Runs on the machines of a Dask cluster; docs/beyond_one_machine.md has the commands."""

import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError
from logging import getLogger
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any
from zipfile import ZipFile

from lab.environment import environment
from lab.results import Results
from lab.runs import Run
from lab.workers import WorkersError, by_executor

PATIENCE = 30.0
"""Seconds that a cluster may be without workers; a cluster manager may be starting new ones."""


def by_dask(address: str, results: Results, runs: list[Run]) -> Iterator[dict[str, Any]]:
    """Yield the records of runs carried out by a Dask cluster, which itself repeats the run of a worker that died.

    A worker has one thread for runs, so that a run has a process for itself; and as many for matrix products as it was
    started with, by Dask's default one.

    Raises:
        WorkersError: Dask is not installed, no cluster answers, its workers are not like this process, a run ends
            every worker that takes it up, the scheduler has ended, or there has been no worker for `PATIENCE` seconds.
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
        send_lab(client)
        expected = results.data["environment"]
        backend = "cupy" if "cupy" in expected else "numpy"
        for name, found in client.run(environment, backend).items():
            if other := [key for key in expected if found.get(key) != expected[key]]:
                differences = ", ".join(f"{key}: {found.get(key)} instead of {expected[key]}" for key in other)
                raise WorkersError(
                    f"--dask: expected workers in the environment of this process, {name} has {differences}"
                )
        seen = monotonic()

        def look() -> None:
            nonlocal seen
            if client.nthreads():
                seen = monotonic()
            elif monotonic() - seen > PATIENCE:
                raise WorkersError(f"--dask: the scheduler at {address} has had no worker for {PATIENCE:.0f} seconds")

        try:
            yield from by_executor(client.get_executor(pure=False), results.settings, runs, look)
        except distributed.KilledWorker as error:
            raise WorkersError(f"--dask: {error}") from error
        except (CancelledError, OSError, TimeoutError) as error:  # what Dask makes of runs that nobody schedules
            getLogger("distributed.client").setLevel("CRITICAL")  # it still tries to reconnect, and logs a traceback
            raise WorkersError(f"--dask: the scheduler at {address} does not answer any more") from error


def send_lab(client: Any) -> None:
    """Send this package to the workers, also to those that come later; the script itself travels with its functions."""
    package = Path(__file__).parent

    def forget() -> None:  # what an earlier call sent; a worker imports a module only once
        for name in [name for name in sys.modules if name.partition(".")[0] == package.name]:
            del sys.modules[name]

    client.run(forget)
    with TemporaryDirectory() as folder:
        archive = Path(folder) / f"{package.name}.zip"  # Python imports from it as from a folder
        with ZipFile(archive, "w") as file:
            for source in package.rglob("*.py"):
                file.write(source, source.relative_to(package.parent))
        client.upload_file(str(archive))
