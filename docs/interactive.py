"""Figures that a reader can move, in the pages of the book.

    ![A picture of the same, and what it shows](../figures/momentum.svg)

    ```{interactive} momentum
    :replaces-picture:

    What one can do with it, and what to look at.
    ```

Bokeh draws the figure in the reader's browser, from a script that is installed with it and becomes part of the book. It
needs no network. With ``replaces-picture``, the picture above the figure is only shown where no script runs. The text
becomes the caption. A book without scripts, such as an ePub, has the picture and not the figure.

`docs/figures/moving` has the figures. One whose results are missing is replaced by a sentence.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import bokeh
from bokeh.embed import components
from bokeh.models import UIElement
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.locale import _
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parent / "figures"))

from moving import batch_and_rate, curves, momentum

RESULTS = Path(__file__).parent / "results"
SCRIPTS = ("bokeh.min.js", "bokeh-widgets.min.js")
COMPUTED: dict[str, Callable[[], UIElement]] = {"momentum": momentum.figure}
MEASURED: dict[str, Callable[[Path], UIElement]] = {
    "chapter37": curves.figure,
    "chapter38": curves.figure,
    "batch_and_rate": batch_and_rate.figure,
}
"""The figures of the experiments, each made from the file of its results."""
FIGURES = (*COMPUTED, *MEASURED)
MISSING = "A figure to explore stands here as soon as the experiment has been run in full."


def made(name: str) -> UIElement:
    """Return a figure."""
    return COMPUTED[name]() if name in COMPUTED else MEASURED[name](RESULTS / f"{name}.json")


class interactive(nodes.General, nodes.Element):  # noqa: N801, as docutils names its nodes
    """A figure, with its caption below it."""


class Interactive(SphinxDirective):
    """The directive."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"replaces-picture": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Return the figure, or a sentence if there are no results."""
        name = self.arguments[0]
        if name not in FIGURES:
            raise self.error(f"interactive: expected one of {', '.join(FIGURES)}, got {name!r}")
        if name in MEASURED:
            results = RESULTS / f"{name}.json"
            self.env.note_dependency(str(results))
            if not results.exists():
                said = _(MISSING)
                return [nodes.paragraph(said, said)]
        figure = interactive(name=name, replaces="replaces-picture" in self.options)
        self.set_source_info(figure)
        self.state.nested_parse(self.content, self.content_offset, figure)
        return [figure]


class Embed(SphinxPostTransform):
    """Put the figures into HTML pages."""

    builders = ("html", "dirhtml")
    default_priority = 100

    def run(self, **_options: Any) -> None:
        """Replace each figure by what draws it, with its caption."""
        for figure in list(self.document.findall(interactive)):
            script, place = components(made(figure["name"]))
            label = nodes.make_id(f"{figure['name']}-figure")
            begin = f'<figure class="interactive" role="group" aria-labelledby="{label}"><div class="moving">'
            before = [raw(f'{begin}{place}</div><figcaption id="{label}">')]
            if figure["replaces"]:
                picture = figure.parent[figure.parent.index(figure) - 1]
                figure.parent.remove(picture)
                before = [raw("<noscript>"), picture, raw("</noscript>"), *before]
            figure.replace_self([*before, *figure.children, raw(f"</figcaption></figure>{script}")])
            self.document["moves"] = True


class LeaveOut(SphinxPostTransform):
    """Take the figures out of other books."""

    default_priority = 101

    def run(self, **_options: Any) -> None:
        """Remove what is left."""
        for figure in list(self.document.findall(interactive)):
            figure.parent.remove(figure)


def raw(html: str) -> nodes.raw:
    """Return a piece of HTML."""
    return nodes.raw("", html, format="html")


def add_scripts(app: Sphinx, _page: str, _template: str, _context: Any, doctree: nodes.document | None) -> None:
    """Load Bokeh's scripts on the pages with a figure."""
    for script in SCRIPTS if doctree is not None and doctree.get("moves") else ():
        app.add_js_file(script)


def copy_scripts(app: Sphinx) -> None:
    """Copy Bokeh's scripts into the book."""
    folder = Path(bokeh.__file__).parent / "server" / "static" / "js"
    if app.builder.name in Embed.builders:
        app.config.html_static_path += [str(folder / script) for script in SCRIPTS]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("interactive", Interactive)
    app.add_post_transform(Embed)
    app.add_post_transform(LeaveOut)
    app.add_css_file("interactive.css")
    app.connect("builder-inited", copy_scripts)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
