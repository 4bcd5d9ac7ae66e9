"""What README and docs show is what the code does and what was measured."""

import importlib
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import minidl

ROOT = Path(__file__).parent.parent


def test_the_figures_can_be_made(tmp_path):
    figures = ROOT / "docs" / "figures"
    subprocess.run([sys.executable, figures / "make_figures.py", tmp_path], check=True)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"augmentation.png", "lr_range_test.png", "schedules.png"}
    assert made <= {path.name for path in figures.iterdir()}


def test_readme_shows_the_verdicts_of_the_committed_results():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    results = json.loads((ROOT / "docs" / "results" / "chapter37.json").read_text(encoding="utf-8"))
    rows = [f"| {row['id']} | {row['claimed']} | {row['measured']} | {row['verdict']} |" for row in results["claims"]]
    assert "\n".join(rows) in readme


def test_the_page_of_results_is_what_the_results_say():
    folder = ROOT / "docs" / "results"
    sys.path.insert(0, str(folder))
    import make_page

    assert (folder / "README.md").read_text(encoding="utf-8") == make_page.page()
    for name in make_page.TITLES:
        assert (make_page.FRAGMENTS / f"{name}.md").read_text(encoding="utf-8") == make_page.fragment(name)
    assert {path.stem for path in folder.glob("*.json")} <= set(make_page.TITLES)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_the_verdicts_of_committed_results_are_those_of_the_scripts(path):
    sys.path.insert(0, str(ROOT / "examples"))
    import experiment

    script = importlib.import_module(path.stem)
    data = json.loads(path.read_text(encoding="utf-8"))
    results = experiment.Results.__new__(experiment.Results)
    results.data = data
    assert script.verdicts(results) == data["claims"]
    assert not any("quick" in row["measured"] for row in data["claims"])


def test_the_python_in_readme_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code, check = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(check, {"MyLayer": minidl.ReLU})
    names = {}
    exec(code, names)
    assert names["history"].test_accuracy[-1] > 0.9


def test_the_page_on_layers_runs_and_prints_what_it_says(capsys, monkeypatch):
    page = (ROOT / "docs" / "write_your_own_layer.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(python|text)\n(.*?)```", page, re.DOTALL)
    monkeypatch.setitem(sys.modules, "page", types.ModuleType("page"))  # where pickle looks for the page's classes
    for kind, text in blocks:
        if kind == "python":
            exec(text, sys.modules["page"].__dict__)
        else:
            assert capsys.readouterr().out == text
    assert capsys.readouterr().out == ""
