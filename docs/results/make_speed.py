"""Write docs/speed.md from docs/speed.md.in: each $name becomes what benchmark.json says.

python docs/results/make_speed.py
"""

import json
import sys
from pathlib import Path
from statistics import median
from string import Template
from typing import Any

FOLDER = Path(__file__).parent
DOCS = FOLDER.parent
sys.path[:0] = [str(FOLDER), str(DOCS.parent / "examples")]

import make_figures  # noqa: E402

from lab.contestants.task import OPTIMIZERS  # noqa: E402
from lab.ratios import ratio, seconds  # noqa: E402
from lab.results import Results  # noqa: E402
from lab.roofline import measured_parts, parts_of_step, percentages, speeds  # noqa: E402

ROWS = {
    "gather": ("gather",),
    "dense 784–1024": ("dense0 forward", "dense0 backward"),
    "rectifier": ("relu1 forward", "relu1 backward"),
    "dense 1024–1024": ("dense2 forward", "dense2 backward"),
    "rectifier ": ("relu3 forward", "relu3 backward"),
    "dense 1024–10": ("dense4 forward", "dense4 backward"),
    "log-softmax and loss": ("logsoftmax5 forward", "loss", "logsoftmax5 backward"),
}
"""The rows of a table of parts; the updates follow."""


def main() -> None:
    """Write the page."""
    data = json.loads((FOLDER / "benchmark.json").read_text(encoding="utf-8"))
    (DOCS / "speed.md").write_text(page(data), encoding="utf-8")


def page(data: dict[str, Any]) -> str:
    """Return the page as Markdown, from the results of a benchmark in full."""
    results = Results.__new__(Results)
    results.data = data
    text = (DOCS / "speed.md.in").read_text(encoding="utf-8")
    return Template(text).substitute(facts(results))


def facts(results: Results) -> dict[str, str]:
    """Return what each name in the page stands for."""
    environment, settings = results.data["environment"], results.settings
    flops, bandwidth, cache = speeds(results)
    middle = {name: milliseconds(results, run, name) for run, name in (("import", "minidl"), ("import", "numpy"))}
    return {
        "cpu": environment["cpu"],
        "threads": f"{settings['threads']} threads",
        "numpy": environment["numpy"],
        "blas": environment["blas"],
        "kernels": str(environment["blas_kernels"]),
        "gflops": f"{flops / 1e9:.0f}",
        "bandwidth": f"{bandwidth / 1e9:.0f}",
        "cache_bandwidth": f"{cache / 1e9:.0f}",
        "bend": f"{flops / bandwidth:.0f}",
        "starts": str(settings["starts"]),
        "rounds": str(settings["starts"] * settings["rounds"]),
        "minutes": f"{sum(run['seconds'] for run in results.runs) / 60:.0f}",
        "parts_64": parts_table(results, 64, flops, bandwidth),
        "parts_1024": parts_table(results, 1024, flops, bandwidth),
        "dense_64": share(results, "SGD", 64, "dense"),
        "dense_1024": share(results, "SGD", 1024, "dense"),
        "adam_64": share(results, "Adam", 64, "update"),
        "adam_1024": share(results, "Adam", 1024, "update"),
        "update_alone": milliseconds(results, "update, SGD", "minidl"),
        "update_starts": starts_of_update(results),
        "steps_head": missing(results),
        "steps": steps_table(results),
        "standing": standing(results),
        "fusing": fusing(results),
        "curves": curves(results),
        "products": products_table(results),
        "fused_update": milliseconds(results, "update, SGD", "PyTorch fused"),
        "targets": targets_table(results),
        "figure_roofline": make_figures.grid(results, "benchmark", "results/", "roofline", "shares"),
        "figure_steps": make_figures.grid(results, "benchmark", "results/", "steps", "memory"),
        "figure_costs": make_figures.grid(results, "benchmark", "results/", "cost"),
        "evaluate_ms": milliseconds(results, "evaluate", "minidl"),
        "load_s": f"{median(seconds(results, 'load MNIST')['minidl']):.2f}",
        "import_ms": middle["minidl"],
        "import_numpy_ms": middle["numpy"],
    }


