"""What results and figures say, in Portuguese: templates with numbers, so that a new run needs no new translation.

"test 64: 97.95 ± 0.13 %" is the template "test {1}: {2} %" with two numbers. The templates and their translations are
in docs/locale/pt_BR/phrases.po, which `docs/locale/update.py` brings up to date. A number gets a comma for its point,
and a translation may have its numbers in another order; ``{=2}`` is number 2 as it was, for a section or a version.
"""

import re
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from badges import CLASSES

CATALOGUE = Path(__file__).parent / "locale" / "pt_BR" / "phrases.po"
PLAIN = r"[+−]?\d(?:[\d,.]*\d)?(?:\s×\s10[⁻⁰-⁹¹²³]+|[⁻⁰-⁹¹²³]+)?"
LINK = r"\[`[^`]*`\]\([^)]*\)"
NUMBER = re.compile(rf"{LINK}|(?<![^\W\d_])(?<!\d)(?:\[(?:{PLAIN}),\s(?:{PLAIN})\]|(?:{PLAIN})(?:\s±\s(?:{PLAIN}))?)")
"""A number, one with its deviation, or an interval, not the digits of a name such as A5; and the link to a file."""
WORD = re.compile(r"(?<![\\\w])[^\W\d_]{2,}")
"""What asks for a translation; symbols do not, nor the commands of a formula such as ``\\eta``."""
SWAPPED = str.maketrans(".,", ",.")
ENDS = " At the end, from the highest: "
"""Stands in a description between what is seen and the names of the curves, which come in any order."""
MARKUP = re.compile(r"[*\s-]*(?::alt: \"|```\{dropdown\} )?")
"""What a line of a table of results begins with, before its words."""
UNTOUCHED = re.compile(r"(`{3,}\S*( \S+)?|:[a-z-]+:( [\w%]+)?|[A-Z]\d|)")
"""Lines without words: fences, options, the identity of a claim, nothing. Verdicts are left to badges.py."""


class Phrases:
    """Says in Portuguese what is in the catalogue; ``missing`` are templates that are not."""

    def __init__(self) -> None:
        with CATALOGUE.open(encoding="utf-8") as file:
            self.known = {message.id: message.string for message in read_po(file) if message.id}
        self.used: set[str] = set()
        self.missing: set[str] = set()

    def __call__(self, text: str) -> str:
        """Return a phrase in Portuguese, or as it is if nobody has translated it yet."""
        if not WORD.search(text):
            return NUMBER.sub(lambda number: with_comma(number[0]), text)
        template, numbers = template_of(text)
        if template not in self.known and (listed := self.listed(text)):
            return listed
        self.used.add(template)
        if not self.known.get(template):
            self.missing.add(template)
        return filled(self.known.get(template) or template, numbers)

    def listed(self, text: str) -> str | None:
        """Return "what is listed: one, another" in Portuguese, if all parts are known: they come in any order."""
        head, _, items = text.partition(": ")
        parts = [head, *re.split(r", (?![^(]*\))", items)]
        if not items or not all(self.known.get(template_of(part)[0]) or not WORD.search(part) for part in parts):
            return None
        said = [self(part) for part in parts]
        return f"{said[0]}: {'; '.join(said[1:])}"

    def description(self, text: str) -> str:
        """Return the description of a panel in Portuguese; see `ENDS`."""
        seen, ends, names = text.partition(ENDS)
        if not ends:
            return self(text)
        return f"{self(seen)} {self(ends.strip())} {'; '.join(map(self, names.rstrip('.').split('; ')))}."

    def table(self, text: str) -> str:
        """Return figures and table of results, as `make_page` writes them, in Portuguese."""
        return "\n".join(map(self.line, text.split("\n")))

    def line(self, line: str) -> str:
        """Return a line of them in Portuguese."""
        markup = MARKUP.match(line)
        assert markup is not None
        words = line[markup.end() :].rstrip('"')
        if UNTOUCHED.fullmatch(words) or words in CLASSES:
            return line
        said = self.description(words) if markup[0].startswith(":alt:") else self(words)
        return markup[0] + said + line[markup.end() + len(words) :]

    def renew(self) -> None:
        """Write the catalogue anew with the templates that were used, in the order of the alphabet."""
        catalogue = Catalog(locale="pt_BR", header_comment="# Phrases of results and figures: see docs/phrases.py")
        for template in sorted(self.used):
            catalogue.add(template, self.known.get(template, ""))
        with CATALOGUE.open("wb") as file:
            write_po(file, catalogue, width=120, omit_header=True)


def template_of(text: str) -> tuple[str, list[str]]:
    """Return the template of a phrase, and its numbers.

    >>> template_of("test 64: 97.95 ± 0.13 %")
    ('test {1}: {2} %', ['64', '97.95 ± 0.13'])
    """
    numbers: list[str] = []

    def replaced(number: re.Match[str]) -> str:
        numbers.append(number[0])
        return f"{{{len(numbers)}}}"

    return NUMBER.sub(replaced, text), numbers


def filled(template: str, numbers: list[str]) -> str:
    """Return a template with its numbers in it."""
    said = re.sub(r"\{=(\d+)\}", lambda place: numbers[int(place[1]) - 1], template)
    return re.sub(r"\{(\d+)\}", lambda place: with_comma(numbers[int(place[1]) - 1]), said)


def with_comma(number: str) -> str:
    """Return a number as Portuguese has it.

    >>> with_comma("[+0.1, 1,200]")
    '[+0,1; 1.200]'
    """
    kept = number.startswith("[`") or re.search(r"\.\d+\.", number)  # a file, a version
    return number if kept else re.sub(r"\.(?=\s)", ";", number.translate(SWAPPED))
