"""The notebooks, executed in a kernel of their own as Jupyter does it."""

from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"


@pytest.fixture(scope="module", params=sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def executed(request, tmp_path_factory):
    """Return a notebook after all its cells have been executed; an exception in one of them is an error."""
    notebook = nbformat.read(request.param, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name)))  # whoever runs the tests may have no home
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return notebook


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
