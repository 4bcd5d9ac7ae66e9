"""What the ranks do that `test_data_parallel.py` starts: ``mpiexec -n R python data_parallel_ranks.py FUNCTION``."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import BatchNorm, Dense, Dropout, LogSoftmax, ReLU

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import data_parallel
from lab import costs
from lab.ranks import MPI, DisagreementError, run_together
from lab.results import Results
from lab.whole_batches import skip_masks

COMM = MPI.COMM_WORLD
EPOCHS, SEED = 3, 5


def data(n, seed=1):
    """Return samples whose classes are known only by their mean, in float64."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return minidl.Dataset(rng.normal(size=(n, 6)) + labels[:, None], labels)


def model(*between, seed=0):
    return minidl.Sequential(
        Dense(6, 16), *(layer() for layer in between), ReLU(), Dense(16, 3), LogSoftmax(), seed=seed, dtype="float64"
    )


def together(network, optimizer, samples, batch_size, **options):
    options |= {"epochs": EPOCHS, "batch_size": batch_size, "seed": SEED}
    data_parallel.train(COMM, network, optimizer, samples, **options)
    return network


def alone(network, optimizer, samples, batch_size, **options):
    options |= {"epochs": EPOCHS, "batch_size": batch_size, "seed": SEED, "progress": False}
    minidl.fit(network, optimizer, samples, samples, **options)
    return network


def assert_equal(found, expected, case, within=1e-12):
    error = abs(found - expected).max() / abs(expected).max()
    assert error <= within, f"{case}: relative error {error:.1e}"


def equal():
    """Train with every optimiser together and alone: batches that come out even, and batches and parts that do not."""
    for kind in data_parallel.OPTIMIZERS:
        for n, batch_size in ((64, 16), (61, 7), (10, 1)):
            samples = data(n)
            networks = together(model(), kind(), samples, batch_size), alone(model(), kind(), samples, batch_size)
            moved = abs(networks[1].params - model().params).max()
            assert moved > 1e-3, f"{kind}: moved by {moved}"
            assert_equal(networks[0].params, networks[1].params, (kind, n, batch_size))
            assert_equal(
                np.array(data_parallel.evaluate(COMM, networks[0], samples)),
                np.array(minidl.evaluate(networks[1], samples)),
                "evaluation",
            )


def dropout():
    """Train with dropout, which must have the masks of one process, also above and in layers that are frozen first."""
    samples = data(61)
    for frozen in ((), ("dense0", "dropout1")):
        networks = [model(lambda: Dropout(0.3), ReLU, lambda: Dense(16, 16), lambda: Dropout(0.5)) for _ in range(2)]
        for network in networks:
            network.freeze(*frozen) if frozen else None
        first, second = networks
        together(first, minidl.Momentum(), samples, 7, after_epoch=partial(thaw, first))
        alone(second, minidl.Momentum(), samples, 7, after_epoch=lambda model, history: thaw(model, len(history)))
        assert_equal(first.params, second.params, frozen)


def thaw(network, epoch):
    """Let all layers learn from the third epoch on."""
    if epoch == 2:
        network.unfreeze()


