"""How Sphinx makes the book of minidl from these pages.

    .venv/bin/pip install -e '.[docs]' && .venv/bin/sphinx-build -W -n docs docs/_build/html

The Portuguese book is made by the same command with ``-D language=pt_BR``: see `portuguese.py`.

The pages are Markdown (MyST), the reference comes from the docstrings, and formulas are drawn by a copy of MathJax that
is installed with the other tools and becomes part of the book: nothing is loaded from a network, not even to read it.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

import minidl

sys.path.insert(0, str(Path(__file__).parent))  # for the extensions that are ours

project = "minidl"
author = "the minidl authors"
copyright = author
version = release = minidl.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "cross_references",
    "mathml",
    "listings",
    "badges",
    "interactive",
    "notebooks",
    "portuguese",
    "word_breaks",
]
exclude_patterns = ["_build", "README.md", "experiments/_tables", "locale"]
nitpicky = True

myst_enable_extensions = ["dollarmath", "attrs_block", "deflist"]
myst_heading_anchors = 3

locale_dirs = ["locale"]
gettext_compact = False  # a catalogue for each page
gettext_location = False  # a message is found by its text, and keeps its place in the catalogue when lines move

templates_path = ["_templates"]
napoleon_numpy_docstring = False
autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    "ignore-module-all": True,  # what a package imports from its modules stands on their pages
    "exclude-members": "Generator",  # of numpy, whose methods are not ours to document
}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
default_role = "py:obj"  # `Dense` in a docstring is a link to it

html_theme = "furo"
html_title = "minidl"
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "language.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
mathjax_folder = find_spec("sphinx-mathjax-offline").submodule_search_locations[0]
html_static_path = ["_static", f"{mathjax_folder}/static/mathjax/tex-svg.js"]
html_css_files = ["book.css", "print.css"]
viewcode_follow_imported_members = False  # each name is documented where it is defined
epub_exclude_files = ["_static/tex-svg.js"]  # formulas are MathML there
copybutton_selector = ".highlight-python pre, .highlight-sh pre"  # not what was printed
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathjax"
mathjax_path = "tex-svg.js"  # one file, with its fonts
mathjax3_config = {"options": {"enableMenu": False}}  # the menu would load more
pygments_style, pygments_dark_style = "tango", "monokai"

# What the signatures mention that others document. `None` and Python's own exceptions are known to Sphinx.
nitpick_ignore_regex = [
    ("py:.*", r"(numpy|np|pathlib|matplotlib|collections|contextlib|typing|types|weakref|hypothesis|st)\..*"),
    ("py:.*", "Any|Callable|Iterator|Mapping|ModuleType|NDArray|Axes|Figure|Path|SearchStrategy|DrawFn|TypeVar|tqdm"),
    ("py:class", "ArrayLike|Arguments"),
    ("py:exc", "TypeError, ValueError|ValueError, TypeError"),
    ("py:obj", "update"),  # the method of every optimiser
]


ARRAY = "~numpy.ndarray[tuple[~typing.Any, ...], ~numpy.dtype[~typing.Any]]"


def name_arrays(
    _app: Sphinx, _what: str, _name: str, _obj: Any, _options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Call an array Array, as the source does, and not by all that this name stands for.

    A default that dataclasses make anew each time is shown as `...`, which can be parsed.
    """
    link = "~minidl.backend.Array"
    signature = signature and signature.replace(ARRAY, link).replace("<factory>", "...")
    return signature, returned and returned.replace(ARRAY, link)


def mark_blocks(_app: Sphinx, what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Mark formulas and code in a docstring as what they are: paragraphs that are indented more than the one above.

    Of an attribute, and of what a function returns, napoleon would take what the first line has before a colon for its
    type; so begin with a colon.
    """
    if lines and what in ("attribute", "data", "property"):
        lines[0] = f": {lines[0]}"
    for i, line in enumerate(lines[:-1]):
        if line.strip() == "Returns:":
            text = lines[i + 1].lstrip()
            lines[i + 1] = f"{lines[i + 1].removesuffix(text)}: {text}"
    marked: list[str] = []
    depth, block = 0, False  # indentation of the last paragraph that is text; whether we are in a block
    for line in lines:
        indent = len(line) - len(line.lstrip())
        begins = bool(line.strip()) and bool(marked) and not marked[-1].strip()
        if begins and indent > depth and not block:
            marked += [" " * depth + "::", ""]
            block = True
        elif line.strip() and indent <= depth:
            block = False
        if line.strip() and not block:
            depth = indent
        marked.append(line)
    lines[:] = marked


def find_elsewhere(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.reference | None:
    """Find `minidl.Dense`, documented as minidl.layers.Dense, what a class inherits, and what a module imports."""
    if node["refdomain"] != "py":
        return None
    target = home_of(node["reftarget"]) or node["reftarget"].removeprefix("minidl.").removeprefix("testing.")
    found = env.domains.python_domain.find_obj(env, "", "", target, None, 1)
    if len(found) != 1:
        return None
    name, entry = found[0]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)


def home_of(name: str) -> str | None:
    """Return the full name of what is called ``name`` in the package, such as `minidl.Sequential.freeze`."""
    found: Any = minidl
    try:
        for part in name.removeprefix("minidl.").split("."):
            found = getattr(found, part)
    except AttributeError:
        return None
    found = getattr(found, "fget", found)  # of a property
    return f"{found.__module__}.{found.__qualname__}" if hasattr(found, "__qualname__") else None


def setup(app: Sphinx) -> None:
    """Connect what is defined here."""
    app.connect("autodoc-process-signature", name_arrays)
    app.connect("autodoc-process-docstring", mark_blocks, priority=400)  # before napoleon reads the sections
    app.connect("missing-reference", find_elsewhere)
