"""Two ways to measure a gradient without backpropagation, so that backpropagation can be checked against them.

Both ask how f changes when one entry of x is nudged by h, entry by entry. They are slow, and as simple as the
definition of a derivative, which is why they can be trusted.
"""

from collections.abc import Callable

import numpy as np

from minidl.backend import Array


def numerical_gradient(f: Callable[[Array], float], x: Array, h: float = 1e-6) -> Array:
    """Measure the gradient of ``f`` at ``x`` by central differences.

        ∂f/∂x_i ≈ (f(x + h e_i) − f(x − h e_i)) / 2h

    The error is of order h² from the curve of f, plus 1e-16 · |f| / h from rounding; near h = 1e-6, with values around
    1, about ten digits are right.

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


def complex_step_gradient(f: Callable[[Array], complex], x: Array, h: float = 1e-20) -> Array:
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
