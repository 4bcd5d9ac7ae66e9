"""One training shared by several processes: each takes its part of every batch, and they add up their gradients.

The loss of a batch is a mean over its B samples. So its gradient is a weighted sum of the gradients of any parts of it,

    g = Σ_r (m_r / B) g_r        g_r: gradient of the mean over the m_r samples of part r

and R processes, on one machine or many, can work on a part each. MPI, the Message Passing Interface, calls them
*ranks*. Each rank has the whole network and an optimiser of its own. In every step it computes its (m_r / B) g_r; one
*all-reduce* gives all ranks the sum of these vectors; and then all make the same step, and so keep the same parameters.
This is training in one process with batches of B samples, but for rounding. The engine does not know of it: since all
gradients lie in one flat vector, a single line between `backward` and `step` is enough. That is why Goyal et al. 2017
and Smith et al. 2018 care for large batches: with B grows the work that many machines share between two exchanges.

Two layers look beyond a single sample.

*Batch normalisation* takes mean and variance over a batch. Over the whole of it, it would need an exchange in each
layer; here each rank normalises its own part, as is usual. This is the *ghost* batch normalisation of Hoffer et al.
2017: parameters are those of one process with ``BatchNorm(ghost_size=⌈B/R⌉)``. The moving averages are not. One
process moves them R times a step, ghost after ghost, and so keeps decay^R of the old; a rank moves its own once. Their
mean over the ranks, which `average_buffers` takes before evaluation, is one moving average that moves once a step,

    moving ← decay · moving + (1 − decay) · mean over the ranks of (μ, or σ² m / (m − 1))

since all this is linear: it makes no difference whether the statistics are averaged at every step, or their moving
averages at the end. (A rank without samples in an epoch's last, short batch leaves its own as they were.) Evaluation
thus remembers longer than in one process with the same decay; decay^R makes up for that.

*Dropout* draws a mask for each sample. With the same seed all ranks would silence the same units; so each draws the
masks of the whole batch, in the order of one process, and uses those of its part. That work is not shared.

    mpiexec -n 2 python examples/data_parallel.py                 # chapter 37's network, batch 256, 5 epochs
    mpiexec -n 2 python examples/data_parallel.py --measure       # time for each part of a step, and what it predicts

Install '.[mpi]' for mpi4py and MPICH. docs/beyond_one_machine.md has the model of costs, and the commands for several
machines.

Source: Goyal et al. 2017, "Accurate, large minibatch SGD: training ImageNet in 1 hour", section 3; Smith et al. 2018,
"Don't decay the learning rate, increase the batch size"; Hoffer et al. 2017, "Train longer, generalize better".
"""

import argparse
import hashlib
import platform
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from matplotlib import pyplot as plt
from threadpoolctl import threadpool_limits

import minidl
from lab.environment import blas_threads, environment
from lab.network import mnist, network
from lab.plots import save_figure
from lab.results import Results
from minidl.backend import Array
from minidl.checks import instance, positive, positive_int
from minidl.checks.plan import check_dataset
from minidl.datasets import batch_bounds

try:
    import mpi4py
    from mpi4py import MPI
except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there, but no MPI library
    raise SystemExit(f"data_parallel.py needs mpi4py and an MPI library; install '.[mpi]' ({error})") from error

Comm: TypeAlias = Any
"""An ``mpi4py.MPI.Intracomm``: the ranks that work together."""

OPTIMIZERS = (minidl.SGD, minidl.Momentum, minidl.Nesterov, minidl.Adagrad, minidl.RMSprop, minidl.Adam)


class DisagreementError(ValueError):
    """The ranks do not do the same; every rank raises it, at the same place."""


