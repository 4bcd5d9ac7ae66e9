"""Links between the pages that explain the engine and those of the reference, both ways, from what the pages say.

A page of the engine names its files below its title:

    *Source: [`minidl/layers.py`](../../minidl/layers.py)*

Both links follow from that line: "Reference: minidl.layers" at its end, and "Derived in Layers" on the page of the
module in the reference. A page without such a line leads to other pages, and belongs to the package of its folder. A
module that no page names is explained where its package is.
"""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ENGINE, PACKAGE = DOCS / "engine", DOCS.parent / "minidl"
NAMED = re.compile(r"^(\*(?:The path, \d of 9\. )?Source: .*?)\*$", re.MULTILINE | re.DOTALL)


def module_of(file: Path) -> str:
    """Return the name of the module in a file."""
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def modules_on(page: Path) -> list[str]:
    """Return the modules that a page of the engine explains."""
    line = NAMED.search(page.read_text(encoding="utf-8"))
    if line is None:
        return [".".join(("minidl", *page.parent.relative_to(ENGINE).parts))]
    return [module_of((page.parent / target).resolve()) for target in re.findall(r"\]\(([^)]+\.py)\)", line[1])]


def explained() -> dict[str, str]:
    """Return a line for each module's page in the reference: where it is derived, or explained if no formula is."""
    pages: dict[str, list[Path]] = {}
    for page in sorted(ENGINE.rglob("*.md")):
        for module in modules_on(page):
            pages.setdefault(module, []).append(page)
    for file in PACKAGE.rglob("*.py"):
        folder = ENGINE / file.parent.relative_to(PACKAGE)
        index = folder / "index.md"
        pages.setdefault(module_of(file), [index] if index.exists() else sorted(folder.glob("*.md"))[:1])
    return {module: line_about(found) for module, found in pages.items()}


def line_about(pages: list[Path]) -> str:
    """Return the links to some pages, as reStructuredText."""
    verb = "Derived" if any("$$" in page.read_text(encoding="utf-8") for page in pages) else "Explained"
    names = [page.relative_to(DOCS).with_suffix("").as_posix() for page in pages]
    return f"{verb} in {' and '.join(f':doc:`/{name}`' for name in names)}."


def add_reference(_app: Any, name: str, source: list[str]) -> None:
    """Add the links to the reference to a page of the engine, as it is read."""
    if not name.startswith("engine/") or name == "engine/index":
        return
    links = ", ".join(f"{{py:mod}}`{module}`" for module in modules_on(DOCS / f"{name}.md"))
    if NAMED.search(source[0]):
        source[0] = NAMED.sub(rf"\1. Reference: {links}*", source[0], count=1)
    else:
        title, _, rest = source[0].partition("\n")
        source[0] = f"{title}\n\n*Reference: {links}*\n{rest}"


def give_lines(_app: Any, config: Any) -> None:
    """Let the template of the pages of the reference have the lines."""
    config.autosummary_context = {"explained": explained()}


def setup(app: Any) -> dict[str, bool]:
    """Connect what is defined here."""
    app.connect("config-inited", give_lines)
    app.connect("source-read", add_reference)
    return {"parallel_read_safe": True}
