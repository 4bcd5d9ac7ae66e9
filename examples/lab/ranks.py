"""Ranks: the processes that MPI, the Message Passing Interface, has started together. They agree, and end together.

All do the same with different samples. So they compare what they were given before they start, and their parameters
after every epoch; and a rank that fails ends the others, which would wait for it indefinitely.
"""

import hashlib
import platform
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

import minidl
from minidl.backend import Array
from minidl.machine.terminal import any_console

try:
    import mpi4py
    from mpi4py import MPI as MPI
except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there, but no MPI library
    raise SystemExit(f"data_parallel.py needs mpi4py and an MPI library; install '.[mpi]' ({error})") from error

Comm: TypeAlias = Any
"""An ``mpi4py.MPI.Intracomm``: the ranks that work together."""


def parts(samples: int, batch_size: int, ranks: int) -> list[slice]:
    """Return which of the samples of a batch are those of each rank.

    Parts have ⌈B/R⌉ samples, the last ones fewer or none where that does not come out even: these are the ghosts of
    `minidl.BatchNorm`. Evener parts would be no faster, since all wait for the rank with the largest.
    """
    size = -(-batch_size // ranks)
    return [slice(min(rank * size, samples), min((rank + 1) * size, samples)) for rank in range(ranks)]


class DisagreementError(ValueError):
    """The ranks do not do the same; every rank raises it, at the same place."""


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


def facts(
    model: minidl.Sequential, optimizer: minidl.Optimizer, data: minidl.Dataset, **arguments: int
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
        **{name.replace("_", " "): repr(value) for name, value in arguments.items()},
        "versions": f"minidl {minidl.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"mpi4py {mpi4py.__version__}",
    }


def digest(*arrays: Array) -> str:
    """Return the first 16 of the 64 hexadecimal digits of the arrays' SHA-256."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()[:16]


def run_together(main: Callable[[], None], comm: Comm = MPI.COMM_WORLD) -> None:
    """Call ``main``; a rank that fails ends all others."""
    any_console()
    try:
        main()
    except DisagreementError as error:  # raised by every rank, each of which ends by itself
        sys.exit(str(error) if comm.rank == 0 else 1)
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:
            raise  # --help
        what = "" if isinstance(error, SystemExit) else traceback.format_exc()  # the former has been explained
        print(f"{what}Rank {comm.rank} of {comm.size} failed, and ends all others.", file=sys.stderr, flush=True)
        time.sleep(0.5)  # mpiexec drops what it has not passed on by then
        comm.Abort(1)
