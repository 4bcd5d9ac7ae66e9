"""Float32 beside float64: the same numbers, but for rounding.

How much may rounding do? That depends on the question. Where x is all but constant, and a layer divides by its
deviation, the last digit of x decides the first of y, and no way of computing changes that. So the layer is also given
x and parameters that differ in their seventh digit. What that does to the result, rounding may do, and several times
over. Where it does nothing, five digits must be right for the usual x, and three for the extremes: a layer inside
another meets numbers there that hardly differ, though x does.
"""

from collections.abc import Iterator

import numpy as np

from minidl.backend import Array
from minidl.testing.contract import ContractError, require
from minidl.testing.examples import words
from minidl.testing.passes import Example

USUALLY, AT_MOST = (1e-5, 10), (1e-3, 100)
"""How far float32 may be off, as a part of the largest number; on top, how often what a seventh digit does."""

LARGEST, LEAST = 1e37, 1e-37
"""Beyond these, float32 may become infinity, or 0."""

DOUBLE = (
    "\nhint: look for an array that is made without a dtype (use zeros_like, or convert), and for numbers of NumPy, "
    "such as np.sqrt(2), which are float64: make them plain with float(…)"
)

LOST = "\nhint: digits are lost: look for float16, a rounded constant, or the difference of two large numbers"

NOT_FINITE = (
    "\nhint: look for an exponential that overflows, or a sum of them that becomes 0 (subtract the largest first, or "
    "treat x < 0 apart from x > 0), for an ε that is 0 in float32, or for the root of what rounding can make negative"
)


def check_precision(example: Example) -> None:
    """Require that float32 in gives float32 out, in both directions, and what float64 gives."""
    for draw in example.inputs:
        x = example.draw(draw=draw).astype("float32")
        single, exact = results(example, x), results(example, x.astype("float64"))
        digits, times = USUALLY if draw is example.inputs[0] else AT_MOST
        for name, got in single.items():
            require(got.dtype == "float32", f"{name} is {got.dtype} where x is float32{DOUBLE}")
        for name, size in least_sizes(example, x, exact["y"]).items():
            got, expected = single[name], exact[name]
            allowed = LEAST + digits * (largest(expected) + size)
            if lost(got, expected, allowed).any():
                allowed += times * max(largest(other[name] - got) for other in _nearby(example, x))
            wrong = np.argwhere(lost(got, expected, allowed)).tolist()
            if wrong:
                there = got[*wrong[0]], expected[*wrong[0]]
                raise ContractError(
                    f"{name} differs between float32 and float64: {name}{wrong[0]} is {there[0]:.6g} and "
                    f"{there[1]:.6g}, for x {words(draw)}{LOST if np.isfinite(there[0]) else NOT_FINITE}"
                )


def results(example: Example, x: Array, nudge: np.random.Generator | None = None) -> dict[str, Array]:
    """Return all that the layer computes, in the precision of x; with ``nudge``, for numbers that differ a little."""
    model = example.model(str(x.dtype))
    model.params[...] = model.params.astype("float32")
    if nudge is not None:
        x = nudged(x, nudge)
        model.params[...] = nudged(model.params, nudge)
    evaluated = model.forward(x)
    y = model.forward(x, training=True)
    dx = model.backward_to_input(np.random.default_rng(0).normal(size=y.shape).astype(x.dtype))
    layer = model.layers[0]
    gradients = {f"d{name}": getattr(layer, f"d{name}") for name in layer.param_shapes()}
    later = {name: getattr(layer, name) for name in layer.buffers} | {"y in a later evaluation": model.forward(x)}
    return {"y": y, "dx": dx, **gradients, "y in evaluation": evaluated, **later}


def _nearby(example: Example, x: Array) -> Iterator[dict[str, Array]]:
    return (results(example, x, nudge=example.rng) for _ in range(3))


def nudged(a: Array, rng: np.random.Generator) -> Array:
    """Return the array with other seventh digits."""
    return (a * (1 + 1e-6 * rng.uniform(-1, 1, a.shape))).astype(a.dtype)


def least_sizes(example: Example, x: Array, y: Array) -> dict[str, float]:
    """Return the size that each result usually has: a tenth of x for y, and y over the variable for a gradient.

    Where large terms cancel, as in the normalisation of two samples, it is far smaller. Rounding is that of the terms.
    """
    layer, usual = example.model().layers[0], 0.1 * largest(x)
    sizes = {"x": largest(x)} | {name: largest(getattr(layer, name)) for name in layer.param_shapes()}
    gradients = {f"d{name}": 3 * (largest(y) + usual) / max(size, LEAST) for name, size in sizes.items()}
    return {"y": usual, "y in evaluation": usual, **gradients}


def largest(a: Array) -> float:
    """Return the size of the largest number that float32 can hold."""
    sizes = abs(a)
    return float(sizes[sizes < LARGEST].max(initial=0))


def lost(single: Array, exact: Array, allowed: float) -> Array:
    """Return where float32 is not what float64 is, to so much, though it could be."""
    where: Array = (abs(exact) < LARGEST) & ~(abs(single - exact) <= allowed)
    return where
