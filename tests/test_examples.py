"""The examples: results kept, taken up and never lost; verdicts right; the pictures and numbers that docs show."""

import importlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl.machine import doctor

ROOT = Path(minidl.__file__).parent.parent
EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(EXAMPLES))

import chapter37  # noqa: E402
import lab.claims  # noqa: E402
import lab.command_line  # noqa: E402
import lab.conduct  # noqa: E402
import lab.environment  # noqa: E402
import lab.formats  # noqa: E402
import lab.results  # noqa: E402
import lab.runs  # noqa: E402

SCRIPTS = ("chapter37", "chapter38", "chapter39", "learning_rate", "fine_tuning", "overfitting", "optimizers")
SCRIPTS += ("batch_and_rate",)
TINY = ["--epochs", "2", "--train-size", "300", "--backend", "numpy"]


@pytest.fixture
def call(mnist, monkeypatch, capsys):
    """Return a function that calls the example as a command does, with few test images; it returns what is printed."""
    few = mnist[0], mnist[1][:500]
    monkeypatch.setattr(minidl, "load_mnist", lambda: few)

    def run(out, *options):
        capsys.readouterr()
        chapter37.main([*TINY, "--jobs", "1", "--out", str(out), *options])  # others would load all images
        return capsys.readouterr().out

    return run


def without_seconds(path):
    results = json.loads(path.read_text())
    for run in results["runs"]:
        run.pop("seconds")
        run["history"].pop("seconds")
    return results


