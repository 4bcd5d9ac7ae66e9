"""How fast: a training step of chapter 37's network, in minidl and in the large libraries, beside its matrix products.

Question: what does a textbook in plain NumPy cost? The eight matrix products of a step are the floor: they have to be
computed, and NumPy hands them to BLAS, so that no Python can make them faster or slower. The time that minidl takes
beyond them is its own doing.

What to look at in the figures: in the first, how far each library is above the floor. In the second, that the cost
grows with the work: straight lines of slope 1 once arrays are large, flat where starting an operation costs more than
doing it. In the third, which parts of a step are bound by arithmetic, which by memory, and how much of the time each
takes; `docs/speed.md` explains it.

The contestants of a run take turns (`lab.race`), and a ratio is that of the medians over all rounds (`lab.ratios`). The
interval beside it tells how far to trust it: other programs on the machine make it wide. Compare nothing between two
machines, or between two runs of this script.

    python examples/benchmark.py                      # whatever is installed takes part
    python examples/benchmark.py --quick              # a taste in less than a minute: minidl and the floor
    python examples/benchmark.py --backend cupy       # on a GPU, against PyTorch there

Finished runs are kept, as in all examples; to measure them anew, give another folder with --out.
Install PyTorch, JAX, scikit-learn and Numba with the extras ``bench`` and ``fast``: pip install '.[bench,fast]'
"""

import argparse
import signal
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

import minidl
from lab.command_line import run_script
from lab.conduct import conduct
from lab.contestants.task import CURVE_BATCH, OPTIMIZERS
from lab.environment import environment
from lab.figures.benchmark import draw
from lab.race import race, time_fusing, time_imports
from lab.results import Claims, Results, Settings
from lab.runs import Run
from lab.verdicts.benchmark import GPU_TARGETS, in_short, targets_table
from minidl.checks import positive_int
from minidl.machine import doctor

Steps: TypeAlias = list[tuple[str, dict[str, Any]]]
"""The training steps that are measured: name, and what to do."""
PACKAGES = ("numba", "torch", "jax", "scikit-learn")
CPU = ("floor", "minidl", "minidl fast", "PyTorch", "PyTorch fused", "PyTorch compiled", "JAX", "scikit-learn")
ON_GPU = ("floor", "minidl", "minidl fast", "PyTorch", "PyTorch fused", "PyTorch compiled", "PyTorch graph")
TF32 = ("floor", "minidl fast", "PyTorch", "PyTorch compiled", "PyTorch graph")
GPU = (*ON_GPU, *(f"{name} TF32" for name in TF32))
FULL = {
    "threads": 2,
    "starts": 3,
    "rounds": 5,
    "round_seconds": 0.5,
    "contestants": list(CPU),
    "batch_sizes": [64, 256, 1024],
    "curve_rounds": 5,
    "curve_batch_sizes": [1, 2, 4, 16, 64, 256, 1024, 4096],
    "curve_widths": [64, 128, 256, 512, 1024, 2048, 4096],
    "curve_samples": [1024, 4096, 16_384, 60_000],
    "train_size": 60_000,
}
FULL_GPU = FULL | {
    "starts": 1,
    "round_seconds": 0.1,
    "contestants": list(GPU),
    "curve_rounds": 3,
    "curve_batch_sizes": [1, 16, 256, 4096],
    "curve_widths": [],
    "curve_samples": [],
}
"""On a GPU steps are short, so short rounds will do."""
QUICK = FULL | {
    "starts": 1,
    "rounds": 3,
    "round_seconds": 0.05,
    "contestants": ["floor", "minidl"],
    "batch_sizes": [64],
    "curve_rounds": 2,
    "curve_batch_sizes": [16, 64],
    "curve_widths": [256, 1024],
    "curve_samples": [1024, 4096],
    "train_size": 2000,
}


