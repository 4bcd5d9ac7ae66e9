"""The book as built: without a warning, without a dead link, and without a network."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import minidl

pytest.importorskip("furo", reason="the book is built where minidl[docs] is installed")

from bs4 import BeautifulSoup
from docutils.utils.math.latex2mathml import tex2mathml

ROOT = Path(__file__).parent.parent
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Return the pages of the book, each with its file."""
    out = tmp_path_factory.mktemp("book")
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "-E", "-j", "auto", ROOT / "docs", out]
    environment = os.environ | {"PYTHONWARNINGS": "default"}
    built = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert built.returncode == 0, built.stderr
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in out.rglob("*.html")}


def test_nothing_is_loaded_from_a_network(pages):
    (folder,) = {path.parent for path in pages if path.name == "search.html"}
    for path, page in pages.items():
        for tag, attribute in LOADED.items():
            for element in page.find_all(tag, {attribute: True}):
                assert not urlsplit(element[attribute]).netloc, f"{path}: {element}"
        for link in page.find_all("link", href=True):
            assert not urlsplit(link["href"]).netloc, f"{path}: {link}"
    for path in folder.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", path.read_text(encoding="utf-8")), path


def test_no_link_within_the_book_is_dead(pages):
    targets = {path: {element["id"] for element in page.find_all(id=True)} for path, page in pages.items()}
    count = 0
    for path, page in pages.items():
        for element in page.find_all(["a", "img", "script", "link"]):
            link = urlsplit(element.get("href") or element.get("src") or "")
            if link.scheme in ("http", "https", "data", "mailto") or not (link.path or link.fragment):
                continue
            file = (path.parent / unquote(link.path)).resolve() if link.path else path
            assert file.exists(), f"{path}: {element}"
            if link.fragment and file in targets and not file.name.startswith("search"):
                assert unquote(link.fragment) in targets[file], f"{path}: {element}"
            count += 1
    assert count > 1000


def test_formulas_are_well_formed_and_their_pages_can_draw_them(pages):
    count = 0
    for path, page in pages.items():
        for formula in page.select(".math"):
            text = formula.get_text().strip()
            for known, alike in (("{split}", "{aligned}"), (r"\dots", r"\ldots")):
                text = text.replace(known, alike)
            tex2mathml(text[2:-2])  # raises an error for a command that is none, but forgives what is not closed
            for begin, end in ((r"(?<!\\){", r"(?<!\\)}"), (r"\\left\b", r"\\right\b"), (r"\\begin\b", r"\\end\b")):
                assert len(re.findall(begin, text)) == len(re.findall(end, text)), f"{path}: {text}"
            assert page.find("script", src=re.compile(r"_static/tex-svg\.js")), path
            count += 1
    assert count > 100


def test_every_public_name_is_in_the_reference(pages):
    documented = {element["id"] for page in pages.values() for element in page.select("dt[id]")}
    for name in minidl.__all__:
        thing = getattr(minidl, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert f"{thing.__module__}.{thing.__qualname__}" in documented


def test_every_module_has_a_page_in_the_reference_and_is_linked_from_its_page_in_the_engine(pages):
    names = {path.name for path in pages}
    engine = ROOT / "docs" / "engine"
    linked = {
        ((page.parent / target).resolve(), page.parent.relative_to(engine).as_posix())
        for page in engine.rglob("*.md")
        for target in re.findall(r"\]\(([^)]+\.py)\)", page.read_text(encoding="utf-8"))
    }
    package = ROOT / "minidl"
    for path in package.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name not in ("minidl", "minidl.__main__"):
            assert f"{name}.html" in names
            folder = path.parent.relative_to(package).as_posix()
            if path.name != "__init__.py" and folder != "testing":  # all of testing has one page
                assert (path, folder) in linked, name
