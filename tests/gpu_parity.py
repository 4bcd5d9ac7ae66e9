"""Compare NumPy with CuPy on a real GPU, and write how far apart they are: layers, losses, optimisers, chapter 37.

    python tests/gpu_parity.py docs/practice/gpu_parity.json

A difference is the largest between two entries, divided by the largest entry: 1e-16 is the last bit of float64, 6e-8
that of float32. For optimisers, whose arithmetic is rounded correctly on both, it says whether all bits are the same:
with a kernel for each operation, and with one kernel for the whole formula. It takes half a minute.
"""

import json
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "examples"), str(ROOT / "tests")]

from test_fusing import MAKERS, walk  # noqa: E402

import minidl  # noqa: E402
from lab.environment import environment  # noqa: E402
from lab.network import mnist, network  # noqa: E402

LAYERS = {
    "Dense(784, 1024)": lambda: [minidl.Dense(784, 1024)],
    "ReLU()": lambda: [minidl.ReLU()],
    "LogSoftmax()": lambda: [minidl.LogSoftmax()],
    "BatchNorm(784)": lambda: [minidl.BatchNorm(784)],
    "Dropout(0.5)": lambda: [minidl.Dropout(0.5)],
    "784-256-10": lambda: [minidl.Dense(784, 256), minidl.ReLU(), minidl.Dense(256, 10), minidl.LogSoftmax()],
}
STEPS = 100


def main(path: Path) -> None:
    """Compare, print, and write the report."""
    report: dict[str, Any] = {"environment": environment("cupy")}
    report["layers"] = [layer(name, dtype) for name in LAYERS for dtype in ("float32", "float64")]
    report["losses"] = [loss(kind, dtype) for kind in ("NLLLoss", "MSELoss") for dtype in ("float32", "float64")]
    report["optimizers"] = [optimizer(name, dtype) for name in MAKERS for dtype in ("float32", "float64")]
    report["chapter 37"] = [epoch(size) for size in (64, 256, 1024)]
    for row in chain(*list(report.values())[1:]):
        cells = (f"{key}: {value:.2g}" if type(value) is float else f"{key}: {value}" for key, value in row.items())
        print(*cells, sep="  ")
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def layer(name: str, dtype: str) -> dict[str, Any]:
    """Compare both passes of a layer, or of the layers of a network."""
    passes = []
    for backend in ("numpy", "cupy"):
        model = minidl.Sequential(*LAYERS[name](), seed=0, dtype=dtype, backend=backend)
        rng, xp = np.random.default_rng(1), minidl.get_backend(backend)
        x = rng.normal(size=(64, 784)).astype(dtype)
        y = model.forward(xp.asarray(x), training=True)
        dx = model.backward_to_input(xp.asarray(rng.normal(size=y.shape).astype(dtype)))
        passes.append([minidl.to_numpy(array) for array in (y, dx, model.grads)])
    differences = dict(zip(("y", "dx", "dparams"), map(difference, *passes), strict=True))
    return {"layer": name, "dtype": dtype} | differences


def loss(kind: str, dtype: str) -> dict[str, Any]:
    """Compare value and gradient of a loss."""
    passes = []
    for backend in ("numpy", "cupy"):
        rng, xp = np.random.default_rng(0), minidl.get_backend(backend)
        y = -rng.exponential(size=(256, 10)).astype(dtype)
        targets = rng.integers(0, 10, 256) if kind == "NLLLoss" else rng.normal(size=(256, 10)).astype(dtype)
        made = getattr(minidl, kind)()
        value = made.forward(xp.asarray(y), xp.asarray(targets))
        passes.append([np.asarray(minidl.to_numpy(value)), minidl.to_numpy(made.backward())])
    return {"loss": kind, "dtype": dtype} | dict(zip(("value", "gradient"), map(difference, *passes), strict=True))


def optimizer(name: str, dtype: str) -> dict[str, Any]:
    """Compare many steps of an optimiser with the same gradients, learning rates and groups."""
    groups = [minidl.Group(slice(3, 9000)), minidl.Group(slice(9000, 9900), 0.5, biases=True)]
    here, plain, fused = (
        walk(MAKERS[name](), dtype, fused, 10_000, groups, minidl.get_backend(backend), STEPS)
        for backend, fused in (("numpy", False), ("cupy", False), ("cupy", True))
    )
    same, same_fused = (all(map(same_bits, here, there)) for there in (plain, fused))
    return {"optimizer": name, "dtype": dtype, "same bits": same, "same bits fused": same_fused}


def epoch(batch_size: int) -> dict[str, Any]:
    """Compare an epoch of chapter 37."""
    rows, params = [], []
    for backend in ("numpy", "cupy"):
        model = network(0, backend)
        train, test = mnist(backend=backend)
        options: dict[str, Any] = {"epochs": 1, "batch_size": batch_size, "seed": 0, "progress": False}
        rows.append(minidl.fit(model, minidl.SGD(0.01), train, test, **options))
        params.append(minidl.to_numpy(model.params))
    columns = ("train_loss", "test_loss", "test_accuracy")
    both = zip(rows, ("CPU", "GPU"), strict=True)
    found = {f"{name} on {where}": getattr(row, name)[0] for row, where in both for name in columns}
    return {"batch size": batch_size, "parameters": difference(*params)} | found


def difference(here: Any, there: Any) -> float:
    """Return the largest difference between two entries, relative to the largest entry."""
    assert here.dtype == there.dtype
    assert here.shape == there.shape
    if not here.size:
        return 0.0
    return float(np.abs(here - there).max() / max(np.abs(here).max(), np.finfo(here.dtype).tiny))


def same_bits(here: Any, there: Any) -> bool:
    """Tell whether two arrays have the same bits."""
    return bool(here.dtype == there.dtype and (here.view("uint8") == there.view("uint8")).all())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