def plan(settings: Settings) -> list[Run]:
    """Return all runs: the training steps, the three curves, and what else takes time or memory."""
    names, sizes = settings["contestants"], settings["batch_sizes"]
    steps = [(f"{o}, batch {size}", {"optimizer": o, "batch_size": size}) for o in OPTIMIZERS for size in sizes]
    works: dict[str, dict[str, Any]] = dict(steps)
    for optimizer in OPTIMIZERS:
        others = [name for name in names if name in ("minidl", "minidl fast", "PyTorch", "PyTorch fused")]
        works[f"update, {optimizer}"] = {"kind": "update", "optimizer": optimizer, "contestants": others}
    others = [name for name in names if name in ("floor", "minidl", "PyTorch")]
    works["evaluate"] = {"kind": "evaluate", "contestants": others}
    works |= kernels(settings, steps) if settings["backend"] != "numpy" else on_a_cpu(settings, steps)

    plain = [name for name in names if name.split()[-1] not in ("fast", "fused", "compiled", "TF32", "graph")]
    curve = {"contestants": plain, "starts": 1, "rounds": settings["curve_rounds"]}
    fast = [name for name in names if name in plain or name == "minidl fast"]  # a small batch is mostly update
    for size in settings["curve_batch_sizes"]:
        works[f"curve, batch {size}"] = {"batch_size": size} | curve | {"contestants": fast}
    for width in settings["curve_widths"]:
        works[f"curve, width {width}"] = {"batch_size": CURVE_BATCH, "width": width} | curve
    for samples in settings["curve_samples"]:
        epoch = {"batch_size": CURVE_BATCH, "samples": samples, "steps": samples // CURVE_BATCH}
        works[f"curve, samples {samples}"] = epoch | curve

    runs = [Run(name, 0, race, work) for name, work in works.items()]
    if settings["backend"] == "numpy":
        runs.append(Run("import", 0, time_imports, {}))
        if "minidl fast" in names:
            runs.append(Run("fusing", 0, time_fusing, {}))
    return runs


def on_a_cpu(settings: Settings, steps: Steps) -> dict[str, dict[str, Any]]:
    """Return the runs that a GPU has no part in, or whose clock it would not wait for."""
    works: dict[str, dict[str, Any]] = {}
    if len(rivals := [name for name in settings["contestants"] if name in ("floor", "PyTorch", "JAX")]) > 1:
        products = {"kind": "products", "contestants": rivals}
        works |= {f"products, batch {size}": products | {"batch_size": size} for size in settings["batch_sizes"]}
    alone = {"contestants": ["minidl"]}
    epoch = {"kind": "chapter37", "samples": settings["train_size"], "rounds": 0, "steps": 1, "starts": 1}
    works["chapter 37"] = epoch | alone
    works["load MNIST"] = {"kind": "load", "steps": 1} | alone
    parts = {"kind": "parts", "rounds": 1, "steps": 10 * settings["rounds"]} | alone
    return works | {f"parts, {name}": step | parts for name, step in steps}


def kernels(settings: Settings, steps: Steps) -> dict[str, dict[str, Any]]:
    """Return the runs that count what a step starts on a GPU."""
    others = [name for name in settings["contestants"] if name != "floor" and not name.endswith("TF32")]
    count = {"kind": "launches", "contestants": others, "starts": 1, "rounds": 1, "steps": 10}
    smallest = min(settings["batch_sizes"])
    return {f"launches, {name}": step | count for name, step in steps if step["batch_size"] == smallest}


def verdicts(results: Results) -> Claims:
    """Judge the targets; a run in full may lack Numba."""
    if results.settings["backend"] != "numpy":
        return targets_table(FULL_GPU | {"backend": "cupy"}, results, GPU_TARGETS)
    there = results.settings["contestants"]
    contestants = [name for name in CPU if name != "minidl fast" or name in there]
    return targets_table(FULL | {"backend": "numpy", "contestants": contestants}, results)


def main(given: list[str] | None = None) -> None:
    """Run what is missing, and say which targets are met."""
    args = arguments(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that workers and data are cleared away
    found = environment(args.backend) | {
        "blas_kernels": (doctor.blas_library() or {}).get("architecture"),
        "libraries": {name: found for name in PACKAGES if (found := installed(name))},
    }
    stem = "benchmark" if args.backend == "numpy" else "benchmark_gpu"
    settings = args.settings | {"backend": args.backend}
    conduct(Results(args.out / f"{stem}.json", settings, found), plan(settings), verdicts, draw, in_short=in_short)


def installed(package: str) -> str | None:
    """Return the version of an installed package; None if it is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def arguments(given: list[str] | None) -> argparse.Namespace:
    """Read the command line, or ``given`` in its place."""
    parser = argparse.ArgumentParser(description="Time a training step against other libraries and its products.")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="for each library (2)")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each contestant at each start (5; quick: 3)")
    parser.add_argument(
        "--contestants", nargs="+", metavar="NAME", help="the floor and whom to compare with it, in this order (all)"
    )
    parser.add_argument("--backend", choices=minidl.BACKENDS, default="numpy", help="cupy: on a GPU (numpy)")
    parser.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="folder for results (results)")
    parser.add_argument("--quick", action="store_true", help="a taste in less than a minute, without verdicts")
    args = parser.parse_args(given)
    args.settings = dict(QUICK if args.quick else FULL)
    try:  # before any run is started
        args.backend = minidl.get_backend(args.backend).__name__
        known = CPU if args.backend == "numpy" else GPU
        if args.backend != "numpy" and not args.quick:
            args.settings = dict(FULL_GPU)
        chosen = args.contestants or args.settings["contestants"]
        for name in chosen:
            if name not in known:
                raise ValueError(f"--contestants: expected some of {', '.join(known)}, got {name!r}")
        if not {"floor", "minidl"} <= set(chosen):
            raise ValueError(f"--contestants: expected floor and minidl among them, got {', '.join(chosen)}")
        args.settings |= {"threads": positive_int("--threads", args.threads), "contestants": list(chosen)}
        if args.rounds is not None:
            args.settings["rounds"] = positive_int("--rounds", args.rounds)
    except ValueError as error:
        parser.error(str(error))
    return args


if __name__ == "__main__":
    run_script(main)