def train(
    comm: Comm,
    model: minidl.Sequential,
    optimizer: minidl.Optimizer,
    data: minidl.Dataset,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train ``model`` on all ranks of ``comm`` together: afterwards it is on each what `minidl.fit` makes of it on one.

    Args:
        comm: the ranks; each calls this function with the same arguments.
        model: in main memory; is changed in place.
        optimizer: takes one step for each batch.
        data: the whole training set, the same on all ranks; of each batch a rank reads only its part.
        epochs: passes over the training set.
        batch_size: B, of all ranks together.
        seed: for the order of the samples.
        after_epoch: is called on every rank with the number of each epoch, from 1.

    Raises:
        DisagreementError: the ranks were called with different arguments, or run different versions; nothing has been
            changed. Or, after an epoch, their parameters differ, as unlike processors may let them.
        TypeError, ValueError: an argument is not as described, or a part is a single sample for batch normalisation.
    """
    instance("model", model, minidl.Sequential)
    instance("optimizer", optimizer, minidl.Optimizer)
    data = check_dataset("data", data, model)
    if not isinstance(model.params, np.ndarray):
        raise TypeError("model: expected one in main memory, with backend numpy")
    positive_int("epochs", epochs)
    require_agreement(comm, facts(model, optimizer, data, epochs, batch_size, seed))
    (n, features), rng, loss = data.x.shape, np.random.default_rng(seed), minidl.NLLLoss()
    for start, stop in batch_bounds(n, batch_size):
        for rank in range(comm.size):
            mine = part(stop - start, batch_size, rank, comm.size)
            for layer in model.layers[model.frozen_prefix :] if mine.stop > mine.start else ():
                layer.check_batch(mine.stop - mine.start)

    for epoch in range(1, epochs + 1):
        order = rng.permutation(n)  # the same on every rank
        for start, stop in batch_bounds(n, batch_size):
            mine = part(stop - start, batch_size, comm.rank, comm.size)
            rows = order[start:stop][mine]
            skip_masks(model, mine.start, features)
            gradient(model, loss, data.x.take(rows, axis=0), data.labels.take(rows), stop - start)
            skip_masks(model, stop - start - mine.stop, features)
            comm.Allreduce(MPI.IN_PLACE, model.grads)  # grads ← Σ grads, over the ranks
            optimizer.step(model.params, model.grads, model.groups)
        average_buffers(comm, model)
        require_agreement(comm, {f"parameters after epoch {epoch}": digest(model.params)})
        if after_epoch is not None:
            after_epoch(epoch)


def part(samples: int, batch_size: int, rank: int, ranks: int) -> slice:
    """Return which of the samples of a batch are those of ``rank``.

    Parts have ⌈B/R⌉ samples, the last ones fewer or none where that does not come out even: these are the ghosts of
    `minidl.BatchNorm`. Evener parts would be no faster, since all wait for the rank with the largest.
    """
    size = -(-batch_size // ranks)
    return slice(min(rank * size, samples), min((rank + 1) * size, samples))


def gradient(model: minidl.Sequential, loss: minidl.NLLLoss, x: Array, labels: Array, batch: int) -> None:
    """Leave in ``model.grads`` what these samples add to the gradient of a batch of so many."""
    if len(x):
        loss.forward(model.forward(x, training=True), labels)
        model.backward(loss.backward())
        model.grads *= len(x) / batch
    else:
        model.grads[...] = 0


def skip_masks(model: minidl.Sequential, samples: int, features: int) -> None:
    """Let all dropout draw the masks of samples (m, features) that other ranks compute, and forget them."""
    for i, layer in enumerate(model.layers):
        features = layer.out_features or features
        if isinstance(layer, minidl.Dropout) and i >= model.frozen_prefix:
            layer.rng.random((samples, features), dtype="float32")


def average_buffers(comm: Comm, model: minidl.Sequential) -> None:
    """Give all ranks the mean over the ranks of what layers gather besides parameters."""
    for layer in model.layers:
        for name in layer.buffers:
            buffer = getattr(layer, name)
            comm.Allreduce(MPI.IN_PLACE, buffer)
            buffer /= comm.size


def evaluate(comm: Comm, model: minidl.Sequential, data: minidl.Dataset) -> tuple[float, float]:
    """Return mean loss and accuracy as `minidl.evaluate` does, with the samples shared by the ranks."""
    mine, sums = part(len(data.x), len(data.x), comm.rank, comm.size), np.zeros(2)
    if mine.stop > mine.start:
        sums += np.array(minidl.evaluate(model, (data.x[mine], data.labels[mine]))) * (mine.stop - mine.start)
    comm.Allreduce(MPI.IN_PLACE, sums)
    loss, accuracy = sums / len(data.x)
    return float(loss), float(accuracy)


def facts(
    model: minidl.Sequential,
    optimizer: minidl.Optimizer,
    data: minidl.Dataset,
    epochs: int,
    batch_size: int,
    seed: int,
) -> dict[str, str]:
    """Return all that must be the same on all ranks, by name."""
    return {
        "shape of the data": f"{data.x.shape} {data.x.dtype}, {data.labels.shape} {data.labels.dtype}",
        "data": digest(data.x, data.labels),
        "model": repr(model),
        "initial parameters": digest(model.params),
        "buffers": digest(*(getattr(layer, name) for layer in model.layers for name in layer.buffers)),
        "layers that learn": repr(model.groups),
        "masks": repr([x.rng.bit_generator.state for x in model.layers if isinstance(x, minidl.Dropout)]),
        "optimizer": repr(optimizer),
        "state of the optimizer": digest(*optimizer.state.values()),
        "batch size": repr(batch_size),
        "epochs": repr(epochs),
        "seed": repr(seed),
        "versions": f"minidl {minidl.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"mpi4py {mpi4py.__version__}",
    }


def require_agreement(comm: Comm, facts: dict[str, str]) -> None:
    """Raise a DisagreementError on all ranks if ``facts`` are not the same on all."""
    first, *others = comm.allgather(facts)
    differences = [
        f"{name}: rank {rank} has {found.get(name)}, rank 0 {first.get(name)}"
        for rank, found in enumerate(others, start=1)
        for name in dict.fromkeys([*first, *found])
        if found.get(name) != first.get(name)
    ]
    if differences:
        raise DisagreementError("The ranks disagree. " + "; ".join(differences))


def digest(*arrays: Array) -> str:
    """Return the first 16 of the 64 hexadecimal digits of the arrays' SHA-256."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()[:16]


def measure(comm: Comm, batch_sizes: list[int], steps: int, out: Path) -> None:
    """Measure the parts of a step with each batch size, and a range of exchanges; write both, and what they predict."""
    settings = {"network": "784-1024-1024-10", "optimizer": "SGD", "dtype": "float32", "steps": steps}
    names = [f"{comm.size} × {blas_threads()} threads, batch {size}" for size in batch_sizes]
    records = [
        {"name": name, "seed": 0, "ranks": comm.size, "batch_size": size, **time_steps(comm, size, steps)}
        for name, size in zip(names, batch_sizes, strict=True)
    ]
    if comm.size > 1:
        name = f"{comm.size} × {blas_threads()} threads, exchange"
        records.append({"name": name, "seed": 0, "ranks": comm.size, **time_exchanges(comm, steps)})
    if comm.rank == 0:
        results = Results(out / "data_parallel.json", settings, environment("numpy"))
        for record in records:
            results.runs[:] = [run for run in results.runs if run["name"] != record["name"]]  # the latest counts
            results.runs.append(record | {"blas_threads": blas_threads()})
        results.runs.sort(key=lambda run: (run["ranks"], run["name"]))
        results.save([])
        print(*table(results), sep="\n")
        draw(results, out / "data_parallel.png")


def time_steps(comm: Comm, batch_size: int, steps: int) -> dict[str, float]:
    """Return the seconds that the parts of a step take on the slowest rank: the median over the steps."""
    train_set, _ = mnist()
    model, optimizer, loss = network(0), minidl.SGD(), minidl.NLLLoss()
    mine = part(batch_size, batch_size, comm.rank, comm.size)
    x, labels = train_set.x[:batch_size][mine], train_set.labels[:batch_size][mine]
    seconds = np.zeros((steps + 3, 3))
    for row in seconds:
        comm.Barrier()
        started = perf_counter()
        gradient(model, loss, x, labels, batch_size)
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


class Costs(NamedTuple):
    """The model of costs, in seconds, for ranks with one thread each.

        gradient      c + b / f                            b = ⌈B/R⌉ samples
        exchange      2 (R − 1) α + 2 (R − 1)/R · n/β      n bytes of gradients, by an all-reduce in a ring
        optimizer     the same for any B and R

    Source: Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations", for the
    ring; Thakur, Rabenseifner and Gropp 2005, "Optimization of collective communication operations in MPICH", for α, β.
    """

    constant: float
    """c, whatever a gradient takes besides its samples."""
    rate: float
    """f, samples a second."""
    latency: float
    """α, for a message of no length."""
    bandwidth: float
    """β, bytes a second."""
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
    a = np.stack([x, np.ones(len(x))], axis=1) / np.array(y)[:, None]
    slope, constant = np.linalg.lstsq(a, np.ones(len(x)))[0]
    return float(slope), max(float(constant), 0.0)


def table(results: Results) -> list[str]:
    """Return the lines of a table: measured milliseconds of each part, and speed-up over one rank with one thread."""
    steps = [run for run in results.runs if "batch_size" in run]
    whole = {id(run): run["gradient"] + run["exchange"] + run["optimizer"] for run in steps}
    alone = {run["batch_size"]: whole[id(run)] for run in steps if run["ranks"] == run["blas_threads"] == 1}
    lines = ["ranks  threads  batch  gradient  exchange  optimizer   step (ms)  speed-up  efficiency"]
    for run in sorted(steps, key=lambda run: (run["batch_size"], run["ranks"], run["blas_threads"])):
        parts = "  ".join(f"{1000 * run[name]:8.2f}" for name in ("gradient", "exchange", "optimizer"))
        text = (
            f"{run['ranks']:5}  {run['blas_threads']:7}  {run['batch_size']:5}  {parts}  {1000 * whole[id(run)]:10.2f}"
        )
        if run["batch_size"] in alone:
            speedup = alone[run["batch_size"]] / whole[id(run)]
            text += f"  {speedup:8.2f}  {speedup / (run['ranks'] * run['blas_threads']):9.0%}"
        lines.append(text)
    return lines + [str(model) for model in [costs(results)] if model]


def draw(results: Results, path: Path) -> None:
    """Draw seconds per step against batch size, and speed-up against ranks: measured as points, predicted as lines."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    steps = [run for run in results.runs if "batch_size" in run and run["blas_threads"] == 1]
    sizes = sorted({run["batch_size"] for run in steps})
    counts = sorted({run["ranks"] for run in steps})
    whole = {(r["ranks"], r["batch_size"]): r["gradient"] + r["exchange"] + r["optimizer"] for r in steps}
    model = costs(results)
    for index, ranks in enumerate(counts):
        colour = f"C{index}"
        measured = [(size, whole[ranks, size]) for size in sizes if (ranks, size) in whole]
        left.plot(*zip(*measured, strict=True), "o", color=colour, label=f"{ranks} rank{'s' * (ranks > 1)}")
        if model:
            b = np.geomspace(sizes[0], sizes[-1], 200)
            gradients, exchange, optimizer = model.step(b, np.array(float(ranks)))
            left.plot(b, gradients + exchange + optimizer, color=colour, linewidth=1)
            if ranks > 1:
                left.axhline(float(exchange), color=colour, linestyle=":", label=f"exchange of {ranks} ranks")
    for index, size in enumerate(sizes):
        colour = f"C{index}"
        if (1, size) in whole:
            measured = [(ranks, whole[1, size] / whole[ranks, size]) for ranks in counts if (ranks, size) in whole]
            right.plot(*zip(*measured, strict=True), "o", color=colour, label=f"batch {size}")
        if model:
            many = 2.0 ** np.arange(9)
            gradients, exchange, optimizer = model.step(np.array(float(size)), many)
            seconds = gradients + exchange + optimizer
            right.plot(many, seconds[0] / seconds, color=colour, linewidth=1)
    left.set(xscale="log", yscale="log", xlabel="batch size B, of all ranks together", ylabel="seconds per step")
    right.set(xscale="log", yscale="log", xlabel="ranks R", ylabel="speed-up over one rank")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.suptitle("A training shared by ranks with one thread each: measured (points) and the model of costs (lines)")
    save_figure(figure, path)


def main(given: list[str] | None = None, comm: Comm = MPI.COMM_WORLD) -> None:
    """Train chapter 37's network on all ranks of ``comm``, or measure what that costs."""
    args = arguments(given)
    on_this_machine = comm.Split_type(MPI.COMM_TYPE_SHARED).size
    with threadpool_limits(max(1, blas_threads() // on_this_machine), user_api="blas"):
        if args.measure:
            measure(comm, args.measure_batches, args.steps, args.out)
            return
        train_set, test_set = mnist(args.train_size)
        model, optimizer = network(args.seed), args.optimizer(args.lr) if args.lr else args.optimizer()
        if comm.rank == 0:
            print(f"{comm.size} ranks, {optimizer}, {model.grads.nbytes:,} bytes of gradients in each exchange")
        started = perf_counter()

        def report(epoch: int) -> None:
            seconds = perf_counter() - started
            loss, accuracy = evaluate(comm, model, test_set)
            if comm.rank == 0:
                print(f"epoch {epoch}: test loss {loss:.4f}, test accuracy {accuracy:.2%}, after {seconds:.1f} s")

        train(
            comm,
            model,
            optimizer,
            train_set,
            epochs=args.epochs,
            batch_size=args.batch_size,
            seed=args.seed,
            after_epoch=report,
        )


def arguments(given: list[str] | None) -> argparse.Namespace:
    """Read the command line, or ``given`` in its place."""
    parser = argparse.ArgumentParser(description="One training shared by several processes, under mpiexec.")
    names = {kind.__name__: kind for kind in OPTIMIZERS}
    parser.add_argument("--optimizer", choices=names, default="SGD", help="SGD")
    parser.add_argument("--lr", type=float, help="learning rate (that of the optimizer)")
    parser.add_argument("--batch-size", type=int, default=256, metavar="B", help="of all ranks together (256)")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the training set (5)")
    parser.add_argument("--train-size", type=int, default=60_000, metavar="N", help="the first N images (60000)")
    parser.add_argument("--seed", type=int, default=0, help="for weights and order (0)")
    parser.add_argument("--measure", action="store_true", help="measure the parts of a step in place of training")
    parser.add_argument(
        "--measure-batches", type=int, nargs="+", default=[16, 64, 256, 1024, 4096], metavar="B", help="16 to 4096"
    )
    parser.add_argument("--steps", type=int, default=30, help="steps to measure of each kind (30)")
    parser.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="folder for results (results)")
    args = parser.parse_args(given)
    args.optimizer = names[args.optimizer]
    try:  # before anything is started
        if args.lr is not None:
            positive("--lr", args.lr)
        positive_int("--train-size", args.train_size, most=60_000)
        positive_int("--batch-size", args.batch_size, most=args.train_size)
        positive_int("--epochs", args.epochs)
        positive_int("--steps", args.steps)
        for size in args.measure_batches:
            positive_int("--measure-batches", size, most=60_000)
        if args.seed < 0:
            raise ValueError(f"--seed: expected at least 0, got {args.seed}")
    except ValueError as error:
        parser.error(str(error))
    return args


def run_together(main: Callable[[], None], comm: Comm = MPI.COMM_WORLD) -> None:
    """Call ``main``; a rank that fails ends all others, which would wait for it for ever."""
    try:
        main()
    except DisagreementError as error:  # raised by every rank, each of which ends by itself
        sys.exit(str(error) if comm.rank == 0 else 1)
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:
            raise  # --help
        if not isinstance(error, SystemExit):  # which has been explained
            traceback.print_exc()
        print(f"Rank {comm.rank} of {comm.size} failed, and ends all others.", file=sys.stderr, flush=True)
        comm.Abort(1)


if __name__ == "__main__":
    run_together(main)
