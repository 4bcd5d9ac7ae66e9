"""Listings: pieces of the source as the pages show them, narrow enough to fit, with a link to where they come from.

    ```{literalinclude} ../../minidl/fitting.py
    :pyobject: fit
    :without-docstring:
    :start-at: saver, resumed
    :end-before: def batches
    ```

shows a part of `fit`: from the line with the text of ``start-at``, up to the line before that of ``end-before``. Either
may be left out, or both, or ``pyobject``, to show a part of a file. ``dedent`` takes away indentation. Sphinx has these
options of `literalinclude`, and ``without-docstring`` is added here.

The source has lines of up to 120 characters, and a page has room for 95. So Black formats again what is wider, and
breaks long strings; comments and docstrings are filled again. The same goes for a block of Python on a page.
`docs/reading_time.py` counts the lines of the same listings without Sphinx.
"""

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path
from textwrap import dedent, fill, indent
from typing import Any, ClassVar

import black

WIDTH = 95
"""Columns that a page has room for."""
ROOT = Path(__file__).parent.parent


def listing(path: Path, options: dict[str, Any]) -> str:
    """Return what `literalinclude` shows of a file."""
    code = source_of(path, options["pyobject"]) if "pyobject" in options else path.read_text(encoding="utf-8")
    if "without-docstring" in options:
        code = without_docstring(code)
    if "dedent" in options:
        code = dedent(code)
    return part_of(narrow(code), options.get("start-at"), options.get("end-before"))


def source_of(path: Path, name: str) -> str:
    """Return the source of the class, function or method ``name``, such as ``Dense.forward``, with its decorators."""
    text = path.read_text(encoding="utf-8")
    scope: Any = ast.parse(text)
    for part in name.split("."):
        found = [node for node in scope.body if getattr(node, "name", None) == part]
        if not found:
            raise ValueError(f"{path}: there is no {name}")
        scope = found[-1]  # behind its overloads
    first = min(node.lineno for node in (scope, *scope.decorator_list))
    return "".join(text.splitlines(keepends=True)[first - 1 : scope.end_lineno])


def without_docstring(code: str) -> str:
    """Return the source of a class or function without its docstring; ``code`` may be indented."""
    body = getattr(ast.parse(dedent(code)).body[0], "body", [])
    docstring = body[0] if body else None
    if not is_text(docstring):
        raise ValueError(f"without-docstring: expected a class or function with a docstring, got {code[:60]!r}")
    lines = code.splitlines(keepends=True)
    rest = lines[docstring.end_lineno or 0 :]
    while rest and not rest[0].strip():
        del rest[0]
    return "".join(lines[: docstring.lineno - 1] + rest)


