"""Ranks under mpiexec train as one process does, and refuse to train apart."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SCRIPT = TESTS.parent / "examples" / "data_parallel.py"
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or MPIEXEC is None, reason="needs the extra mpi: mpi4py and mpiexec"
)


def mpiexec(ranks, *line):
    """Return what became of so many ranks of a script, each with one thread."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    line = [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, line)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120, env=environment)


@pytest.mark.parametrize("case", ["equal", "dropout", "batch_norm"])
@pytest.mark.parametrize("ranks", [1, 2])
def test_ranks_train_as_one_process(case, ranks):
    done = mpiexec(ranks, TESTS / "data_parallel_ranks.py", case)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done") == ranks  # their lines may run into each other


@pytest.mark.parametrize("case", ["equal", "dropout"])
def test_three_ranks_have_uneven_parts(case):
    done = mpiexec(3, TESTS / "data_parallel_ranks.py", case)
    assert done.returncode == 0, done.stderr


def test_the_model_of_costs():
    done = mpiexec(1, TESTS / "data_parallel_ranks.py", "model_of_costs")
    assert done.returncode == 0, done.stderr


def test_ranks_that_disagree_are_refused_by_name():
    done = mpiexec(2, TESTS / "data_parallel_ranks.py", "refusals")
    assert done.returncode == 0, done.stderr


def test_the_script_names_what_differs():
    rest = ["--train-size", "300", "--epochs", "1", ":", "-n", "1", sys.executable, SCRIPT, "--train-size", "400"]
    done = mpiexec(1, SCRIPT, *rest, "--epochs", "1")
    assert done.returncode == 1
    assert "shape of the data: rank 1 has (400, 784) float32, (400,) int64, rank 0 (300, 784) float32" in done.stderr
    assert "Traceback" not in done.stderr


def test_ranks_that_drift_apart_are_noticed():
    done = mpiexec(2, TESTS / "data_parallel_ranks.py", "drift")
    assert done.returncode == 1
    assert "The ranks disagree. parameters after epoch 2: rank 1 has " in done.stderr


def test_a_rank_that_fails_ends_the_others():
    done = mpiexec(2, TESTS / "data_parallel_ranks.py", "failure")
    assert done.returncode != 0
    assert "RuntimeError: out of luck" in done.stderr
    assert "Rank 1 of 2 failed, and ends all others." in done.stderr


def test_bad_options_are_refused():
    done = mpiexec(1, SCRIPT, "--batch-size", "0")
    assert done.returncode != 0
    assert "--batch-size: expected 1 to 60,000, got 0" in done.stderr


def test_the_script_trains_and_measures(tmp_path):
    printed = [mpiexec(ranks, SCRIPT, "--train-size", "500", "--epochs", "1", "--lr", "0.1") for ranks in (1, 2)]
    ends = [done.stdout.splitlines()[-1].split(", after")[0] for done in printed]
    assert ends[0] == ends[1]
    assert ends[0].startswith("epoch 1: test loss")
    for ranks in (1, 2):
        done = mpiexec(ranks, SCRIPT, "--measure", "--measure-batches", "8", "32", "--steps", "3", "--out", tmp_path)
        assert done.returncode == 0, done.stderr
    assert "speed-up" in done.stdout
    assert "With two ranks the exchange takes longer than the arithmetic below" in done.stdout
    runs = json.loads((tmp_path / "data_parallel.json").read_text())["runs"]
    assert [run["name"] for run in runs] == [
        "1 × 1 threads, batch 32",
        "1 × 1 threads, batch 8",
        "2 × 1 threads, batch 32",
        "2 × 1 threads, batch 8",
        "2 × 1 threads, exchange",
    ]
    assert (tmp_path / "data_parallel.png").read_bytes().startswith(b"\x89PNG")
