"""Draw the figures of the book from the results beside this file: each panel of an experiment becomes an SVG.

A panel is so wide that letters of 11 points are 11 pixels high on a telephone, and has its caption on the page. The
README shows chapter 37 as one picture, which the script of the experiment draws as well.

python docs/results/make_figures.py [FOLDER]       # default: the folder of this script
"""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

from matplotlib import pyplot as plt

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent.parent / "examples"))

from lab.plots import STYLE, Panels, described, save_figure, single  # noqa: E402
from lab.results import Results  # noqa: E402

WHOLE = "chapter37"
"""The experiment that the README shows as one picture."""


def main() -> None:
    """Draw all panels, and remove those that are none any more."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    made = {path for source in results_files() for path in draw_panels(source, folder)}
    for path in {*folder.rglob("*.svg")} - {*folder.rglob("*.pt_BR.svg")} - made:
        path.unlink()
    whole = load(FOLDER / f"{WHOLE}.json")
    drawings_of(WHOLE).draw(whole, folder / f"{WHOLE}.png")


def results_files() -> list[Path]:
    """Return the files of results, whichever are there."""
    return sorted(FOLDER.rglob("*.json"))


def draw_panels(source: Path, folder: Path) -> list[Path]:
    """Draw each panel of a file of results; return the files that were written."""
    results, made = load(source), []
    place = folder / source.relative_to(FOLDER).parent
    place.mkdir(exist_ok=True)
    with plt.rc_context(STYLE):
        for name, panel in panels_of(results, source.stem).items():
            made.append(place / f"{source.stem}_{name}.svg")
            save_figure(single(panel, results), made[-1])
    return made


def load(path: Path) -> Results:
    """Return what is in a file of results."""
    results = Results.__new__(Results)
    results.path, results.data = path, json.loads(path.read_text(encoding="utf-8"))
    return results


def drawings_of(name: str) -> ModuleType:
    """Return the module with the drawings of an experiment."""
    return importlib.import_module(f"lab.figures.{name.removesuffix('_gpu')}")  # the benchmark has two files of results


def panels_of(results: Results, name: str) -> Panels:
    """Return the panels of an experiment, as many as its results allow."""
    panels: Panels = drawings_of(name).panels(results)
    return panels


def grid(results: Results, name: str, folder: str, *wanted: str) -> str:
    """Return the panels of an experiment as a page shows them: a grid of figures; a click enlarges one.

    Args:
        results: of the experiment.
        name: of the file of results.
        folder: of that file, as seen from the page.
        wanted: how the names of the panels begin that are shown; all of them by default.
    """
    shown = [
        f'```{{figure}} {folder}{name}_{key}.svg\n:alt: "{described(panel, results)}"\n:width: 100%\n\n'
        f"{panel.title}\n```"
        for key, panel in panels_of(results, name).items()
        if not wanted or key.startswith(wanted)
    ]
    return "\n".join(["````{container} panels", *shown, "````", ""])


if __name__ == "__main__":
    main()
