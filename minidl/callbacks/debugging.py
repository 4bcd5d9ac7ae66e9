"""Debugging: find the first place in an update where NaN or infinity appears.

By the time the loss is NaN, nearly every number is. So this callback checks each output, gradient and parameter as it
is computed, and names the first that is not finite. This takes time.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from minidl.backend import Array
from minidl.callbacks.divergence import DivergedError
from minidl.checks import finite
from minidl.layers import Layer
from minidl.loop import Callback, Training


class Debugging(Callback):
    """Raise a DivergedError where NaN or infinity first appears; replaces the model's own ``watch``."""

    @contextmanager
    def around(self, state: Training) -> Iterator[None]:
        """Watch the model, and restore its own watch however the run ends."""
        model, before = state.model, state.model.watch
        model.watch = lambda layer, name, array: self.look(state, state.updates + 1, layer, name, array)
        try:
            yield
        finally:
            model.watch = before

    def after_update(self, state: Training, _loss: Array) -> None:
        """Check the parameters after the update, and the vectors that the optimiser remembers.

        An average of squares overflows before anything else does, and then silently stops moving its parameters.
        """
        for layer, start, stop in state.model.stretches():
            for name in layer.param_shapes():
                self.look(state, state.updates, layer, name, getattr(layer, name))
            for name, vector in state.optimizer.state.items():
                owner = type(state.optimizer).__name__
                self.look(state, state.updates, layer, f"{name} of {owner}", vector[start:stop])

    def look(self, state: Training, update: int, layer: Layer, name: str, array: Array) -> None:
        """Raise a DivergedError if ``array``, called ``name`` in ``layer``, is not finite."""
        try:
            if len(array):
                finite(name, array)
        except ValueError:
            where = f"in epoch {state.epoch}, at update {update}"
            message = f"{layer.name}: {name} has NaN or infinity in it, {where}; it is the first place in this update"
            raise DivergedError(message, state.history) from None
