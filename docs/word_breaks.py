"""Where a long name may break: behind a point, a slash or an underscore, not in the middle of a word."""

import re
from typing import Any

from sphinx.application import Sphinx

NAME = re.compile(r'(?<=<span class="pre">)[^<]{12,}(?=</span>)')
"""A name in typewriter letters that may be wider than a column of a table on a telephone."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Mark the places on each page."""
    app.connect("html-page-context", mark_breaks)
    return {"parallel_read_safe": True}


def mark_breaks(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: object) -> None:
    """Put ``<wbr/>`` where a name may break; it is not seen, nor copied with the name."""
    if "body" in context:
        context["body"] = NAME.sub(lambda name: re.sub(r"(?<=\w)[._/](?=\w)", r"\g<0><wbr/>", name[0]), context["body"])
