"""The projects that pages write: run outside the repository, as by somebody who has installed minidl."""

import ast
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import minidl

DOCS = Path(__file__).parent.parent / "docs"
CAPTIONED = re.compile(r"^```\{code-block\} python\n:caption: (\S+)\n\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLAIN = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(page):
    return (DOCS / page).read_text(encoding="utf-8")


def run(folder, *command):
    """Run a command of Python in a folder where nothing but minidl can be imported from elsewhere."""
    installed = str(Path(minidl.__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": installed, "MYPYPATH": installed, "CI": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


FEWER = """\
from hypothesis import Phase
settings.register_profile("ci", minidl_profile, derandomize=True, max_examples=15, phases=[Phase.generate])
"""


@pytest.fixture
def project(tmp_path):
    """Write the files of the page on property tests, with fewer examples than it has."""
    files = CAPTIONED.findall(read("property_tests.md"))
    tests = {f"tests/test_{name}.py" for name in ("networks", "swish", "training")}
    assert {name for name, _ in files} == {"conftest.py", "swish.py", *tests}
    for name, text in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(re.sub(r'settings.register_profile\("ci".*\n', FEWER, text), encoding="utf-8")
    assert FEWER in (tmp_path / "conftest.py").read_text(encoding="utf-8")
    return tmp_path


def test_the_project_of_the_page_on_property_tests(project):
    ended = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error")
    assert ended.returncode == 0, ended.stdout
    assert "7 passed" in ended.stdout


def test_the_project_notices_a_mistake(project):
    """A property that holds whatever the layer does would be worth nothing."""
    file = project / "swish.py"
    file.write_text(file.read_text(encoding="utf-8").replace("y * (1 - sigma)", "y * sigma"), encoding="utf-8")
    two = {"test_swish_keeps_the_contract", "test_gradients_of_any_network_with_swish"}
    ended = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-k", " or ".join(two))
    assert two <= set(re.findall(r"^FAILED \S+::(\w+)", ended.stdout, re.MULTILINE))


def test_the_page_on_optimizers_runs_by_itself(tmp_path):
    page = read("write_your_own_optimizer.md")
    (tmp_path / "lion.py").write_text("\n".join(PLAIN.findall(page)), encoding="utf-8")
    ended = run(tmp_path, "-W", "error", "lion.py")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "".join(PRINTED.findall(page))


def last_of_each(page):
    """Return the code of a page; of classes with one name, which it writes again and again, only the last."""
    body = ast.parse("\n".join(PLAIN.findall(page))).body
    last = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    once = [last.pop(node.name, None) if isinstance(node, ast.ClassDef) else node for node in body]
    return "\n".join(ast.unparse(node) for node in once if node is not None)


@pytest.mark.skipif(find_spec("mypy") is None, reason="needs mypy")
def test_mypy_has_nothing_against_what_the_pages_write(project, pytestconfig):
    """What mypy finds out about NumPy takes it ten seconds, so that is kept with what pytest keeps."""
    for page in ("write_your_own_layer", "write_your_own_container", "write_your_own_optimizer"):
        (project / f"{page}.py").write_text(last_of_each(read(f"{page}.md")), encoding="utf-8")
    kept = pytestconfig.cache.mkdir("mypy")
    ended = run(project, "-m", "mypy", "--strict", "--follow-imports=silent", f"--cache-dir={kept}", ".")
    assert ended.returncode == 0, ended.stdout
    assert "no issues found in 8 source files" in ended.stdout