def command(out, jobs):
    """Return a command, and the environment in which it has one thread for matrix products in each of its jobs."""
    options = [*TINY, "--epochs", "1", "--batch-sizes", "30", "300", "--seeds", "0", "1"]
    options += ["--out", str(out), "--jobs", str(jobs)]
    return [sys.executable, EXAMPLES / "chapter37.py", *options], os.environ | {"OPENBLAS_NUM_THREADS": str(jobs)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a folder of results and what was printed, of a whole process that nobody disturbed."""
    out = tmp_path_factory.mktemp("results")
    line, environment = command(out, 1)
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment)
    return out, done.stdout


def test_results_have_the_documented_shape(finished):
    out, printed = finished
    results = json.loads((out / "chapter37.json").read_text())
    assert list(results) == ["experiment", "settings", "environment", "runs", "claims"]
    assert results["experiment"] == "chapter37"
    assert [(run["name"], run["seed"]) for run in results["runs"]] == [
        (f"batch {size}", seed) for size in (30, 300) for seed in (0, 1)
    ]
    for run in results["runs"]:
        assert list(run) == ["name", "seed", "batch_size", "blas_threads", "seconds", "history"]
        assert run["blas_threads"] == 1
        assert set(run["history"]) == set(minidl.History().to_dict())
        assert all(len(values) == 1 for values in run["history"].values())
    assert [claim["id"] for claim in results["claims"]] == list(chapter37.CLAIMS)
    assert all(claim["verdict"] == "not tested in this run" for claim in results["claims"])
    assert (out / "chapter37.png").read_bytes().startswith(b"\x89PNG")
    shown = printed.partition("What this run shows")[2]
    assert shown.count("\n- ") == 3  # in place of a table in which nothing is decided
    assert "not tested" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines() if str(out) not in line)
    ends = {run["batch_size"]: [] for run in results["runs"]}
    for run in results["runs"]:
        ends[run["batch_size"]].append(run["history"]["test_accuracy"][-1])
    best, worst = sorted(ends, key=lambda size: -sum(ends[size]))
    assert f"batch {best}: {50 * sum(ends[best]):.1f} %, batch {worst}: {50 * sum(ends[worst]):.1f} %" in " ".join(
        shown.split()
    )
    assert sorted(path.name for path in out.iterdir()) == ["chapter37.json", "chapter37.png"]


def test_an_interrupted_experiment_goes_on_and_ends_the_same(tmp_path, call):
    everything = "--batch-sizes", "30", "100", "--seeds", "0", "1"
    call(tmp_path / "whole", *everything)
    call(tmp_path / "again", "--batch-sizes", "100", "--seeds", "1")
    assert "1 of 4 runs were finished earlier" in call(tmp_path / "again", *everything)
    whole, again = (without_seconds(tmp_path / name / "chapter37.json") for name in ("whole", "again"))
    assert again == whole


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_between_any_two_runs_an_experiment_ends_the_same(finished, tmp_path, jobs):
    line, environment = command(tmp_path, jobs)
    kills = 0
    for call, delay in enumerate(np.random.default_rng(jobs).uniform(0, 0.5, 3 - jobs)):
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, env=environment)
        until(lambda already=call: runs_in(tmp_path / "chapter37.json") > already)
        time.sleep(delay)
        kills += process.poll() is None
        process.kill()
        process.wait()
    assert kills
    subprocess.run(line, stdout=subprocess.DEVNULL, check=True, env=environment)
    assert without_seconds(tmp_path / "chapter37.json") == without_seconds(finished[0] / "chapter37.json")


def runs_in(path):
    return len(json.loads(path.read_text())["runs"]) if path.exists() else 0


def wait_a_minute(settings, seed):
    (Path(settings["folder"]) / str(seed)).write_text(str(os.getpid()))
    time.sleep(60)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
def test_workers_end_with_a_killed_parent(tmp_path):
    code = f"""
import pathlib, test_examples
from lab import conduct, results, runs
runs = [runs.Run("wait", seed, test_examples.wait_a_minute, {{}}) for seed in (0, 1)]
if __name__ == "__main__":
    path = pathlib.Path({str(tmp_path / "wait.json")!r})
    results = results.Results(path, {{"folder": {str(tmp_path)!r}}}, {{}})
    conduct.conduct(results, runs, print, print, jobs=2)
"""
    (tmp_path / "script.py").write_text(code)
    path = os.pathsep.join(map(str, (EXAMPLES, Path(__file__).parent, ROOT)))
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "script.py"], env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: all((tmp_path / seed).exists() and (tmp_path / seed).read_text() for seed in "01"))
    finally:
        parent.kill()
        parent.wait()
    workers = [int((tmp_path / seed).read_text()) for seed in "01"]
    until(lambda: not any(runs(worker) for worker in workers))


def until(condition):
    deadline = time.monotonic() + 120  # on a machine that others keep busy
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(pid):
    """Tell whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def double(settings, seed, number):
    return {"double": 2 * number}


def test_any_executor_carries_out_the_runs(tmp_path):
    results = lab.results.Results(tmp_path / "any.json", {}, {})
    runs = [lab.runs.Run("run", seed, double, {"number": seed}) for seed in range(3)]
    drawn, row = [], lab.claims.claim("A1", "two is twice one", "it is", [], lab.claims.REPRODUCED)
    with ThreadPoolExecutor(2) as executor:
        lab.conduct.conduct(results, runs, lambda results: [row], lambda results, path: drawn.append(path), 1, executor)
    assert drawn == [tmp_path / "any.png"]
    assert results.values("run", "double").tolist() == [0, 2, 4]


def test_results_of_other_settings_are_kept(tmp_path, call):
    once = "--batch-sizes", "300", "--epochs", "1"
    call(tmp_path, *once)
    first = (tmp_path / "chapter37.json").read_bytes()
    for lr in ("0.02", "0.03"):
        printed = call(tmp_path, *once, "--lr", lr)
        assert "is not of these settings and this environment; it is kept as" in printed
    assert (tmp_path / "chapter37.1.json").read_bytes() == first
    assert json.loads((tmp_path / "chapter37.2.json").read_text())["settings"]["lr"] == 0.02
    assert json.loads((tmp_path / "chapter37.json").read_text())["settings"]["lr"] == 0.03
    assert "1 of 1 runs were finished earlier" in call(tmp_path, *once)  # taken up from the file it was kept in
    assert json.loads((tmp_path / "chapter37.json").read_text())["settings"]["lr"] == 0.01


def test_two_calls_at_once_lose_nothing(tmp_path):
    one, other = (lab.results.Results(tmp_path / "chapter37.json", {}, {}) for _ in range(2))
    for results, seed in ((one, 1), (other, 0)):
        results.add({"name": "run", "seed": seed})
        results.save([])
    runs = json.loads((tmp_path / "chapter37.json").read_text())["runs"]
    assert [run["seed"] for run in runs] == [0, 1]
    assert list(tmp_path.iterdir()) == [tmp_path / "chapter37.json"]


RUN = {"name": "batch 300", "seed": 0, "history": minidl.History().to_dict()}


@pytest.mark.parametrize(
    "change",
    [
        lambda old: old | {"runs": [{}]},
        lambda old: old | {"runs": "abc"},
        lambda old: old | {"runs": [RUN | {"history": [1]}]},
        lambda old: old | {"runs": [{"name": "batch 300"}]},
        lambda old: old | {"runs": [RUN | {"history": RUN["history"] | {"epoch": [1]}}]},
        lambda old: old | {"runs": [RUN | {"history": {name: [None] for name in RUN["history"]}}]},
        lambda old: [],
        lambda old: None,
    ],
)
def test_results_that_make_no_sense_are_kept_and_not_used(tmp_path, change):
    path = tmp_path / "chapter37.json"
    results = lab.results.Results(path, {}, {})
    results.add({"name": "run", "seed": 0})
    results.save([])
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    spoiled = path.read_text()
    assert lab.results.Results(path, {}, {}).runs == []
    assert (tmp_path / "chapter37.1.json").read_text() == spoiled


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_reported(tmp_path, monkeypatch, call, out):
    monkeypatch.setattr(lab.command_line, "restart_with_newer_kernels", lambda: None)  # it would restart the tests
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="Results cannot be written: "):
        lab.command_line.run_script(lambda: call(tmp_path / out, "--batch-sizes", "30"))


