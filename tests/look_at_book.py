"""Look at every page of the built book as readers do: on a wide screen and on a telephone, light and dark.

    python tests/look_at_book.py [docs/_build/html] [--only 'engine/*'] [--shots FOLDER]

What a reader could not read is printed, and is an error: letters below 11 pixels in a figure; a table, listing or
formula wider than its page; an image without an alt text of its own; a page of the path without picture, summary and
exercises; a request to a network; an error of a script. ``--shots`` also takes pictures of all pages, for a person.

Needs Chromium and minidl[look]. The letters of a drawing are measured where they are shown. In a PNG they cannot be:
the script that drew it writes the size of its smallest letters, in points, into the file, as `LETTERS`.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from PIL import Image

SMALLEST = 11
"""Pixels of the screen, the least for a letter."""
LETTERS = "Smallest letters in points"
"""The keyword in a PNG."""
WIDTHS = {"desktop": 1440, "telephone": 390}
SCHEMES = ("light", "dark")
SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
SETTLED = """async () => {
  await window.MathJax?.startup?.promise;
  await Promise.all([document.fonts.ready, ...[...document.images].map((image) => image.decode().catch(() => null))]);
  const settled = (doc) => doc.is_idle || new Promise((then) => doc.idle.connect(then));
  await Promise.all((window.Bokeh?.documents ?? []).map(settled));
}"""
SIZES_IN_SVG = """() => {
  const root = document.documentElement;
  const scale = (element) => Math.hypot(element.getScreenCTM().a, element.getScreenCTM().b);
  const letters = [...root.querySelectorAll("text, tspan")]
    .filter((element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()))
    .map((element) => scale(element) * parseFloat(getComputedStyle(element).fontSize));
  const drawn = [...root.querySelectorAll("[id^=text_] use")].map((glyph) => 100 * scale(glyph));  // Matplotlib's paths
  return [root.getBoundingClientRect().width, Math.min(...letters, ...drawn, 1000)];
}"""


def hindrance() -> str | None:
    """Return why nobody can look here, or None."""
    if find_spec("playwright") is None:
        return "playwright is not installed: pip install 'minidl[look]'"
    return None if browser() else "Chromium is not installed"


def browser() -> str | None:
    """Return the path of Chromium."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass
class Look:
    """A look at the pages of ``book``, which collects the faults of each, with where they were seen."""

    book: Path
    chromium: Any
    shots: Path | None = None
    faults: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    sizes: dict[Path, tuple[float, float]] = field(default_factory=dict)

    def at(self, pages: list[Path]) -> dict[tuple[str, str], list[str]]:
        """Return the faults of some pages: (page, fault) with the widths and colours at which it shows."""
        path = {page.resolve() for page in pages_of_the_path(self.book)}
        self.drawings = self.chromium.new_page()
        for width in WIDTHS.values():
            context = self.chromium.new_context(viewport={"width": width, "height": 900}, offline=True)
            tab = context.new_page()
            heard = heard_from(tab)
            for page in pages:
                tab.emulate_media(color_scheme="light")
                tab.goto(page.as_uri())
                tab.evaluate(SETTLED)
                for scheme in SCHEMES:
                    tab.emulate_media(color_scheme=scheme)
                    self.note(page, f"{width} {scheme}", self.seen(tab, page.resolve() in path))
                    if self.shots:
                        name = page.relative_to(self.book).with_suffix("").as_posix().replace("/", ".")
                        tab.screenshot(path=self.shots / f"{name}.{width}.{scheme}.png", full_page=True)
                self.note(page, f"{width}", heard)
                heard.clear()
            context.close()
        return self.faults

    def note(self, page: Path, where: str, faults: list[str]) -> None:
        """Add faults of a page."""
        for fault in dict.fromkeys(faults):
            self.faults.setdefault((page.relative_to(self.book).as_posix(), fault), []).append(where)

    def seen(self, tab: Any, of_the_path: bool) -> list[str]:
        """Return what is wrong with the page in ``tab``."""
        found = tab.evaluate(SCRIPT, SMALLEST)
        faults: list[str] = found["faults"]
        for picture in found["pictures"]:
            faults += self.letters(picture)
        if of_the_path:
            faults += [f"a page of the path without {part}" for part in found["missing"]]
        return faults

    def letters(self, picture: dict[str, Any]) -> list[str]:
        """Return what is wrong with the letters of a picture at the width it is shown at."""
        if urlsplit(picture["src"]).scheme != "file" or not picture["width"]:  # not shown at this width
            return []
        file = Path(unquote(urlsplit(picture["src"]).path))
        if file not in self.sizes:
            self.sizes[file] = self.size_of(file)
        width, smallest = self.sizes[file]
        shown = smallest * picture["width"] / width
        if not smallest:
            return [f"{file.name} does not say how small its letters are"]
        return [f"letters of {shown:.1f} px: {file.name}, {picture['width']:.0f} px wide"] if shown < SMALLEST else []

    def size_of(self, file: Path) -> tuple[float, float]:
        """Return the width of a picture and the size of its smallest letters, in its own pixels; 0 if unknown."""
        if file.suffix == ".svg":
            self.drawings.goto(file.as_uri())
            width, smallest = self.drawings.evaluate(SIZES_IN_SVG)
            return width, smallest
        with Image.open(file) as image:
            points = float(image.info.get(LETTERS, 0))
            return image.width, points * image.info.get("dpi", (72, 72))[0] / 72