def is_text(node: Any) -> bool:
    """Return whether a statement is a string that stands alone, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def part_of(code: str, start_at: str | None, end_before: str | None) -> str:
    """Return the lines from the first with the text ``start_at`` up to the one before the text ``end_before``."""
    lines = code.splitlines()
    for name, text in (("start-at", start_at), ("end-before", end_before)):
        found = [i for i, line in enumerate(lines) if text is not None and text in line]
        if text is not None and not found:
            raise ValueError(f"{name}: expected a text of the listing, got {text!r}")
        if found:
            lines = lines[found[0] :] if name == "start-at" else lines[: found[0]]
    return "\n".join(lines).strip("\n") + "\n"


@cache
def narrow(code: str) -> str:
    """Return Python code with no line wider than a page; ``code`` may be indented."""
    if max(map(len, code.splitlines()), default=0) <= WIDTH:
        return code
    first = code.lstrip("\n")
    margin = first[: len(first) - len(first.lstrip())]
    width = WIDTH - len(margin)
    mode = black.Mode(line_length=width, preview=True, enabled_features={black.Preview.string_processing})
    fitting = filled(dedent(code), width)  # a wide comment must not make Black break the statement before it
    return indent(filled(black.format_str(fitting, mode=mode), width), margin)


def filled(code: str, width: int) -> str:
    """Return ``code`` with the comments and docstrings wrapped that are wider than ``width``."""
    lines = code.splitlines()
    comments = {
        token.start[0] - 1: token.start[1]
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type == tokenize.COMMENT
    }
    texts = {
        row for node in ast.walk(ast.parse(code)) if is_text(node) for row in range(node.lineno - 1, node.end_lineno)
    }
    made: list[str] = []
    row = 0
    while row < len(lines):
        line, column = lines[row], comments.get(row, 0)
        statement = line[:column].strip()
        if len(line) <= width or not (row in comments or row in texts):
            made.append(line)
        elif statement:  # its comment moves to the line above
            margin = line[: len(line) - len(line.lstrip())]
            made += [wrapped([margin + line[column:]], width), margin + statement]
        else:
            alone = {at for at, start in comments.items() if not lines[at][:start].strip()}
            kind, last = (alone if row in comments else texts), row + 1
            while last < len(lines) and last in kind and lines[last].strip(' "') and goes_on(line, lines[last]):
                last += 1
            made.append(wrapped(lines[row:last], width))
            row = last - 1
        row += 1
    return "\n".join(made) + "\n"


ENTRY = re.compile(r"\s*(\w+: |\S+( \S+)*  +)(?=\S)")
"""What an entry of a list in a docstring begins with: its name, and a colon or a gap."""


def goes_on(line: str, following: str) -> bool:
    """Tell whether a line belongs to the paragraph, or to the entry of a list, that another one begins."""
    less = len(following) - len(following.lstrip()) < len(line) - len(line.lstrip())
    return not less and not ENTRY.match(following)


def wrapped(lines: list[str], width: int) -> str:
    """Return the lines of a comment, of a paragraph of a docstring or of an entry in it, filled again."""
    margins = [line[: len(line) - len(line.lstrip(" #"))] for line in lines]
    text = " ".join(line.removeprefix(margin) for line, margin in zip(lines, margins, strict=True))
    hanging = margins[-1]
    if len(lines) == 1 and (entry := ENTRY.match(lines[0])):  # under its text, as those that have several lines
        hanging = " " * entry.end() if entry[1].endswith("  ") else margins[0] + "    "
    return fill(text, width, initial_indent=margins[0], subsequent_indent=hanging)


def setup(app: Any) -> dict[str, bool]:
    """Make `literalinclude` show listings, with links to the source, and blocks of Python on a page fit it."""
    from docutils import nodes
    from docutils.parsers.rst import directives
    from sphinx.locale import _
    from sphinx.transforms import SphinxTransform
    from sphinx.transforms.post_transforms import SphinxPostTransform
    from sphinx.util.docutils import SphinxDirective
    from sphinx.util.nodes import make_refnode

    class Listing(SphinxDirective):
        required_arguments = 1
        has_content = False
        option_spec: ClassVar = {
            "pyobject": directives.unchanged_required,
            "without-docstring": directives.flag,
            "dedent": directives.flag,
            "start-at": directives.unchanged_required,
            "end-before": directives.unchanged_required,
        }

        def run(self) -> list[nodes.Node]:
            relative, full = self.env.relfn2path(self.arguments[0])
            self.env.note_dependency(relative)
            path = Path(full).resolve()
            try:
                text = listing(path, self.options)
            except ValueError as error:
                raise self.error(str(error)) from error
            block = nodes.literal_block(text, text, language="python", source=full)
            self.set_source_info(block)
            if ROOT / "minidl" not in path.parents:
                return [block]
            module = path.relative_to(ROOT).with_suffix("").parts
            link = nodes.paragraph(classes=["source-of-listing"], module=module, name=self.options.get("pyobject", ""))
            return [block, link]  # which is empty until all pages are read

    class Links(SphinxPostTransform):
        default_priority = 100

        def run(self, **_options: Any) -> None:
            for place in list(self.document.findall(nodes.paragraph)):
                if "source-of-listing" not in place["classes"]:
                    continue
                if self.app.builder.name not in ("html", "dirhtml"):  # the others have no pages of the source
                    place.parent.remove(place)
                    continue
                objects, anchor = self.env.domains.python_domain.objects, place["name"]
                entry = objects.get(".".join([*place["module"], anchor]))
                if entry is None:
                    anchor = ""  # the page of the source has no place for a private name
                elif entry.objtype == "property":  # nor for a property: link to its class
                    anchor = anchor.rpartition(".")[0]
                page = "/".join(["_modules", *place["module"]])
                here = self.env.current_document.docname
                said = _("source")
                place += make_refnode(self.app.builder, here, page, anchor, nodes.inline("", said))

    class Narrow(SphinxTransform):
        default_priority = 500

        def apply(self, **_options: Any) -> None:
            for block in self.document.findall(nodes.literal_block):
                if block.get("language") == "python":
                    block.rawsource = narrow(block.astext())
                    block.children = [nodes.Text(block.rawsource)]

    app.add_directive("literalinclude", Listing, override=True)
    app.add_transform(Narrow)
    app.add_post_transform(Links)
    return {"parallel_read_safe": True}
