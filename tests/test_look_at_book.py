"""The script that looks at the book sees what it should: a tiny bad page for each of its rules."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import look_at_book

if look_at_book.hindrance():
    pytest.skip(look_at_book.hindrance(), allow_module_level=True)

GOOD = """<!doctype html><meta charset="utf-8"><title>A page</title>
<style>body {margin: 0} pre, .math {overflow-x: auto}</style><article>CONTENT</article>"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="240pt" height="30pt" viewBox="0 0 240 30">{}</svg>'
TEXT = '<text style="font: {size}px sans-serif" x="5" y="20">four</text>'
GLYPH = (
    '<defs><path id="a" transform="scale(0.015625)" d="M 0 0 L 600 1600 z"/></defs>'
    '<g id="text_1"><g transform="translate(5 20) scale({scale} -{scale})"><use href="#a"/></g></g>'
)
WIDE = "x = " + 150 * "1"
PATH = """<section id="a"><img src="good.svg" alt="Four"></section><section id="summary">So.</section>
<section id="exercises"><div class="admonition">Do.</div></section>"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Return the faults of a book of small pages: page, what is wrong, where."""
    book = tmp_path_factory.mktemp("book")
    (book / "engine").mkdir()
    (book / "good.svg").write_text(SVG.format(TEXT.format(size=9)))
    (book / "small.svg").write_text(SVG.format(TEXT.format(size=8)))
    (book / "glyphs.svg").write_text(SVG.format(GLYPH.format(scale=0.09)))
    (book / "small_glyphs.svg").write_text(SVG.format(GLYPH.format(scale=0.08)))
    draw(book / "letters.png", points=9)
    draw(book / "small.png", points=8)
    draw(book / "silent.png", points=None)
    (book / "engine" / "good.svg").write_text(SVG.format(TEXT.format(size=9)))
    for name, content in PAGES.items():
        (book / f"{name}.html").write_text(GOOD.replace("CONTENT", content), encoding="utf-8")
    return look_at_book.look(book)


def draw(path, points):
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(3, 1))
    figure.savefig(path, dpi=96, metadata={look_at_book.LETTERS: str(points)} if points else {})
    plt.close(figure)


PAGES = {
    "good": f'<img src="good.svg" alt="Four"><img src="glyphs.svg" alt="A"><img src="letters.png" alt="None">'
    f"<table><tr><td>1</table><pre>x = 1</pre><div class=math>x</div><pre>{WIDE[:90]}</pre>",
    "small_letters": '<img src="small.svg" alt="Four">',
    "small_glyphs": '<img src="small_glyphs.svg" alt="A">',
    "shrunk": '<img src="good.svg" alt="Four" style="width: 160px">',
    "small_png": '<img src="small.png" alt="None">',
    "silent_png": '<img src="silent.png" alt="None">',
    "small_inline": SVG.format(TEXT.format(size=8)),
    "small_widget": '<div class="interactive"><p style="font-size: 10px">η</p></div>',
    "wide_table": f"<table><tr><td>{WIDE.replace(' ', '')}</table>",
    "scrolling_table": f'<div style="overflow-x: auto"><table><tr><td>{2 * WIDE.replace(" ", "")}</table></div>',
    "wide_listing": f"<pre>{2 * WIDE}</pre>",
    "listing_sticking_out": f'<pre style="overflow: visible">{WIDE[:90]}</pre>',
    "wide_formula": f'<div class="math">{2 * WIDE.replace(" ", "")}</div>',
    "sideways": '<div style="width: 2000px">wide</div>',
    "without_alt": '<img src="good.svg">',
    "empty_alt": '<img src="good.svg" alt=" ">',
    "alt_of_sphinx": '<img src="good.svg" alt="../good.svg">',
    "twice": '<img src="good.svg" alt="Four"><img src="glyphs.svg" alt="Four">',
    "request": "<script>fetch('https://example.invalid/x').catch(() => null)</script>",
    "missing_file": '<script src="nowhere.js"></script>',
    "script": "<script>throw new Error('broken')</script>",
    "engine/index": "<ol>" + "".join(f'<li><a href="{n}.html">{n}</a>' for n in ("good", "a", "b", "c")) + "</ol>",
    "engine/good": PATH,
    "engine/a": PATH.replace('<img src="good.svg" alt="Four">', ""),
    "engine/b": PATH.replace("summary", "sum"),
    "engine/c": PATH.replace("admonition", "text"),
}
EVERYWHERE = ["1440 light", "1440 dark", "390 light", "390 dark"]
WRONG = {
    "small_letters": ("letters of 10.7 px", EVERYWHERE),
    "small_glyphs": ("letters of 10.7 px", EVERYWHERE),
    "shrunk": ("letters of 6.0 px", EVERYWHERE),
    "small_png": ("letters of 10.7 px", EVERYWHERE),
    "silent_png": ("does not say how small", EVERYWHERE),
    "small_inline": ("letters of 10.7 px", EVERYWHERE),
    "small_widget": ("letters of 10.0 px", EVERYWHERE),
    "wide_table": ("a table wider than its page sticks out", EVERYWHERE[2:]),
    "scrolling_table": ("a table wider than its page scrolls", EVERYWHERE),
    "wide_listing": ("a listing wider than its page scrolls", EVERYWHERE[:2]),
    "listing_sticking_out": ("a listing wider than its page sticks out", EVERYWHERE[2:]),
    "wide_formula": ("a formula wider than its page scrolls", EVERYWHERE[:2]),
    "sideways": ("the page scrolls sideways: <div>", EVERYWHERE),
    "without_alt": ("an image without an alt text", EVERYWHERE),
    "empty_alt": ("an image without an alt text", EVERYWHERE),
    "alt_of_sphinx": ("an image without an alt text", EVERYWHERE),
    "twice": ("an alt text of several images: Four", EVERYWHERE),
    "request": ("a request to https://example.invalid/x", ["1440", "390"]),
    "missing_file": ("console: Failed to load resource", ["1440", "390"]),
    "script": ("script: broken", ["1440", "390"]),
    "engine/a": ("a page of the path without picture", EVERYWHERE),
    "engine/b": ("a page of the path without summary", EVERYWHERE),
    "engine/c": ("a page of the path without exercises", EVERYWHERE),
}


@pytest.mark.parametrize("name", WRONG)
def test_it_sees_what_is_wrong(name, seen):
    expected, where = WRONG[name]
    places = [places for (page, fault), places in seen.items() if page == f"{name}.html" and expected in fault]
    assert places == [where], seen


@pytest.mark.parametrize("name", sorted(PAGES.keys() - WRONG.keys()))
def test_it_finds_no_fault_with_what_is_right(name, seen):
    assert not [fault for page, fault in seen if page == f"{name}.html"]
