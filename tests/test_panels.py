"""The figures of the results, panel by panel: what is committed is what the results say, and it can be read."""

import re
import sys
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "results"
sys.path.insert(0, str(FOLDER))

import make_figures  # noqa: E402
import make_page  # noqa: E402
from test_docs import unreadable, words_and_sizes  # noqa: E402

from lab import plots  # noqa: E402

FILES = {path.stem: path for path in make_figures.results_files()}


@pytest.fixture(scope="module", params=FILES, ids=str)
def drawn(request, tmp_path_factory):
    """Return a file of results, what it holds, its panels, the SVGs drawn from it, and the figures in them."""
    folder, figures = tmp_path_factory.mktemp("panels"), []
    path = FILES[request.param]
    results = make_figures.load(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_figures, "single", lambda *given: figures.append(plots.single(*given)) or figures[-1])
        made = make_figures.draw_panels(path, folder)
    return path, results, make_figures.panels_of(results, path.stem), made, figures


def test_the_committed_panels_are_what_the_results_say(drawn):
    path, made = drawn[0], drawn[3]
    names = {made_file.name for made_file in made}
    others = [stem for stem in FILES if stem.startswith(f"{path.stem}_")]
    committed = [file for file in path.parent.glob(f"{path.stem}_*.svg") if not file.name.startswith(tuple(others))]
    committed = [file for file in committed if not file.name.endswith(".pt_BR.svg")]
    assert {file.name for file in committed} == names, "run docs/results/make_figures.py"
    for file in made:
        words, _, _ = words_and_sizes(file.read_text(encoding="utf-8"))
        shown, _, _ = words_and_sizes((path.parent / file.name).read_text(encoding="utf-8"))
        assert words == shown, f"{file.name}: run docs/results/make_figures.py"


def test_letters_have_eleven_pixels_on_a_telephone_and_the_files_are_small(drawn):
    for file in drawn[3]:
        _, width, sizes = words_and_sizes(file.read_text(encoding="utf-8"))
        assert min(sizes) * 358 / width >= 11, file.name
        if matplotlib.__version_info__ >= (3, 11):  # before it, filled contours cannot be pixels: lab.plots.as_pixels
            assert file.stat().st_size < 150_000, file.name


def test_drawing_again_makes_the_same_file(drawn):
    path, results, panels, made, _ = drawn
    name, panel = next(iter(panels.items()))
    with matplotlib.rc_context(plots.STYLE):
        plots.save_figure(plots.single(panel, results), again := made[0].with_stem("again"))
    assert again.read_bytes() == (made[0].parent / f"{path.stem}_{name}.svg").read_bytes()


def test_no_words_lie_on_others_or_beyond_the_edge_and_each_entry_of_a_legend_is_seen(drawn):
    with matplotlib.rc_context(plots.STYLE):
        for file, figure in zip(drawn[3], drawn[4], strict=True):
            assert not unreadable(figure, slack=1), file.name
            legends = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
            seen = {line.get_label() for ax in figure.axes for line in ax.lines if visible(ax, line)}
            entries = {text.get_text() for legend in legends for text in legend.get_texts()}
            drawn_as_lines = {line.get_label() for ax in figure.axes for line in ax.lines}
            assert entries & drawn_as_lines <= seen, file.name


def visible(ax, line):
    """Tell whether some of a line is inside its axes; a key to markers has no points of its own."""
    points = line.get_transform().transform(line.get_xydata())
    return len(points) == 0 or any(ax.bbox.padded(1).contains(*point) for point in points)


def test_each_panel_is_described_in_words_of_its_own(drawn):
    _, results, panels, _, _ = drawn
    descriptions = [plots.described(panel, results) for panel in panels.values()]
    assert len(set(descriptions)) == len(descriptions)
    for panel, description in zip(panels.values(), descriptions, strict=True):
        assert len(description) > len(panel.title) + 20
        assert '"' not in description  # it stands between quotation marks


def test_every_panel_is_shown():
    files = [path for path in (ROOT / "docs").rglob("*.md") if path.name != "README.md"]
    pages = "".join(path.read_text(encoding="utf-8") for path in files)
    for path in FOLDER.rglob("*.svg"):
        assert f"/{path.name.replace('.pt_BR', '')}\n" in pages, path.name


def test_figures_have_the_colours_of_one_palette():
    for path in (ROOT / "examples" / "lab" / "figures").glob("*.py"):
        others = re.findall(r'"(?:tab:\w+|C\d|#\w{6}|red|blue|green|orange)"', path.read_text(encoding="utf-8"))
        assert not others, path.name


@pytest.mark.parametrize(
    ("value", "shown"), [(0.01, "0.01"), (20, "20"), (5000, "5,000"), (20_000, "20,000"), (1e-5, "10⁻⁵"), (1e6, "10⁶")]
)
def test_numbers_on_logarithmic_axes_have_letters_of_one_size(value, shown):
    assert plots.number(value) == shown


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("test 1 − 2: -0.47 points [-0.5, 0.1]", "test 1 − 2: −0.47 points [−0.5, 0.1]"),
        ("error 1.7e-08, ε = 1e-3, sum 1.19e+03", "error 1.7 × 10⁻⁸, ε = 10⁻³, sum 1,190"),
        ("57% of 784-256-10", "57 % of 784-256-10"),
    ],
)
def test_numbers_in_tables_have_the_signs_of_print(given, printed):
    assert make_page.typeset(given).replace(make_page.NBSP, " ") == printed


def test_the_parts_of_an_effect_have_a_line_each():
    assert make_page.parts_of("a: 1 (b; c); d: 2. batch 32: 3") == ["a: 1 (b; c)", "d: 2", "batch 32: 3"]
    assert make_page.parts_of("+ ghost; more") == [r"\+ ghost", "more"]
