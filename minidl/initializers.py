"""The weights that a network starts from: random, and of the size that keeps signals alive.

A unit sums ``fan_in`` inputs x, each times a random weight of mean 0, so that

    Var(y) = fan_in · Var(W) · E[x²]

If E[x²] does not come out about the same from one layer to the next, signals shrink or grow by the same factor in
every layer, and so do gradients on their way back. Each rule below is a choice of Var(W). Biases start at zero: the
random weights already make the units differ.

A rule takes a random generator and the shape ``(fan_in, fan_out)`` of a weight matrix, and returns a float64 array of
that shape.
"""

from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, Generator

Initializer: TypeAlias = Callable[[Generator, tuple[int, int]], Array]


def he_normal(rng: Generator, shape: tuple[int, int]) -> Array:
    """Draw from a normal distribution with Var(W) = 2 / fan_in.

    If y is symmetric, ReLU passes on half of its mean square, E[max(y, 0)²] = ½ Var(y), and the 2 makes up for that.

    Source: He et al. 2015, "Delving deep into rectifiers", equation 10. PyTorch: ``kaiming_normal_``.
    """
    fan_in, _ = shape
    std = (2.0 / fan_in) ** 0.5
    return rng.normal(0.0, std, shape)


def glorot_uniform(rng: Generator, shape: tuple[int, int]) -> Array:
    """Draw uniformly from ±√(6 / (fan_in + fan_out)), so that Var(W) = 2 / (fan_in + fan_out).

    The compromise between a forward pass, which asks for 1 / fan_in, and a backward pass, which asks for 1 / fan_out.

    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks",
    equation 16. The default of Keras; PyTorch: ``xavier_uniform_``.
    """
    fan_in, fan_out = shape
    limit = (6.0 / (fan_in + fan_out)) ** 0.5
    return rng.uniform(-limit, limit, shape)


def uniform_fan_in(rng: Generator, shape: tuple[int, int]) -> Array:
    """Draw uniformly from ±1 / √fan_in, so that Var(W) = 1 / (3 fan_in).

    Source: LeCun et al. 1998, "Efficient backprop", section 4.6, asks for Var(W) = 1 / fan_in; the limit written here
    is the one that PyTorch's ``nn.Linear`` uses, for its biases too.
    """
    fan_in, _ = shape
    limit = fan_in**-0.5
    return rng.uniform(-limit, limit, shape)
