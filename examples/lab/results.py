"""The results of an experiment: one JSON file, written again after every run, so that nothing finished is lost.

An experiment is a list of named runs, each repeated with several seeds. Its file has this form:

    {"experiment": name,
     "settings": {...}, "environment": {...},               # equal for all runs in the file
     "runs": [{"name", "seed", ..., "blas_threads", "seconds", "history": {column: [one value per epoch]}}],
     "claims": [{"id", "claimed", "measured", "effect", "verdict"}]}
"""

import json
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Settings: TypeAlias = dict[str, Any]
"""What all runs of an experiment have in common."""

Claims: TypeAlias = list[dict[str, str]]
"""The table of claims: rows of "id", "claimed", "measured", "effect" and "verdict"."""

Curves: TypeAlias = NDArray[np.float64]
"""A column of several histories: (seeds, epochs)."""


class Results:
    """The results of an experiment, in memory and in ``path``.

    Runs of an earlier call with the same settings in the same environment are taken from ``path``, or from a file
    beside it. Results of other settings are kept under another name: what took hours is never overwritten.
    """

    def __init__(self, path: Path, settings: Settings, environment: dict[str, Any]):
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
    def settings(self) -> Settings:
        """What all runs have in common."""
        settings: Settings = self.data["settings"]
        return settings

    @property
    def runs(self) -> list[dict[str, Any]]:
        """All finished runs, in the order of their names and seeds."""
        runs: list[dict[str, Any]] = self.data["runs"]
        return runs

    def has(self, name: str, seed: int) -> bool:
        """Tell whether this run is finished."""
        return any(run["name"] == name and run["seed"] == seed for run in self.runs)

    def add(self, record: dict[str, Any]) -> None:
        """Add a finished run: its name, its seed, and what it measured."""
        self.runs.append(record)
        self._take_up(self.path)  # another process may have written there meanwhile

    def save(self, claims: Claims) -> None:
        """Write everything to ``path``, by way of a second file, so that a crash never leaves half a file."""
        self.data["claims"] = claims
        text = json.dumps(self.data, indent=1, ensure_ascii=False, allow_nan=False)
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def called(self, name: str) -> list[dict[str, Any]]:
        """Return the runs called ``name``, by seed."""
        return [run for run in self.runs if run["name"] == name]

    def paired(self, name: str) -> list[dict[str, Any]]:
        """Return the runs called ``name`` with the seeds that all names have, so that they can be compared in pairs."""
        names = {run["name"] for run in self.runs}
        return [run for run in self.called(name) if all(self.has(other, run["seed"]) for other in names)]

    def values(self, name: str, key: str) -> Curves:
        """Return what each run called ``name`` measured as ``key``: (seeds, ...)."""
        return np.array([run[key] for run in self.called(name)], float)

    def curves(self, name: str, column: str, epochs: int | None = None) -> Curves:
        """Return a column of the histories of the runs called ``name``: (seeds, epochs).

        After a run has diverged, its curve is NaN, for which every comparison is false. If all runs diverged, only
        ``epochs`` can say how long the curves would have been.
        """
        columns = [run["history"][column] + [np.nan] * ("diverged" in run) for run in self.called(name)]
        curves = np.full((len(columns), epochs or max([1, *map(len, columns)])), np.nan)
        for curve, values in zip(curves, columns, strict=True):
            curve[: len(values)] = values
        return curves

    def _take_up(self, path: Path) -> None:
        """Add the runs in ``path`` that are not here yet. Their order does not depend on when they were finished."""
        self.runs.extend(run for run in self._runs_in(path) or [] if not self.has(run["name"], run["seed"]))
        self.runs.sort(key=lambda run: (run["name"], run["seed"]))

    def _runs_in(self, path: Path) -> list[dict[str, Any]] | None:
        """Return the runs in a file; None if it is not a whole file of results with these settings."""
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
            runs: list[dict[str, Any]] = old["runs"]
            for run in runs:
                history = run.get("history", {})
                columns = np.array(list(history.values()), float)  # of equal length
                if not np.isfinite(columns).all() or not {"name", "seed"} <= set(run):
                    return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None
        same = all(old.get(key) == self.data[key] for key in ("experiment", "settings", "environment"))
        return runs if same else None
