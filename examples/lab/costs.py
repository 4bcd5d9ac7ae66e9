"""What a step shared by ranks costs: a model with few constants, and the measurements that they are found in."""

from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

import minidl
from lab.environment import blas_threads, environment
from lab.network import mnist, network
from lab.ranks import MPI, Comm, parts
from lab.results import Results
from minidl.backend import Array


class Costs(NamedTuple):
    """The model of costs, in seconds, for ranks with one thread each.

        gradient      c + b / f                            b = ⌈B/R⌉ samples
        exchange      2 (R − 1) α + 2 (R − 1)/R · n/β      n bytes of gradients, by an all-reduce in a ring
        optimizer     the same for any B and R

    Source: Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations", for the
    ring; Thakur, Rabenseifner and Gropp 2005, "Optimization of collective communication operations in MPICH", for α, β.
    """

    constant: float
    """c, what a gradient takes besides its samples."""
    rate: float
    """f, samples per second."""
    latency: float
    """α, for a message of no length."""
    bandwidth: float
    """β, bytes per second."""
    optimizer: float
    size: int
    """n, bytes."""

    def step(self, batch_size: Array, ranks: Array) -> tuple[Array, Array, float]:
        """Return the seconds for gradient, exchange and optimiser."""
        exchange = 2 * (ranks - 1) * self.latency + 2 * (ranks - 1) / ranks * self.size / self.bandwidth
        return self.constant + np.ceil(batch_size / ranks) / self.rate, exchange, self.optimizer

    def __str__(self) -> str:
        exchange = float(self.step(np.array(2.0), np.array(2.0))[1])
        return (
            f"{self.rate:,.0f} samples a second beside {1e3 * self.constant:.2f} ms for each gradient; latency "
            f"{1e6 * self.latency:.0f} µs; {self.bandwidth / 1e9:.2f} GB a second. With two ranks the exchange takes "
            f"longer than the arithmetic below {exchange * self.rate:.0f} samples a rank."
        )


def costs(results: Results) -> Costs | None:
    """Return the model, c and f from steps of one rank, α and β from exchanges of two; None if these are missing."""
    alone = [run for run in results.runs if run["ranks"] == run["blas_threads"] == 1]
    pairs = [run for run in results.runs if run["ranks"] == 2 and run["blas_threads"] == 1 and "bytes" in run]
    if len(alone) < 2 or not pairs:
        return None
    per_sample, constant = line([run["batch_size"] for run in alone], [run["gradient"] for run in alone])
    per_byte, two_latencies = line(pairs[0]["bytes"], pairs[0]["exchanges"])  # R = 2: 2 α + n/β
    optimizer = float(np.median([run["optimizer"] for run in alone]))
    return Costs(constant, 1 / per_sample, two_latencies / 2, 1 / per_byte, optimizer, network(0).grads.nbytes)


def line(x: list[float], y: list[float]) -> tuple[float, float]:
    """Return slope and constant, not below 0, of the line through positive ``y`` with the least relative errors."""
    slope, constant = np.polyfit(x, y, 1, w=1 / np.array(y))
    return float(slope), max(float(constant), 0.0)


def table(results: Results) -> list[str]:
    """Return the lines of a table: measured milliseconds of each part, and speed-up over one rank with one thread."""
    steps = [run for run in results.runs if "batch_size" in run]
    alone = {run["batch_size"]: whole(run) for run in steps if run["ranks"] == run["blas_threads"] == 1}
    lines = ["ranks  threads  batch  gradient  exchange  optimizer   step (ms)  speed-up  efficiency"]
    for run in sorted(steps, key=lambda run: (run["batch_size"], run["ranks"], run["blas_threads"])):
        ranks, threads, size = run["ranks"], run["blas_threads"], run["batch_size"]
        times = "  ".join(f"{1000 * run[name]:8.2f}" for name in ("gradient", "exchange", "optimizer"))
        text = f"{ranks:5}  {threads:7}  {size:5}  {times}  {1000 * whole(run):10.2f}"
        if size in alone:
            speedup = alone[size] / whole(run)
            text += f"  {speedup:8.2f}  {speedup / (ranks * threads):9.0%}"
        lines.append(text)
    return lines + [str(model) for model in [costs(results)] if model]


