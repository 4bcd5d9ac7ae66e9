"""The book in Portuguese: Sphinx takes each message of a page from the page's catalogue in docs/locale.

    .venv/bin/sphinx-build -W -n -D language=pt_BR docs docs/_build/html/pt_BR

What the theme and our own extensions say is in the catalogue sphinx.po. A page without a catalogue stays English, and
the switch of languages in the sidebar says so. Tables of results, whose numbers change, are put together of phrases
(phrases.py), and so are the figures (locale/draw.py). `docs/locale/update.py` brings the catalogues up to date. What
catalogues cannot do is done here: the glossary is sorted by its Portuguese words.
"""

import re
import unicodedata
from pathlib import Path
from typing import Any

from docutils import nodes
from phrases import Phrases
from sphinx.addnodes import glossary
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.logging import getLogger

DOCS = Path(__file__).parent
CATALOGUES = DOCS / "locale" / "pt_BR" / "LC_MESSAGES"
TABLE = re.compile(r"^```\{include\} (\S*_tables/\S+)\n.*?^```\n", re.MULTILINE | re.DOTALL)
LOGGER = getLogger(__name__)


def without_accents(text: str) -> str:
    """Return a text as a Portuguese dictionary sorts it: without regard to accents and capitals."""
    return "".join(c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))


class SortGlossary(SphinxTransform):
    """Sort the glossary again, after its terms have been translated."""

    default_priority = 25

    def apply(self, **_options: Any) -> None:
        """Sort the entries of each glossary."""
        for found in self.document.findall(glossary) if self.config.language == "pt_BR" else ():
            for entries in found.findall(nodes.definition_list):
                entries.children.sort(key=lambda item: without_accents(item[0].astext()))


def translate_tables(app: Sphinx, name: str, source: list[str]) -> None:
    """Put tables of results together of phrases, and keep them out of the catalogues: their numbers change."""
    if app.builder.name == "gettext":
        source[0] = TABLE.sub("", source[0])
    elif app.config.language == "pt_BR" and translated(name):
        phrases = Phrases()
        folder = Path(app.env.doc2path(name)).parent
        source[0] = TABLE.sub(lambda table: phrases.table((folder / table[1]).read_text(encoding="utf-8")), source[0])
        for phrase in phrases.missing:
            LOGGER.warning("no Portuguese for %r: run docs/locale/update.py", phrase, location=name)


def allow_other_terms(_app: Sphinx, config: Any) -> None:
    """Let a translated message refer to the Portuguese words of the glossary; `tests/test_portuguese.py` compares."""
    if config.language == "pt_BR":
        config.suppress_warnings = [*config.suppress_warnings, "i18n.inconsistent_references"]


def mark_untranslated(app: Sphinx, name: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Tell the templates whether a page has been translated."""
    context["untranslated"] = app.config.language == "pt_BR" and not translated(name)


def translated(name: str) -> bool:
    """Tell whether a page has a catalogue."""
    return (CATALOGUES / f"{name}.po").exists()


def sources() -> dict[Path, str]:
    """Return the English text of each page that has a catalogue, by its path."""
    pages = (DOCS / catalogue.relative_to(CATALOGUES).with_suffix(".md") for catalogue in CATALOGUES.rglob("*.po"))
    return {page: page.read_text(encoding="utf-8") for page in pages if page.exists()}  # the theme has none


def tables() -> list[str]:
    """Return the tables of results that these pages show."""
    found = [page.parent / table for page, text in sources().items() for table in TABLE.findall(text)]
    return [path.read_text(encoding="utf-8") for path in found]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what is defined here."""
    app.add_transform(SortGlossary)
    app.connect("config-inited", allow_other_terms)
    app.connect("source-read", translate_tables)
    app.connect("html-page-context", mark_untranslated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
