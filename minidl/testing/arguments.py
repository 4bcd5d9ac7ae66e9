"""Whether a file is refused by a layer that was made with other arguments.

A file of ``LeakyReLU(0.3)`` that loads into a ``LeakyReLU(0.9)`` makes another network of it, and nobody is told.
Parameters of another shape are refused in any case. All else that the constructor is given, and that decides what the
layer computes, must be named in ``arguments``. So the layer is made again with each argument changed, a file is
loaded into it, and if that is not refused, the two must compute the same.
"""

import inspect
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any
from unittest import mock

import numpy as np

from minidl import Layer, Sequential
from minidl.testing.contract import ContractError, raises
from minidl.testing.passes import Example, a_pass
from minidl.testing.states import nearly_same, through_a_file


def check_arguments(example: Example) -> None:
    """Require that a layer made with other arguments refuses the file, if these decide what it computes."""
    kind, made_with = _constructor(example)
    for name, value in made_with.arguments.items():
        for other in _others(value, kind):
            changed = deepcopy(made_with)
            changed.arguments[name] = other
            model, into = example.model(), _made(kind, changed)
            if into is not None and _fits(model, into) and _compute_otherwise(model, into, example):
                raise ContractError(
                    f"a file of one made with {name}={_said(value)} loads into one made with {name}={_said(other)}, "
                    f"which computes something else\nhint: keep {name} in an attribute, and name that in arguments"
                )


def _constructor(example: Example) -> tuple[type[Layer], inspect.BoundArguments]:
    """Return the class of the layer, and the arguments that it is made with."""
    kind = type(example.make())
    original, calls = kind.__init__, []

    def record(self: Layer, *args: Any, **kwargs: Any) -> None:
        calls.append((self, args, kwargs))
        original(self, *args, **kwargs)

    if original is object.__init__:
        return kind, inspect.signature(kind).bind()
    with mock.patch.object(kind, "__init__", record):
        layer = example.make()
    ((args, kwargs),) = ((args, kwargs) for made, args, kwargs in calls if made is layer)
    bound = inspect.signature(kind).bind(*deepcopy(args), **deepcopy(kwargs))
    bound.apply_defaults()
    return kind, bound


def _others(value: Any, kind: type[Layer]) -> Iterator[Any]:
    """Yield other arguments in place of one, some of which may be out of range; none for a function."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, 2 * value, value - 1)
    elif isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
        yield from (0.75 * value + 0.1, 0.5 * value)
    elif isinstance(value, str):
        yield from (f"{value}?", *_words_of(kind))
    elif value is None:
        yield from (2, 0.5)
    elif isinstance(value, Layer):
        for name in value.arguments:
            for other in _others(getattr(value, name), type(value)):
                layer = deepcopy(value)
                with suppress(AttributeError):  # a property
                    setattr(layer, name, other)
                    yield layer
    elif isinstance(value, tuple | list):
        for i, item in enumerate(value):
            yield from (type(value)([*value[:i], other, *value[i + 1 :]]) for other in _others(item, kind))


def _words_of(kind: type[Layer]) -> Iterator[str]:
    """Yield the texts in the code of a class, among which are the ones that an argument is compared with."""
    for member in vars(kind).values():
        for constant in getattr(getattr(member, "__code__", None), "co_consts", ()):
            words = constant if isinstance(constant, tuple | frozenset) else (constant,)
            yield from (word for word in words if isinstance(word, str) and word.isidentifier())


def _made(kind: type[Layer], bound: inspect.BoundArguments) -> Sequential | None:
    """Return a model of a layer that is made with these arguments; None if it cannot be."""
    try:
        return Sequential(kind(*bound.args, **bound.kwargs), seed=0, dtype="float64")
    except Exception:  # whatever a constructor says of an argument that is out of range
        return None


def _fits(model: Sequential, into: Sequential) -> bool:
    """Tell whether a file of a model loads into another; do so."""
    mine, theirs = (
        [getattr(network.layers[0], name) for name in model.layers[0].arguments] for network in (model, into)
    )
    return mine == theirs and not raises(ValueError, through_a_file, model, into)


def _compute_otherwise(model: Sequential, other: Sequential, example: Example) -> bool:
    for _ in range(2):
        x = example.draw()
        expected = *a_pass(model, x), model.forward(x)
        try:
            results = *a_pass(other, x), other.forward(x)
        except Exception:  # it does not take this batch, say
            return True
        if not all(map(nearly_same, results, expected)):
            return True
    return False


def _said(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value!r:.60}"
