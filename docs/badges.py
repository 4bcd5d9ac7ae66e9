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
        heads = [cell.astext() for head in table.findall(nodes.thead) for cell in head.findall(nodes.entry)]
        for row in (row for body in table.findall(nodes.tbody) for row in body.findall(nodes.row)):
            verdicts = [(head, cell) for head, cell in zip(heads, row, strict=False) if cell.astext() in CLASSES]
            for head, cell in verdicts:
                make_badge(cell, head if len(verdicts) > 1 else "")
            if verdicts and "with-verdicts" not in table["classes"]:
                table["classes"].append("with-verdicts")


def make_badge(cell: nodes.Element, head: str) -> None:
    """Make a badge of a verdict; behind the head of its column, which `_static/verdicts.css` shows on a telephone."""
    verdict = cell.astext()
    paragraph = cell[0]
    assert isinstance(paragraph, nodes.paragraph)
    paragraph.children = []
    if head:
        paragraph += nodes.inline(head, f"{head}: ", classes=["head-of-column"])
    paragraph += nodes.inline("", _(verdict), classes=["verdict", CLASSES[verdict]])
