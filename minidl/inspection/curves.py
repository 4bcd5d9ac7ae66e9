"""The curves of a run: drawn, as a short line of text, and as a table in a notebook."""

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Curves:
    """The base of `minidl.History` that shows it; the columns are its attributes, lists of equal length."""

    epoch: list[int]

    def plot(self, axes: "Axes | None" = None, what: str = "accuracy") -> "Axes":
        """Draw training and test curves against epochs, and return the axes.

        Args:
            axes: where to draw; None for a new figure.
            what: ``"accuracy"``, in per cent, or ``"loss"``.

        Raises:
            ValueError: ``what`` is neither, or there is no such curve.
        """
        from matplotlib.ticker import MaxNLocator

        from minidl.checks import one_of

        what = one_of("accuracy", "loss")("what", what)
        curves = {part: getattr(self, f"{part}_{what}") for part in ("train", "test")}
        if not curves["train"]:
            raise ValueError(f"what: there is no {what} to draw; is the run one of regression, or without an epoch?")
        axes = axes or new_axes()
        for (part, values), style in zip(curves.items(), ("--", "-"), strict=True):
            if values:
                scale = 100 if what == "accuracy" else 1
                axes.plot(self.epoch, [scale * value for value in values], f".{style}", label=part, color="tab:blue")
        axes.set(xlabel="epochs", ylabel="accuracy (%)" if what == "accuracy" else "loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
        return axes

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {number}" for name, number in self._last().items())
        return f"{type(self).__name__}({len(self.epoch)} epochs{': ' if last else ''}{last})"

    def _repr_html_(self) -> str:
        """Return a table for a notebook: the last epoch."""
        return html_table([{"epochs": str(len(self.epoch)), **self._last()}])

    def _last(self) -> dict[str, str]:
        """Return the measurements after the last epoch, as text."""
        rows: dict[str, Any] = {name: column[-1] for name, column in vars(self).items() if column}
        shown = {
            name: rows[name] for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy") if name in rows
        }
        return {
            name.replace("_", " "): f"{value:.2%}" if "accuracy" in name else f"{value:.4g}"
            for name, value in shown.items()
        }


def new_axes() -> "Axes":
    """Return the axes of a new figure."""
    from matplotlib import pyplot as plt  # here, because importing minidl should cost little

    axes: Axes = plt.subplots(layout="constrained")[1]
    return axes


def table_of_data(data: Any) -> str:
    """Return a table for a notebook: shapes and dtypes of samples and labels."""
    parts = {"x": data.x, "labels": data.labels}
    return html_table([{"": name, "shape": str(a.shape), "dtype": str(a.dtype)} for name, a in parts.items()])


def html_table(rows: list[dict[str, str]]) -> str:
    """Return a table with a line for each of ``rows``, which have the same keys."""
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row.values()) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
