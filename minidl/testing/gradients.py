"""Two ways to measure a gradient without backpropagation, and the comparison of backpropagation with them.

Both ways ask how f changes when one entry of x is nudged by h, entry by entry. They are slow, and as simple as the
definition of a derivative, which is why they can be trusted.

A layer turns x into y, many numbers, while a gradient belongs to a single one. So `check_gradients` makes one of them,
L = Σ r y, with random weights r: then dy = r. Weights of 1 would not do. The outputs of a softmax add up to 1 whatever
its input, so under weights of 1 its gradient is zero, and a backward pass that returns zeros would pass the check.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

from minidl.backend import Array
from minidl.checks import one_of
from minidl.layers import Layer
from minidl.model import Sequential

TOLERANCES = {"complex": 1e-11, "differences": 1e-6}
"""How far a gradient may be from what was measured, as a part of the largest measured entry, or of 1."""


def numerical_gradient(f: Callable[[Array], Any], x: Array, h: float = 1e-6) -> Array:
    """Measure the gradient of ``f`` at ``x`` by central differences.

        ∂f/∂x_i ≈ (f(x + h e_i) − f(x − h e_i)) / 2h

    The error is of order h² from the curve of f, plus 1e-16 · ``|f|`` / h from rounding; near h = 1e-6, with values
    around 1, about ten digits are right.

    Args:
        f: maps an array like ``x`` to a number. It must not keep or change the array.
        x: float64, any shape; it is not changed.
        h: the nudge.

    Returns:
        The gradient, float64, with the shape of ``x``.

    Raises:
        TypeError: ``x`` is not float64. In float32 a difference of two almost equal numbers has no digits left.
    """
    if x.dtype != np.float64:
        raise TypeError(f"x: expected float64, got {x.dtype}")
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[i] += h
        behind[i] -= h
        gradient[i] = (f(ahead) - f(behind)) / (2 * h)
    return gradient


def complex_step_gradient(f: Callable[[Array], Any], x: Array, h: float = 1e-20) -> Array:
    """Measure the gradient of ``f`` at ``x`` by a step in the imaginary direction.

        f(x + ih) = f(x) + ih f′(x) − h²/2 f″(x) − …      so      ∂f/∂x_i = Im f(x + ih e_i) / h

    Nothing is subtracted, so nothing cancels, and h may be so small that the rest of the series vanishes: the result is
    right to the last digits of float64. The price: f must be written in operations that accept complex numbers and
    are analytic in them. The layers are: maximum compares real parts first, as it should here.

    Args:
        f: maps a complex array of the shape of ``x`` to a complex number. It must not keep or change the array.
        x: real, any shape; it is not changed.
        h: the step.

    Returns:
        The gradient, float64, with the shape of ``x``.

    Source: Squire and Trapp 1998, "Using complex variables to estimate derivatives of real functions", SIAM Review 40.
    """
    gradient = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        nudged = x.astype(np.complex128)
        nudged[i] += 1j * h
        gradient[i] = np.imag(f(nudged)) / h
    return gradient


class GradientError(AssertionError):
    """A gradient is not what was measured."""


def check_gradients(
    subject: Any,
    x: Array,
    labels: Array | None = None,
    *,
    seed: int = 0,
    method: str = "complex",
    tolerance: float | None = None,
) -> None:
    """Compare all gradients that ``subject`` computes with measured ones: of its input, and of every parameter.

    The subject is not changed. Its random numbers, as for dropout, are the same in every evaluation.

    Args:
        subject: a layer that is part of a float64 model; a float64 model; or a loss, which is anything with the two
            methods of `minidl.NLLLoss`. Frozen layers are checked like others.
        x: the input, float64, away from kinks such as that of ReLU at 0 by more than the nudge: (B, features).
        labels: for a loss, the labels, (B,); None for all else.
        seed: for the random weights of the outputs.
        method: how to measure: by ``"complex"`` steps, or by ``"differences"`` where a layer is not analytic, as one
            that uses abs or var is not. Complex steps are themselves held against a difference, in a random direction.
        tolerance: how large an error may be, as a part of the largest measured entry, or of 1 if that is larger. By
            default 1e-11 for complex steps and 1e-6 for differences.

    Raises:
        GradientError: a gradient is wrong. The message says which one, where, how much, and what is likely the cause.
        TypeError, ValueError: an argument is not as described.
    """
    if x.dtype != np.float64:
        raise TypeError(f"x: expected float64, got {x.dtype}")
    one_of(*TOLERANCES)("method", method)
    measure = complex_step_gradient if method == "complex" else numerical_gradient
    tolerance = TOLERANCES[method] if tolerance is None else tolerance

    def measured(f: Callable[[Array], Any], at: Array) -> Array:
        gradient = measure(f, at)
        direction = np.random.default_rng(seed).normal(size=at.shape)
        slope, expected = (gradient * direction).sum(), (f(at + 1e-6 * direction) - f(at - 1e-6 * direction)) / 2e-6
        if method == "complex" and not abs(slope - expected) <= 1e-4 * max(1.0, abs(gradient).sum(initial=0)):
            raise GradientError(
                f"{subject!r}: complex steps and differences disagree: the forward pass is not analytic, or has a kink "
                'close by; measure with method="differences"'
            )
        return gradient

    def compare(name: str, computed: Array, measured: Array, batch: int | None) -> None:
        if computed.shape != measured.shape or computed.dtype != measured.dtype:
            raise GradientError(
                f"{subject!r}: {name} is {computed.shape} {computed.dtype}, expected {measured.shape} {measured.dtype}"
            )
        error = abs(computed - measured) / max(1.0, abs(measured).max(initial=0))
        if not (error <= tolerance).all():  # so that NaN does not pass
            worst = np.unravel_index(np.nanargmax(np.where(np.isnan(error), np.inf, error)), error.shape)
            where = f"{name}[{', '.join(map(str, worst))}]"
            raise GradientError(
                f"{subject!r}: {where} is {computed[worst]:.10g}, but {measured[worst]:.10g} was measured "
                f"(error {error[worst]:.1e}, tolerance {tolerance:.0e}); {likely_cause(computed, measured, batch)}"
            )

    if not isinstance(subject, Layer | Sequential):
        if labels is None:
            raise ValueError("labels: expected the labels of x, got None")
        loss = deepcopy(subject)
        loss.forward(x.copy(), labels)
        compare("dlog_p", loss.backward(), measured(lambda x: deepcopy(subject).forward(x, labels), x), len(x))
        return

    params = parameters(subject)
    network = rebound(subject, params)
    dy = np.random.default_rng(seed).normal(size=network.forward(x, training=True).shape)
    dx = network.backward_to_input(dy) if isinstance(network, Sequential) else network.backward(dy)

    def of_x(x: Array) -> Any:
        return (dy * rebound(subject, params.astype(x.dtype)).forward(x, training=True)).sum()

    def of_params(params: Array) -> Any:
        return (dy * rebound(subject, params).forward(x.astype(params.dtype), training=True)).sum()

    compare("dx", dx, measured(of_x, x), None)
    expected = gradients(rebound(subject, params, measured(of_params, params)))
    for (name, computed), (_, right) in zip(gradients(network), expected, strict=True):
        compare(name, computed, right, len(x))
    if isinstance(subject, Sequential):  # what training calls goes another way in the first layer
        network = rebound(subject, params)
        network.forward(x, training=True)
        network.backward(dy)
        for (name, computed), (_, right) in zip(gradients(network), expected, strict=True):
            compare(f"{name}, by Sequential.backward,", computed, right, len(x))


def parameters(subject: Layer | Sequential) -> Array:
    """Return a copy of all parameters as one vector."""
    if isinstance(subject, Sequential):
        return subject.params.copy()
    return np.concatenate([np.zeros(0), *(getattr(subject, name).ravel() for name in subject.param_shapes())])


def rebound(subject: Layer | Sequential, params: Array, grads: Array | None = None) -> Any:
    """Return a copy of ``subject`` with these parameters; a gradient that it does not write is NaN, and so is seen."""
    network: Any = deepcopy(subject)
    grads = np.full_like(params, np.nan) if grads is None else grads
    if isinstance(network, Sequential):
        network.unfreeze()
        network._bind(params, grads)
    else:
        network.bind(params, grads)
    return network


def gradients(subject: Layer | Sequential) -> list[tuple[str, Array]]:
    """Return the gradient of each parameter, with its name."""
    if isinstance(subject, Sequential):
        return [(f"{layer.name}.{name}", gradient) for layer in subject.layers for name, gradient in gradients(layer)]
    return [(f"d{name}", getattr(subject, f"d{name}")) for name in subject.param_shapes()]


def likely_cause(computed: Array, measured: Array, batch: int | None) -> str:
    """Guess why a gradient is wrong, by what would make it right; ``batch`` is None where 1/B cannot come in."""

    def close(a: Array, b: Array) -> bool:
        return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-4, atol=1e-6 * abs(measured).max(initial=0)))

    right = np.isclose(computed, measured, rtol=1e-4, atol=1e-6)
    size = float((measured * measured).sum())
    ratio = float((computed * measured).sum()) / size if size > 0 else 0.0
    times = f"a factor B = {batch}"
    causes = {
        "it is NaN: not written, or not all of it, or computed from NaN": bool(np.isnan(computed).any()),
        "it is zero throughout": not computed.any(),
        "the sign is wrong": close(computed, -measured),
        f"{times} too many: a sum where a mean is meant, or a missing 1/B": batch and close(computed, batch * measured),
        f"{times} too few: 1/B where a sum is meant, or twice": batch and close(batch * computed, measured),
        "it is transposed": computed.ndim == 2 and close(computed.T, measured),
        f"it is {ratio:.4g} times what it should be": abs(ratio - 1) > 1e-3 and close(computed, ratio * measured),
        "a mask is missing: it should be zero there": bool((right | np.isclose(measured, 0, atol=1e-9)).all()),
        "a mask is wrong: it is zero where it should not be": bool((right | (computed == 0)).all()),
    }
    return next(
        (f"likely cause: {cause}" for cause, seen in causes.items() if seen), "no simple factor or mask explains it"
    )
