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

    Runs of an earlier call with the same settings in the same environment are taken up, from ``path`` or from a file
    beside it. Results of other settings are kept under another name: what took hours is never overwritten.
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
        if path.exists() and self._runs_in(path) is None:
            number = 1
            while (kept := path.with_suffix(f".{number}.json")).exists():
                number += 1
            path.rename(kept)
            print(f"{path} is not of these settings and this environment; it is kept as {kept}.")
        for file in (path, *sorted(path.parent.glob(f"{path.stem}.*.json"))):
            self._take_up(file)

    @property
    def runs(self) -> list[dict[str, Any]]:
        """All finished runs, in the order of their names and seeds."""
        runs: list[dict[str, Any]] = self.data["runs"]
        return runs

    def has(self, name: str, seed: int) -> bool:
        """Tell whether this run is finished."""
        return any(run["name"] == name and run["seed"] == seed for run in self.runs)

    def add(self, name: str, seed: int, lr: float, batch_size: int, history: minidl.History) -> None:
        """Add a finished run."""
        run = {"name": name, "seed": seed, "batch_size": batch_size, "lr": lr, "history": history.to_dict()}
        self.runs.append(run)
        self._take_up(self.path)  # another process may have written there meanwhile

    def save(self, claims: list[dict[str, str]]) -> None:
        """Write everything to ``path``, by way of a second file, so that no crash leaves half a file."""
        self.data["claims"] = claims
        text = json.dumps(self.data, indent=1, ensure_ascii=False)
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def curves(self, name: str, column: str) -> Curves:
        """Return a column of the histories of the runs called ``name``: (seeds, epochs)."""
        return np.array([run["history"][column] for run in self.runs if run["name"] == name])

    def _take_up(self, path: Path) -> None:
        """Add the runs in ``path`` that are not here yet. Their order does not depend on when they were finished."""
        self.runs.extend(run for run in self._runs_in(path) or [] if not self.has(run["name"], run["seed"]))
        self.runs.sort(key=lambda run: (run["batch_size"], run["name"], run["seed"]))

    def _runs_in(self, path: Path) -> list[dict[str, Any]] | None:
        """Return the runs in a file; None if it is not a whole file of results with these settings."""
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
            runs: list[dict[str, Any]] = old["runs"]
            for run in runs:
                history = run["history"]
                columns = np.array([history[name] for name in minidl.History().to_dict()], float)  # of equal length
                if not np.isfinite(columns).all() or not {"name", "seed", "batch_size", "lr"} <= set(run):
                    return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        same = all(old.get(key) == self.data[key] for key in ("experiment", "settings", "environment"))
        return runs if same else None


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
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    figure.savefig(partial, dpi=150)
    plt.close(figure)
    partial.replace(path)