def parts_table(results: Results, batch: int, flops: float, bandwidth: float) -> str:
    """Return what each part of a step has to do, the two floors, and what it takes."""
    soft = "\N{SOFT HYPHEN}"  # where a telephone may break a word
    columns = (f"million oper{soft}ations", "MB", f"oper{soft}ations a byte")
    columns += (f"by arith{soft}metic, ms", "by memory, ms", f"mea{soft}sured, ms")
    rows = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    lines = [(title.strip(), "SGD", names) for title, names in ROWS.items()]
    lines += [(f"update ({optimizer})", optimizer, ("update",)) for optimizer in OPTIMIZERS]
    for title, optimizer, names in lines:
        parts = [parts_of_step(batch, optimizer)[name] for name in names]
        operations, traffic = sum(part.operations for part in parts), sum(part.traffic for part in parts)
        took = sum(measured_parts(results, optimizer, batch)[name] for name in names)
        times = (operations / flops, traffic / bandwidth, took)
        cells = [f"{operations / 1e6:.2f}", f"{traffic / 1e6:.2f}", f"{operations / traffic:.2f}"]
        rows.append(f"| {title} | {' | '.join([*cells, *(f'{1000 * time:.3f}' for time in times)])} |")
    return "\n".join(rows)


def share(results: Results, optimizer: str, batch: int, kind: str) -> str:
    """Return the share of a step that a kind of part has."""
    return f"{percentages(measured_parts(results, optimizer, batch))[kind]:.0f} %"


def steps_table(results: Results) -> str:
    """Return the time of a step for each contestant, and as a multiple of the products; a table for each optimiser."""
    return "\n\n".join(steps_of(results, optimizer) for optimizer in OPTIMIZERS)


def steps_of(results: Results, optimizer: str) -> str:
    """Return the table of one optimiser."""
    sizes = results.settings["batch_sizes"]
    rows = [f"| {optimizer} | {' | '.join(f'batch {size}' for size in sizes)} |", "|---|" + "---:|" * len(sizes)]
    for name in results.settings["contestants"]:
        cells = []
        for run in [f"{optimizer}, batch {size}" for size in sizes]:
            times = ratio(results, run, name, "floor")
            shown = "" if times is None else milliseconds(results, run, name)
            cells.append(shown if times is None or name == "floor" else f"{shown}: {times}")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def standing(results: Results) -> str:
    """Say in a table where minidl, with and without ``fast``, takes less time than each rival's fastest mode."""
    rivals = [rival for rival in ("scikit-learn", "PyTorch", "JAX") if compared(results, "minidl", rival)]
    heads = ("time of minidl", *(f"against {rival}" for rival in rivals))
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, label in (("minidl", "{}"), ("minidl fast", "{} and `fast`")):
        cases = [compared(results, name, rival) for rival in rivals]
        for optimizer in OPTIMIZERS if any(cases) else ():
            cells = [in_words(case[optimizer]) for case in cases]
            rows.append(f"| with {label.format(optimizer)} | {' | '.join(cells)} |")
    return "\n".join(rows)


def compared(results: Results, name: str, rival: str) -> dict[str, dict[int, str]]:
    """Return whether a contestant takes less time than a rival's fastest mode, by optimiser and batch size.

    Less means that the whole interval of the ratio is above 1, more that all of it is below.
    """
    cases: dict[str, dict[int, str]] = {}
    for optimizer in OPTIMIZERS:
        for size in results.settings["batch_sizes"]:
            run = f"{optimizer}, batch {size}"
            modes = [mode for mode in seconds(results, run) if mode.split()[0] == rival]
            ratios = [found for mode in modes if (found := ratio(results, run, mode, name))]
            if ratios:
                nearest = min(ratios)
                word = "less" if nearest.low > 1 else "more" if nearest.high < 1 else "as much"
                cases.setdefault(optimizer, {})[size] = word
    return cases


