"""The Portuguese book: nothing untranslated or stale, the same code, formulas and links, one word for each term."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

pofile = pytest.importorskip("babel.messages.pofile", reason="the book is built where minidl[docs] is installed")
pytest.importorskip("sphinx")

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
sys.path[:0] = [str(DOCS), str(DOCS / "locale")]

from draw import figures, in_portuguese, shown  # noqa: E402
from phrases import Phrases, template_of, with_comma  # noqa: E402
from portuguese import tables  # noqa: E402
from test_docs import unreadable, words_and_sizes  # noqa: E402

LOCALE = ROOT / "docs" / "locale" / "pt_BR"
CATALOGUES = LOCALE / "LC_MESSAGES"
PAGES = sorted(p.relative_to(CATALOGUES).with_suffix("").as_posix() for p in CATALOGUES.rglob("*.po"))
PAGES.remove("sphinx")
STUDENT = ["index", "start/what_a_network_is", "start/run", "reference/glossary"]
STUDENT += [f"experiments/{name}" for name in ("chapter37", "chapter38", "learning_rate", "overfitting", "optimizers")]
STUDENT += [f"engine/{name}" for name in ("layers", "losses", "optimizers", "model", "loop", "fitting")]
STUDENT += ["write_your_own_layer"]


def messages(path):
    with path.open(encoding="utf-8") as file:
        return {message.id: message for message in pofile.read_po(file) if message.id}


@pytest.fixture(scope="session")
def templates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gettext")
    command = [sys.executable, "-m", "sphinx", "-q", "-j", "auto", "-b", "gettext", str(ROOT / "docs"), str(folder)]
    subprocess.run(command, check=True)
    return folder


def test_the_pages_of_a_student_are_there():
    assert set(STUDENT) <= set(PAGES)


def test_each_message_is_translated_and_of_today(templates):
    for page in PAGES:
        english, known = messages(templates / f"{page}.pot"), messages(CATALOGUES / f"{page}.po")
        assert known.keys() == english.keys(), f"{page}: run docs/locale/update.py"
        left = [text for text, message in known.items() if not message.string or message.fuzzy]
        assert not left, f"{page}: {left}"


def pieces(text):
    """Return what must be the same in both languages, in any order: code, formulas, where links lead, roles."""
    text = re.sub(r"\{term\}`[^`]*`", "{term}", text)
    code, text = re.findall(r"`[^`]+`", text), re.sub(r"`[^`]+`", "", text)
    formulas = re.findall(r"\$[^$]+\$", text)
    links, roles = re.findall(r"\]\(([^)]*)\)", text), re.findall(r"\{\w+\}", text)
    return tuple(map(sorted, (code, formulas, links, roles)))


@pytest.mark.parametrize("page", PAGES)
def test_code_formulas_and_links_are_those_of_the_english_page(page):
    for text, message in messages(CATALOGUES / f"{page}.po").items():
        assert pieces(text) == pieces(message.string), message.string


def prose(text):
    """Return a message without code, formulas, links' targets, titles in English and quotations of the sources."""
    text = re.sub(r"\{term\}`([^`<]*?)\s*(<[^>]*>)?`", r"\1", text)
    text = re.sub(r"`[^`]*`|\$[^$]*\$|\]\([^)]*\)|“[^”]*”|«[^»]*»", " ", text)
    return re.sub(r"\*[^*]*\*", " ", text)


def avoided():
    with (LOCALE / "terms.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for word in filter(None, row["avoid"].split(";")):
                yield row["portuguese"], re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])", re.IGNORECASE)


@pytest.mark.parametrize("page", PAGES)
def test_one_word_for_each_term(page):
    words = list(avoided())
    assert len(words) > 50
    for text, message in messages(CATALOGUES / f"{page}.po").items():
        for term, wrong in words if message.string != text else ():  # the name of a file
            found = wrong.search(prose(message.string))
            assert found is None, f"{found[0]!r} in place of {term!r}: {message.string}"


def test_numbers_have_a_comma():
    for page in PAGES:
        for message in messages(CATALOGUES / f"{page}.po").values():
            text = re.sub(r"(Python|seção|versão) \d\.\d+", " ", prose(message.string))
            formula = "\\" in text
            assert formula or not re.search(r"\d\.\d{1,2}(?!\d)", text), message.string


def test_both_readmes_have_the_same_commands_and_lead_to_each_other():
    readmes = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.pt-BR.md")]
    block = re.compile(r"^```(sh|powershell|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    commands = [block.findall(text) for text in readmes]
    assert commands[0] == commands[1]
    assert "(README.pt-BR.md)" in readmes[0]
    assert "(README.md)" in readmes[1]


# Results and figures, put together of phrases


@pytest.fixture
def phrases():
    """Phrases, none of which may be missing in the end."""
    phrases = Phrases()
    yield phrases
    assert not phrases.missing, "run docs/locale/update.py, and translate phrases.po"


def test_tables_of_results_are_translated(phrases):
    for table in tables():
        said = phrases.table(table)
        assert len(said.split("\n")) == len(table.split("\n"))
        assert not re.search(r"\d\.\d{1,2}(?!\d)", re.sub(r"seção [\d.]+|[\d.]+\.\d+\.\d+|\]\([^)]*\)", "", said)), said


def test_a_phrase_keeps_its_numbers_and_its_code():
    for english, portuguese in Phrases().known.items():
        places = [sorted(re.findall(r"\{=?(\d+)\}", text)) for text in (english, portuguese)]
        assert places[0] == places[1], portuguese
        assert pieces(english)[0] == pieces(portuguese)[0], portuguese


def test_one_word_for_each_term_of_the_results():
    for english, portuguese in Phrases().known.items():
        for term, wrong in avoided() if portuguese != english else ():
            assert not wrong.search(prose(portuguese)), f"{portuguese}: {term}"


def test_figures_say_in_portuguese_as_much_as_in_english():
    paths = [path for path in DOCS.rglob("*.svg") if path.stem in shown() and "_build" not in path.parts]
    assert {path.stem for path in paths} == shown()
    for path in paths:
        english, drawn = (
            {word for word in words_and_sizes(file.read_text(encoding="utf-8"))[0] if re.search(r"[^\W\d]{2}", word)}
            for file in (path, path.with_suffix(".pt_BR.svg"))
        )
        assert len(drawn) == len(english), f"{path.name}: run docs/locale/draw.py"


def test_no_words_of_a_figure_lie_on_others_or_beyond_its_edge(phrases):
    for path, figure in figures(shown()):
        assert not unreadable(in_portuguese(figure, phrases), slack=1), path.name
        plt.close(figure)


@pytest.mark.parametrize(
    ("english", "template", "numbers"),
    [
        ("test 64: 97.95 ± 0.13 %", "test {1}: {2} %", ["97,95 ± 0,13"]),
        ("A5, section 3.3: +0.1 [−0.2, +1,200] in 1.5 × 10⁻³", "A5, section {1}: {2} {3} in {4}", ["3,3", "+0,1"]),
        ("batch 60,000 with NumPy 2.4.6", "batch {1} with NumPy {2}", ["60.000", "2.4.6"]),
        ("[−0.2, +1,200]", "{1}", ["[−0,2; +1.200]"]),
        ("10⁻³ to 2⁹", "{1} to {2}", ["10⁻³"]),
    ],
)
def test_numbers_in_a_phrase(english, template, numbers):
    made, found = template_of(english)
    assert made == template
    assert set(numbers) <= set(map(with_comma, found))
