"""Two ways to measure a gradient without backpropagation, and the comparison of backpropagation with them.

Both ways ask how f changes when one entry of x is nudged by h, entry by entry. They are slow, and as simple as the
definition of a derivative, which is why they can be trusted.

A layer turns x into y, many numbers, while a gradient belongs to a single one. So `check_gradients` makes one of them,
L = Σ r y, with random weights r: then dy = r. Weights of 1 would not do. The outputs of a softmax add up to 1 whatever
its input, so under weights of 1 its gradient is zero, and a backward pass that returns zeros would pass the check.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np

from minidl import Layer, NLLLoss, Sequential
from minidl.backend import Array
from minidl.checks import one_of
from minidl.testing.slopes import TOLERANCES, Comparison, Function, GradientError, KinkError, Variables


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

    What is measured is the slope in a random direction, in which each entry of x and of all parameters is nudged by a
    random part of its own size. This takes a handful of forward passes, however many entries there are. Only a gradient
    that is wrong is measured entry by entry, up to 5,000 of them.

    The subject is not changed. Its random numbers, as for dropout, are the same in every evaluation.

    Args:
        subject: a layer that is part of a float64 model; a float64 model; or a loss, which is anything with the two
            methods of `minidl.NLLLoss`. Frozen layers are checked like others.
        x: the input, float64, away from kinks such as that of ReLU at 0: (B, features).
        labels: for a loss, its labels. For a model that ends in log-probabilities, the classes (B,): L is then
            `minidl.NLLLoss` of its output, and not a sum with random weights. For a layer, None.
        seed: for the direction, and for the random weights of the outputs.
        method: how to measure: by ``"complex"`` steps, or by ``"differences"`` where a layer is not analytic, as one
            that uses abs or var is not. Complex steps are themselves compared with a difference.
        tolerance: how large an error of the slope may be, as a part of Σ ``|g v|`` + Σ ``|dy y|``, the sizes of all
            that is added up to the slope and to L. By default 1e-11 for complex steps, and 1e-6 for differences. What
            another eleventh digit of x and the parameters would change is allowed on top.

    Raises:
        GradientError: a gradient is wrong. The message says which one, where, how much, and what is likely the cause.
        KinkError: x is at a kink, where there is no gradient.
        TypeError, ValueError: an argument is not as described.
    """
    __tracebackhide__ = True
    if x.dtype != np.float64:
        raise TypeError(f"x: expected float64, got {x.dtype}")
    one_of(*TOLERANCES)("method", method)
    how: dict[str, Any] = {"method": method, "tolerance": tolerance or 0.0, "rng": np.random.default_rng(seed)}
    compare = compare_network if isinstance(subject, Layer | Sequential) else compare_loss
    try:
        for comparison in compare(subject, x, labels, **how):
            if not comparison.holds():
                raise KinkError(comparison.describe_kink())
    except GradientError as error:
        told = type(error)(f"{type(subject).__name__}: {error}")
    else:
        return
    raise told


def compare_loss(loss: Any, log_p: Array, labels: Array | None, **how: Any) -> Iterator[Comparison]:
    """Yield the comparison of a loss's gradient; ``how`` is what `Comparison` takes besides."""
    if labels is None:
        raise ValueError("labels: expected the labels of x, got None")
    used, given = deepcopy(loss), (log_p.copy(), labels.copy())
    size = size_of(np.array(1.0), used.forward(*given), log_p)
    for name, array, original in zip(("log_p", "labels"), given, (log_p, labels), strict=True):
        if not np.array_equal(array, original):
            raise GradientError(f"forward changes {name}; a loss changes no array that it is given")

    def f(at: Variables) -> Any:
        return deepcopy(loss).forward(at["log_p"], labels.copy())

    yield Comparison(f, {"log_p": log_p}, {"log_p": used.backward()}, size, batch=len(log_p), **how)


def compare_network(
    subject: Layer | Sequential, x: Array, labels: Array | None, *, rng: np.random.Generator, **how: Any
) -> Iterator[Comparison]:
    """Yield the comparison of all gradients; and for a model another, of those that training asks for."""
    if labels is not None and isinstance(subject, Layer):
        raise ValueError("labels: expected None, since a layer by itself has no loss")
    at = variables(subject, x)
    network = with_variables(subject, at)
    y = network.forward(x, training=True)
    if labels is None:
        dy = rng.normal(size=y.shape)
        f = weighted_output(subject, dy)
    else:
        f = loss_of_output(subject, labels)
        loss = NLLLoss()
        loss.forward(y, labels)
        dy = loss.backward()
    dx = network.backward_to_input(dy) if isinstance(network, Sequential) else network.backward(dy)
    about: dict[str, Any] = {"size": size_of(dy, y, x), "rng": rng, "batch": len(x), "dy": dy, **how}
    yield Comparison(f, at, {"x": dx} | gradients(network), **about)
    if isinstance(network, Sequential):  # what training calls goes another way in the first layer
        network = with_variables(subject, at)
        network.forward(x, training=True)
        network.backward(dy)
        yield Comparison(f, at, gradients(network), by=", by Sequential.backward,", **about)


def weighted_output(subject: Layer | Sequential, dy: Array) -> Function:
    """Return Σ dy y as a function of x and the parameters."""
    return lambda at: (dy * output(subject, at)).sum()


def size_of(dy: Array, y: Array, x: Array) -> float:
    """Return the size of what Σ dy y adds up.

    A y below a thousandth of the largest x counts as that: it is, as a rule, what is left of larger numbers.
    """
    return float((abs(dy) * np.maximum(abs(y), 1e-3 * abs(x).max())).sum())


def loss_of_output(subject: Layer | Sequential, labels: Array) -> Function:
    """Return the loss of the output as a function of x and the parameters."""
    return lambda at: NLLLoss().forward(output(subject, at), labels)


def output(subject: Layer | Sequential, at: Variables) -> Array:
    """Return y in training, for variables that are real or complex; ``subject`` stays as it is."""
    network = with_variables(subject, at)
    y: Array = network.forward(at["x"].astype(np.result_type(*at.values())), training=True)
    return y


def variables(subject: Layer | Sequential, x: Array) -> Variables:
    """Return x, and a copy of each parameter, by their names."""
    return {"x": x} | {name: getattr(layer, end).copy() for layer, name, end in _parameters(subject)}


def gradients(subject: Layer | Sequential) -> Variables:
    """Return the gradient of each parameter, by the parameter's name."""
    return {name: getattr(layer, f"d{end}") for layer, name, end in _parameters(subject)}


def with_variables(subject: Layer | Sequential, at: Variables) -> Any:
    """Return a copy of ``subject``, not frozen, that has these parameters.

    Its gradients are NaN, so that one that is never written is seen.
    """
    network: Any = deepcopy(subject)
    dtype = np.result_type(*at.values())
    if isinstance(network, Sequential):
        network.unfreeze()
    for layer in _layers(network):
        own = [at[name].ravel() for other, name, _ in _parameters(network) if other is layer]
        params = np.concatenate([np.zeros(0), *own]).astype(dtype)
        layer.bind(params, np.full_like(params, np.nan))
    return network


def _layers(subject: Layer | Sequential) -> tuple[Layer, ...]:
    return subject.layers if isinstance(subject, Sequential) else (subject,)


def _parameters(subject: Layer | Sequential) -> Iterator[tuple[Layer, str, str]]:
    """Yield each parameter: its layer, its name in ``subject``, and its name in the layer."""
    for layer in _layers(subject):
        for name in layer.param_shapes():
            yield layer, f"{layer.name}.{name}" if isinstance(subject, Sequential) else name, name