def in_words(case: dict[int, str]) -> str:
    """Return how a contestant stands to a rival: the same at all batch sizes, or at which."""
    sizes = {word: [str(size) for size, found in case.items() if found == word] for word in ("less", "as much", "more")}
    parts = [f"{word} at {listed(at)}" if len(at) < len(case) else word for word, at in sizes.items() if at]
    return ", ".join(parts)


def fusing(results: Results) -> str:
    """Say what fusing gains, and what it costs; nothing, if it took no part."""
    costs = seconds(results, "fusing")
    gains = {optimizer: ratio(results, f"update, {optimizer}", "minidl", "minidl fast") for optimizer in OPTIMIZERS}
    if not costs or not all(gains.values()):
        return ""
    shown = " and ".join(f"{times} as fast with {optimizer}" for optimizer, times in gains.items())
    compiled, loaded = (median(costs[name]) for name in ("compiled", "loaded"))
    return (
        f"Alone, an update is {shown}. The first fused step of a program takes {loaded:.2f} s, to import Numba and to "
        f"load the machine code; the first of all takes {compiled:.2f} s, since the code has to be compiled."
    )


def curves(results: Results) -> str:
    """Say how many times as long JAX takes as minidl at the ends of the curves, and with ``fast`` at small batches."""
    settings = results.settings
    small, *_, large = settings["curve_batch_sizes"]
    ends = {"minidl": [f"batch {small}", f"batch {large}", f"width {settings['curve_widths'][-1]}"]}
    ends["minidl with the extra `fast`"] = [f"batch {size}" for size in settings["curve_batch_sizes"] if size <= 4]
    said = []
    for label, where in ends.items():
        name = "minidl fast" if "fast" in label else label
        found = {end: times for end in where if (times := ratio(results, f"curve, {end}", "JAX", name))}
        if found:
            each = listed([f"{times} at {end}" for end, times in found.items()])
            said.append(f"The time of JAX is {each} that of {label}.")
    return " ".join(said)


def listed(items: list[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def starts_of_update(results: Results) -> str:
    """Return the milliseconds of SGD's update in a step of batch 64, for each start of the contestant."""
    answers = results.called("parts, SGD, batch 64")[0]["details"]["minidl"]
    return ", ".join(f"{1000 * answer['parts']['update']:.2f}" for answer in answers)


def products_table(results: Results) -> str:
    """Return the time of the products of a step alone, with each library's own BLAS."""
    sizes = results.settings["batch_sizes"]
    rows = [f"| | {' | '.join(f'batch {size}' for size in sizes)} |", "|---|" + "---:|" * len(sizes)]
    for name in ("floor", "PyTorch", "JAX"):
        cells = []
        for size in sizes:
            times = ratio(results, f"products, batch {size}", name, "floor")
            shown = "" if times is None else milliseconds(results, f"products, batch {size}", name)
            cells.append(shown if times is None or name == "floor" else f"{shown}: {times}")
        rows.append(f"| {'NumPy' if name == 'floor' else name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def missing(results: Results) -> str:
    """Name the versions of the libraries, and those that did not take part, with the reason."""
    libraries = results.data["environment"]["libraries"]
    shown = ", ".join(f"{name} {version}" for name, version in libraries.items())
    reasons = {name: why for run in results.runs for name, why in run.get("missing", {}).items()}
    absent = "".join(f" {name} did not take part ({why})." for name, why in reasons.items())
    return f"The other libraries are {shown}.{absent}"


def targets_table(results: Results) -> str:
    """Return the targets, whether they are met, and what was measured."""
    rows = [
        f"| {row['id']} | {row['claimed']} | {row['verdict']} | {row['measured']} |" for row in results.data["claims"]
    ]
    return "\n".join(["| | target | verdict | measured |", "|---|---|---|---|", *rows])


def milliseconds(results: Results, run: str, name: str) -> str:
    """Return the median milliseconds of a step."""
    return f"{1000 * median(seconds(results, run)[name]):.2f}"


if __name__ == "__main__":
    main()
