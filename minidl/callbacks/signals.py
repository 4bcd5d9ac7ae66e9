"""Signals: SIGINT (Ctrl-C), SIGTERM and a closed terminal wait until the update in progress is complete."""

import signal
from threading import current_thread, main_thread
from types import FrameType, TracebackType
from typing import Any, Self

KINDS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
"""The signals that ask a program to end: SIGHUP when a terminal is closed, SIGBREAK (Ctrl-Break) on Windows."""


class Signals:
    """A context in which signals are noted instead of ending the program at once.

    This only works in a program's main thread; in another thread nothing changes.

    Attributes:
        received: the number of the signal that has come; 0 for none.
    """

    received: int = 0

    def __enter__(self) -> Self:
        """From here on, let signals wait, except those that the program ignores."""
        self.handlers: dict[signal.Signals, Any] = {}
        if current_thread() is main_thread():
            kinds = [kind for kind in KINDS if signal.getsignal(kind) not in (signal.SIG_IGN, None)]
            self.handlers = {kind: signal.signal(kind, self.note) for kind in kinds}
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        """Restore the original handlers. A signal that nobody has acted on goes to its original handler now."""
        for kind, handler in self.handlers.items():
            signal.signal(kind, handler)
        if self.received and not isinstance(error, SystemExit | KeyboardInterrupt):
            handler = self.handlers[signal.Signals(self.received)]
            if callable(handler):
                handler(self.received, None)
            else:
                raise SystemExit(128 + self.received)

    def note(self, kind: int, _frame: FrameType | None) -> None:
        """Note a signal. The second one ends the program at once; the file is complete at every moment."""
        if self.received:
            raise KeyboardInterrupt
        self.received = kind
