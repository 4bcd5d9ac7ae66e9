"""Early stopping: end the run when the model gets worse on data it has not seen, and return to its best state.

The loss on data held back from training often falls first and rises later, as the network learns its training set by
heart. Early stopping waits until it has not fallen for several epochs, and restores the parameters that were best.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from math import inf

from minidl.checks import not_negative, one_of, positive_int
from minidl.loop import Callback, Training
from minidl.model import Sequential

COLUMNS = ("test_loss", "test_accuracy")


class EarlyStopping(Callback):
    """Stop after several epochs in a row without improvement, and restore the best model.

    If data decide when to stop, the model has learned from them. To keep the test set a fair judge, give `minidl.fit` a
    validation set instead, held back from the training images.

    Args:
        patience: epochs without improvement after which to stop, at least 1.
        min_improvement: a value is an improvement if it is better than the best so far by more than this, at least 0.
            A value that is better by less does not count as the best, and is not restored.
        column: the column to watch: ``"test_loss"``, lower is better, or ``"test_accuracy"``, higher is better.

    Attributes:
        best_epoch: the epoch whose model `fit` leaves behind; 0 before the first.
        best: a copy of that model; None before the first epoch.
        lowest: its value in ``column``, with a minus sign if that is an accuracy.

    Raises:
        TypeError, ValueError: an argument is out of range.

    Source: Goodfellow, Bengio and Courville 2016, "Deep Learning", algorithm 7.1; Prechelt 1998, "Early stopping — but
    when?", compares many criteria.
    """

    def __init__(self, patience: int, min_improvement: float = 0.0, column: str = "test_loss"):
        self.patience = positive_int("patience", patience)
        self.min_improvement = not_negative("min_improvement", min_improvement)
        self.column = one_of(*COLUMNS)("column", column)
        self.begin()

    def begin(self) -> None:
        """Forget what was best: a new run begins."""
        self.best_epoch = 0
        self.lowest = inf
        self.best: Sequential | None = None

    @contextmanager
    def around(self, state: Training) -> Iterator[None]:
        """Leave the model as it was after the best epoch, however the run ends."""
        try:
            yield
        finally:
            self.restore_best(state.model)

    def after_epoch(self, state: Training) -> None:
        """Stop the run if it is time."""
        value = getattr(state.history, self.column)[-1]
        state.stopped = self.should_stop(state.model, state.history.epoch[-1], value) or state.stopped

    def should_stop(self, model: Sequential, epoch: int, value: float) -> bool:
        """Note the watched ``value`` after ``epoch``, counted from 1, and return whether to stop."""
        badness = value if self.column == "test_loss" else -value
        if self.best is None or badness < self.lowest - self.min_improvement:
            self.lowest, self.best_epoch, self.best = badness, epoch, deepcopy(model)
        return epoch - self.best_epoch >= self.patience

    def restore_best(self, model: Sequential) -> None:
        """Give ``model`` the parameters and buffers it had after `best_epoch`; before the first epoch, do nothing."""
        if self.best is not None:
            model.copy_from(self.best)
