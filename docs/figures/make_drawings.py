"""Draw the two pictures of a network that open the book: its units with the shapes, and the two passes through it.

python docs/figures/make_drawings.py [FOLDER]       # default: the folder of this script

The pictures are SVG, narrow enough for a telephone, with letters of 12 pixels.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws into files, and needs no screen

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

WIDTH = 340
"""Pixels. A telephone of 390 leaves 358 for a picture."""
LETTERS = 9
"""Points; a point is 4/3 of a pixel."""
STYLE = {"font.size": LETTERS, "svg.fonttype": "none", "svg.hashsalt": "minidl"}  # letters stay letters
FORWARD, BACKWARD, LINE = "#1f5fa8", "#b4460f", "#8a8a8a"

ROWS = [  # units, their symbol, what they are, their shape
    (2, "x", ": inputs", "(B, 2)"),
    (4, "h", ": sums", "(B, 4)"),
    (4, "a", ": hidden units", "(B, 4)"),
    (2, "z", ": scores", "(B, 2)"),
    (2, "log p", "", "(B, 2)"),
    (1, "L", ": loss,", "one number"),
]
STEPS = [  # what leads from one row to the next, whether every unit sees every other, and what else it takes
    ("Dense", True, "W₁ (2, 4), b₁ (4)"),
    ("ReLU", False, ""),
    ("Dense", True, "W₂ (4, 2), b₂ (2)"),
    ("LogSoftmax", True, ""),
    ("NLLLoss", True, "labels (B)"),
]


def main() -> None:
    """Draw both pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    with plt.rc_context(STYLE):
        for name, draw in PICTURES.items():
            figure = draw()
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})  # no date: the same file each time
            plt.close(figure)


def canvas(height: int) -> tuple[Figure, Axes]:
    """Return a figure whose coordinates are pixels, from the top left corner."""
    figure = plt.figure(figsize=(WIDTH / 96, height / 96))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def network() -> Figure:
    """Draw the units row by row, each layer's name between two rows, and the shape of each row beside it."""
    step = 84
    figure, axes = canvas(step * (len(ROWS) - 1) + 60)
    tops = [30 + step * row for row in range(len(ROWS))]
    for (units, symbol, what, shape), y in zip(ROWS, tops, strict=True):
        axes.text(164, y, f"{symbol}{what} {shape}", va="center", weight="bold")
        for x in places(units):
            axes.add_patch(Circle((x, y), 11, facecolor="#dfe9f5", edgecolor=FORWARD, linewidth=1.2, zorder=2))
    for (name, every, parameters), y, above, below in zip(STEPS, tops, ROWS, ROWS[1:], strict=False):
        for i, start in enumerate(places(above[0])):
            for j, end in enumerate(places(below[0])):
                if every or i == j:
                    arrow(axes, (start, y + 11), (end, y + step - 11), LINE, 0.9)
        axes.text(164, y + step / 2, f"↓ {name} {parameters}".rstrip(), va="center", color=FORWARD)
    return figure


def two_passes() -> Figure:
    """Draw the layers as boxes, the forward pass on their left, the backward pass on their right."""
    step, middle = 92, WIDTH / 2
    figure, axes = canvas(step * len(STEPS) + 50)
    axes.text(middle - 22, 14, "forward", ha="right", va="center", color=FORWARD, weight="bold")
    axes.text(middle + 22, 14, "backward", ha="left", va="center", color=BACKWARD, weight="bold")
    for row, (name, _, parameters) in enumerate(STEPS):
        top = 72 + step * row
        box(axes, middle, top, name)
        if name == "Dense":
            axes.text(middle + 56, top + 16, "d" + parameters.replace(" b", " db"), va="center", color=BACKWARD)
            axes.text(middle - 56, top + 16, parameters, va="center", ha="right", color=FORWARD)
        if name == "NLLLoss":
            axes.text(middle - 56, top + 16, parameters, va="center", ha="right", color=FORWARD)
        _, symbol, _, shape = ROWS[row]
        passes(axes, middle, top, symbol, shape, backward=row > 0)
    bottom = 72 + step * len(STEPS) - step + 32
    arrow(axes, (middle - 14, bottom + 2), (middle - 14, bottom + 34), FORWARD, 1.6)
    axes.text(middle - 22, bottom + 20, "L, one number", ha="right", va="center", color=FORWARD)
    return figure


def passes(axes: Axes, middle: float, top: float, symbol: str, shape: str, backward: bool) -> None:
    """Draw the arrows that lead into a box from above and back, with what they carry."""
    above, below = (top - 56 if backward else top - 48), top - 4
    arrow(axes, (middle - 14, above), (middle - 14, below), FORWARD, 1.6)
    axes.text(middle - 22, top - 28, f"{symbol} {shape}", ha="right", va="center", color=FORWARD)
    if backward:
        arrow(axes, (middle + 14, below), (middle + 14, above), BACKWARD, 1.6)
        axes.text(middle + 22, top - 28, f"d{symbol} {shape}", ha="left", va="center", color=BACKWARD)


def box(axes: Axes, middle: float, top: float, name: str) -> None:
    """Draw a layer."""
    axes.add_patch(Rectangle((middle - 50, top), 100, 32, facecolor="#f4f4f4", edgecolor="black", linewidth=1.2))
    axes.text(middle, top + 16, name, ha="center", va="center")


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, width: float) -> None:
    """Draw an arrow."""
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": width, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    axes.annotate("", end, start, arrowprops=style)


def places(units: int) -> list[float]:
    """Return where the units of a row are, from left to right."""
    return [82 + 40 * (i - (units - 1) / 2) for i in range(units)]


PICTURES = {"network": network, "two_passes": two_passes}

if __name__ == "__main__":
    main()
