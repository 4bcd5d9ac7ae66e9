"""Draw the figures of the translated pages in Portuguese: beside x.svg comes x.pt_BR.svg, which Sphinx prefers there.

.venv/bin/python docs/locale/draw.py        # what is drawn in English by make_figures, make_pictures, make_drawings

The scripts that draw in English know nothing of this: each figure they make is drawn once more, in other words.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent.parent
sys.path[:0] = [str(DOCS), str(DOCS / "results"), str(DOCS / "figures")]

import make_drawings  # noqa: E402
import make_figures  # noqa: E402
import make_pictures  # noqa: E402
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axis import Axis  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.text import Text  # noqa: E402
from matplotlib.ticker import Formatter  # noqa: E402
from phrases import Phrases  # noqa: E402
from portuguese import sources, tables  # noqa: E402

from lab.plots import STYLE, save_figure, single  # noqa: E402


class InPortuguese(Formatter):
    """Labels ticks as another formatter does, in Portuguese."""

    def __init__(self, english: Formatter, phrases: Phrases) -> None:
        self.english, self.phrases = english, phrases

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of a tick."""
        return self.phrases(self.english(x, pos))

    def set_locs(self, locs: list[float]) -> None:
        """Tell the other formatter where all ticks are."""
        self.english.set_locs(locs)


def main() -> None:
    """Draw all figures of the translated pages."""
    draw(Phrases())


def draw(phrases: Phrases) -> None:
    """Draw them with some phrases, and remove those that are no longer shown."""
    made = set()
    for path, figure in figures(shown()):
        made.add(path.with_suffix(".pt_BR.svg"))
        save_figure(in_portuguese(figure, phrases), path.with_suffix(".pt_BR.svg"))
    for path in {*DOCS.rglob("*.pt_BR.svg")} - made:
        path.unlink()


def shown() -> set[str]:
    """Return the names of the vector graphics that translated pages show."""
    return {name for text in (*sources().values(), *tables()) for name in re.findall(r"[\w-]+(?=\.svg)", text)}


def figures(names: set[str]) -> Iterator[tuple[Path, Figure]]:
    """Draw each of these figures in English; return it with its path."""
    for module in (make_drawings, make_pictures):
        for name in names & module.PICTURES.keys():
            with plt.rc_context(module.STYLE):
                yield DOCS / "figures" / f"{name}.svg", module.PICTURES[name]()
    for source in make_figures.results_files():
        results = make_figures.load(source)
        for name, panel in make_figures.panels_of(results, source.stem).items():
            if f"{source.stem}_{name}" in names:
                with plt.rc_context(STYLE):
                    yield source.with_name(f"{source.stem}_{name}.svg"), single(panel, results)


def in_portuguese(figure: Figure, phrases: Phrases) -> Figure:
    """Put a figure's words into Portuguese, and return the figure."""
    for text in figure.findobj(Text):
        text.set_text(phrases(text.get_text()))
    for axis in figure.findobj(Axis):
        if not isinstance(formatter := axis.get_major_formatter(), InPortuguese):  # axes may share one
            axis.set_major_formatter(InPortuguese(formatter, phrases))
    return figure


if __name__ == "__main__":
    main()
