"""The figures that a reader can move, in headless Chromium, on a desktop and on a telephone."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from look_at_book import SETTLED, WIDTHS, browser, hindrance, look

pytest.importorskip("bokeh", reason="the book is built where minidl[docs] is installed")
pytest.importorskip("furo", reason="the book is built where minidl[docs] is installed")

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import interactive
from moving import momentum
from sphinx.cmd.build import build_main
from test_batch_and_rate import made_up

ROOT = Path(__file__).parent.parent
LOADED = 'src="_static/bokeh'
CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "docs")!r})
extensions = ["myst_parser", "interactive"]
html_theme = "furo"
html_static_path = [{str(ROOT / "docs" / "_static")!r}]
html_css_files = ["book.css"]
"""
PICTURE = "![Four paths](momentum.svg)\n\n"
FIGURE = "```{{interactive}} {}\n{}\nWhat to look at.\n```\n"


def build(folder, results, builder="html"):
    """Build a book with a page for each figure, from the results in a folder, and return its folder."""
    shutil.copy(ROOT / "docs" / "figures" / "momentum.svg", folder)
    (folder / "conf.py").write_text(CONF, encoding="utf-8")
    names = "\n".join(interactive.FIGURES)
    (folder / "index.md").write_text(f"# Index\n\n```{{toctree}}\n{names}\n```\n", encoding="utf-8")
    for name in interactive.FIGURES:
        replaces = name == "momentum"
        figure = FIGURE.format(name, ":replaces-picture:\n" if replaces else "")
        (folder / f"{name}.md").write_text(f"# Figure\n\n{PICTURE * replaces}{figure}", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interactive, "RESULTS", results)
        assert build_main(["-q", "-W", "-n", "-b", builder, str(folder), str(folder / "_build")]) == 0
    return folder / "_build"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a folder with the results of all experiments; those of the map are made up."""
    folder = tmp_path_factory.mktemp("results")
    for name in ("chapter37", "chapter38"):
        shutil.copy(ROOT / "docs" / "results" / f"{name}.json", folder)
    (folder / "batch_and_rate.json").write_text(json.dumps(made_up().data), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def book(tmp_path_factory, results):
    return build(tmp_path_factory.mktemp("book"), results)


def test_a_page_with_a_figure_is_small_and_loads_only_what_it_needs(book):
    for name in interactive.FIGURES:
        text = (book / f"{name}.html").read_text(encoding="utf-8")
        assert len(text) < 1e6
        assert text.count(LOADED) == len(interactive.SCRIPTS)
    assert LOADED not in (book / "index.html").read_text(encoding="utf-8")


def test_without_results_a_sentence_stands_for_the_figure(tmp_path):
    book = build(tmp_path, tmp_path / "none")
    for name in interactive.FIGURES:
        text = (book / f"{name}.html").read_text(encoding="utf-8")
        assert (interactive.MISSING in text) == (name != "momentum")


def test_a_book_without_scripts_has_the_picture(tmp_path, results):
    text = (build(tmp_path, results, "text") / "momentum.txt").read_text(encoding="utf-8")
    assert "[image: Four paths]" in text
    assert "What to look at" not in text


def test_what_is_said_of_a_path_is_what_becomes_of_it(monkeypatch):
    monkeypatch.setattr(momentum, "STEPS", 4000)
    for rate, gamma in momentum.SETTINGS[::7]:
        path = momentum.path_of(rate, gamma)
        said = momentum.in_words(rate, gamma, path)
        end = np.hypot(*path[-1])
        if said.startswith("<b>Diverges"):
            assert end > 10
        elif said.startswith("<b>Never"):
            assert end > momentum.NEAR
        else:
            assert said.startswith("<b>Arrives")
            assert end < momentum.NEAR


@pytest.mark.skipif(bool(hindrance()), reason=str(hindrance()))
def test_the_figures_can_be_read(book):
    assert not look(book, "[bcm]*.html")


@pytest.fixture(scope="module", params=WIDTHS.values(), ids=WIDTHS)
def page(request, book):
    """Return a function that opens the page of a figure."""
    if hindrance():
        pytest.skip(hindrance())
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser())
        tab = chromium.new_page(viewport={"width": request.param, "height": 900})

        def opened(name):
            tab.goto((book / f"{name}.html").as_uri())
            tab.wait_for_function("() => window.Bokeh?.documents.length && document.querySelector('.moving > * > *')")
            tab.evaluate(SETTLED)
            return tab

        yield opened


FIND = "[...Bokeh.documents[0]._all_models.values()]"
SOURCES = f"{FIND}.filter((model) => model.type === 'ColumnDataSource').map((model) => model.data)"


def said(tab):
    """Return the sentence below a figure."""
    return tab.evaluate(f"{FIND}.find((model) => model.type === 'Div').text")


def test_a_slider_moves_the_path(page):
    tab = page("momentum")
    path = f"{SOURCES}.find((data) => data.along?.length === {momentum.STEPS + 1})"

    def shown():
        return tab.evaluate(f"(() => {{ const d = {path}; return [[...d.along], [...d.across]]; }})()")

    def expected(rate, gamma):
        return momentum.path_of(rate, gamma)

    np.testing.assert_allclose(np.transpose(shown()), expected(0.03, 0.8), rtol=1e-5, atol=1e-5)
    eta, gamma = tab.locator(".noUi-handle").all()
    eta.press("End")
    np.testing.assert_allclose(np.transpose(shown()), expected(0.2, 0.8), rtol=1e-5)
    assert said(tab).startswith("<b>Diverges:</b> η is above 2(1 + γ)/h = 0.18")
    gamma.press("ArrowRight")
    np.testing.assert_allclose(np.transpose(shown()), expected(0.2, 0.9), rtol=1e-5)
    eta.press("Home")
    eta.press("ArrowRight")
    np.testing.assert_allclose(np.transpose(shown()), expected(0.01, 0.9), rtol=1e-5, atol=1e-5)
    assert said(tab) == momentum.in_words(0.01, 0.9, expected(0.01, 0.9))


@pytest.mark.parametrize("name", ["chapter37", "chapter38"])
def test_a_click_changes_the_axis_and_the_images(page, name):
    tab = page(name)
    visible = (
        f"{FIND}.filter((model) => model.type === 'Figure' && model.visible).map((model) => model.below[0].axis_label)"
    )
    end = f"{SOURCES}.map((data) => data.shown.at(-1))"
    assert tab.evaluate(visible) == ["epochs"]
    on_test = tab.evaluate(end)
    tab.get_by_text("against updates").click()
    assert tab.evaluate(visible) == ["updates, logarithmic"]
    tab.get_by_text("training images").click()
    on_train = tab.evaluate(end)
    runs = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text(encoding="utf-8"))["runs"]
    small = "batch 64" if name == "chapter37" else "64"
    for part, found in (("test", on_test), ("train", on_train)):
        ends = [run["history"][f"{part}_accuracy"][-1] for run in runs if run["name"] == small]
        assert np.isclose(found, 100 * np.mean(ends), rtol=1e-6).any()
    tab.get_by_text("against epochs").click()
    assert tab.evaluate(visible) == ["epochs"]


def test_a_tap_on_the_map_shows_the_curves_through_a_cell(page):
    tab = page("batch_and_rate")
    before = said(tab)
    place = """([size, rate]) => {
        const map = FIND.find((model) => model.type === "Figure" && model.visible);
        const view = Bokeh.index.find_one(map);
        const box = view.el.getBoundingClientRect();
        const { x_scale, y_scale } = view.frame;
        return [box.left + x_scale.compute(Math.log2(size)), box.top + y_scale.compute(Math.log2(rate))];
    }""".replace("FIND", FIND)
    tab.mouse.click(*tab.evaluate(place, [64, 0.0625]))
    tab.evaluate(SETTLED)
    assert said(tab) != before
    assert said(tab).startswith("<b>Batch size 64, learning rate 1/16.</b>")
    titles = f"{FIND}.filter((model) => model.type === 'Title').map((model) => model.text)"
    assert {"batch size 64, every learning rate", "learning rate 1/16, every batch size"} <= set(tab.evaluate(titles))
    results = made_up()
    expected = [
        np.mean([run.get("test_accuracy", np.nan) for run in results.called(f"equal epochs, batch 64, rate {rate:g}")])
        for rate in results.settings["rates"]
    ]
    curves = f"{SOURCES}.filter((data) => data.at).map((data) => [...data['equal epochs']])"
    (found,) = [curve for curve in tab.evaluate(curves) if len(curve) == len(expected)]
    np.testing.assert_allclose(np.array(found, float), 100 * np.array(expected))
    tab.wait_for_timeout(500)  # two taps in quick succession are another gesture
    tab.mouse.click(*tab.evaluate(place, [16, 1.0]))
    tab.evaluate(SETTLED)
    assert "after equal epochs: diverged" in said(tab)
