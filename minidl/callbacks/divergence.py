"""Divergence: a loss that is not finite ends the run before it reaches the parameters.

With too large a learning rate, every step overshoots further than the one before. In a few updates the loss grows
beyond what a float can hold, to infinity or NaN, and each number computed from it is NaN too. So the loss is checked
before the step, and the model that remains is the one that gave it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite

import numpy as np

from minidl.backend import Array, on_host
from minidl.loop import Callback, History, Training


class DivergedError(ArithmeticError):
    """The loss is no longer a finite number, so training cannot continue.

    Attributes:
        history: the epochs finished before.
    """

    def __init__(self, message: str, history: History):
        super().__init__(message, history)  # both, so that the error can pass from one process to another
        self.history = history

    def __str__(self) -> str:
        return str(self.args[0])


class FiniteLoss(Callback):
    """Stand in for the loss of a run, and raise a DivergedError if it is infinite or NaN."""

    @contextmanager
    def around(self, state: Training) -> Iterator[None]:
        """Replace ``state.loss``, and silence NumPy's warnings of overflow, since the error says more."""
        self.state, self.loss = state, state.loss
        state.loss = self
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                yield
        finally:
            state.loss = self.loss

    def forward(self, log_p: Array, labels: Array, /) -> Array:
        """Compute the loss, and look at it."""
        value = self.loss.forward(log_p, labels)
        if can_look(self.state):
            require_finite(float(value), self.state, self.state.updates + 1)
        return value

    def backward(self) -> Array:
        """Compute the gradient of the loss."""
        return self.loss.backward()


def can_look(state: Training) -> bool:
    """Return whether to look at this update's loss: on a GPU, which has to stop for that, only every 100 updates."""
    return on_host(state.model.params) or state.updates % 100 == 0


def require_finite(value: float, state: Training, update: int, what: str = "loss") -> None:
    """Raise a DivergedError unless ``value`` is finite; it says where, and what to try."""
    if not isfinite(value):
        lr = state.optimizer.lr
        raise DivergedError(
            f"the {what} became {value} in epoch {state.epoch}, at update {update}, with learning rate {lr:g}; "
            f"try a smaller one, such as {lr / 10:g}, or check that the inputs are standardised; "
            "debug=True names the layer",
            state.history,
        )