def test_a_file_that_is_no_results_file_is_kept(tmp_path, call):
    (tmp_path / "chapter37.json").write_text("{half a fi")
    assert "is not of these settings and this environment; it is kept as" in call(tmp_path, "--batch-sizes", "300")
    assert (tmp_path / "chapter37.1.json").read_text() == "{half a fi"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch-sizes", "0"], "--batch-sizes: expected 1 to 300, got 0"),
        (["--batch-sizes", "64", "301"], "--batch-sizes: expected 1 to 300, got 301"),
        (["--lr", "-1"], "--lr: expected a finite number above 0, got -1.0"),
        (["--lr", "nan"], "--lr: expected a finite number above 0"),
        (["--epochs", "0"], "--epochs: expected at least 1, got 0"),
        (["--train-size", "60001"], "--train-size: expected 1 to 60,000, got 60001"),
        (["--batch-sizes", "30", "--seeds", "-1"], "--seeds: expected at least 0, got -1"),
        (["--backend", "torch"], "argument --backend: invalid choice: 'torch'"),
    ],
)
def test_bad_options_are_refused_before_any_run(tmp_path, call, capsys, options, message):
    with pytest.raises(SystemExit) as stop:
        call(tmp_path, *options)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_divergence_is_a_result(tmp_path, call):
    options = ["--batch-sizes", "30", "64", "--lr", "1e20"]
    assert "s, the loss became" in call(tmp_path, *options)
    results = json.loads((tmp_path / "chapter37.json").read_text())
    assert [run["diverged"][:15] for run in results["runs"]] == ["the loss became"] * 2
    assert next(row for row in results["claims"] if row["id"] == "A4")["measured"] == (
        "train diverged with 1 of 1 seeds, test diverged with 1 of 1 seeds (after 2 epochs on 300 images)"
    )
    assert "2 of 2 runs were finished earlier" in call(tmp_path, *options)


