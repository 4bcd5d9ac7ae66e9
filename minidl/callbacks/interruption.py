"""Interruption: Ctrl-C, or a notebook's stop button, ends a run, but its measurements so far are kept."""

from collections.abc import Iterator
from contextlib import contextmanager

from minidl.loop import Callback, Training


class KeepHistory(Callback):
    """Attach the history to a KeyboardInterrupt that ends the run, like that of a `minidl.DivergedError`.

    try:
        fit(…, epochs=100, batch_size=64)
    except KeyboardInterrupt as stop:
        history = stop.history
    """

    @contextmanager
    def around(self, state: Training) -> Iterator[None]:
        """Let the interrupt pass, with the history."""
        try:
            yield
        except KeyboardInterrupt as stop:
            stop.history = state.history  # type: ignore[attr-defined]
            raise
