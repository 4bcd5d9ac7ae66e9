"""Verdicts in the tables of the book are badges: a word on a colour. In Markdown they are words, readable anywhere.

A cell that says nothing but a verdict gets the class ``verdict`` and one of its own; its table gets ``with-verdicts``.
`_static/verdicts.css` has the colours.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.locale import _

CLASSES = {
    "reproduced": "reproduced",
    "not reproduced": "not-reproduced",
    "undecided": "undecided",
    "holds by definition": "by-definition",
    "not tested in this run": "not-tested",
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Mark the verdicts of each page that has been read."""
    app.add_css_file("verdicts.css")
    app.connect("doctree-read", mark_verdicts)
    return {"parallel_read_safe": True}


def mark_verdicts(_app: Sphinx, doctree: nodes.document) -> None:
    """Make badges of the verdicts in the tables of a page."""
    for table in doctree.findall(nodes.table):
        for cell in (cell for body in table.findall(nodes.tbody) for cell in body.findall(nodes.entry)):
            verdict = cell.astext()
            if verdict in CLASSES and isinstance(cell[0], nodes.paragraph):
                cell[0].children = []
                shown = _(verdict)
                cell[0] += nodes.inline(shown, shown, classes=["verdict", CLASSES[verdict]])
                if "with-verdicts" not in table["classes"]:
                    table["classes"].append("with-verdicts")
