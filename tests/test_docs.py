"""What README, docs and docstrings show is what the code does and what was measured: their code is executed here."""

import ast
import importlib
import itertools
import json
import re
import shlex
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from textwrap import dedent

import hypothesis
import numpy as np
import pytest

import minidl
from minidl.testing import strategies

ROOT = Path(__file__).parent.parent
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    if "_build" not in path.parts
]
FENCE = re.compile(r"^(`{3,})(\S*)([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
NOT_CODE = {
    "text",
    "powershell",
    "{admonition}",
    "{container}",
    "{eval-rst}",
    "{glossary}",
    "{include}",
    "{interactive}",
    "{list-table}",
    "{literalinclude}",
    "{note}",
    "{toctree}",
}


def blocks(page):
    """Yield the language, arguments and text of each fenced block, also of those inside another."""
    for _, language, arguments, text in FENCE.findall(page):
        if language == "{dropdown}":
            yield from blocks(text)
        else:
            yield language, arguments.strip(), text


def read(page):
    return list(blocks((ROOT / page).read_text(encoding="utf-8")))


def test_the_figures_can_be_made(tmp_path):
    figures = ROOT / "docs" / "figures"
    subprocess.run([sys.executable, figures / "make_figures.py", tmp_path], check=True)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"confusion.svg", "lr_range_test.svg", "schedules.png"}
    assert made <= {path.name for path in figures.iterdir()}


def words_and_sizes(svg):
    """Return what an SVG says, its width and the sizes of its letters, in pixels of the screen."""
    (width,) = re.findall(r'<svg[^>]* width="([\d.]+)pt"', svg)
    words = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    sizes = [float(size) * 4 / 3 for size in re.findall(r"font(?:-size)?: ([\d.]+)px", svg)]
    assert len(sizes) == len(words)
    return words, float(width) * 4 / 3, sizes


@pytest.mark.parametrize("script", ["make_drawings", "make_pictures"])
def test_the_drawings_can_be_made_and_can_be_read_on_a_telephone(script, tmp_path, monkeypatch):
    from matplotlib import pyplot as plt

    folder, figures = ROOT / "docs" / "figures", []
    monkeypatch.syspath_prepend(folder)
    drawings = importlib.import_module(script)
    monkeypatch.setattr(sys, "argv", [script, str(tmp_path)])
    monkeypatch.setattr(plt, "close", figures.append)
    drawings.main()
    assert {path.stem for path in tmp_path.iterdir()} == set(drawings.PICTURES)
    for path in tmp_path.iterdir():
        words, width, sizes = words_and_sizes(path.read_text(encoding="utf-8"))
        assert words == words_and_sizes((folder / path.name).read_text(encoding="utf-8"))[0], (
            f"run docs/figures/{script}"
        )
        assert width <= 358  # of 390 pixels, as the book's margins leave them
        assert min(sizes) >= 11, path.name
    monkeypatch.undo()
    for name, figure in zip(drawings.PICTURES, figures, strict=True):
        assert not unreadable(figure), name
        plt.close(figure)


def unreadable(figure, slack=0):
    """Return the words of a figure that lie beyond its edge, or on others by more than some pixels."""
    figure.draw_without_rendering()
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    texts = [text for ax in figure.axes for text in texts_of(ax)]
    texts += [text for legend in legends for text in (*legend.get_texts(), legend.get_title())]
    shown = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    beyond = [text for text, box in shown if not all(figure.bbox.contains(*corner) for corner in box.corners())]
    pairs = itertools.combinations([(text, box.padded(-slack)) for text, box in shown], 2)
    return beyond + [(text, other) for (text, box), (other, its_box) in pairs if box.overlaps(its_box)]


