"""Proving layers: gradients measured without backpropagation, and one call that checks a whole layer.

    from minidl.testing import check_layer
    check_layer(MyLayer)

`minidl.testing.strategies`, which needs Hypothesis, draws batches, labels, networks and optimisers for property tests.
"""

from minidl.testing.contract import ContractError
from minidl.testing.examples import away_from_zero
from minidl.testing.gradients import check_gradients, complex_step_gradient, numerical_gradient
from minidl.testing.layers import check_layer
from minidl.testing.losses import check_loss
from minidl.testing.optimizers import check_optimizer
from minidl.testing.slopes import GradientError, KinkError
from minidl.testing.strict_backend import StrictArray, strict_backend

__all__ = [
    "ContractError",
    "GradientError",
    "KinkError",
    "StrictArray",
    "away_from_zero",
    "check_gradients",
    "check_layer",
    "check_loss",
    "check_optimizer",
    "complex_step_gradient",
    "numerical_gradient",
    "strict_backend",
]
