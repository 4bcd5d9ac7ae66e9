"""Bring the Portuguese catalogues up to date with the English pages, results and figures.

Then translate what is new or marked as fuzzy, and let docs/locale/draw.py draw the figures anew.

.venv/bin/python docs/locale/update.py              # the pages that have a catalogue
.venv/bin/python docs/locale/update.py practice/gpu # and these, for the first time
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import draw
from phrases import Phrases
from portuguese import tables
from sphinx_intl.basic import update

LOCALE = Path(__file__).parent


def main(new: list[str]) -> None:
    """Update catalogues, for the pages that have one and for new ones."""
    catalogues = LOCALE / "pt_BR" / "LC_MESSAGES"
    pages = {path.relative_to(catalogues).with_suffix("").as_posix() for path in catalogues.rglob("*.po")} | set(new)
    with TemporaryDirectory() as templates:
        command = [sys.executable, "-m", "sphinx", "-q", "-b", "gettext", str(LOCALE.parent), templates]
        subprocess.run(command, check=True)
        for template in Path(templates).rglob("*.pot"):
            if template.relative_to(templates).with_suffix("").as_posix() not in pages - {"sphinx"}:
                template.unlink()
        update(str(LOCALE), templates, ["pt_BR"])
    phrases = Phrases()
    for table in tables():
        phrases.table(table)
    draw.draw(phrases)
    phrases.renew()


if __name__ == "__main__":
    main(sys.argv[1:])
