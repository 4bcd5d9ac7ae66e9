"""What each part of a training step has to do, from the shapes, and how long it took: the numbers of a roofline.

A part is bound by arithmetic or by memory, whichever takes longer: operations over operations per second, or bytes over
bytes per second (Williams, Waterman and Patterson 2009, "Roofline: an insightful visual performance model for multicore
architectures"). docs/speed.md explains it.
"""

from itertools import pairwise
from statistics import median
from typing import NamedTuple

from lab.results import Results

KINDS = ("dense", "relu", "log-softmax and loss", "gather", "update")
"""The kinds of parts."""


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


def kind_of(part: str) -> str:
    """Return the kind of a part of a step."""
    return next((kind for kind in KINDS if part.startswith(kind)), "log-softmax and loss")


def measured_parts(results: Results, optimizer: str, batch: int) -> dict[str, float]:
    """Return the seconds of each part of a step: the median over the starts."""
    answers = results.called(f"parts, {optimizer}, batch {batch}")[0]["details"]["minidl"]
    return {part: median(answer["parts"][part] for answer in answers) for part in answers[0]["parts"]}


def percentages(parts: dict[str, float]) -> dict[str, float]:
    """Return the percentage of a step that each kind of part takes."""
    whole = sum(parts.values())
    return {kind: 100 * sum(t for name, t in parts.items() if kind_of(name) == kind) / whole for kind in KINDS}


def speeds(results: Results) -> tuple[float, float, float]:
    """Return what the machine does at best: operations per second, and bytes per second in main memory and in cache."""
    runs = [run for run in results.runs if run["name"].startswith("parts")]
    answers = [answer for run in runs for answer in run["details"]["minidl"]]
    flops, bandwidth, cache = (max(a[key] for a in answers) for key in ("flops", "bandwidth", "cache_bandwidth"))
    return flops, bandwidth, cache
