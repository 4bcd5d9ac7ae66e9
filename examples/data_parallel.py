"""One run shared by several processes: each takes its part of every batch, and they add up their gradients.

The loss of a batch is a mean over its B samples. So its gradient is a weighted sum of the gradients of any parts of it,

    g = Σ_r (m_r / B) g_r        g_r: gradient of the mean over the m_r samples of part r

and R processes, on one machine or many, can work on a part each. MPI, the Message Passing Interface, calls them
*ranks*. Each rank has the whole network and an optimiser of its own. In every step it computes its (m_r / B) g_r; one
*all-reduce* gives all ranks the sum of these vectors; and then all make the same step, and so keep the same parameters.
This is training in one process with batches of B samples, but for rounding. The loop is `minidl.descend`, as ever:
since all gradients lie in one flat vector, an optimiser that adds them up before its step is enough, `SharedSteps`.
This is why Goyal et al. 2017 and Smith et al. 2018 want large batches: the larger B, the more work the ranks share
between two exchanges.

Batch normalisation and dropout look beyond a single sample; `lab/whole_batches.py` says what becomes of them.

    mpiexec -n 2 python examples/data_parallel.py                 # chapter 37's network, batch 256, 5 epochs
    mpiexec -n 2 python examples/data_parallel.py --measure       # time for each part of a step, and what it predicts

Install '.[mpi]' for mpi4py and MPICH. docs/beyond_one_machine.md has the model of costs, and the commands for several
machines.

Source: Goyal et al. 2017, "Accurate, large minibatch SGD: training ImageNet in 1 hour", section 3; Smith et al. 2018,
"Don't decay the learning rate, increase the batch size".
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

import minidl
from lab.costs import measure, table
from lab.environment import blas_threads
from lab.figures.data_parallel import draw
from lab.network import mnist, network
from lab.ranks import MPI, Comm, digest, facts, parts, require_agreement, run_together
from lab.whole_batches import average_buffers, skip_masks
from minidl.backend import Array
from minidl.checks import instance, positive, positive_int
from minidl.checks.data import check_dataset
from minidl.checks.plan import check_batches
from minidl.datasets import batch_bounds

OPTIMIZERS = (minidl.SGD, minidl.Momentum, minidl.Nesterov, minidl.Adagrad, minidl.RMSprop, minidl.Adam)


class SharedSteps(minidl.Optimizer):
    """An optimiser that follows the gradient of a whole batch, Σ_r (m_r / B) g_r, where each rank brings its g_r.

    Attributes:
        weight: m_r / B of this rank; is set before each batch.
    """

    def __init__(self, comm: Comm, optimizer: minidl.Optimizer):
        super().__init__(optimizer.lr)
        self.comm, self.optimizer, self.weight = comm, optimizer, 1.0

    def step(self, params: Array, grads: Array, groups: list[minidl.Group] | None = None) -> None:
        """Put the gradient of the whole batch into ``grads``, and make the optimiser's step."""
        grads *= self.weight
        self.comm.Allreduce(MPI.IN_PLACE, grads)  # grads ← Σ grads, over the ranks
        self.optimizer.step(params, grads, groups)


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
    """Train ``model`` on all ranks of ``comm`` together, to what `minidl.fit` makes of it in one process.

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
    data = minidl.Dataset(*check_dataset("data", data, model))
    if not isinstance(model.params, np.ndarray):
        raise TypeError("model: expected one in main memory, with backend numpy")
    positive_int("epochs", epochs)
    require_agreement(comm, facts(model, optimizer, data, batch_size=batch_size, epochs=epochs, seed=seed))
    n, features = data.x.shape
    bounds = list(batch_bounds(n, batch_size))
    shares = [mine for start, stop in bounds for mine in parts(stop - start, batch_size, comm.size)]
    check_batches(model, {mine.stop - mine.start for mine in shares} - {0})
    steps, rng = SharedSteps(comm, optimizer), np.random.default_rng(seed)
    state = minidl.Training(model, steps, rng)

    def batches() -> Iterator[tuple[Array, Array]]:
        order = rng.permutation(n)  # the same on every rank
        for start, stop in bounds:
            mine = parts(stop - start, batch_size, comm.size)[comm.rank]
            rows = order[start:stop][mine]
            steps.weight = len(rows) / (stop - start)
            skip_masks(model, mine.start, features)
            if len(rows):
                yield data.x.take(rows, axis=0), data.labels.take(rows)
            else:  # no gradient of its own, but the others wait for its step
                model.grads[...] = 0
                steps.step(model.params, model.grads, model.groups)
            skip_masks(model, stop - start - mine.stop, features)

    for epoch in range(1, epochs + 1):
        for _ in minidl.descend(state, batches()):
            pass
        average_buffers(comm, model)
        require_agreement(comm, {f"parameters after epoch {epoch}": digest(model.params)})
        if after_epoch is not None:
            after_epoch(epoch)


def evaluate(comm: Comm, model: minidl.Sequential, data: minidl.Dataset) -> tuple[float, float]:
    """Return mean loss and accuracy as `minidl.evaluate` does, with the samples shared by the ranks."""
    n, sums = len(data.x), np.zeros(2)
    mine = parts(n, n, comm.size)[comm.rank]
    if mine.stop > mine.start:
        sums += np.array(minidl.evaluate(model, (data.x[mine], data.labels[mine]))) * (mine.stop - mine.start)
    comm.Allreduce(MPI.IN_PLACE, sums)
    loss, accuracy = sums / n
    return float(loss), float(accuracy)


def main(given: list[str] | None = None, comm: Comm = MPI.COMM_WORLD) -> None:
    """Train chapter 37's network on all ranks of ``comm``, or measure what that costs."""
    args = arguments(given)
    on_this_machine = comm.Split_type(MPI.COMM_TYPE_SHARED).size
    with threadpool_limits(max(1, blas_threads() // on_this_machine), user_api="blas"):
        if args.measure:
            if results := measure(comm, args.measure_batches, args.steps, args.out):
                print(*table(results), sep="\n")
                draw(results, results.path.with_suffix(".png"))
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

        plan = {"epochs": args.epochs, "batch_size": args.batch_size, "seed": args.seed}
        train(comm, model, optimizer, train_set, **plan, after_epoch=report)


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


if __name__ == "__main__":
    run_together(main)
