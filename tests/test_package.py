"""Properties of the source as a book."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import checks

PACKAGE = Path(minidl.__file__).parent
SOURCES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        path.read_text(encoding="utf-8")
    )
    for path in sorted(PACKAGE.rglob("*.py"))
}
PATH = ["backend", "initializers", "layers", "losses", "optimizers", "model", "loop", "datasets", "fitting"]
"""The short path, in reading order."""
BASES = {  # what a module of the path builds on besides those before it, and a reader may skip
    "layers": {"checks", "parameters.views"},
    "loop": {"inspection.curves"},
    "losses": {"checks"},
    "optimizers": {"checks", "parameters.blocks", "parameters.optimizer_state", "regularization.weight_decay"},
    "model": {"checks", "checks.chain", "parameters.freezing", "parameters.memory", "parameters.parts"},
    "datasets": {"checks", "checks.data", "inspection.curves", "preparation.splitting"},
}
ATTACHED = ("callbacks.", "checks", "learning_rate.schedules", "regularization.augmentation")
"""What `fitting` attaches to the loop."""


def imported(tree, whole=False):
    """Return the modules of minidl that a source imports at its top level; ``whole``: also those in functions."""
    nodes = ast.walk(tree) if whole else tree.body
    return [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module.startswith("minidl")]


def siblings(tree):
    return [name.removeprefix("minidl.") for name in imported(tree)]


def test_the_root_of_the_package_is_the_short_path():
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", "__main__", *PATH}
    order = list(dict.fromkeys(name for name in siblings(SOURCES["minidl"]) if "." not in name))
    assert order == PATH


def test_the_short_path_is_short():
    lines = {path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.glob("*.py")}
    assert sum(lines.values()) <= 1500


def test_a_module_of_the_path_imports_only_what_the_reader_has_met():
    for position, name in enumerate(PATH):
        for other in siblings(SOURCES[f"minidl.{name}"]):
            met = other in PATH[:position] or other in BASES.get(name, ())
            assert met or (name == "fitting" and other.startswith(ATTACHED)), f"{name} imports {other}"


def test_no_module_imports_itself_by_way_of_others():
    done = set()

    def visit(name, above):
        assert name not in above, " -> ".join([*above, name])
        if name not in done and name != "minidl":
            for other in imported(SOURCES[name]):
                visit(other, [*above, name])
            done.add(name)

    for name in SOURCES:
        visit(name, [])


def lines_until_forward(function):
    """Return how many lines lie between the ``def`` of a function and its first forward pass."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Attribute) and node.attr == "forward"]
    return min(call.lineno for call in calls) - function.lineno - 1


def test_the_loop_begins_at_once():
    (descend,) = [node for node in SOURCES["minidl.loop"].body if getattr(node, "name", "") == "descend"]
    assert lines_until_forward(descend) <= 6


@pytest.mark.parametrize("name", ["layers", "losses", "optimizers"])
def test_the_engine_does_not_know_numpy(name):
    names = [
        alias.name
        for node in ast.walk(SOURCES[f"minidl.{name}"])
        if isinstance(node, ast.Import)
        for alias in node.names
    ]
    assert not {"numpy", "cupy"} & set(names)


def listed(text, pattern):
    """Return the modules that a text lists, as the package names them."""
    return [name.replace("/", ".") for name in re.findall(pattern, text, re.MULTILINE)]


def test_readme_lists_the_path_in_reading_order_and_every_other_module_once():
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    assert listed(readme, r"^\d+\. \[`([\w/]+)\.py`\]\(minidl/") == PATH
    linked = listed(readme, r"\]\(minidl/([\w/]+)\.py\)")
    modules = {name.removeprefix("minidl.") for name in SOURCES} - {"minidl", "__main__"}
    packages = {name.rpartition(".")[0] for name in modules}
    testing = {name for name in modules if name.startswith("testing.")}  # has a page of its own
    assert sorted(linked) == sorted(modules - packages - testing - {"machine.command_line"})


def test_readme_gives_an_honest_time_for_the_path():
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    stated, rate = re.search(r"about two hours \(([\d,]+) lines at\n?\s?(\d+) lines a minute\)", readme).groups()
    lines = sum(len((PACKAGE / f"{name}.py").read_text(encoding="utf-8").splitlines()) for name in PATH)
    assert abs(lines - int(stated.replace(",", ""))) <= 10
    assert 110 <= lines / int(rate) <= 130


def test_every_public_name_is_documented():
    for name in minidl.__all__:
        assert getattr(minidl, name).__doc__, name


def test_version_is_that_of_the_package():
    setup = (PACKAGE.parent / "setup.cfg").read_text(encoding="utf-8")
    assert f"version = {minidl.__version__}\n" in setup
    assert f"\nversion: {minidl.__version__}\n" in (PACKAGE.parent / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {minidl.__version__}" in (PACKAGE.parent / "CHANGELOG.md").read_text(encoding="utf-8")


def test_importing_brings_in_little_besides_numpy():
    heavy = (
        "matplotlib",
        "numpy.random",
        "cupy",
        "hypothesis",
        "tqdm",
        "threadpoolctl",
        "importlib.resources",
        "minidl.machine.doctor",
    )
    code = "import sys; before = set(sys.modules); import minidl; "  # some environments bring in a few by themselves
    code += f"print([name for name in {heavy} if name in set(sys.modules) - before])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("name", ["positive", "not_negative", "below_one", "up_to_one"])
@pytest.mark.parametrize("value", [np.float64(0.5), np.float32(0.5)])
def test_checks_return_plain_floats(name, value):
    checked = getattr(checks, name)("x", value)
    assert type(checked) is float
    assert (np.ones(1, "float32") * checked).dtype == np.float32


def test_whole_numbers_become_plain():
    assert type(checks.positive_int("n", np.int32(3))) is int
