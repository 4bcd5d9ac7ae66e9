"""Formulas as MathML, which a reader of ePubs shows without a script: the converter is that of docutils."""

from typing import Any

from docutils.utils.math.latex2mathml import tex2mathml


def converted(formula: str, as_block: bool) -> str:
    r"""Return a formula in MathML; the converter knows ``\ldots``, which looks like the ``\dots`` of our pages.

    Raises:
        docutils.utils.math.MathError: the formula has a command that the converter does not know.
    """
    made: str = tex2mathml(formula.replace(r"\dots", r"\ldots"), as_block=as_block)
    return made


def setup(app: Any) -> dict[str, bool]:
    """Add a renderer of formulas, and make it that of the ePub; HTML keeps MathJax."""
    from docutils.nodes import SkipNode

    def inline(writer: Any, node: Any) -> None:
        writer.body.append(converted(node.astext(), as_block=False))
        raise SkipNode

    def block(writer: Any, node: Any) -> None:
        writer.body.append(f'<div class="math">{converted(node.astext(), as_block=True)}</div>\n')
        raise SkipNode

    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.add_config_value("epub_math_renderer", "mathml", "epub", str)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