def heard_from(tab: Any) -> list[str]:
    """Return a list that takes up what a page asks for outside, and the errors of its scripts."""
    heard: list[str] = []
    tab.on("request", lambda request: heard.extend(outside(request.url)))
    tab.on("console", lambda message: heard.extend([f"console: {message.text}"] * (message.type == "error")))
    tab.on("pageerror", lambda error: heard.append(f"script: {error}"))
    return heard


def outside(url: str) -> Iterator[str]:
    """Yield a fault if an address is not that of a file."""
    if urlsplit(url).scheme not in ("file", "data", "blob", "about"):
        yield f"a request to {url}"


def pages_of_the_path(book: Path) -> Iterator[Path]:
    """Yield the pages that docs/engine/index.md numbers."""
    from bs4 import BeautifulSoup

    index = book / "engine" / "index.html"
    if index.exists():
        for link in BeautifulSoup(index.read_text(encoding="utf-8"), "html.parser").select("article ol a[href]"):
            yield index.parent / str(link["href"])


def look(book: Path, only: str = "*", shots: Path | None = None) -> dict[tuple[str, str], list[str]]:
    """Return the faults of the pages of a book whose path fits ``only``: (page, fault) with where it shows."""
    from playwright.sync_api import sync_playwright

    pages = [page for page in sorted(book.rglob("*.html")) if fnmatch(page.relative_to(book).as_posix(), only)]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser())
        return Look(book.resolve(), chromium, shots).at([page.resolve() for page in pages])


def main() -> int:
    """Look, print what is wrong, and return how the process ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("book", type=Path, nargs="?", default=Path("docs/_build/html"))
    parser.add_argument("--only", default="*", metavar="PATTERN", help="look only at these pages, such as 'engine/*'")
    parser.add_argument("--shots", type=Path, metavar="FOLDER", help="take pictures of all pages")
    args = parser.parse_args()
    if not args.book.is_dir():
        parser.error(f"book: expected the folder of the built book, got {args.book}")
    if reason := hindrance():
        print(f"Nobody looks at the book: {reason}")
        return 0
    if args.shots:
        args.shots.mkdir(parents=True, exist_ok=True)
    faults = look(args.book, args.only, args.shots)
    for (page, fault), places in faults.items():
        print(f"{page}: {fault} ({', '.join(places)})")
    print(f"{len(faults)} faults" if faults else "Every page can be read.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
