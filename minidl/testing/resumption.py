"""What a checkpoint keeps of an optimiser, and whether that is all that decides its steps.

A checkpoint keeps the vectors in ``state``, the count ``t`` and the learning rate ``lr``. To resume, one makes the
optimiser again, and its arguments are compared with those in the file. Anything else that decides a step, such as a
counter, a vector under another name or an argument that is not declared, would be lost silently.
"""

import json
import pickle
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import Field, fields, replace
from inspect import Parameter, signature
from typing import Any

import numpy as np

from minidl import Optimizer
from minidl.testing.contract import breach, raises, require, same
from minidl.testing.courses import Course, Make, walk, with_arguments

LOST = (
    "{} decides the steps, changes as it goes, and is neither in state nor t, so a checkpoint loses it\n"
    "hint: compute it from self.t, the number of the step, or keep a vector in state"
)


def check_arguments(make: Make, _course: Course) -> None:
    """Require that arguments are declared, refuse NaN, and come back from a checkpoint as they were."""
    optimizer = make()
    kind = type(optimizer)
    bare = [name for name in dir(kind) if isinstance(getattr(kind, name, None), Field)]
    require(not bare, f"{', '.join(bare)}: declared, but not made\nhint: put @dataclass(eq=False) above the class")
    declared = {field.name for field in fields(optimizer) if "check" in field.metadata}
    for name, parameter in signature(kind).parameters.items():
        if parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            require(name in declared, _undeclared(optimizer, name))
            _check_argument(optimizer, name)


def _check_argument(optimizer: Optimizer, name: str) -> None:
    """Require that an argument refuses NaN, if it is a number, and comes back from a checkpoint as it was."""
    value = getattr(optimizer, name)
    require(
        type(value) is not float or raises(Exception, with_arguments(lambda: optimizer, **{name: np.nan})),
        f"{name} = nan is not refused\nhint: the check declared for it accepts it",
    )
    kept = json.loads(json.dumps(value))
    require(
        kept == value,
        f"{name} is {value!r}, and a checkpoint, which is JSON, gives back {kept!r}\nhint: use numbers and strings",
    )


def _undeclared(optimizer: Optimizer, name: str) -> str:
    value = getattr(optimizer, name, 0.9)
    return (
        f"{name} decides the steps but is not declared, so a checkpoint does not notice another value\nhint: write "
        f"{name}: {type(value).__name__} = argument({value!r}, check) in the class, with a check from minidl.checks"
    )


def _constants(optimizer: Optimizer) -> Iterator[str]:
    """Yield the names of numbers that were assigned in the class or in a method, and not declared as anything."""
    known = {field.name for field in fields(optimizer)}
    for where in (vars(optimizer), *map(vars, type(optimizer).__mro__)):
        for name, value in where.items():
            said = "ClassVar" in str(where.get("__annotations__", {}).get(name, ""))
            if type(value) in (int, float) and name.islower() and name[0] != "_" and name not in known and not said:
                yield name


def _decides(make: Make, course: Course, name: str) -> bool:
    """Tell whether another value of an attribute makes other steps, though no argument sets it."""
    changed = make()
    value = getattr(changed, name)
    setattr(changed, name, value + 1 if type(value) is int else value / 2 + 0.125)
    return not _computed(make(), name) and not same(walk(changed, course), walk(make(), course))


def _computed(optimizer: Optimizer, name: str) -> bool:
    """Tell whether an attribute follows from an argument: 1 − β, say."""
    for field in fields(optimizer):
        argument = getattr(optimizer, field.name)
        if field.init and type(argument) is float:
            for value in (argument / 2, (argument + 1) / 2):
                with suppress(TypeError, ValueError):
                    changed = with_arguments(lambda: optimizer, **{field.name: value})()
                    if getattr(changed, name) != getattr(optimizer, name):
                        return True
    return False


