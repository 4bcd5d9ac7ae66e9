"""What ties the pages of the book together: links to the glossary and the reference, exercises, the cheat sheet."""

import re
from pathlib import Path

import pytest

import minidl

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
INDEX = (DOCS / "engine" / "index.md").read_text(encoding="utf-8")
PATH = re.findall(r"^\d\. \[.*\]\((\w+)\.md\)", INDEX, re.MULTILINE)
PATH_PAGES = [f"engine/{name}" for name in PATH]
EXPERIMENTS = [
    f"experiments/{name}"
    for name in (DOCS / "experiments" / "index.md").read_text(encoding="utf-8").partition("{toctree}")[2].split()
    if name.isidentifier() and name not in ("rules",)
]
TERM = re.compile(r"\{term\}`(?:[^`<]*<)?([^`<>]+)>?`")
SOLVED = re.compile(
    r"^```{admonition} (Exercise \d)[^\n]*\n.*?^```\n\n````{dropdown} Solution\n(.*?)^````$", re.MULTILINE | re.DOTALL
)


def read(page):
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def glossary():
    text = read("reference/glossary").partition("```{glossary}\n")[2]
    return re.findall(r"^(\S.*)$", text.rstrip("`\n"), re.MULTILINE)


def test_the_glossary_is_in_alphabetical_order():
    assert len(glossary()) > 50
    assert glossary() == sorted(glossary(), key=str.lower)


@pytest.mark.parametrize("page", [*PATH_PAGES, *EXPERIMENTS])
def test_a_page_links_the_terms_that_a_newcomer_looks_up(page):
    terms = TERM.findall(read(page))
    assert 3 <= len(terms) <= 8
    assert len(set(terms)) == len(terms), "a term is linked once"
    assert set(terms) <= set(glossary())


@pytest.mark.parametrize("page", [*PATH_PAGES, *EXPERIMENTS])
def test_every_exercise_has_a_solution_that_checks_itself(page):
    text = read(page)
    exercises = text.partition("\n## Exercises\n")[2]
    found = SOLVED.findall(exercises)
    assert len(found) >= 2
    assert [name for name, _ in found] == re.findall(r"{admonition} (Exercise \d)", text)
    for name, solution in found:
        code = "".join(re.findall(r"^```python\n(.*?)^```$", solution, re.MULTILINE | re.DOTALL))
        assert re.search(r"^ *(assert|check_\w+\()", code, re.MULTILINE), name


@pytest.mark.parametrize("page", [*PATH_PAGES, *EXPERIMENTS])
def test_a_page_has_a_picture(page):
    folder, text = (DOCS / page).parent, read(page)
    included = [(folder / name).read_text(encoding="utf-8") for name in re.findall(r"{include} (\S+)", text)]
    if any("has not been run in full yet" in part for part in included):
        pytest.skip("its figure is made of its results")
    assert any("](../figures/" in part or "](../results/" in part for part in [text, *included])


@pytest.mark.parametrize("page", PATH_PAGES)
def test_a_page_of_the_path_says_what_it_needs(page):
    opening = read(page).partition("\n## ")[0]
    assert opening.index("**You will learn**") < opening.index("**You need**")


def test_every_module_of_the_engine_is_explained_somewhere(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    import cross_references

    explained = cross_references.explained()
    assert explained["minidl.layers"] == "Derived in :doc:`/engine/layers`."
    assert explained["minidl.callbacks.progress"] == "Explained in :doc:`/engine/callbacks/progress`."
    assert explained["minidl.testing.hints"] == "Derived in :doc:`/engine/testing/index`."
    assert {f"minidl.{name}" for name in PATH} <= set(explained)
    for line in explained.values():
        assert all((DOCS / f"{name}.md").exists() for name in re.findall(r":doc:`/([^`]+)`", line))
        assert ":doc:" in line


SHEET = re.findall(r"^\| (.*\]\(\S+\.md\).*) \|$", read("reference/cheat_sheet"), re.MULTILINE)


@pytest.mark.parametrize("row", SHEET, ids=lambda row: re.findall(r"[\w ]+", row)[0])
def test_each_formula_of_the_cheat_sheet_is_on_the_page_that_derives_it(row):
    (link,) = re.findall(r"\]\((\S+)\.md\)", row)

    def plain(text):
        return re.sub(r"\s|\\[,;]|\\q?quad", "", text)

    page = plain((DOCS / "reference" / f"{link}.md").resolve().read_text(encoding="utf-8"))
    for formula in re.findall(r"\$([^$]+)\$", row.replace(r"\|", "|")):
        for side in re.split(r"=|\\leftarrow", plain(formula)):
            assert side in page


def test_the_cheat_sheet_has_the_optimisers_with_their_defaults():
    calls = re.findall(r"^\| \[`([A-Z]\w+\(.*?\))`\]", read("reference/cheat_sheet"), re.MULTILINE)
    names = [call.partition("(")[0] for call in calls]
    assert names == ["SGD", "Momentum", "Nesterov", "Adagrad", "RMSprop", "Adam"]
    for name, call in zip(names, calls, strict=True):
        shown = eval(call, vars(minidl))
        assert vars(shown) == vars(getattr(minidl, name)())


def test_the_loop_on_the_cheat_sheet_has_eleven_lines():
    (code,) = re.findall(r"^```python\n(.*?)^```$", read("reference/cheat_sheet"), re.MULTILINE | re.DOTALL)
    assert len([line for line in code.splitlines() if line]) == 11


def test_formulas_become_mathml(monkeypatch):
    pytest.importorskip("latex2mathml", reason="the ePub is made where minidl[docs] is installed")
    monkeypatch.syspath_prepend(DOCS)
    from mathml import converted

    half = converted(r"\tfrac12 (\eta - 1)", "inline")  # which the converter of docutils gets wrong
    assert re.search(r"<mfrac><mn>1</mn><mn>2</mn></mfrac>", re.sub("</?mrow>", "", half))
    assert "<mtext>d</mtext><mi>x</mi>" in converted(r"\mathrm{d}x", "inline")
    assert 'display="block"' in converted("x", "block")
    with pytest.raises(ValueError, match="unheard"):
        converted(r"\unheard x", "inline")
