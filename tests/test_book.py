"""The book as built: without a warning, without a dead link, and without a network."""

import inspect
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest

import minidl

pytest.importorskip("furo", reason="the book is built where minidl[docs] is installed")

from bs4 import BeautifulSoup
from docutils.utils.math.latex2mathml import tex2mathml

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "docs" / "engine"
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Return the English pages, each with its file, of the book in the folder ``MINIDL_BOOK``, or else of a new one."""
    out = Path(os.environ.get("MINIDL_BOOK") or tmp_path_factory.mktemp("book")).resolve()
    if "MINIDL_BOOK" not in os.environ:
        command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "-E", "-j", "auto", ROOT / "docs", out]
        environment = os.environ | {"PYTHONWARNINGS": "default"}
        built = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert built.returncode == 0, built.stderr
    files = [path for path in out.rglob("*.html") if "pt_BR" not in path.parts]
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in files}


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
            way = unquote(link.path).replace("pt_BR/", "", 1)  # in the other language, which has the same pages
            file = (path.parent / way).resolve() if way else path
            assert file.exists(), f"{path}: {element}"
            if link.fragment and file in targets and not file.name.startswith("search"):
                assert unquote(link.fragment) in targets[file], f"{path}: {element}"
            count += 1
    assert count > 1000


def test_no_listing_is_wider_or_longer_than_a_page(pages):
    count = 0
    for path, page in pages.items():
        for block in page.select(".highlight-python pre, .highlight-sh pre"):  # what was printed is wrapped
            lines = block.get_text().rstrip().splitlines()
            assert max(map(len, lines)) <= 95, f"{path}: {max(lines, key=len)}"
            assert len(lines) <= 60, f"{path}: {len(lines)} lines from {lines[0]!r}"
            count += 1
    assert count > 300


def test_a_listing_of_a_module_links_to_its_place_in_the_source(pages):
    count = 0
    for page in ENGINE.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        listed = re.findall(r"```{literalinclude} [./]*(minidl/[\w/]+)\.py\n:pyobject: (\S+)", text)
        (built,) = (path for path in pages if path.match(f"engine/{page.relative_to(ENGINE).with_suffix('.html')}"))
        links = [link["href"] for link in pages[built].select("p.source-of-listing a")]
        for module, name in listed:
            places = {name, name.rpartition(".")[0]}  # a property has only that of its class, and a private name none
            places |= {""} if "_" in name else set()
            targets = [f"_modules/{module}.html{'#' if place else ''}{place}" for place in places]
            assert any(link.endswith(target) for link in links for target in targets), f"{page}: {name}"
            count += 1
    assert count > 80


def test_the_pages_of_the_path_follow_each_other(pages):
    names = re.findall(r"^\d\. \[.*\]\((\w+)\.md\)", (ENGINE / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) == 9
    for name, following in zip(["index", *names], [*names, "../experiments/index"], strict=True):
        (built,) = (path for path in pages if path.match(f"engine/{name}.html"))
        assert pages[built].find("link", rel="next")["href"] == f"{following}.html", name


def test_the_reference_and_the_engine_link_to_each_other(pages):
    (folder,) = {path.parent for path in pages if path.name == "search.html"}
    reference = {path: page for path, page in pages.items() if path.parent == folder / "reference" / "_modules"}
    engine = {path: page for path, page in pages.items() if path.is_relative_to(folder / "engine")}
    for one, other, folder_of_other in ((reference, engine, "engine"), (engine, reference, "reference")):
        for path, page in one.items():
            if path != folder / "engine" / "index.html":
                targets = [urlsplit(link["href"]).path for link in page.select("article a[href]")]
                links = {(path.parent / target).resolve() for target in targets}
                assert links & set(other), f"{path}: no link to the {folder_of_other}"
    for name in ("backend", "initializers", "layers", "losses", "optimizers", "model", "loop", "datasets", "fitting"):
        module = reference[folder / "reference" / "_modules" / f"minidl.{name}.html"]
        assert f"../../engine/{name}.html" in [link["href"] for link in module.select("article a[href]")]
        links = [link["href"] for link in engine[folder / "engine" / f"{name}.html"].select("article p em a[href]")]
        assert f"../reference/_modules/minidl.{name}.html#module-minidl.{name}" in links


def test_nothing_private_is_in_the_reference(pages):
    names = [element["id"] for page in pages.values() for element in page.select("dt.sig[id]")]
    assert len(names) > 400
    assert not [name for name in names if any(part.startswith("_") for part in name.split("."))]


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_cheat_sheet_is_one_page_of_paper(pages, tmp_path):
    (sheet,) = (path for path in pages if path.match("reference/cheat_sheet.html"))
    printed = tmp_path / "sheet.pdf"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", "--virtual-time-budget=20000"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={printed}"]
    subprocess.run([CHROMIUM, *options, sheet.as_uri()], check=True, capture_output=True, timeout=120)
    paper = printed.read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) == 1
    width, height = map(float, re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", paper)[0])
    assert (round(width), round(height)) == (595, 842)  # A4, in points


def test_the_epub_has_every_formula_and_needs_no_script(pages, tmp_path):
    (folder,) = {path.parent for path in pages if path.name == "search.html"}
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "-b", "epub", "-d", folder / ".doctrees"]
    made = subprocess.run([*command, ROOT / "docs", tmp_path], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    (book,) = tmp_path.glob("*.epub")
    with zipfile.ZipFile(book) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".js")]
        texts = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".xhtml")]
    for text in texts:
        assert "<script" not in text
        ElementTree.fromstring(text)  # well-formed
    formulas = sum(len(page.select("article .math")) for page in pages.values())
    assert sum(text.count("<math ") for text in texts) == formulas


def test_each_image_has_an_alt_text_of_its_own(pages):
    shown: dict[str, str] = {}
    for path, page in pages.items():
        for image in page.select("article img"):
            alt, name = image.get("alt", "").strip(), Path(image["src"]).name
            assert alt not in ("", image["src"]), f"{path}: {image}"
            assert shown.setdefault(alt, name) == name, f"{path}: {name} has the alt text of {shown[alt]}"
    assert shown


WITHOUT_SUMMARY: set[str] = set()
"""Pages of the path that still lack a summary. This list only shrinks."""


def test_each_page_of_the_path_says_what_one_learns_and_closes_with_a_summary_and_exercises():
    index = (ENGINE / "index.md").read_text(encoding="utf-8")
    names = re.findall(r"^\d\. \[.*\]\((\w+)\.md\)", index, re.MULTILINE)
    assert len(names) == 9
    for name in names:
        text = (ENGINE / f"{name}.md").read_text(encoding="utf-8")
        sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert sections[-1] == "Exercises", name
        assert len(re.findall(r"^```{admonition} Exercise \d", text, re.MULTILINE)) >= 2, name
        if name in WITHOUT_SUMMARY:
            assert "Summary" not in sections, f"{name} has a summary: take it off the list"
            continue
        assert sections[-2] == "Summary", name
        summary = text.partition("\n## Summary\n")[2].partition("\n## ")[0]
        assert 3 <= len(re.findall(r"[.!?](?=\s|$)", summary)) <= 5, f"{name}: three to five sentences"
        assert "**You will learn**" in text.partition("\n## ")[0], name


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
    linked = {
        ((page.parent / target).resolve(), page.parent.relative_to(ENGINE).as_posix())
        for page in ENGINE.rglob("*.md")
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
