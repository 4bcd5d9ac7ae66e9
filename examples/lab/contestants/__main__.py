"""A contestant's process: it answers questions, one line of JSON for each question and each answer.

    → {"contestant": "minidl", "kind": "train", ...}       ← {"ready": true}    or {"missing": "why it cannot"}
    → {"steps": 20}                                        ← {"seconds": 0.15}
    → {"end": true}                                        ← {"peak_bytes": 400000000}

Before the clock starts it rests, since the threads of the contestant before may look for work for some milliseconds,
and then does some steps, until its own threads and caches are awake.

A process of its own gives each library its own threads and its own memory, and keeps it from what another has loaded.
Between two questions it waits, so that the contestants take turns, and other work on the machine slows all of them.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from time import perf_counter, sleep

from lab.contestants.task import Task, Work

MODULES = {"floor": "floor", "minidl": "minidl", "PyTorch": "pytorch", "JAX": "jax", "scikit-learn": "sklearn"}
"""The file of each library, beside this one."""
REST = 0.1
WARM_UP = 0.1
"""Seconds before each measurement: without work, and with work that does not count."""


def main() -> None:
    """Answer questions until there are no more."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not stand among the answers

    def answer(**values: object) -> None:
        answers.write(json.dumps(values) + "\n")

    task = Task(**json.loads(sys.stdin.readline()))
    try:
        work = prepare(task)
        work(1)  # whatever is compiled or allocated at the first step
    except Exception as error:  # any: the reason is the answer
        answer(missing=f"{type(error).__name__}: {error}"[:300])
        return
    answer(ready=True)
    for line in sys.stdin:
        question = json.loads(line)
        if "end" in question:
            break
        warm_up(work)
        started = perf_counter()
        found = work(question["steps"])
        answer(seconds=perf_counter() - started, **(found or {}))
    answer(peak_bytes=peak_bytes())


def prepare(task: Task) -> Work:
    """Return the work of a task, ready to begin.

    Raises:
        ValueError: the contestant has no such work.
        ImportError: the library is not installed.
    """
    if task.has("TF32"):
        os.environ["CUPY_TF32"] = "1"  # before CuPy is imported; PyTorch is told by a call
    module = import_module(f"lab.contestants.{MODULES[task.library]}") if task.library in MODULES else None
    work_of = getattr(module, task.kind, None)
    if work_of is None:
        raise ValueError(f"kind: {task.contestant} has no {task.kind!r}")
    work: Work = work_of(task)
    return work


def warm_up(work: Work) -> None:
    """Rest, then do steps that do not count."""
    sleep(REST)
    end = perf_counter() + WARM_UP
    while perf_counter() < end:
        work(1)


def peak_bytes() -> int:
    """Return the most main memory that this process has had.

    Linux counts it for the program; what `getrusage` returns there includes the program that started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
