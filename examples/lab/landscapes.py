"""Drawn landscapes: functions of two variables, on which you can see what an optimiser does."""

from collections.abc import Callable
from math import inf, isfinite, sqrt
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import minidl
from lab.results import Curves

Optimizers: TypeAlias = dict[str, type[minidl.Optimizer]]


class Landscape(NamedTuple):
    """A function of two variables, with a place to start and a value at which one has arrived."""

    title: str
    value: Callable[[Any, Any], Any]
    start: tuple[float, float]
    goal: float
    view: tuple[float, float, float, float]
    """What the figure shows: from x to x, from y to y."""


C, S = sqrt(3) / 2, 0.5  # the ravine runs at 30°: a rate for each axis cannot make it round
LANDSCAPES = {
    "ravine": Landscape(
        "narrow ravine: a quadratic with condition number 100",
        lambda x, y: ((C * x + S * y) ** 2 + 100 * (C * y - S * x) ** 2) / 2,
        start=(-3.0, -0.7),
        goal=1e-3,
        view=(-3.8, 1.2, -2.9, 0.9),
    ),
    "saddle": Landscape(
        "saddle: a start 0.001 beside the ridge",
        lambda x, y: (x**2 - y**2) / 2 + (y**2) ** 2 / 4,
        start=(-1.5, 0.001),
        goal=-0.249,
        view=(-1.9, 1.9, -0.8, 1.7),
    ),
    "plateau": Landscape(
        "plateau: a well far away, crossed at half its depth",
        lambda x, y: 1 - np.exp(-(x**2 + y**2) / 2),
        start=(-3.5, -1.5),
        goal=0.5,
        view=(-4.2, 2.4, -2.4, 2.0),
    ),
    "double well": Landscape(
        "double well: the poor minimum on the right",
        lambda x, y: (x**2 - 1) ** 2 + 0.3 * x + y**2 / 2,
        start=(1.7, 1.0),
        goal=-0.3,
        view=(-2.0, 2.0, -1.1, 1.4),
    ),
}
DRAWN = tuple(LANDSCAPES)
LANDSCAPES["plateau, at rest"] = LANDSCAPES["plateau"]._replace(goal=0.001)


def walk(landscape: Landscape, rule: minidl.Optimizer, starts: Curves, steps: int) -> Curves:
    """Return the path from each of the starts, (2, n) -> (steps + 1, 2, n); one optimiser moves all points at once.

    The gradient is exact but for rounding: ∂f/∂x = Im f(x + ih, y) / h, with a step h too small to be squared.
    """
    h = 1e-30
    path = [starts.astype(float)]
    with np.errstate(all="ignore"):  # too high a rate ends in infinity
        for _ in range(steps):
            x, y = path[-1]
            gradient = np.array([landscape.value(x + 1j * h, y).imag, landscape.value(x, y + 1j * h).imag]) / h
            points = path[-1].ravel().copy()
            rule.step(points, gradient.ravel())
            path.append(points.reshape(2, -1))
    return np.array(path)


def arrivals(landscape: Landscape, path: Curves) -> Curves:
    """Return for each of n paths, (steps + 1, 2, n), after how many steps it is at the goal for good; inf for never."""
    with np.errstate(all="ignore"):
        there = landscape.value(path[:, 0], path[:, 1]) <= landscape.goal  # no number is not there
    return np.where(there[-1], len(there) - np.logical_and.accumulate(there[::-1]).sum(axis=0), inf)


def fastest_walks(optimizers: Optimizers, rates: list[float], steps: int) -> dict[str, Any]:
    """Walk through every landscape with every optimiser at every rate; keep the fastest walk of each."""
    walks: dict[str, dict[str, Any]] = {place: {} for place in LANDSCAPES}
    for name, kind in optimizers.items():
        for place, landscape in LANDSCAPES.items():
            paths = [walk(landscape, kind(rate), np.array(landscape.start)[:, None], steps) for rate in rates]
            needed = [float(arrivals(landscape, path)[0]) for path in paths]
            with np.errstate(all="ignore"):
                ends = [np.nan_to_num(landscape.value(*path[-100:, :, 0].T).max(), nan=inf) for path in paths]
            best = min(range(len(rates)), key=lambda i: (needed[i], ends[i]))  # if none arrives, the lowest in the end
            found = int(needed[best]) if isfinite(needed[best]) else None
            seen = paths[best][: min(found or 100, 100) + 1, :, 0]
            walks[place][name] = {"rate": rates[best], "steps": found, "path": seen.round(3).tolist()}
    return walks


def good_ends(optimizers: Optimizers, rates: list[float], steps: int) -> dict[str, dict[str, float]]:
    """Return which fraction of 201 starts, spread evenly over the double well, ends in the better minimum.

    The fractions of all starts, and of those in the poor and in the good basin, at the rate where the first is highest.
    """
    shares = {}
    well, spots = LANDSCAPES["double well"], np.array([np.linspace(-2, 2, 201), np.ones(201)])
    in_poor = spots[0] > 0.0379  # the top of the barrier: where 4x(x² − 1) + 0.3 = 0
    for name, kind in optimizers.items():
        arrived = np.array([np.isfinite(arrivals(well, walk(well, kind(rate), spots, steps))) for rate in rates])
        best = int(arrived.mean(axis=1).argmax())
        parts = {"all": arrived[best], "poor": arrived[best, in_poor], "good": arrived[best, ~in_poor]}
        shares[name] = {"rate": rates[best]} | {part: float(there.mean()) for part, there in parts.items()}
    return shares
