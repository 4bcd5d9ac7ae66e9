"""How long the book and the source take to read: 12 lines of code a minute, 200 words a minute.

python docs/reading_time.py        # write the times into the pages that state them

On a page, prose counts by words, blocks and listings by lines. Solutions of exercises do not count, since nobody reads
them in a row. A formula counts by the words that spaces make of it. In the source every line counts, docstrings too.
"""

import re
from pathlib import Path

from listings import listing

LINES, WORDS = 12, 200
"""A minute."""
ROOT = Path(__file__).parent.parent
ENGINE, START = ROOT / "docs" / "engine", ROOT / "docs" / "start"
STATING = (ROOT / "docs" / "index.md", START / "paths.md", START / "map.md")
"""The pages that state times."""
PATH = ("backend", "initializers", "layers", "losses", "optimizers", "model", "loop", "datasets", "fitting")
FOLDERS = (
    "checks",
    "parameters",
    "preparation",
    "regression",
    "regularization",
    "callbacks",
    "learning_rate",
    "files",
    "inspection",
    "testing",
    "machine",
)
FENCE = re.compile(r"^(`{3,})(\S*)[ ]*([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"^:([a-z-]+):[ ]*(.*)$", re.MULTILINE)


def minutes_of_page(page: Path) -> float:
    """Return how many minutes a page takes."""
    lines, prose = 0, page.read_text(encoding="utf-8")
    for whole, language, argument, text in [(match[0], *match.groups()[1:]) for match in FENCE.finditer(prose)]:
        prose = prose.replace(whole, text if language == "{admonition}" else "")
        if language == "{literalinclude}":
            lines += len(listing(page.parent / argument, dict(OPTION.findall(text))).splitlines())
        elif not language.startswith("{") or language == "{code-block}":
            lines += len(text.splitlines())
    return lines / LINES + len(prose.split()) / WORDS


def minutes_of_source(*files: Path) -> float:
    """Return how many minutes some files of the source take."""
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) / LINES


def times() -> dict[str, tuple[float, float]]:
    """Return minutes for the pages and for the source, by what the map calls them."""
    found = {
        name: (minutes_of_page(ENGINE / f"{name}.md"), minutes_of_source(ROOT / "minidl" / f"{name}.py"))
        for name in PATH
    }
    for name in FOLDERS:
        pages, files = (ENGINE / name).glob("*.md"), (ROOT / "minidl" / name).glob("*.py")
        found[name] = sum(map(minutes_of_page, pages)), minutes_of_source(*files)
    return found


def restated(text: str) -> str:
    """Return a page with the times that it states as they are."""
    found = times()

    def row(match: re.Match[str]) -> str:
        page, source = found[match[2]]
        return f"{match[1]} {page:.0f} min | {source:.0f} min |"

    text = re.sub(r"^(\|(?: \d \|)? \[(\w+)\]\(.*\|) \d+ min \| \d+ min \|$", row, text, flags=re.MULTILINE)
    page, source = (sum(found[name][i] for name in PATH) for i in (0, 1))
    nine = r"(nine\s+pages\s+take\s+about) \d+ (minutes,\s+the\s+nine\s+files\s+about) \d+"
    text = re.sub(nine, rf"\1 {page:.0f} \2 {source:.0f}", text)
    opening = minutes_of_page(START / "what_a_network_is.md")
    text = re.sub(r"(What a network is\]\([\w/]+\.md\),\s+about) \d+", rf"\1 {opening:.0f}", text)
    return "".join(map(timed, re.split(r"^(?=## )", text, flags=re.MULTILINE)))


def timed(section: str) -> str:
    """Return a section of the page of paths: minutes in brackets behind a link to a page, their sum in the heading."""
    total = 0.0

    def stated(match: re.Match[str]) -> str:
        nonlocal total
        minutes = minutes_of_page(START / match[2])
        total += minutes
        return f"{match[1]}{match[3]}({max(minutes, 1):.0f} min)"

    section = re.sub(r"(\[[^\]]*\]\(([\w/.]+\.md)\))(\s+)\(\d+ min\)", stated, section)
    return re.sub(r"^(## .*, about) \d+", rf"\1 {total:.0f}", section)


def main() -> None:
    """Write the times into the pages that state them."""
    for page in STATING:
        page.write_text(restated(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
