"""Notebooks: each page of the path and of the experiments is also a notebook, made from the page.

Its blocks of Python become cells. What they print is left to the notebook. Jupytext tells cells from text; what only
Sphinx understands is made plain Markdown before that: listings stand in the text, and are not executed; the code of a
solution is a folded cell, and its text is folded too; links within the book become words, since a notebook may lie
anywhere; pictures are embedded.
"""

import re
from base64 import b64encode
from mimetypes import guess_type
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from listings import listing
from nbformat import NotebookNode
from reading_time import FENCE, OPTION, PATH

DOCS = Path(__file__).parent
FOLDER = "_notebooks"
"""Where they lie in the built book."""
INSTALL = """\
# minidl is in no package index. Clone it, and write the folder of your clone in place of the dot, unless you are there.
%pip install --quiet ."""
OUTPUT = "text"
"""The language of a block that shows what was printed."""
NOT_RUN = " .noeval"
"""What tells Jupytext that a block is no cell."""
DROPPED = ("{toctree}", "{eval-rst}", "{contents}")
WITHOUT_TITLE = ("{container}", "{interactive}")
HEAD = re.compile(r"(?::[a-z-]+:.*\n)*")
"""The options of a block; a block inside it has its own."""
ROUND = str.maketrans("[]", "()")
"""Brackets, as the text of a picture may have them."""
TITLES = {"{note}": "Note.", "{tip}": "Tip.", "{important}": "Important.", "{warning}": "Warning."}


def pages() -> list[Path]:
    """Return the pages that are notebooks too."""
    experiments = sorted((DOCS / "experiments").glob("*.md"))
    return [
        *(DOCS / "engine" / f"{name}.md" for name in PATH),
        *(page for page in experiments if page.stem not in ("index", "rules")),
    ]


def notebook(page: Path) -> NotebookNode:
    """Return a page as a notebook, without outputs. Its first cell installs minidl."""
    made = jupytext.reads(markdown(page.read_text(encoding="utf-8"), page.parent), fmt="md")
    made.cells.insert(0, nbformat.v4.new_code_cell(INSTALL, metadata={"tags": ["install"]}))
    made.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for number, cell in enumerate(made.cells):
        cell.id = f"cell-{number}"  # the same file each time
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace(NOT_RUN, "")
            embed_pictures(cell, page.parent)
    nbformat.validate(made)
    return made


def markdown(text: str, folder: Path, cell: str = "python") -> str:
    """Return the text of a page in ``folder`` as Jupytext reads it; blocks of Python begin with ``cell``."""
    parts: list[str] = []
    end, before = 0, ""
    for fence in FENCE.finditer(text):
        _, language, argument, content = fence.groups()
        between = text[end : fence.start()]
        if language == OUTPUT and before == "python" and not between.strip():
            shown = ""
        else:
            shown = block(language, argument, content, folder, cell)
        parts += [plain(between), shown]
        end, before = fence.end(), language
    return "".join([*parts, plain(text[end:])])


def block(language: str, argument: str, content: str, folder: Path, cell: str) -> str:
    """Return what becomes of a fenced block."""
    head = HEAD.match(content)[0]
    options, body = dict(OPTION.findall(head)), content[len(head) :].strip("\n")
    if language == "python":
        return f"```{cell}\n{content}```"
    if language == "{literalinclude}":
        return f"```python{NOT_RUN}\n{listing(folder / argument, options)}```"
    if language == "{include}":
        return markdown((folder / argument).read_text(encoding="utf-8"), folder, cell)
    if language == "{dropdown}":
        return solution(argument, markdown(content, folder, 'python tags=["solution"] jupyter={"source_hidden": true}'))
    if language == "{figure}":
        alt = options["alt"].strip('"').translate(ROUND)
        return f"![{alt}]({argument})\n\n{plain(body)}\n"
    if language == "{list-table}":  # its rows are a list, and so it stays
        return plain(
            re.sub(r"```\{dropdown\} *([^\n]*)\n(.*?)^ *```$", r"\1:\n\2", body, flags=re.MULTILINE | re.DOTALL)
        )
    if language in DROPPED:
        return ""
    if language == "{code-block}":
        return f"```{argument}{NOT_RUN}\n{body}\n```"
    if language.startswith("{"):  # an admonition, or another box
        title = TITLES.get(language, "" if language in WITHOUT_TITLE else argument)
        return (f"**{plain(title)}**\n\n" if title else "") + markdown(body, folder, cell)
    return f"```{language}{NOT_RUN}\n{content}```"


def solution(title: str, text: str) -> str:
    """Return a solution, already converted, with its text folded; its cells are folded by what they begin with."""
    parts = re.split(r"(^```python tags.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    folded = [
        part
        if part.startswith("```python tags")
        else f"<details><summary>{title}</summary>\n\n{part.strip()}\n\n</details>"
        for part in parts
        if part.strip()
    ]
    return "\n\n".join(folded)


def plain(text: str) -> str:
    """Return text without what only Sphinx understands, and without links into the book."""
    text = re.sub(r"^\{[.#][^}\n]*\}\n", "", text, flags=re.MULTILINE)  # attributes of what follows
    text = re.sub(r"^\([\w-]+\)=\n", "", text, flags=re.MULTILINE)  # the name of a place
    text = re.sub(r"\{[\w:-]+\}`([^`<]+?)\s*(?:<[^>`]*>)?`", r"\1", text)  # roles
    text = re.sub(r"\[(!\[[^\]]*\]\([^)]*\))\]\([^)]*\)", r"\1", text)  # pictures that are links
    text = re.sub(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:)[^)\s]*\)", r"\1", text)
    return re.sub(r"(?<!!)\[([^\[\]]*)\]\{\.[^}]*\}", r"\1", text)  # words with attributes


def embed_pictures(cell: NotebookNode, folder: Path) -> None:
    """Put the pictures that a cell shows into it."""
    found: dict[str, Any] = {}

    def attach(match: re.Match[str]) -> str:
        picture = folder / match[2]
        kind = guess_type(picture.name)[0]
        found[picture.name] = {kind: b64encode(picture.read_bytes()).decode()}
        return f"![{match[1]}](attachment:{picture.name})"

    cell.source = re.sub(r"!\[([^\]]*)\]\((?!https?:)([^)\s]*)\)", attach, cell.source)
    if found:
        cell.attachments = found


def setup(app: Any) -> dict[str, bool]:
    """Write the notebooks into the book, and link to each from its page."""
    from docutils import nodes
    from sphinx.locale import _
    from sphinx.transforms.post_transforms import SphinxPostTransform

    names = {page.relative_to(DOCS).with_suffix("").as_posix() for page in pages()}

    class Link(SphinxPostTransform):
        default_priority = 100
        builders = ("html",)

        def run(self, **_options: Any) -> None:
            name = self.env.current_document.docname
            if name in names:
                address = f"{'../' * name.count('/')}{FOLDER}/{name}.ipynb"
                said = _("This page as a notebook")
                link = f'<p class="as-notebook"><a href="{address}" download>{said}</a></p>'
                title = next(iter(self.document.findall(nodes.title)))
                title.parent.insert(1, nodes.raw("", link, format="html"))

    def write(app: Any, error: Exception | None) -> None:
        for page in pages() if error is None and app.builder.name == "html" else ():
            file = Path(app.outdir) / FOLDER / page.relative_to(DOCS).with_suffix(".ipynb")
            file.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook(page), file)

    app.add_post_transform(Link)
    app.add_css_file("notebooks.css")
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