def results_with(tmp_path, accuracies, lr=0.01, epochs=30, seeds=3):
    """Return results in which batch size B ends with the given train and test accuracies: one pair for each seed.

    A single pair is that of all seeds, but for a nudge. After the first epoch, smaller batches are better.
    """
    settings = {"lr": lr, "epochs": epochs, "train_size": 60_000}
    results = lab.results.Results(tmp_path / "chapter37.json", settings, {})
    for size, pairs in accuracies.items():
        nudged = [tuple(value + 1e-5 * seed for value in pairs[0]) for seed in range(seeds)]
        for seed, (train, test) in enumerate(nudged if len(pairs) == 1 else pairs):
            history = minidl.History()
            history.epoch, history.train_accuracy, history.test_accuracy = [1, 2], [0.5, train], [1 / size, test]
            history.generalization_gap = [0.5 - 1 / size, train - test]
            history.updates = [-(-60_000 // size), 0]
            results.add({"name": f"batch {size}", "seed": seed, "batch_size": size, "history": history.to_dict()})
    return results


def verdicts(results):
    return {row["id"]: row["verdict"] for row in chapter37.verdicts(results)}


AS_CLAIMED = {
    1: [(0.5, 0.4)],
    60_000: [(0.3, 0.3)],
    2: [(1.0, 0.99)],
    64: [(1.0, 0.98)],
    256: [(0.99, 0.97)],
    1024: [(0.96, 0.96)],
}
DEFINITIONS = dict.fromkeys(("A1", "A2"), lab.claims.BY_DEFINITION)


def test_all_claims_can_be_reproduced(tmp_path):
    expected = dict.fromkeys(chapter37.CLAIMS, lab.claims.REPRODUCED) | DEFINITIONS
    assert verdicts(results_with(tmp_path, AS_CLAIMED)) == expected


@pytest.mark.parametrize(
    ("failing", "change"),
    [
        ({"A7"}, {1: [(1.0, 0.976)]}),  # less than half a point below 64
        ({"A7"}, {1: [(1.0, 0.9755)]}),
        ({"A3"}, {256: [(1.001, 0.97)]}),  # train accuracy does not fall from 64 to 256
        ({"A3"}, {256: [(0.99, 0.955)]}),  # test accuracy rises from 256 to 1024
        ({"A4"}, {64: [(0.994, 0.98)]}),
        ({"A4"}, {64: [(1.0, 0.9749)]}),
        ({"A5"}, {1024: [(0.96, 0.9546)]}),  # rounds to 95 %
        ({"A5"}, {1024: [(0.96, 0.9654)], 256: [(0.99, 0.97)]}),
        ({"A6"}, {2: [(1.0, 0.984)]}),
        ({"A6", "A4"}, {2: [(1.0, 0.9853)], 64: [(1.0, 0.9856)]}),
    ],
)
def test_claims_can_fail(tmp_path, failing, change):
    found = verdicts(results_with(tmp_path, AS_CLAIMED | change))
    assert {identity for identity, verdict in found.items() if verdict == "not reproduced"} == failing


def test_smaller_batches_must_be_faster_at_all_sizes(tmp_path):
    results = results_with(tmp_path, AS_CLAIMED)
    for run in results.called("batch 1"):
        run["history"]["test_accuracy"][0] = 0.4  # batch 2 has one half
    found = verdicts(results)
    assert (found["A8"], found["A8, as drawn"]) == ("not reproduced", "reproduced")


@pytest.mark.parametrize(
    ("undecided", "change"),
    [
        ({"A5"}, {1024: [(0.96, 0.954), (0.961, 0.955), (0.96, 0.956)]}),
        ({"A5"}, {1024: [(0.96, 0.94), (0.96, 0.97), (0.961, 0.96)]}),
        ({"A6", "A7", "A8"}, {2: [(1.0, 0.99), (1.0, 0.991)]}),  # two seeds
        ({"A7", "A8"}, {1: [(0.5, 0.4), (0.5, 0.4)]}),
    ],
)
def test_what_the_seeds_cannot_tell_is_undecided(tmp_path, undecided, change):
    found = verdicts(results_with(tmp_path, AS_CLAIMED | change))
    assert {identity for identity, verdict in found.items() if verdict == lab.claims.UNDECIDED} >= undecided
    assert lab.claims.NOT_REPRODUCED not in found.values()


def test_a_column_that_is_not_the_difference_is_noticed(tmp_path):
    results = results_with(tmp_path, AS_CLAIMED)
    results.called("batch 64")[0]["history"]["generalization_gap"][0] += 0.001
    assert verdicts(results)["A2"] == "not reproduced"
    results.called("batch 64")[0]["history"]["updates"][0] += 1
    assert verdicts(results)["A1"] == "not reproduced"


@pytest.mark.parametrize(("change", "missing"), [({"lr": 0.1}, 9), ({"epochs": 29}, 9)])
def test_a_smaller_experiment_gives_no_verdict(tmp_path, change, missing):
    found = verdicts(results_with(tmp_path, AS_CLAIMED, **change))
    assert list(found.values()).count("not tested in this run") == missing


def test_claims_whose_runs_are_missing_are_not_tested(tmp_path):
    found = verdicts(results_with(tmp_path, {64: [(1.0, 0.98)]}))
    assert found.pop("A4") == "reproduced"
    assert set(found.values()) == {"not tested in this run"}


def test_the_smallest_batches_have_fewer_seeds(monkeypatch):
    planned = []
    monkeypatch.setattr(chapter37, "conduct", lambda results, plan, *_, **__: planned.extend(plan))
    chapter37.main(["--batch-sizes", "1", "2", "64", "--seeds", "0", "1", "2", "3", "4"])
    seeds = {size: [run.seed for run in planned if run.name == f"batch {size}"] for size in (1, 2, 64)}
    assert seeds == {1: [0, 1, 2], 2: [0, 1, 2], 64: [0, 1, 2, 3, 4]}


def test_every_claim_of_the_sources_is_in_one_table():
    tables = [importlib.import_module(f"lab.verdicts.{name}").CLAIMS for name in SCRIPTS]
    listed = [identity for table in tables for identity in table]
    lengths = {"A": 8, "B": 7, "C": 9, "D": 5, "E": 6, "G": 4, "H": 7}
    assert [
        identity
        for letter, length in lengths.items()
        for identity in (f"{letter}{number}" for number in range(1, length + 1))
        if listed.count(identity) != 1
    ] == []


def test_every_script_is_listed():
    others = {"benchmark", "data_parallel"}
    scripts = {path.stem for path in EXAMPLES.glob("*.py")} - others
    assert scripts == set(SCRIPTS)


def test_a_curve_has_no_number_after_divergence(tmp_path):
    results = lab.results.Results(tmp_path / "any.json", {}, {})
    for seed, (loss, diverged) in enumerate([([3, 2], {"diverged": "in epoch 3"}), ([], {"diverged": "in epoch 1"})]):
        results.add({"name": "lost", "seed": seed, "history": {"loss": loss}} | diverged)
    np.testing.assert_array_equal(results.curves("lost", "loss"), [[3, 2, np.nan], [np.nan] * 3])
    np.testing.assert_array_equal(results.curves("lost", "loss", epochs=4)[0], [3, 2, np.nan, np.nan])
    results.add({"name": "whole", "seed": 0, "history": {"loss": [3, 2]}})
    assert results.curves("whole", "loss").tolist() == [[3, 2]]


def test_percent():
    assert lab.formats.percent(np.array([0.98])) == "98.00\N{NO-BREAK SPACE}%"
    assert lab.formats.percent(np.array([0.97, 0.99])).replace(lab.formats.NBSP, " ") == "98.00 ± 1.41 %"


@pytest.mark.parametrize(
    ("running", "variable", "restarts"),
    [("Haswell", None, True), ("Haswell", "Haswell", False), ("SkylakeX", None, False)],
)
def test_scripts_start_again_with_newer_kernels_unless_somebody_chose(monkeypatch, running, variable, restarts, capsys):
    started = []
    flags = doctor.KERNELS["SkylakeX"]
    monkeypatch.setattr(doctor, "blas_library", lambda: {"architecture": running})
    monkeypatch.setattr(doctor, "cpu_flags", lambda: flags)
    monkeypatch.setattr(os, "execv", lambda *command: started.append((*command, os.environ["OPENBLAS_CORETYPE"])))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "chapter37.py", "--quick"])
    monkeypatch.setenv("OPENBLAS_CORETYPE", variable or "")
    if variable is None:
        monkeypatch.delenv("OPENBLAS_CORETYPE")
    lab.command_line.restart_with_newer_kernels()
    line = [sys.executable, "-X", "dev", "chapter37.py", "--quick"]
    assert started == ([(sys.executable, line, "SkylakeX")] if restarts else [])
    assert capsys.readouterr().out.count("\n") == len(started)
