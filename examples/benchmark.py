"""How fast: a training step of chapter 37's network, in minidl and in the large libraries, beside its matrix products.

Question: what does a textbook in plain NumPy cost? The eight matrix products of a step are the floor: they have to be
computed, and NumPy hands them to BLAS, so that no Python can make them faster or slower. What minidl takes beyond them
is its own doing.

What to look at in the figures: in the first, how far each library is above the floor. In the second, that the cost
grows with the work: straight lines of slope 1 once arrays are large, flat where starting an operation costs more than
doing it. In the third, which parts of a step are bound by arithmetic, which by memory, and what share of the time they
have; `docs/speed.md` explains it.

The contestants of a run do the same work by turns, a round each, in another order every other round; each is a process
of its own that waits while others work. All are started several times, since a process may be fast or slow for as long
as it lives. A ratio is that of the medians over all rounds; the interval beside it tells how far to trust it: other
programs on the machine make it wide. Compare nothing between two machines, or between two runs of this script.

    python examples/benchmark.py                      # whatever is installed takes part
    python examples/benchmark.py --quick              # a taste in less than a minute: minidl and the floor
    python examples/benchmark.py --backend cupy       # on a GPU, against PyTorch there

Finished runs are kept, as in all examples; to measure them anew, give another folder with --out.
Install PyTorch, JAX and scikit-learn with the extra ``bench``: pip install '.[bench]'
"""

import argparse
import atexit
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import minidl
from contestants import Task
from lab.claims import NOT_TESTED, in_full
from lab.command_line import run_script
from lab.conduct import conduct
from lab.environment import environment
from lab.plots import save_figure
from lab.results import Claims, Results, Settings
from lab.runs import Run
from lab.statistics import NBSP
from minidl import doctor
from minidl.checks import positive_int

FOLDER = Path(__file__).parent
PACKAGES = ("torch", "jax", "scikit-learn")
CPU = ("floor", "minidl", "PyTorch", "PyTorch fused", "PyTorch compiled", "JAX", "scikit-learn")
ON_GPU = ("floor", "minidl", "PyTorch", "PyTorch compiled", "PyTorch graph")
GPU = tuple(name + tf32 for name in ON_GPU for tf32 in ("", " TF32"))
COLOURS = {
    "floor": "black",
    "minidl": "tab:red",
    "PyTorch": "tab:blue",
    "PyTorch fused": "tab:cyan",
    "PyTorch compiled": "tab:purple",
    "PyTorch graph": "tab:pink",
    "JAX": "tab:green",
    "scikit-learn": "tab:orange",
}
FULL = {
    "threads": 2,
    "starts": 3,
    "rounds": 5,
    "round_seconds": 0.5,
    "contestants": list(CPU),
    "batch_sizes": [64, 256, 1024],
    "curve_rounds": 5,
    "curve_batch_sizes": [1, 4, 16, 64, 256, 1024, 4096],
    "curve_widths": [64, 128, 256, 512, 1024, 2048, 4096],
    "curve_samples": [1024, 4096, 16_384, 60_000],
    "train_size": 60_000,
}
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
OPTIMIZERS = ("SGD", "Adam")
CURVE_BATCH = 256
"""Batch size where the width or the number of samples varies."""
MOST = {64: 1.20, 256: 1.12, 1024: 1.08}
"""Target: a step of SGD as a multiple of its matrix products, by batch size."""
TARGETS = {
    "S1": "a step of SGD takes at most 1.20 × its products at batch 64",
    "S2": "the same, at most 1.12 × at batch 256",
    "S3": "the same, at most 1.08 × at batch 1024",
    "S4": "a step takes less time than with JAX and each mode of PyTorch, at all three batch sizes, SGD and Adam",
    "S5": "an update of Adam takes at most 2.5 ms, or 5 × as long as PyTorch's fused one",
    "S6": "evaluating 10,000 images takes at most 1.15 × its products",
    "S7": "chapter 37 needs at most 700 MB",
    "S8": "importing minidl takes at most 1.3 × as long as importing NumPy",
}


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
    conduct(Results(args.out / f"{stem}.json", settings, found), plan(settings), verdicts, draw)


