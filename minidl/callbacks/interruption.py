"""Interruption: Ctrl-C, a notebook's stop button or an error ends a run, but its measurements so far are kept."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from minidl.loop import Callback, Training


class KeepHistory(Callback):
    """Attach the history to whatever ends the run early, as a `minidl.DivergedError` has it.

    try:
        fit(…, epochs=100, batch_size=64)
    except KeyboardInterrupt as stop:
        history = stop.history
    """

    @contextmanager
    def around(self, state: Training) -> Iterator[None]:
        """Let the exception pass, with the history."""
        try:
            yield
        except BaseException as stop:
            with suppress(AttributeError):  # few exceptions have fixed attributes
                stop.history = state.history  # type: ignore[attr-defined]
            raise
