"""Formulas as MathML, which a reader of ePubs shows without a script: the converter is latex2mathml."""

import re
from typing import Any

ALIKE = [
    (r"\\mathrm\{d\}", r"\\text{d}"),  # upright also where a single letter would be italic
    (r"\\(log|cos|tanh) (?=[\w\\])", r"\\\1\\, "),  # the space that TeX puts between a function and its argument
]


def converted(formula: str, display: str) -> str:
    """Return a formula in MathML, for a line of text ("inline") or on lines of its own ("block").

    Raises:
        ValueError: it has a command that the converter does not know, and would show by its name.
    """
    from latex2mathml.converter import convert

    for pattern, alike in ALIKE:
        formula = re.sub(pattern, alike, formula)
    made: str = convert(formula, display=display)
    unknown = re.findall(r"\\\w+", made)
    if unknown:
        raise ValueError(f"formula: expected commands that latex2mathml knows, got {unknown[0]} in {formula!r}")
    return made


def setup(app: Any) -> dict[str, bool]:
    """Add a renderer of formulas, and make it that of the ePub; `html_math_renderer` says what HTML has."""
    from docutils.nodes import SkipNode

    def inline(writer: Any, node: Any) -> None:
        writer.body.append(converted(node.astext(), "inline"))
        raise SkipNode

    def block(writer: Any, node: Any) -> None:
        writer.body.append(f'<div class="math">{converted(node.astext(), "block")}</div>\n')
        raise SkipNode

    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.add_config_value("epub_math_renderer", "mathml", "epub", str)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
