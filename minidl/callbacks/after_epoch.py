"""A plain function after each epoch, for what needs no class."""

from collections.abc import Callable

from minidl.loop import Callback, History, Training
from minidl.model import Sequential


class AfterEpoch(Callback):
    """Call a function with the model and its history after each epoch, and stop if it returns ``"stop"``."""

    def __init__(self, function: Callable[[Sequential, History], str | None]):
        self.function = function

    def after_epoch(self, state: Training) -> None:
        """Call the function."""
        state.stopped = self.function(state.model, state.history) == "stop" or state.stopped
