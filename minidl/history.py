"""What a training leaves behind: its curves, epoch by epoch, and what to raise where they end in no number."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class History:
    """What `fit` measured: a list for each column, with an entry for each epoch.

    Losses are means over all samples, accuracies are fractions from 0 to 1, and both are taken after the epoch's last
    update, so that training and test figures describe the same parameters.
    """

    epoch: list[int] = field(default_factory=list)
    """1 after the first pass over the training set."""
    updates: list[int] = field(default_factory=list)
    """Steps of the optimiser so far."""
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    generalization_gap: list[float] = field(default_factory=list)
    """Training accuracy minus test accuracy (claim A2 of the sources)."""
    lr: list[float] = field(default_factory=list)
    """The learning rate of the epoch's first update."""
    batch_size: list[int] = field(default_factory=list)
    """The number of samples in the epoch's first update."""
    seconds: list[float] = field(default_factory=list)
    """Time for the epoch's updates, without the measurements after it."""

    def append(self, **row: Any) -> None:
        """Add an epoch; ``row`` has a value for every column."""
        for column, values in vars(self).items():
            values.append(row[column])

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a dictionary of the columns, ready for JSON."""
        return asdict(self)

    def __len__(self) -> int:
        return len(self.epoch)


class DivergedError(ArithmeticError):
    """The loss is no longer a finite number, so training cannot go on.

    Attributes:
        history: the epochs finished before.
    """

    def __init__(self, message: str, history: History):
        super().__init__(message, history)  # both, so that the error can pass from one process to another
        self.history = history

    def __str__(self) -> str:
        return str(self.args[0])
