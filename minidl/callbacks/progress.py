"""A progress bar, drawn by tqdm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minidl.backend import Array
from minidl.callbacks.divergence import can_look
from minidl.loop import Callback, Training

if TYPE_CHECKING:
    from tqdm import tqdm


class ProgressBar(Callback):
    """Show epoch, loss of the latest batch, and test accuracy after the latest epoch; in a regression, test loss.

    Args:
        updates: how many the whole run makes.
        epochs: how many it has.
        show: True, False, or None for where the output is a terminal.
        description: stands before the bar.
    """

    bar: tqdm[Any]

    def __init__(self, updates: int, epochs: int, show: bool | None, description: str):
        self.updates, self.epochs, self.show, self.description = updates, epochs, show, description
        self.loss = ""

    @contextmanager
    def around(self, state: Training) -> Iterator[None]:
        """Open the bar, where a resumed run left it, and close it in the end."""
        from tqdm import tqdm  # here, because importing it takes a fifth of the time that NumPy takes

        hide = None if self.show is None else not self.show  # None: tqdm hides it unless the output is a terminal
        bar = tqdm(total=self.updates, initial=state.updates, desc=self.description, unit="update", disable=hide)
        with bar as self.bar:
            yield

    def after_update(self, state: Training, loss: Array) -> None:
        """Advance the bar."""
        if can_look(state):
            self.loss = f", loss {float(loss):.4f}"
            self.write(state, state.epoch)
        self.bar.update()

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