def whole(run: dict[str, float]) -> float:
    """Return the seconds of a whole step, as measured."""
    return run["gradient"] + run["exchange"] + run["optimizer"]


def measure(comm: Comm, batch_sizes: list[int], steps: int, out: Path) -> Results | None:
    """Measure the parts of a step with each batch size, and a range of exchanges.

    Returns:
        On rank 0 the results, which are written to ``out``, with those of earlier calls; None on others.
    """
    ranks = f"{comm.size} × {blas_threads()} threads"
    records = [
        {"name": f"{ranks}, batch {size}", "seed": 0, "ranks": comm.size, "batch_size": size}
        | time_steps(comm, size, steps)
        for size in batch_sizes
    ]
    if comm.size > 1:
        exchange = {"name": f"{ranks}, exchange", "seed": 0, "ranks": comm.size}
        records.append(exchange | time_exchanges(comm, steps))
    if comm.rank > 0:
        return None
    settings = {"network": "784-1024-1024-10", "optimizer": "SGD", "dtype": "float32", "steps": steps}
    results = Results(out / "data_parallel.json", settings, environment("numpy"))
    for record in records:
        results.runs[:] = [run for run in results.runs if run["name"] != record["name"]]  # the latest counts
        results.runs.append(record | {"blas_threads": blas_threads()})
    results.runs.sort(key=lambda run: (run["ranks"], run["name"]))
    results.save([])
    return results


def time_steps(comm: Comm, batch_size: int, steps: int) -> dict[str, float]:
    """Return the seconds that the parts of a step take on the slowest rank: the median over the steps."""
    train_set, _ = mnist()
    model, optimizer, loss = network(0), minidl.SGD(), minidl.NLLLoss()
    mine = parts(batch_size, batch_size, comm.size)[comm.rank]
    x, labels = train_set.x[:batch_size][mine], train_set.labels[:batch_size][mine]
    seconds = np.zeros((steps + 3, 3))
    for row in seconds:
        comm.Barrier()
        started = perf_counter()
        if len(x):
            loss.forward(model.forward(x, training=True), labels)
            model.backward(loss.backward())
        model.grads *= len(x) / batch_size
        row[0] = perf_counter() - started
        comm.Barrier()  # else a rank's exchange would include waiting for a slower one
        started = perf_counter()
        comm.Allreduce(MPI.IN_PLACE, model.grads)
        row[1] = perf_counter() - started
        started = perf_counter()
        optimizer.step(model.params, model.grads)
        row[2] = perf_counter() - started
    comm.Allreduce(MPI.IN_PLACE, seconds, MPI.MAX)
    median = np.median(seconds[3:], axis=0)  # the first steps find memory that nobody has touched
    return dict(zip(("gradient", "exchange", "optimizer"), map(float, median), strict=True))


def time_exchanges(comm: Comm, steps: int) -> dict[str, list[float]]:
    """Return the seconds of all-reduces of 1 to 4 million float32 on the slowest rank: the median of each length."""
    lengths = [4**power for power in range(12)]
    seconds = np.zeros((len(lengths), steps))
    for length, row in zip(lengths, seconds, strict=True):
        vector = np.zeros(length, "float32")
        for step in range(steps):
            comm.Barrier()
            started = perf_counter()
            comm.Allreduce(MPI.IN_PLACE, vector)
            row[step] = perf_counter() - started
    comm.Allreduce(MPI.IN_PLACE, seconds, MPI.MAX)
    return {"bytes": [4.0 * length for length in lengths], "exchanges": np.median(seconds, axis=1).tolist()}
