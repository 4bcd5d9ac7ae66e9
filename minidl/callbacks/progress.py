"""A progress bar, drawn by tqdm: a line of text in a terminal, a widget in a notebook."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from minidl.backend import Array
from minidl.callbacks.divergence import can_look
from minidl.loop import Callback, Training
from minidl.machine.terminal import in_notebook, usable

if TYPE_CHECKING:
    from tqdm import tqdm


class ProgressBar(Callback):
    """Show epoch, loss of the latest batch, and test accuracy after the latest epoch; in a regression, test loss.

    Args:
        updates: the number of updates in the whole run.
        epochs: the number of epochs.
        show: True, False, or None to show it only in a terminal or a notebook.
        description: is shown before the bar.
    """

    bar: tqdm[Any]

    def __init__(self, updates: int, epochs: int, show: bool | None, description: str):
        self.updates, self.epochs, self.show, self.description = updates, epochs, show, description
        self.loss = ""

    @contextmanager
    def around(self, state: Training) -> Iterator[None]:
        """Open the bar, at the place where a resumed run left it, and close it in the end."""
        self.bar = self.draw(lambda: self.open(state.updates)) or self.open(state.updates)
        try:
            yield
        finally:
            self.draw(self.bar.close)

    def draw(self, action: Callable[[], Any]) -> Any:
        """Do something that writes, and return its result. A terminal that is gone, or lacks a letter, hides it."""
        try:
            return action()
        except (OSError, ValueError):
            self.show = False
            if hasattr(self, "bar"):
                self.bar.disable = True
            from tqdm.auto import tqdm

            with suppress(RuntimeError):  # it is not held any more
                # tqdm keeps its lock if writing fails, and bars in other threads would wait for it.
                tqdm.get_lock().release()  # type: ignore[no-untyped-call]
            return None

    def open(self, updates: int) -> tqdm[Any]:
        """Return the bar, hidden if nobody can see it."""
        with warnings.catch_warnings():  # in a notebook without ipywidgets, tqdm says so, and draws a line of text
            warnings.filterwarnings("ignore", message="IProgress not found")
            from tqdm.auto import tqdm  # here, because importing it takes a fifth of the time that NumPy takes

            hide = None if self.show is None else not self.show  # None: tqdm hides it unless the output is a terminal
            if not usable(sys.stderr):
                hide = True
            elif hide is None and in_notebook():
                hide = False
            return tqdm(total=self.updates, initial=updates, desc=self.description, unit="update", disable=hide)

    def after_update(self, state: Training, loss: Array) -> None:
        """Advance the bar."""
        if can_look(state):
            self.loss = f", loss {float(loss):.4f}"
            self.write(state, state.epoch)
        self.draw(self.bar.update)

    def after_epoch(self, state: Training) -> None:
        """Show the new test accuracy."""
        self.write(state, state.history.epoch[-1])

    def write(self, state: Training, epoch: int) -> None:
        """Write the numbers beside the bar."""
        history = state.history
        tested = ""
        if history.test_accuracy:
            tested = f", test accuracy {history.test_accuracy[-1]:.2%}"
        elif history.test_loss:
            tested = f", test loss {history.test_loss[-1]:.4g}"
        self.bar.set_postfix_str(f"epoch {epoch}/{self.epochs}{self.loss}{tested}", refresh=False)
