"""Runs on the machines of a Dask cluster; docs/beyond_one_machine.md has the commands."""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

from lab.environment import environment
from lab.results import Results
from lab.runs import Run
from lab.workers import WorkersError, by_executor


def by_dask(address: str, results: Results, runs: list[Run]) -> Iterator[dict[str, Any]]:
    """Yield the records of runs carried out by a Dask cluster, which itself repeats the run of a worker that died.

    A worker has one thread for runs, so that a run has a process for itself; and as many for matrix products as it was
    started with, by Dask's default one.

    Raises:
        WorkersError: Dask is not installed, no cluster answers, its workers are not like this process, or a run ends
            every worker that takes it up.
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
        try:
            yield from by_executor(client.get_executor(pure=False), results.settings, runs)
        except distributed.KilledWorker as error:
            raise WorkersError(f"--dask: {error}") from error


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
