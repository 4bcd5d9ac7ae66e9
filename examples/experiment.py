"""What all experiments share: keep every finished run, say which claims held, and draw seeds as a band.

An experiment is a set of named runs, each repeated with several seeds. Its results are one JSON file, written anew
after every run, so that an interrupted experiment goes on where it stopped:

    {"experiment": name,
     "settings": {...}, "environment": {...},               # equal for all runs in the file
     "runs": [{"name", "seed", "batch_size", "lr", "history": {column: [a value for each epoch]}}],
     "claims": [{"id", "claimed", "measured", "verdict"}]}
"""

import json
import os
import platform
from pathlib import Path
from textwrap import wrap
from typing import Any, TypeAlias

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import minidl

matplotlib.use("Agg")  # draws into files, and needs no screen

NBSP = "\N{NO-BREAK SPACE}"
"""Keeps a number and its unit on one line."""

Curves: TypeAlias = NDArray[np.float64]
"""A column of several histories: (seeds, epochs)."""

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NOT_TESTED = "not tested in this run"


class Results:
    """The results of an experiment, in memory and in ``path``.

    A file from an earlier call is taken up if its settings and environment are those of this call. Otherwise it is
    kept under another name: nothing that took hours is ever overwritten.
    """

    def __init__(self, path: Path, settings: dict[str, Any], environment: dict[str, Any]):
        self.path = path
        self.data: dict[str, Any] = {
            "experiment": path.stem,
            "settings": settings,
            "environment": environment,
            "runs": [],
            "claims": [],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._take_up_or_move_aside()

    @property
    def runs(self) -> list[dict[str, Any]]:
        """All finished runs, in the order of their names and seeds."""
        runs: list[dict[str, Any]] = self.data["runs"]
        return runs

    def has(self, name: str, seed: int) -> bool:
        """Tell whether this run is finished."""
        return any(run["name"] == name and run["seed"] == seed for run in self.runs)

    def add(self, name: str, seed: int, lr: float, batch_size: int, history: minidl.History) -> None:
        """Add a finished run. The order of runs does not depend on the order in which they finished."""
        run = {"name": name, "seed": seed, "batch_size": batch_size, "lr": lr, "history": history.to_dict()}
        self.runs.append(run)
        self.runs.sort(key=lambda run: (run["batch_size"], run["name"], run["seed"]))

    def save(self, claims: list[dict[str, str]]) -> None:
        """Write everything to ``path``, by way of a second file, so that no crash leaves half a file."""
        self.data["claims"] = claims
        text = json.dumps(self.data, indent=1, ensure_ascii=False)
        partial = self.path.with_name("." + self.path.name)
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def curves(self, name: str, column: str) -> Curves:
        """Return a column of the histories of the runs called ``name``: (seeds, epochs)."""
        return np.array([run["history"][column] for run in self.runs if run["name"] == name])

    def _take_up_or_move_aside(self) -> None:
        try:
            old = json.loads(self.path.read_text(encoding="utf-8"))
            if all(old[key] == self.data[key] for key in ("experiment", "settings", "environment")):
                self.data["runs"] = list(old["runs"])
                return
            why = "was made with other settings or in another environment"
        except (ValueError, KeyError, TypeError):
            why = "is not a results file"
        number = 1
        while (kept := self.path.with_suffix(f".{number}.json")).exists():
            number += 1
        self.path.rename(kept)
        print(f"{self.path} {why}; it is kept as {kept}.")


def environment(backend: str) -> dict[str, Any]:
    """Return what numbers depend on besides the settings: the machine and the libraries."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index, call-overload]
    found = {
        "minidl": minidl.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("OPENBLAS_") or name.endswith("_NUM_THREADS")
        },
    }
    if backend == "cupy":
        cupy = minidl.get_backend("cupy")
        found["cupy"] = cupy.__version__
        found["gpu"] = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return found


def cpu_name() -> str:
    """Return what the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def claim(identity: str, claimed: str, measured: str, held: bool | None) -> dict[str, str]:
    """Return a row of the table of claims; ``held`` is None where this run cannot tell."""
    verdict = NOT_TESTED if held is None else REPRODUCED if held else NOT_REPRODUCED
    return {"id": identity, "claimed": claimed, "measured": measured, "verdict": verdict}


def percent(fractions: Curves) -> str:
    """Format one number per seed as mean ± standard deviation (of the sample, n − 1), in per cent."""
    if len(fractions) == 1:
        return f"{100 * fractions[0]:.2f}{NBSP}%"
    return f"{100 * fractions.mean():.2f}{NBSP}±{NBSP}{100 * fractions.std(ddof=1):.2f}{NBSP}%"


def print_claims(claims: list[dict[str, str]]) -> None:
    """Print the table of claims, long cells on several lines."""
    widths = {"id": 3, "claimed": 32, "measured": 46, "verdict": 22}
    print("\n" + "  ".join(f"{column:<{width}}" for column, width in widths.items()).rstrip())
    print("  ".join("-" * width for width in widths.values()))
    for row in claims:
        cells = [wrap(row[column], width) for column, width in widths.items()]
        for line in range(max(map(len, cells))):
            parts = (cell[line] if line < len(cell) else "" for cell in cells)
            print("  ".join(f"{part:<{width}}" for part, width in zip(parts, widths.values(), strict=True)).rstrip())
        print()


def band(axes: Axes, x: Curves, curves: Curves, colour: str, label: str) -> None:
    """Draw the mean of several curves (seeds, points), and where there are several their range as a band."""
    axes.plot(x, curves.mean(axis=0), color=colour, label=label, linewidth=1.6)
    if len(curves) > 1:
        axes.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.25, linewidth=0)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to ``path``, by way of a second file."""
    partial = path.with_name("." + path.name)
    figure.savefig(partial, dpi=150)
    plt.close(figure)
    partial.replace(path)