def check_state(make: Make, course: Course) -> None:
    """Require that the state is there before the first step, fits the parameters, and is filled in place."""
    optimizer, steps = make(), len(course.rates)
    optimizer.prepare(course.start.copy(), course.gradients[0])
    before = dict(optimizer.state)
    values = {name: vector.copy() for name, vector in before.items()}
    walk(optimizer, course)
    require(
        set(optimizer.state) == set(before),
        f"state has {sorted(optimizer.state)} after some steps and {sorted(before)} before them, when a checkpoint is "
        "read\nhint: name all in state_names",
    )
    for name, vector in optimizer.state.items():
        require(
            vector is before[name], f"state {name} is replaced by a new array\nhint: write into it: {name}[...] = …"
        )
        require(
            vector.shape == course.start.shape and vector.dtype == course.start.dtype,
            f"state {name} is {vector.shape} {vector.dtype}, and the parameters {course.start.shape} "
            f"{course.start.dtype}",
        )
        require(
            not same(vector, values[name]) or not _reads(make, course, name),
            f"state {name} is as it was after {steps} steps\nhint: {name} = … makes a new array that is lost; write "
            f"into it: {name} *= … and {name} += …, or {name}[...] = …",
        )
    require(
        optimizer.t == steps and type(optimizer.t) is int,
        f"t is {optimizer.t!r} after {steps} steps\nhint: leave the count to Optimizer.step",
    )


def _reads(make: Make, course: Course, name: str) -> bool:
    """Tell whether a vector of the state, which has not changed, makes a difference to the steps."""
    optimizer = make()
    optimizer.prepare(course.start.copy(), course.gradients[0])
    optimizer.state[name] += 1.0
    return not same(walk(optimizer, course), walk(make(), course))


def check_resumption(make: Make, course: Course) -> None:
    """Require that an optimiser made anew, with what a checkpoint keeps of another, takes the steps of the other."""
    for name in _constants(make()):
        if _decides(make, course, name):
            walk(used := make(), course)
            require(getattr(used, name) == getattr(make(), name), LOST.format(name))
            require(False, _undeclared(make(), name))
    half = len(course.rates) // 2
    optimizer, resumed = make(), make()
    before = deepcopy(vars(optimizer))
    path = walk(optimizer, course.part(slice(0, half)))
    rest = replace(course.part(slice(half, None)), start=path[-1])
    resumed.prepare(rest.start.copy(), rest.gradients[0])
    resumed.t, resumed.lr = optimizer.t, optimizer.lr
    for name, vector in optimizer.state.items():
        resumed.state[name][...] = vector
    kept = {"t", "lr", "state"}
    lost = [name for name, value in vars(optimizer).items() if name not in kept and not _alike(value, before.get(name))]
    hint = f"\nhint: {', '.join(lost)} changes as it goes, and is neither in state nor t" if lost else ""
    expected = walk(optimizer, rest)
    failure = breach(lambda: require(same(walk(resumed, rest), expected), "it takes other steps"))
    require(failure is None, f"resumed after {half} steps, with the same arguments, t, lr and state: {failure}{hint}")


def check_copies(make: Make, course: Course) -> None:
    """Require that a copy in the middle of a run goes on alike, and that neither disturbs the other."""
    half = len(course.rates) // 2
    optimizer = make()
    path = walk(optimizer, course.part(slice(0, half)))
    rest = replace(course.part(slice(half, None)), start=path[-1])
    copies = {"a deep copy": deepcopy(optimizer)}
    if "<locals>" not in type(optimizer).__qualname__:  # pickle finds classes by name, and those of a function nowhere
        copies["what comes out of pickle"] = pickle.loads(pickle.dumps(optimizer))
    ways = {name: walk(copy, rest) for name, copy in copies.items()}
    expected = walk(optimizer, rest)
    for name, way in ways.items():
        require(same(way, expected), f"{name} takes other steps, or shares vectors with it")


def check_apart(make: Make, course: Course) -> None:
    """Require that optimisers that are given the same take the same steps, also when they take turns with another."""
    alone, again = walk(make(), course), walk(make(), course)
    one, other = make(), make()
    w, elsewhere = course.start.copy(), -2 * course.start
    path = [w.copy()]
    for g, rate in zip(course.gradients, course.rates, strict=True):
        one.lr = other.lr = float(rate)
        other.step(elsewhere, -3 * g)
        one.step(w, g.copy())
        path.append(w.copy())
    require(
        same(alone, again) and same(alone, np.array(path)),
        "two that are made alike and given the same take other steps\nhint: something is drawn at random, or shared in "
        "the class or the module; keep it in state",
    )
    require(
        same(walk(with_arguments(make)(), course), walk(make(), course)),
        "made again with the same arguments, it takes other steps\nhint: whatever decides them must be an argument",
    )


def _alike(a: Any, b: Any) -> bool:
    """Tell whether two attributes are alike, as far as pickle can tell."""
    with suppress(Exception):
        return pickle.dumps(a) == pickle.dumps(b)
    return True