def plan(settings: Settings) -> list[Run]:
    """Return all runs: the training steps, the three curves, and what else takes time or memory."""
    contestants, sizes = settings["contestants"], settings["batch_sizes"]
    planned: dict[str, dict[str, Any]] = {
        f"{optimizer}, batch {size}": {"optimizer": optimizer, "batch_size": size}
        for optimizer in OPTIMIZERS
        for size in sizes
    }
    if len(rivals := [name for name in contestants if name in ("floor", "PyTorch", "JAX")]) > 1:
        for size in sizes:
            planned[f"products, batch {size}"] = {"kind": "products", "batch_size": size, "contestants": rivals}
    curve: dict[str, Any] = {
        "contestants": [name for name in contestants if name.split()[-1] not in ("fused", "compiled", "TF32", "graph")],
        "starts": 1,
        "rounds": settings["curve_rounds"],
    }
    for size in settings["curve_batch_sizes"]:
        planned[f"curve, batch {size}"] = {"batch_size": size, **curve}
    for width in settings["curve_widths"]:
        planned[f"curve, width {width}"] = {"batch_size": CURVE_BATCH, "width": width, **curve}
    for samples in settings["curve_samples"]:
        epoch = {"samples": samples, "steps": samples // CURVE_BATCH}
        planned[f"curve, samples {samples}"] = {"batch_size": CURVE_BATCH, **epoch, **curve}
    for optimizer in OPTIMIZERS:
        others = [name for name in contestants if name in ("minidl", "PyTorch", "PyTorch fused")]
        planned[f"update, {optimizer}"] = {"kind": "update", "optimizer": optimizer, "contestants": others}
    others = [name for name in contestants if name in ("floor", "minidl", "PyTorch")]
    planned["evaluate"] = {"kind": "evaluate", "contestants": others}
    alone = {"contestants": ["minidl"]}
    once = {"starts": 1, **alone}
    planned["chapter 37"] = {"kind": "chapter37", "samples": settings["train_size"], "rounds": 0, "steps": 1, **once}
    planned["load MNIST"] = {"kind": "load", "steps": 1, **alone}
    if settings["backend"] == "numpy":  # a GPU goes on working while the clock is read
        for optimizer in OPTIMIZERS:
            for size in sizes:
                parts = {"kind": "parts", "rounds": 1, "steps": 10 * settings["rounds"], **alone}
                planned[f"parts, {optimizer}, batch {size}"] = {"optimizer": optimizer, "batch_size": size, **parts}
    runs = [Run(name, 0, race, arguments) for name, arguments in planned.items()]
    return [*runs, Run("import", 0, imports, {})]


def race(
    settings: Settings,
    seed: int,
    contestants: list[str] | None = None,
    starts: int | None = None,
    rounds: int | None = None,
    steps: int | None = None,
    **task: Any,
) -> dict[str, Any]:
    """Let contestants do the same work by turns.

    Args:
        settings: of the experiment.
        seed: for weights and orders.
        contestants: who takes part; None for all.
        starts: how many times all are started; None for as many as the settings say.
        rounds: how many each has every time; None likewise.
        steps: in a round; None for as many as take the first contestant so long as the settings say.
        task: the fields of `contestants.Task` that are not those of chapter 37.

    Returns:
        Steps in a round; for each contestant the seconds of a step in each round, its peak memory, and what else it
        found; and why others are missing.
    """
    fixed = {"data": data_folder(), "threads": settings["threads"], "backend": settings["backend"], "seed": seed}
    tasks = [
        Task(name, **({"kind": "train"} | fixed | task))
        for name in (settings["contestants"] if contestants is None else contestants)
    ]
    found: dict[str, Any] = {"steps": steps, "seconds_per_step": {}, "peak_bytes": {}, "details": {}, "missing": {}}
    for _ in range(settings["starts"] if starts is None else starts):
        take_turns(tasks, settings["rounds"] if rounds is None else rounds, settings["round_seconds"], found)
    for name in found["missing"]:  # perhaps it broke down after some rounds
        for values in (found["seconds_per_step"], found["peak_bytes"], found["details"]):
            values.pop(name, None)
    return found


def take_turns(tasks: list[Task], rounds: int, round_seconds: float, found: dict[str, Any]) -> None:
    """Start all contestants, let each have its rounds, and add what comes of it to what `race` has found."""

    def heard(name: str, answer: dict[str, Any]) -> dict[str, Any]:
        if "missing" in answer:
            found["missing"][name] = answer["missing"]
        return answer

    def present() -> list[str]:
        return [name for name in workers if name not in found["missing"]]

    with ExitStack() as at_the_end:
        workers = {task.contestant: at_the_end.enter_context(Worker(task)) for task in tasks}
        for name, worker in workers.items():
            heard(name, worker.answer())
        for name in present():
            if found["steps"] is None and "seconds" in (answer := heard(name, workers[name].ask(steps=1))):
                found["steps"] = max(1, round(round_seconds / answer["seconds"]))
        for number in range(rounds):
            for name in present()[:: -1 if number % 2 else 1]:
                answer = heard(name, workers[name].ask(steps=found["steps"]))
                if "seconds" in answer:
                    found["seconds_per_step"].setdefault(name, []).append(answer.pop("seconds") / found["steps"])
                    if answer:  # more than the time
                        found["details"].setdefault(name, []).append(answer)
        for name in present():
            peak = heard(name, workers[name].ask(end=True)).get("peak_bytes", 0)
            found["peak_bytes"][name] = max(peak, found["peak_bytes"].get(name, 0))


class Worker:
    """A process of a contestant; see `contestants`. It ends when its input does, even if this process is killed."""

    def __init__(self, task: Task):
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), task.threads)
        self.process = subprocess.Popen(
            [sys.executable, FOLDER / "contestants.py", task.contestant],  # the name is for those who look at processes
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {variable: str(count) for variable, count in threads.items()},  # NPROC is for JAX
        )
        self._write(task._asdict())

    def ask(self, **question: Any) -> dict[str, Any]:
        """Put a question, and wait for the answer."""
        self._write(question)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Wait for the answer to what was asked; from a process that has ended, it is why the contestant is missing."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return {"missing": f"ended without an answer, with status {self.process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _write(self, question: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # that the process has ended is seen from its answer
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@cache
def data_folder() -> str:
    """Return a folder with MNIST's training set as contestants read it. It is removed when this process ends."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    train, _ = minidl.load_mnist()
    np.save(Path(folder.name) / "x.npy", train.x)
    np.save(Path(folder.name) / "labels.npy", train.labels)
    return folder.name


def imports(settings: Settings, seed: int) -> dict[str, Any]:
    """Measure how long importing takes, each time in a new process, with bytecode as after the first time."""
    del seed
    seconds: dict[str, list[float]] = {"numpy": [], "minidl": []}
    with TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(1 + settings["starts"] * settings["rounds"]):
            for module, times in seconds.items():
                code = f"from time import perf_counter as t; a = t(); import {module}; print(t() - a)"
                times.append(float(subprocess.check_output([sys.executable, "-c", code], env=environment)))
    return {"seconds_per_step": {module: times[1:] for module, times in seconds.items()}}


class Ratio(NamedTuple):
    """How many times as long one takes as another."""

    value: float
    """The quotient of the medians over the rounds."""
    low: float
    """Where its 90 % interval begins; see `ratio`."""
    high: float
    """Where it ends."""

    def __str__(self) -> str:
        return f"{self.value:.2f}{NBSP}× ({self.low:.2f} to {self.high:.2f})"


def ratio(results: Results, run: str, one: str, other: str) -> Ratio | None:
    """Return how many times as long ``one`` takes as ``other``; None unless both took part in the run.

    The interval is that of the bootstrap: a thousand times as many rounds as there were are drawn from them, with
    replacement, and the quotient of their medians is computed anew (Efron 1979, "Bootstrap methods: another look at the
    jackknife"). It holds the true quotient nine times in ten if rounds are independent. Those of one start resemble
    each other, and so it is rather too narrow.
    """
    times = seconds(results, run)
    if not times.get(one) or not times.get(other):
        return None
    pairs = np.array([times[one], times[other]])
    drawn = np.random.default_rng(0).integers(pairs.shape[1], size=(1000, pairs.shape[1]))
    middle = np.median(pairs[:, drawn], axis=2)
    low, high = np.quantile(middle[0] / middle[1], [0.05, 0.95])
    return Ratio(median(times[one]) / median(times[other]), float(low), float(high))


def seconds(results: Results, run: str) -> dict[str, list[float]]:
    """Return the seconds of a step in each round of a run, by contestant; empty if there is no such run."""
    found = results.called(run)
    times: dict[str, list[float]] = found[0]["seconds_per_step"] if found else {}
    return times


def verdicts(results: Results) -> Claims:
    """Hold what was measured against the targets, by the ratios of medians; only a run in full can tell."""
    settings = results.settings
    decided = in_full(settings, FULL) and settings["backend"] == "numpy"
    found: dict[str, tuple[str, bool | None]] = {}
    for number, (size, most) in enumerate(MOST.items(), start=1):
        if step := ratio(results, f"SGD, batch {size}", "minidl", "floor"):
            found[f"S{number}"] = (str(step), step.value <= most)
    if rivals := nearest_rivals(results):
        complete = len(rivals) == len(OPTIMIZERS) * len(MOST) and not any(run.get("missing") for run in results.runs)
        shown = "; ".join(f"{run}: {rival} {times}" for run, (rival, times) in rivals.items())
        ahead = all(times.value > 1 for _, times in rivals.values())
        found["S4"] = (f"the nearest: {shown}", None if ahead and not complete else ahead)
    if times := seconds(results, "update, Adam"):
        took, fused = median(times["minidl"]), ratio(results, "update, Adam", "minidl", "PyTorch fused")
        against = f", {fused} PyTorch's fused one" if fused else ""
        fast = took <= 0.0025 or (fused is not None and fused.value <= 5)
        found["S5"] = (f"{1000 * took:.2f}{NBSP}ms{against}", fast)
    if evaluation := ratio(results, "evaluate", "minidl", "floor"):
        found["S6"] = (str(evaluation), evaluation.value <= 1.15)
    for run in results.called("chapter 37"):
        if peak := run["peak_bytes"].get("minidl"):
            found["S7"] = (f"{peak / 1e6:.0f}{NBSP}MB", peak <= 700e6)
    if importing := ratio(results, "import", "minidl", "numpy"):
        found["S8"] = (str(importing), importing.value <= 1.3)
    rows = []
    for identity, target in TARGETS.items():
        measured, met = found.get(identity, ("not measured", None))
        verdict = NOT_TESTED if not decided or met is None else "met" if met else "not met"
        rows.append({"id": identity, "claimed": target, "measured": measured, "verdict": verdict})
    return rows


def nearest_rivals(results: Results) -> dict[str, tuple[str, Ratio]]:
    """Return for each run of training steps the fastest mode of PyTorch or JAX, and its time against minidl's."""
    nearest = {}
    for optimizer in OPTIMIZERS:
        for size in MOST:
            run = f"{optimizer}, batch {size}"
            others = [name for name in seconds(results, run) if name.split()[0] in ("PyTorch", "JAX")]
            against = {name: times for name in others if (times := ratio(results, run, name, "minidl"))}
            if against:
                nearest[run] = min(against.items(), key=lambda item: item[1].value)
    return nearest


def draw(results: Results, path: Path) -> None:
    """Draw the three figures."""
    draw_ratios(results, path)
    draw_curves(results, path.with_stem(f"{path.stem}_cost"))
    if results.settings["backend"] == "numpy":
        draw_roofline(results, path.with_stem(f"{path.stem}_roofline"))


def draw_ratios(results: Results, path: Path) -> None:
    """Draw the time of a step as a multiple of its products, and the memory it needs."""
    figure, axes = plt.subplots(len(OPTIMIZERS) + 1, 1, figsize=(10, 10), layout="constrained")
    sizes = results.settings["batch_sizes"]
    names = [name for name in results.settings["contestants"] if name != "floor"]
    width = 0.8 / len(names)
    for ax, optimizer in zip(axes, OPTIMIZERS, strict=False):
        for i, name in enumerate(names):
            for position, size in enumerate(sizes):
                times = ratio(results, f"{optimizer}, batch {size}", name, "floor")
                if times is not None:
                    x = position + (i - (len(names) - 1) / 2) * width
                    ax.bar(x, times.value, 0.9 * width, **style(name), label=name)
                    lines = [[max(0, times.value - times.low)], [max(0, times.high - times.value)]]
                    ax.errorbar(x, times.value, lines, color="black", linewidth=1)
                    top = max(times.value, times.high)
                    offset = {"xytext": (0, 2), "textcoords": "offset points", "ha": "center", "fontsize": 7}
                    ax.annotate(f"{times.value:.2f}", (x, top), **offset)
        ax.axhline(1, color="black", linewidth=1)
        ax.set(ylabel="step / its matrix products", title=f"{optimizer}: time")
        ax.set_xticks(range(len(sizes)), [f"batch {size}" for size in sizes])
        ax.margins(y=0.12)
    handles = dict(zip(*axes[0].get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=7)
    run = f"SGD, batch {sizes[len(sizes) // 2]}"
    peaks = results.called(run)[0]["peak_bytes"]
    shown = [name for name in peaks if name != "floor"]
    bars = axes[-1].barh(shown, [peaks[name] / 1e6 for name in shown], color=[style(name)["color"] for name in shown])
    axes[-1].bar_label(bars, fmt="%.0f", padding=3)
    axes[-1].invert_yaxis()
    axes[-1].set(xlabel="MB", title=f"Peak memory of the process, images included ({run})")
    axes[-1].margins(x=0.08)
    figure.suptitle(f"A training step of 784-1024-1024-10, {threads(results)}: medians, intervals of 90 %")
    save_figure(figure, path)


def threads(results: Results) -> str:
    """Return how many threads each library had, in words."""
    count = results.settings["threads"]
    return f"{count} thread{'s' * (count > 1)}"


def style(name: str) -> dict[str, Any]:
    """Return how a contestant is drawn."""
    tf32 = name.endswith(" TF32")
    return {"color": COLOURS[name.removesuffix(" TF32")], "alpha": 0.5 if tf32 else 1.0}


def draw_curves(results: Results, path: Path) -> None:
    """Draw what a step or an epoch costs, against batch size, width and number of samples."""
    settings = results.settings
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.8), layout="constrained")
    for ax, what, values in zip(axes, ("batch", "width", "samples"), (
        settings["curve_batch_sizes"], settings["curve_widths"], settings["curve_samples"]), strict=True):  # fmt: skip
        for name in settings["contestants"]:
            points = []
            for value in values:
                times = seconds(results, f"curve, {what} {value}").get(name)
                if times:
                    steps = results.called(f"curve, {what} {value}")[0]["steps"] if what == "samples" else 1
                    points.append((value, 1000 * steps * median(times)))
            if points:
                ax.plot(*zip(*points, strict=True), "o-", markersize=4, **style(name), label=name)
            if points and name == "floor":
                (first, _), (last, most) = points[0], points[-1]
                slope = 2 if what == "width" else 1  # the products of the middle layer grow with the square
                lowest = most * (first / last) ** slope
                ax.plot([first, last], [lowest, most], ":", color="gray", label=f"slope {slope}")
        ax.set(xscale="log", yscale="log")
        ax.set_xticks(values, [f"{value:,}" for value in values])
        ax.minorticks_off()
        ax.yaxis.set_major_formatter("{x:g}")
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    axes[0].set(xlabel="batch size", ylabel="ms a step", title="Batch size (width 1024)")
    axes[1].set(xlabel="units in each hidden layer", ylabel="ms a step", title=f"Width (batch {CURVE_BATCH})")
    axes[2].set(xlabel="training images", ylabel="ms an epoch", title=f"Samples (batch {CURVE_BATCH}, width 1024)")
    figure.suptitle(f"What training costs with SGD, {threads(results)} (both axes logarithmic)")
    save_figure(figure, path)


class Part(NamedTuple):
    """What a part of a training step does."""

    operations: float
    """Additions, multiplications and others on floating-point numbers."""
    traffic: float
    """Bytes that it reads and writes, if every operation of NumPy reads its arguments and writes its result once."""


def parts_of_step(batch: int, optimizer: str, width: int = 1024) -> dict[str, Part]:
    """Count the operations and bytes of each part of a step, in float32, from the shapes.

    Temporary arrays count, too: dy · [y > 0] is a comparison, which reads y and writes a byte for each number, and a
    multiplication, which reads both factors and writes dx. Of an update only the vectors count, w, g and the state: its
    temporary arrays stay in cache. The output layer's arrays are small, and their counts rough.
    """
    sizes = [784, width, width, 10]
    parts = {"gather": Part(0, 4 * 2 * batch * sizes[0])}
    parameters = 0
    for i, (d, h) in enumerate(pairwise(sizes)):
        product, bias = 2 * batch * d * h, batch * h
        parameters += (d + 1) * h
        x, w, y = batch * d, d * h, batch * h
        parts[f"dense{2 * i} forward"] = Part(product + bias, 4 * (x + w + y + 2 * y))
        to_input = (product, 4 * (y + w + x)) if i else (0, 0)  # nobody asks for the gradient of the images
        parts[f"dense{2 * i} backward"] = Part(product + to_input[0] + bias, 4 * (x + y + w + y) + to_input[1])
        if i < 2:
            parts[f"relu{2 * i + 1} forward"] = Part(y, 4 * 2 * y)
            parts[f"relu{2 * i + 1} backward"] = Part(2 * y, 4 * y + y + 4 * y + y + 4 * y)
    scores = batch * sizes[-1]
    parts["logsoftmax5 forward"] = Part(5 * scores, 4 * 8 * scores)
    parts["loss"] = Part(scores, 4 * scores)
    parts["logsoftmax5 backward"] = Part(4 * scores, 4 * 7 * scores)
    operations, vectors = {"SGD": (2, 3), "Adam": (12, 7)}[optimizer]  # g once, w twice; m and v twice each
    parts["update"] = Part(operations * parameters, 4 * vectors * parameters)
    return parts


def measured_parts(results: Results, optimizer: str, batch: int) -> dict[str, float]:
    """Return the seconds of each part of a step: the median over the starts."""
    starts = [
        answer["parts"] for answer in results.called(f"parts, {optimizer}, batch {batch}")[0]["details"]["minidl"]
    ]
    return {part: median(parts[part] for parts in starts) for part in starts[0]}


def speeds(results: Results) -> tuple[float, float, float]:
    """Return what the machine does at best: operations a second, and bytes a second in main memory and in cache."""
    runs = [run for run in results.runs if run["name"].startswith("parts")]
    answers = [answer for run in runs for answer in run["details"]["minidl"]]
    flops, bandwidth, cache = (max(a[key] for a in answers) for key in ("flops", "bandwidth", "cache_bandwidth"))
    return flops, bandwidth, cache


def draw_roofline(results: Results, path: Path) -> None:
    """Draw the speed of each part of a step below the two roofs, memory and arithmetic; and its share of the time."""
    sizes = results.settings["batch_sizes"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 6), layout="constrained", width_ratios=[3, 2])
    runs = {(optimizer, size): measured_parts(results, optimizer, size) for optimizer in OPTIMIZERS for size in sizes}
    flops, bandwidth, cache_bandwidth = speeds(results)
    intensity = np.geomspace(0.05, 1000, 200)
    for speed, line, memory in ((bandwidth, "k-", "main memory"), (cache_bandwidth, "k--", "cache")):
        roof = np.minimum(flops, intensity * speed) / 1e9
        left.plot(intensity, roof, line, linewidth=1, label=f"roof: {memory}, arithmetic")
    for size, marker in zip(sizes, "os^Dv<>P" * len(sizes), strict=False):
        for kind, optimizer, colour in KINDS:
            names = [name for name in parts_of_step(size, optimizer) if kind_of(name) == kind]
            counts = [parts_of_step(size, optimizer)[name] for name in names]
            took = [runs[optimizer, size][name] for name in names]
            points = [(c.operations / c.traffic, c.operations / t / 1e9) for c, t in zip(counts, took, strict=True)]
            if any(speed > 0 for _, speed in points):
                label = f"{kind} ({optimizer})" if kind == "update" else kind
                left.plot(*zip(*points, strict=True), marker, color=colour, label=label if size == sizes[0] else None)
        left.plot([], [], marker, color="black", fillstyle="none", label=f"batch {size}")
    left.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="GFLOP/s", title="Speed of each part")
    left.grid(alpha=0.3)
    left.legend(fontsize=8)
    draw_shares(right, runs)
    figure.suptitle(f"Where the time of a step goes, {threads(results)}, and what bounds it")
    save_figure(figure, path)