def texts_of(axes):
    """Return the texts, and unless the axes are switched off also their ticks and titles, without what is not shown."""
    texts = list(axes.texts)
    if axes.axison:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [axis.label, *(tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high)]
        texts += [axes.title, axes._left_title]
    return [text for text in texts if text.get_visible() and text.get_text()]


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_is_described_in_words(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for description in re.findall(r"!\[([^\]]*)\]\(", text):
        assert description.strip(), page


def modules_in_reading_order():
    """Return the modules of the path as the package imports them, and the folders beside it as README lists them."""
    source = (ROOT / "minidl" / "__init__.py").read_text(encoding="utf-8").partition("# More.")[0]
    path = list(dict.fromkeys(re.findall(r"^from minidl\.(\w+) import", source, re.MULTILINE)))
    more = (ROOT / "README.md").read_text(encoding="utf-8").partition("**More**")[2]
    return path, list(dict.fromkeys(re.findall(r"\]\(minidl/(\w+)", more)))


def test_the_book_has_the_reading_order_of_the_package():
    path, folders = modules_in_reading_order()
    docs = ROOT / "docs"
    assert len(path) == 9
    for page, pattern in (
        (docs / "index.md", r"^engine/(\w+)(?:/\w+)?$"),
        (docs / "engine" / "index.md", r"^(?:\d\.|-) \[[^\]]*\]\((\w+)(?:/\w+)?\.md\)"),
        (docs / "start" / "map.md", r"^\|(?: \d \|)? \[\w+\]\(\.\./engine/(\w+)(?:/\w+)?\.md\)"),
        (docs / "reference" / "index.md", r"^   minidl\.(\w+)"),
    ):
        found = re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE)
        assert [name for name in dict.fromkeys(found) if name != "index"] == [*path, *folders], page
    for number, name in enumerate(path, start=1):
        assert f"*The path, {number} of 9." in (docs / "engine" / f"{name}.md").read_text(encoding="utf-8")
    assert {page.stem for page in (docs / "engine").glob("*.md")} == {"index", *path}


