"""Contestants of the benchmark do the same work by turns, each in a process of its own that waits while others work.

A round each, in another order every other round, so that whatever else the machine does slows all of them. All are
started several times, since a process may be fast or slow for as long as it lives.
"""

import atexit
import json
import os
import subprocess
import sys
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np

import minidl
from lab.contestants.task import Task
from lab.results import Settings


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
        settings: of the experiment, which decide what is None here.
        seed: for weights and orders.
        contestants: who takes part.
        starts: how many times all are started.
        rounds: how many each has after every start.
        steps: in a round; None for as many as take the first contestant ``settings["round_seconds"]``.
        task: the fields of `Task` that differ from chapter 37's.

    Returns:
        Steps in a round; for each contestant the seconds of a step in each round, its peak memory, and what else it
        found; and why others are missing.
    """
    fixed = {"data": data_folder(), "threads": settings["threads"], "backend": settings["backend"], "seed": seed}
    names = settings["contestants"] if contestants is None else contestants
    tasks = [Task(name, **({"kind": "train"} | fixed | task)) for name in names]
    found: dict[str, Any] = {"steps": steps, "seconds_per_step": {}, "peak_bytes": {}, "details": {}, "missing": {}}
    for _ in range(settings["starts"] if starts is None else starts):
        take_turns(tasks, settings["rounds"] if rounds is None else rounds, settings["round_seconds"], found)
    for name in found["missing"]:  # perhaps it broke down after some rounds
        for values in (found["seconds_per_step"], found["peak_bytes"], found["details"]):
            values.pop(name, None)
    return found


def take_turns(tasks: list[Task], rounds: int, round_seconds: float, found: dict[str, Any]) -> None:
    """Start all contestants, let each have its rounds, and add the measurements to what `race` has found."""

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
    """A contestant's process; see `lab.contestants`. It ends when its input does, even if this process is killed."""

    def __init__(self, task: Task):
        variables = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")  # NPROC is for JAX
        places = {"PYTHONPATH": os.pathsep.join(sys.path)}  # it finds modules where this process does
        self.process = subprocess.Popen(
            # -P: and nowhere else. The name is for those who look at processes.
            [sys.executable, "-P", "-m", "lab.contestants", task.contestant],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | dict.fromkeys(variables, str(task.threads)) | places,
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
        with suppress(BrokenPipeError):  # that the process has ended is seen from its answer
            print(json.dumps(question), file=self.process.stdin, flush=True)

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


def time_imports(settings: Settings, seed: int) -> dict[str, Any]:
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


def time_fusing(settings: Settings, seed: int) -> dict[str, Any]:
    """Measure what the first fused step costs a program: when it has to be compiled, and when its code is on disk."""
    del seed
    code = "from time import perf_counter as t; import numpy as np, minidl\n"
    code += (
        "w, adam = np.ones(9, 'f'), minidl.Adam(); adam.fused = True; a = t(); adam.step(w, w.copy()); print(t() - a)"
    )
    seconds: dict[str, list[float]] = {"compiled": [], "loaded": []}
    for _ in range(settings["starts"]):
        with TemporaryDirectory() as folder:
            for times in seconds.values():
                line = [sys.executable, "-c", code]
                times.append(float(subprocess.check_output(line, env=os.environ | {"NUMBA_CACHE_DIR": folder})))
    return {"seconds_per_step": seconds}
