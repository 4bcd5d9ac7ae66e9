"""The notebooks, executed in a kernel of their own, as Jupyter does: the one that is committed, and those of pages."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

DOCS = Path(__file__).parent.parent / "docs"
FOLDER = DOCS / "notebooks"
sys.path.insert(0, str(DOCS))
if find_spec("jupytext") and find_spec("black"):
    import notebooks

    PAGES = notebooks.pages()
else:
    skip = pytest.mark.skip("pages become notebooks where minidl[docs] is installed")
    PAGES = [pytest.param(None, id="page", marks=skip)]


def execute(notebook, tmp_path_factory):
    """Execute all cells of a notebook; an exception in one of them is an error."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name)))  # whoever runs the tests may have no home
        where = {"metadata": {"path": str(tmp_path_factory.mktemp("here"))}}  # files that it writes are to go there
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    return notebook


@pytest.fixture(scope="module", params=sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def executed(request, tmp_path_factory):
    """Return a notebook that is committed after all its cells have been executed."""
    return execute(nbformat.read(request.param, as_version=4), tmp_path_factory)


def outputs(notebook, kind):
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


def printed(notebook, stream="stdout"):
    return "".join(
        output["text"] for cell in notebook.cells for output in cell.get("outputs", []) if output.get("name") == stream
    )


def test_it_trains_plots_and_shows_tables(executed):
    assert len(outputs(executed, "image/png")) == 3  # curves, confusion matrix, mistakes
    assert any("test accuracy" in html for html in outputs(executed, "text/html"))
    assert "of the test images are read right" in printed(executed)


def test_the_bar_is_shown_and_is_no_line_for_each_epoch(executed):
    (fit,) = [cell for cell in executed.cells if cell.source.startswith("history = minidl.fit(")]
    shown = [output for output in fit.outputs if output.get("name") == "stderr" or "widget" in str(output.get("data"))]
    assert shown
    text = "".join(output.get("text", "") for output in shown)
    assert text.count("\n") <= 1


def test_it_interrupts_resumes_and_reloads(executed):
    text = printed(executed)
    assert "stopped; 2 epochs are measured: History(2 epochs: " in text
    assert "the same losses as without the interruption: True" in text
    assert "the same classes: True" in text


def test_it_is_committed_without_outputs():
    for path in FOLDER.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


def test_the_path_and_the_experiments_are_notebooks():
    pytest.importorskip("jupytext")
    names = [page.stem for page in PAGES]
    assert names[:2] == ["backend", "initializers"]
    assert {"fitting", "chapter37", "batch_and_rate"} <= set(names)
    assert len(names) >= 9 + 7


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_notebook_of_a_page_prints_what_the_page_shows(page, tmp_path_factory):
    notebook = notebooks.notebook(page)
    install = notebook.cells.pop(0)
    assert re.search(r"^%pip install .*\.$", install.source, re.MULTILINE)
    execute(notebook, tmp_path_factory)
    shown = re.findall(r"^```python\n.*?^```\n\n```text\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    assert printed(notebook) == "".join(shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_text_of_a_notebook_is_plain_markdown(page):
    text, solutions = page.read_text(encoding="utf-8"), []
    for cell in notebooks.notebook(page).cells:
        if cell.cell_type == "code":
            solutions += [cell] if "solution" in cell.metadata.get("tags", []) else []
            continue
        prose = re.sub(r"^```.*?^```$", "", cell.source, flags=re.MULTILINE | re.DOTALL)
        assert not re.search(r"\{[\w:-]+\}`|^\{[.#]|`{3,}\{|\.noeval|^:\w+:", cell.source, re.MULTILINE), cell.source
        assert not re.search(r"\]\((?!https?:|attachment:)\S", prose), cell.source  # a link to a file
        for name in re.findall(r"\(attachment:([^)]+)\)", prose):
            assert all(cell.attachments[name].values())
    folded = re.findall(r"^````\{dropdown\}(.*?)^````$", text, re.MULTILINE | re.DOTALL)
    assert len(solutions) == sum(part.count("```python\n") for part in folded)
    assert all(cell.metadata.jupyter.source_hidden for cell in solutions)


def test_a_page_becomes_cells(tmp_path):
    pytest.importorskip("jupytext")
    (tmp_path / "part.md").write_text("![A dot](dot.svg)\n\n{.wide}\n| a |\n|---|\n| [b](b.md) |\n", encoding="utf-8")
    (tmp_path / "dot.svg").write_text("<svg/>")
    (tmp_path / "code.py").write_text('def f():\n    """Text."""\n    return 1\n', encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    install, *cells = notebooks.notebook(page).cells
    assert install.metadata.tags == ["install"]
    assert cells[1].source == "print(1)"
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [cell.source for cell in code] == ["print(1)", "x = 2"]
    assert "jupyter" not in code[0].metadata
    assert code[1].metadata.jupyter.source_hidden
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "# Title\n\nSee *this* page, [that](https://example.org) and a batch." in text
    assert "```python\ndef f():\n    return 1\n```" in text
    assert "![A dot](attachment:dot.svg)" in text
    assert "![A dot (0, 1)](attachment:dot.svg)\n\nThe dot" in text
    assert "* - A1\n  - Measured:\n    one" in text
    assert "| b |" in text
    assert "**Exercise 1: two**\n\nWhat is 2?" in text
    assert "<details><summary>Solution</summary>\n\nTwo.\n\n</details>" in text
    assert not any(word in text for word in ("{.wide}", "1\n\nAfter", "toctree", "noeval"))
    attached = [cell.attachments for cell in cells if "attachments" in cell]
    assert attached == 2 * [{"dot.svg": {"image/svg+xml": "PHN2Zy8+"}}]


PAGE = """# Title

See [*this* page](other.md), [that](https://example.org) and a {term}`batch <batches>`.

```python
print(1)
```

```text
1
```

After.

```{literalinclude} code.py
:pyobject: f
:without-docstring:
```

```{include} part.md
```

````{container} panels
```{figure} dot.svg
:alt: "A dot [0, 1]"

The dot
```
````

````{list-table}
:header-rows: 1

* - A1
  - ```{dropdown} Measured
    one
    ```
````

```{toctree}
other
```

```{admonition} Exercise 1: two
What is 2?
```

````{dropdown} Solution
Two.

```python
x = 2
```
````

```sh
ls
```
"""