def test_the_reading_times_are_what_is_measured(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import reading_time

    assert [list(reading_time.PATH), list(reading_time.FOLDERS)] == list(modules_in_reading_order())
    for page in reading_time.STATING:
        text = page.read_text(encoding="utf-8")
        stated, measured = (re.findall(r"\d+", version) for version in (text, reading_time.restated(text)))
        for one, other in zip(stated, measured, strict=True):
            assert abs(int(one) - int(other)) <= max(2, int(other) / 10), f"{page}: run docs/reading_time.py"
    assert len(re.findall(r" \d+ min \| \d+ min \|$", text, re.MULTILINE)) == len(reading_time.times())


def test_each_entry_of_a_list_in_a_docstring_is_wrapped_by_itself(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import listings

    lines = ["start   same seed, and here are many words", "shapes  as they should be"]
    lines += ["", "x: a name, with a text that is too long", "    and goes on", "y: another"]
    shown = listings.filled('"""What is checked.\n\n' + "\n".join(lines) + '\n"""\n', 30).splitlines()
    assert shown[2:5] == ["start   same seed, and here", "        are many words", "shapes  as they should be"]
    assert shown[6:9] == ["x: a name, with a text that is", "    too long and goes on", "y: another"]


def test_a_minute_of_reading(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import listings
    import reading_time

    source = tmp_path / "source.py"
    source.write_text('class A:\n    """One."""\n\n    def f(self):\n        """Two."""\n\n        return 2\n')
    assert listings.source_of(source, "A.f") == '    def f(self):\n        """Two."""\n\n        return 2\n'
    assert listings.without_docstring(listings.source_of(source, "A.f")) == "    def f(self):\n        return 2\n"
    page = tmp_path / "page.md"
    listing = "```{literalinclude} source.py\n:pyobject: A\n```"
    solution = "````{dropdown} Solution\nmany words\n```python\nx = 1\n```\n````"
    code = "```python\n" + 17 * "x = 1\n" + "```"
    page.write_text(400 * "word " + f"\n\n{code}\n\n{listing}\n\n{solution}\n")
    assert reading_time.minutes_of_page(page) == 2 + (17 + 7) / 12
    assert reading_time.minutes_of_source(source, source) == 14 / 12


def numbers_in(text):
    """Return the numbers of a text in order, without regard to how signs and powers are set."""
    return re.findall(r"\d+(?:[.,]\d+)*", text)


def test_readme_shows_the_verdicts_of_the_committed_results():
    sys.path.insert(0, str(ROOT / "docs" / "results"))
    import make_page

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    results = json.loads((ROOT / "docs" / "results" / "chapter37.json").read_text(encoding="utf-8"))
    assert readme == make_page.with_table(readme)
    for row in results["claims"]:
        (shown,) = re.findall(rf"^\| {re.escape(row['id'])} \| (.*) \| (.*) \| (.*) \|$", readme, re.MULTILINE)
        assert shown[:2] == (row["claimed"], row["verdict"])
        assert numbers_in(shown[2]) == numbers_in(row["effect"] or row["measured"])


def test_the_page_of_results_is_what_the_results_say():
    folder = ROOT / "docs" / "results"
    sys.path.insert(0, str(folder))
    import make_page

    page = (folder / "README.md").read_text(encoding="utf-8")
    assert page == make_page.page()
    for name, text in make_page.fragments().items():
        assert (make_page.FRAGMENTS / f"{name}.md").read_text(encoding="utf-8") == text
    assert {path.stem for path in folder.glob("*.json")} <= set(make_page.TITLES)
    for name in make_page.TITLES:
        claims = (make_page.load(name) or {"claims": []})["claims"]
        fragment = (make_page.FRAGMENTS / f"{name}.md").read_text(encoding="utf-8").partition("{list-table}")[2]
        cells = re.split(r"^\* -", fragment.partition("````")[0], flags=re.MULTILINE)[2:]
        for row, shown in zip(claims, cells, strict=True):
            assert f"| {row['id']} | {make_page.typeset(row['claimed'])} | {row['verdict']} |" in page
            assert numbers_in(tame(shown)) == numbers_in(tame(" ".join(row[key] for key in ORDER)))
    results = [make_page.load(name) for name in make_page.TITLES]
    verdicts = [row["verdict"] for found in results if found for row in found["claims"]]
    counted = re.findall(r"(\d+)\s([a-z ]+[a-z])", page.partition("\n| all |")[2].partition("\n")[0])
    assert {word: int(count) for count, word in counted} == {
        words: verdicts.count(verdict) for verdict, words in make_page.VERDICTS.items() if verdict in verdicts
    }


ORDER = ("id", "claimed", "verdict", "effect", "measured")


def tame(text):
    """Return a text without powers of ten, which print sets in other letters."""
    text = re.sub(r"\d[\d.]*e\+\d+", lambda match: f"{float(match[0]):,.0f}", text)
    return re.sub(r"(?:\d[\d.]*\s×\s)?10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+|\d[\d.]*e-\d+", "", text)


def test_the_page_on_speed_is_what_the_benchmark_says():
    folder = ROOT / "docs" / "results"
    if not (folder / "benchmark.json").exists():
        pytest.skip("the benchmark has not been run in full")
    sys.path.insert(0, str(folder))
    import make_speed

    data = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "speed.md").read_text(encoding="utf-8") == make_speed.page(data)


def test_the_page_on_gpus_is_what_the_report_says():
    sys.path.insert(0, str(ROOT / "docs" / "results"))
    import make_gpu

    assert (ROOT / "docs" / "practice" / "gpu.md").read_text(encoding="utf-8") == make_gpu.page()


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_the_verdicts_of_committed_results_are_those_of_the_scripts(path):
    sys.path.insert(0, str(ROOT / "examples"))
    import lab.results

    script = importlib.import_module(path.stem.removesuffix("_gpu"))
    data = json.loads(path.read_text(encoding="utf-8"))
    results = lab.results.Results.__new__(lab.results.Results)
    results.data = data
    assert script.verdicts(results) == data["claims"]
    assert not any("quick" in row["measured"] for row in data["claims"])


@pytest.fixture
def module(monkeypatch):
    """Return an empty module, where pickle finds the classes of a page."""
    monkeypatch.setitem(sys.modules, "page", types.ModuleType("page"))
    return sys.modules["page"].__dict__


@pytest.mark.parametrize("page", PAGES)
def test_no_block_of_code_is_left_out(page):
    """Python is executed; shell is looked at; and there is nothing else but what is no code."""
    for language, arguments, _ in read(page):
        assert language in {"python", "sh", *NOT_CODE} or (language, arguments) in {
            ("{code-block}", "none"),
            ("{code-block}", "python"),  # the one for PyTorch, which has a test of its own
        }, f"{page}: {language} {arguments}"


ELSEWHERE = {"docs/write_your_own_optimizer.md"}  # run by `test_own_project.py`
RUN = [page for page in PAGES if page not in ELSEWHERE and any(language == "python" for language, _, _ in read(page))]


@pytest.mark.parametrize("page", RUN)
def test_the_python_of_a_page_runs_and_prints_what_it_says(page, module, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # files that a page writes are to go there
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if page in ("README.md", "README.pt-BR.md"):  # which prints no numbers, so that few images will do
        train, test = minidl.load_mnist()
        monkeypatch.setattr(minidl, "load_mnist", lambda: (train[:1000], test[:1000]))
        module["MyLayer"] = minidl.ReLU
    for language, _, text in read(page):
        if language == "python":
            exec(compile(text, page, "exec"), module)
        elif language == "text":
            assert capsys.readouterr().out == text
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_have_the_options_that_a_page_gives_them(page, capsys, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    for language, _, text in read(page):
        lines = text.splitlines() if language == "sh" else []
        for script, given in re.findall(r"python examples/(\w+)\.py(.*)", "\n".join(lines)):
            with pytest.raises(SystemExit) as end:
                importlib.import_module(script).main([*shlex.split(given, comments=True), "--help"])
            if isinstance(end.value.code, str) and "install" in end.value.code:
                pytest.skip(end.value.code)
            assert end.value.code == 0
            known = capsys.readouterr().out
            assert all(option in known for option in re.findall(r"--[a-z-]+", given.split("#")[0]))


def test_pytorch_does_the_same_step_as_the_page_says(module):
    pytest.importorskip("torch")
    for language, arguments, text in read("docs/pytorch.md"):
        if (language, arguments) in {("python", ""), ("{code-block}", "python")}:
            exec(text.removeprefix(":class: pytorch\n"), module)
    np.testing.assert_allclose(module["torch_losses"], module["minidl_losses"], rtol=1e-5)
    for theirs, name in zip(module["net"].parameters(), ("0.W", "0.b", "2.W", "2.b"), strict=True):
        layer, ours = module["model"].layers[int(name[0])], name[2:]
        np.testing.assert_allclose(theirs.detach().numpy().T, getattr(layer, ours), rtol=1e-4, atol=1e-6)


def test_the_layers_of_the_page_take_less_than_forty_lines(module):
    """From an empty file: the imports, the class, and the call that proves it."""
    code = "\n".join(text for language, _, text in read("docs/write_your_own_layer.md") if language == "python")
    imports = next(text for language, _, text in read("docs/write_your_own_layer.md") if language == "python")
    classes = {node.name: ast.unparse(node) for node in ast.parse(code).body if isinstance(node, ast.ClassDef)}
    for name, make in (("Tanh", "Tanh"), ("LeakyReLU", "LeakyReLU"), ("Gain", "lambda: Gain(4)")):
        program = f"{imports}\n{classes[name]}\ncheck_layer({make})\n"
        assert len(program.splitlines()) < 40
        exec(program, module)


SOURCES = sorted((ROOT / "minidl").rglob("*.py"), key=str)
SHOWN = re.compile(r"\n\n((?: {4}.*\n?(?:\n(?= {4}))?)+)")


def shown_in_docstrings(path):
    """Yield what docstrings show as code: indented paragraphs that are Python and call something; no formulas."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            for block in SHOWN.findall(ast.get_docstring(node) or ""):
                code = dedent(block).replace("…", "...")
                try:
                    tree = ast.parse(code)
                except SyntaxError:
                    continue
                if any(isinstance(part, ast.Call | ast.Import | ast.ImportFrom) for part in ast.walk(tree)):
                    yield code


DOCSTRING_CODE = [
    pytest.param(code, id=f"{path.stem}-{number}")
    for path in SOURCES
    for number, code in enumerate(shown_in_docstrings(path))
]


@pytest.mark.parametrize("code", DOCSTRING_CODE)
def test_the_code_in_docstrings_runs(code, small_data):
    train = minidl.Dataset(np.tile(small_data.x, (20, 1)), np.tile(small_data.labels, 20))
    layers = minidl.Dense(5, 8), minidl.ReLU(), minidl.Dense(8, 8), minidl.ReLU(), minidl.Dense(8, 2)
    model, optimizer = minidl.Sequential(*layers, minidl.LogSoftmax(), seed=0), minidl.SGD()

    def fit(*given, **options):
        """Train with what the docstring leaves out filled in."""
        given = [argument for argument in given if argument is not ...] or [model, optimizer, train]
        return minidl.fit(*given, given[-1], **({"epochs": 1, "batch_size": 100} | options))

    names = vars(minidl) | vars(minidl.testing) | vars(strategies) | {"given": hypothesis.given, "fit": fit}
    names |= {"minidl": minidl, "model": model, "optimizer": optimizer, "train": train}
    names |= {"MyLayer": minidl.ReLU, "MyLoss": minidl.NLLLoss, "MyOptimizer": minidl.Adam, "reference": None}
    names |= {"x": train.x, "position": np.ones(2), "gradient": lambda position: position}
    names |= {name: getattr(minidl.optimizers, name) for name in ("argument", "dataclass", "positive", "sqrt")}
    exec(code, names)
    for name in [name for name in names if name.startswith("test_")]:
        names[name]()


def test_docstrings_show_code_as_paragraphs():
    """There are no lines of an interpreter's prompt, which nothing here would run."""
    assert len(DOCSTRING_CODE) >= 8
    assert not [path for path in SOURCES if ">>>" in path.read_text(encoding="utf-8")]