def batch_norm():
    """Train with batch normalisation: the parameters of ghosts, and the mean of the ranks' moving averages."""
    for kind in data_parallel.OPTIMIZERS:
        for n, batch_size in ((64, 16), (62, 8), (61, 9)):
            samples, ghosts = data(n), BatchNorm(16, ghost_size=-(-batch_size // COMM.size))
            # After ReLU, not before: what normalisation takes away, like a bias straight before it, has a gradient of
            # pure rounding, from which Adam makes steps of any size.
            parallel = together(model(ReLU, lambda: BatchNorm(16)), kind(), samples, batch_size)
            single = alone(model(ReLU, lambda ghosts=ghosts: ghosts), kind(), samples, batch_size)
            assert_equal(parallel.params, single.params, (kind, n, batch_size))

    # In the lowest layer the statistics are known in advance: they are those of the samples.
    samples, decay = data(64), 0.9
    network = minidl.Sequential(BatchNorm(6, decay), Dense(6, 3), LogSoftmax(), seed=0, dtype="float64")
    together(network, minidl.SGD(), samples, 16)
    rng, mean, var = np.random.default_rng(SEED), np.zeros(6), np.ones(6)
    for _ in range(EPOCHS):
        for batch in np.split(rng.permutation(64), 4):
            parts = np.split(samples.x[batch], COMM.size)
            mean += (1 - decay) * (np.mean([part.mean(axis=0) for part in parts], axis=0) - mean)
            var += (1 - decay) * (np.mean([part.var(axis=0, ddof=1) for part in parts], axis=0) - var)
    assert_equal(network.layers[0].moving_mean, mean, "mean")
    assert_equal(network.layers[0].moving_var, var, "variance")


def drawn(network, samples):
    """Return a network with dropout that has been used for so many samples."""
    skip_masks(network, samples, 6)
    return network


def refusals():
    """Call `train` with one thing that is different on the last rank, which must be named on all ranks."""
    last = COMM.rank == COMM.size - 1
    usual = {"epochs": EPOCHS, "batch_size": 8, "seed": SEED}
    for name, network, optimizer, samples, options in (
        ("shape of the data", model(), minidl.SGD(), data(40 + last), usual),
        ("data", model(), minidl.SGD(), data(40, seed=1 + last), usual),
        ("initial parameters", model(seed=int(last)), minidl.SGD(), data(40), usual),
        ("masks", drawn(model(Dropout), int(last)), minidl.SGD(), data(40), usual),
        ("model", model(*[ReLU] * last), minidl.SGD(), data(40), usual),
        ("optimizer", model(), minidl.SGD(0.1 if last else 0.2), data(40), usual),
        ("batch size", model(), minidl.SGD(), data(40), usual | {"batch_size": 8 + last}),
        ("epochs", model(), minidl.SGD(), data(40), usual | {"epochs": 2 + last}),
        ("seed", model(), minidl.SGD(), data(40), usual | {"seed": 5 + last}),
    ):
        before = network.params.copy()
        with pytest.raises(DisagreementError, match=f" {name}: rank {COMM.size - 1} has "):
            data_parallel.train(COMM, network, optimizer, samples, **options)
        assert (network.params == before).all()

    network = model(lambda: BatchNorm(16))
    with pytest.raises(ValueError, match="cannot normalise a single sample"):  # a part of an epoch's last batch
        together(network, minidl.SGD(), data(8 * COMM.size + 1), 8 * COMM.size)


def model_of_costs():
    """Find the numbers of a machine again in what steps and exchanges on it would take."""
    machine = costs.Costs(2e-3, 5000.0, 3e-6, 4e9, 1e-3, costs.network(0).grads.nbytes)
    gradient, exchange, optimizer = machine.step(np.array(100), np.array(8))
    assert gradient == 2e-3 + 13 / 5000
    assert np.isclose(exchange, 14 * 3e-6 + 14 / 8 * machine.size / 4e9)

    bytes_ = [4.0 * 4**power for power in range(12)]
    common = {"blas_threads": 1, "optimizer": optimizer}
    runs = [
        common | {"ranks": 1, "batch_size": b, "gradient": float(machine.step(np.array(b), np.array(1))[0])}
        for b in (16, 64, 256)
    ]
    runs.append(common | {"ranks": 2, "bytes": bytes_, "exchanges": [2 * 3e-6 + n / 4e9 for n in bytes_]})
    results = Results.__new__(Results)
    results.data = {"runs": runs}
    np.testing.assert_allclose(costs.costs(results), machine)
    results.data = {"runs": runs[:-1]}
    assert costs.costs(results) is None


def drift():
    """Let the parameters of one rank change in the middle of the training."""

    def spoil(epoch):
        network.params[0] += COMM.rank

    network = model()
    data_parallel.train(
        COMM, network, minidl.SGD(), data(40), epochs=2, batch_size=8, seed=SEED, after_epoch=spoil
    )  # is refused after epoch 2


def failure():
    """Let one rank fail in the middle of the training, while the others wait for it."""

    def fail(epoch):
        if COMM.rank == COMM.size - 1:
            raise RuntimeError("out of luck")

    data_parallel.train(
        COMM, model(), minidl.SGD(), data(40), epochs=2, batch_size=8, seed=SEED, after_epoch=fail
    )  # never returns


if __name__ == "__main__":
    run_together(globals()[sys.argv[1]])
    print("done")
