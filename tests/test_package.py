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
SOURCES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.glob("*.py"))}


def imported(tree):
    """Return the modules that a source imports, in order of appearance, and leave out imports for types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def siblings(tree):
    return [name.split(".")[1] for name in imported(tree) if name.startswith("minidl.")]


READING_ORDER = ["backend", "checks", *siblings(SOURCES["__init__"])]


def test_a_module_imports_only_what_the_reader_has_met():
    order = list(dict.fromkeys(READING_ORDER))
    assert set(SOURCES) - {"__init__", "__main__", "doctor"} == set(order)  # what the package itself does not use
    for position, name in enumerate(order):
        for other in siblings(SOURCES[name]):
            assert other in order[:position], f"{name} imports {other}, which comes later"


@pytest.mark.parametrize("name", ["layers", "losses", "optimizers"])
def test_the_engine_does_not_know_numpy(name):
    assert not [module for module in imported(SOURCES[name]) if module.split(".")[0] in ("numpy", "cupy")]


def test_readme_lists_the_modules_in_reading_order():
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\d+\. \[`(\w+)(?:\.py)?`\]", readme, re.MULTILINE)
    assert listed == [*dict.fromkeys(READING_ORDER), "testing", "doctor"]


def test_the_map_lists_the_modules_in_reading_order():
    page = (PACKAGE.parent / "docs" / "start" / "map.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+) \| \[(\w+)\]", page, re.MULTILINE)
    assert listed == [
        (str(number), name) for number, name in enumerate([*dict.fromkeys(READING_ORDER), "testing", "doctor"], start=1)
    ]


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
        "minidl.machine",
    )
    code = f"import sys, minidl; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("name", ["positive", "not_negative", "below_one", "up_to_one"])
@pytest.mark.parametrize("value", [np.float64(0.5), np.float32(0.5)])
def test_checks_return_plain_floats(name, value):
    checked = getattr(checks, name)("x", value)
    assert type(checked) is float
    assert (np.ones(1, "float32") * checked).dtype == np.float32


def test_whole_numbers_become_plain():
    assert type(checks.positive_int("n", np.int32(3))) is int
