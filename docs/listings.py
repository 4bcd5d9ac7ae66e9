"""Listings: pieces of the source as the pages show them, without a docstring where the page itself says what it says.

    ```{literalinclude} ../../minidl/fitting.py
    :pyobject: fit
    :without-docstring:
    ```

Sphinx has `literalinclude` and its option ``pyobject``; the second option is added here. `docs/reading_time.py` counts
the lines of the same listings without Sphinx.
"""

import ast
from pathlib import Path
from textwrap import dedent
from typing import Any


def without_docstring(code: str) -> str:
    """Return the source of a class or function without its docstring; ``code`` may be indented."""
    body = getattr(ast.parse(dedent(code)).body[0], "body", [])
    docstring = body[0] if body else None
    if not (isinstance(docstring, ast.Expr) and isinstance(docstring.value, ast.Constant)):
        raise ValueError(f"without-docstring: expected a class or function with a docstring, got {code[:60]!r}")
    lines = code.splitlines(keepends=True)
    rest = lines[docstring.end_lineno or 0 :]
    while rest and not rest[0].strip():
        del rest[0]
    return "".join(lines[: docstring.lineno - 1] + rest)


def source_of(path: Path, name: str) -> str:
    """Return the source of the class, function or method ``name``, such as ``Dense.forward``, without decorators."""
    text = path.read_text(encoding="utf-8")
    scope: Any = ast.parse(text)
    for part in name.split("."):
        found = [node for node in scope.body if getattr(node, "name", None) == part]
        if not found:
            raise ValueError(f"{path}: there is no {name}")
        scope = found[-1]  # behind its overloads
    return "".join(text.splitlines(keepends=True)[scope.lineno - 1 : scope.end_lineno])


def setup(app: Any) -> dict[str, bool]:
    """Give `literalinclude` the option ``without-docstring``."""
    from docutils import nodes
    from docutils.parsers.rst import directives
    from sphinx.directives.code import LiteralInclude

    class Listing(LiteralInclude):
        option_spec = LiteralInclude.option_spec | {"without-docstring": directives.flag}

        def run(self) -> list[nodes.Node]:
            made = super().run()
            if "without-docstring" in self.options:
                for block in (block for node in made for block in node.findall(nodes.literal_block)):
                    block.rawsource = without_docstring(block.astext())
                    block.children = [nodes.Text(block.rawsource)]
            return made

    app.add_directive("literalinclude", Listing, override=True)
    return {"parallel_read_safe": True}
