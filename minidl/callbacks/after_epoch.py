"""A plain function after each epoch, for what needs no class."""

from collections.abc import Callable

from minidl.loop import Callback, History, Training
from minidl.model import Sequential


class AfterEpoch(Callback):
    """Call a function with the model and its history after each epoch, and stop if it returns ``"stop"``.

    Raises:
        ValueError: it returns something else, which would be silently ignored.
    """

    def __init__(self, function: Callable[[Sequential, History], str | None]):
        self.function = function

    def after_epoch(self, state: Training) -> None:
        """Call the function."""
        answer = self.function(state.model, state.history)
        if answer not in (None, "stop"):
            raise ValueError(f'after_epoch: expected it to return None, or "stop" to stop, got {answer!r:.60}')
        state.stopped = answer == "stop" or state.stopped