KINDS = (
    ("dense", "SGD", "tab:blue"),
    ("relu", "SGD", "tab:orange"),
    ("log-softmax and loss", "SGD", "tab:green"),
    ("gather", "SGD", "tab:brown"),
    ("update", "SGD", "tab:red"),
    ("update", "Adam", "tab:pink"),
)
"""The kinds of parts, with the optimiser in whose run they are drawn, and a colour."""


def kind_of(part: str) -> str:
    """Return the kind of a part of a step."""
    for kind in ("dense", "relu", "gather", "update"):
        if part.startswith(kind):
            return kind
    return "log-softmax and loss"


def draw_shares(ax: Axes, runs: dict[tuple[str, int], dict[str, float]]) -> None:
    """Draw which share of a step each kind of part has."""
    rows = [f"{optimizer}, batch {size}" for optimizer, size in runs]
    left = np.zeros(len(rows))
    for kind in ("dense", "relu", "log-softmax and loss", "gather", "update"):
        shares = []
        for parts in runs.values():
            shares.append(100 * sum(t for name, t in parts.items() if kind_of(name) == kind) / sum(parts.values()))
        colour = next(colour for other, _, colour in KINDS if other == kind)
        bars = ax.barh(rows, shares, left=left, color=colour, label=kind)
        ax.bar_label(bars, [f"{share:.0f}" if share >= 3 else "" for share in shares], label_type="center", fontsize=8)
        left += shares
    ax.invert_yaxis()
    ax.set(xlabel="% of the step", title="Shares of the time", xlim=(0, 100))
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3)


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
        chosen = args.contestants or (known if args.backend != "numpy" else args.settings["contestants"])
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
