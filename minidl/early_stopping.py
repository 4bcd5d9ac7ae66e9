"""When to stop: a network that goes on learning its training set by heart gets worse on all else.

The loss on data held back from training first falls, then rises. Early stopping waits for it to have risen long enough
to believe it, and goes back to the parameters that were best.
"""

from copy import deepcopy
from math import inf

from minidl.checks import not_negative, one_of, positive_int
from minidl.model import Sequential

COLUMNS = ("test_loss", "test_accuracy")


class EarlyStopping:
    """Stop once so many epochs in a row have brought no improvement, and restore the best model.

    Whatever decides when to stop has been learned from. If the test set is to remain a fair judge, give `minidl.fit` in
    its place a validation set, held back from the training images.

    Args:
        patience: epochs without improvement after which to stop, at least 1.
        min_improvement: a value is an improvement if it is better than the best so far by more than this, at least 0.
            What is better by less is not taken for the best, and not restored.
        column: what to watch: ``"test_loss"``, lower is better, or ``"test_accuracy"``, higher is better.

    Attributes:
        best_epoch: the epoch whose model `fit` leaves behind; 0 before the first.
        best: a copy of that model; None before the first epoch.
        least: its value in ``column``, with a minus sign if that is an accuracy.

    Raises:
        TypeError, ValueError: an argument is out of its range.

    Source: Goodfellow, Bengio and Courville 2016, "Deep Learning", algorithm 7.1; Prechelt 1998, "Early stopping — but
    when?", compares many criteria.
    """

    def __init__(self, patience: int, min_improvement: float = 0.0, column: str = "test_loss"):
        self.patience = positive_int("patience", patience)
        self.min_improvement = not_negative("min_improvement", min_improvement)
        self.column = one_of(*COLUMNS)("column", column)
        self.begin()

    def begin(self) -> None:
        """Forget what was best: a new training begins."""
        self.best_epoch = 0
        self.least = inf
        self.best: Sequential | None = None

    def should_stop(self, model: Sequential, epoch: int, value: float) -> bool:
        """Take note of the watched ``value`` after ``epoch``, the first being 1; tell whether to stop."""
        badness = value if self.column == "test_loss" else -value
        if self.best is None or badness < self.least - self.min_improvement:
            self.least, self.best_epoch, self.best = badness, epoch, deepcopy(model)
        return epoch - self.best_epoch >= self.patience

    def restore_best(self, model: Sequential) -> None:
        """Give ``model`` the parameters and buffers it had after `best_epoch`; before the first epoch, do nothing."""
        if self.best is not None:
            model.copy_from(self.best)
