"""The published verdicts are those that the rules give on the published results."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

import minidl

ROOT = Path(minidl.__file__).parent.parent
sys.path.insert(0, str(ROOT / "examples"))

from lab.results import Results  # noqa: E402

EXPERIMENTS = ("chapter37", "chapter38", "chapter39", "learning_rate", "fine_tuning", "overfitting", "optimizers")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_rules_give_the_published_verdicts(name):
    spec = importlib.util.spec_from_file_location(f"published_{name}", ROOT / "examples" / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    results = object.__new__(Results)
    results.data = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    claims = script.verdicts(results)
    assert [row["id"] for row in claims] == list(script.CLAIMS)
    assert claims == results.data["claims"]
