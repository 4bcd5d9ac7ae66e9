"""Runs in worker processes and on a Dask cluster: the same results, also when workers die."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from test_examples import EXAMPLES, TINY, until, without_seconds

import chapter37 as example
import lab.claims
import lab.command_line
import lab.conduct
import lab.results
import lab.runs
import lab.workers

POSIX = pytest.mark.skipif(os.name != "posix", reason="kills a process with a signal")
GRID = [*TINY, "--epochs", "1", "--batch-sizes", "100", "300", "--seeds", "0", "1"]
ONE_THREAD = os.environ | {"OPENBLAS_NUM_THREADS": "1"}


def mortal(settings, seed):
    """Note that the run was begun, and in some runs end the process as want of memory does."""
    note = Path(settings["folder"]) / f"seed {seed}"
    with note.open("a") as file:
        file.write("begun\n")
    if begun(note) <= settings["deaths"].get(seed, 0):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.5)  # in progress while others die
    return {"double": 2 * seed}


def begun(note):
    return len(note.read_text().splitlines())


@pytest.fixture
def conducted(tmp_path, capsys):
    """Return a function that carries out three runs with two workers, and returns how often each was begun."""

    def conduct(deaths):
        results = lab.results.Results(tmp_path / "mortal.json", {"folder": str(tmp_path), "deaths": deaths}, {})
        row = lab.claims.claim("A1", "two is twice one", "it is", [], "reproduced")
        runs = [lab.runs.Run("run", seed, mortal, {}) for seed in range(3)]
        try:
            lab.conduct.conduct(results, runs, lambda results: [row], lambda results, path: None, jobs=2)
        finally:
            conduct.saved = [run["seed"] for run in json.loads(results.path.read_text())["runs"]]
        return [begun(tmp_path / f"seed {seed}") for seed in range(3)]

    return conduct


@POSIX
def test_a_death_costs_one_run_which_is_tried_again(conducted):
    assert conducted({0: 1, 2: 2}) == [2, 1, 3]
    assert conducted.saved == [0, 1, 2]


@POSIX
def test_a_run_that_always_ends_its_worker_is_given_up_after_the_others(conducted, tmp_path):
    with pytest.raises(lab.workers.WorkersError, match=r"Given up, since 3 workers died in it: run, seed 0$"):
        conducted({0: 9})
    assert conducted.saved == [1, 2]
    assert [begun(tmp_path / f"seed {seed}") for seed in range(3)] == [3, 1, 1]


def chapter37(*options, env=ONE_THREAD, examples=EXAMPLES):
    """Start the example, and return its process."""
    line = [sys.executable, examples / "chapter37.py", *GRID, *map(str, options)]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)


def dask(*options):
    """Start a part of a Dask cluster, and return its process."""
    line = [sys.executable, "-m", "dask", *map(str, options), "--no-dashboard"]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ONE_THREAD)


@contextmanager
def a_cluster(folder):
    """Yield a scheduler's process and address, and a function that starts a worker of it."""
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("needs the extra distributed")
    file = folder / "scheduler.json"
    with ExitStack() as processes:

        def begin(*options):
            process = dask(*options)
            processes.callback(process.wait)
            processes.callback(process.kill)
            return process

        scheduler = begin("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", file)
        until(lambda: file.exists() and file.read_text().endswith("}"))
        address = json.loads(file.read_text())["address"]
        yield scheduler, address, lambda threads: begin("worker", address, "--nthreads", threads, "--no-nanny")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Return the address of a scheduler on this machine, and a function that starts a worker of it."""
    with a_cluster(tmp_path_factory.mktemp("dask")) as (_, address, worker):
        yield address, worker


def test_dask_workers_run_the_lab_of_each_call_and_not_of_an_earlier_one(cluster, tmp_path):
    address, worker = cluster
    process = worker(1)
    edited = Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))
    source = edited / "lab" / "environment.py"
    source.write_text(source.read_text().replace("minidl.__version__", "'edited'"))
    for number, examples in enumerate([EXAMPLES, edited]):
        one = "--batch-sizes", "300", "--seeds", "0"
        call = chapter37("--out", tmp_path / str(number), "--dask", address, *one, examples=examples)
        _, errors = call.communicate()
        assert call.returncode == 0, errors
    assert json.loads((tmp_path / "1" / "chapter37.json").read_text())["environment"]["minidl"] == "edited"
    process.kill()
    process.wait()


def test_a_dask_cluster_gives_the_same_bits_though_a_worker_is_killed(cluster, tmp_path, monkeypatch):
    alone = chapter37("--out", tmp_path / "alone")
    alone.communicate()
    address, worker = cluster
    workers = [worker(1), worker(1)]
    process = chapter37("--out", tmp_path / "dask", "--dask", address)
    until((tmp_path / "dask" / "chapter37.json").exists)
    workers[0].kill()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert without_seconds(tmp_path / "dask" / "chapter37.json") == without_seconds(tmp_path / "alone/chapter37.json")
    assert (tmp_path / "dask/chapter37.png").read_bytes() == (tmp_path / "alone/chapter37.png").read_bytes()

    def refused(message):
        with pytest.raises(SystemExit, match=message):
            lab.command_line.run_script(lambda: example.main([*GRID, "--out", str(tmp_path), "--dask", address]))

    monkeypatch.setattr(lab.command_line, "restart_with_newer_kernels", lambda: None)  # it would restart the tests
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_VERBOSE", "0")
    refused("expected workers in the environment of this process")
    monkeypatch.delenv("OPENBLAS_VERBOSE")
    workers[1].kill()
    workers[1].wait()
    worker(2)
    refused("expected workers with --nthreads 1")


@pytest.mark.parametrize(
    ("gone", "message"),
    [("scheduler", "does not answer any more"), ("worker", "has had no worker for 2 seconds")],
)
def test_a_cluster_that_goes_away_is_noticed(tmp_path, gone, message):
    with a_cluster(tmp_path) as (scheduler, address, worker):
        processes = {"scheduler": scheduler, "worker": worker(1)}
        code = "import runpy, sys, lab.cluster, lab.workers\nlab.cluster.PATIENCE, lab.workers.LOOK_EVERY = 2.0, 0.5\n"
        code += "del sys.argv[0]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
        line = [sys.executable, "-c", code, EXAMPLES / "chapter37.py", *GRID, "--epochs", "2000"]
        line += ["--out", tmp_path / "out", "--dask", address]
        environment = ONE_THREAD | {"PYTHONPATH": os.pathsep.join([str(EXAMPLES), *sys.path])}
        process = subprocess.Popen(
            list(map(str, line)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        until((tmp_path / "out").exists)
        time.sleep(3)
        processes[gone].kill()
        _, errors = process.communicate(timeout=60)
    assert f"--dask: the scheduler at {address} {message}" in errors
    assert "Traceback (most recent call last)" not in errors
    assert process.returncode == 1


def test_no_scheduler(tmp_path):
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("needs the extra distributed")
    process = chapter37("--out", tmp_path, "--dask", "pigeon://127.0.0.1:1")
    errors = process.communicate()[1]
    assert "--dask: no scheduler answers at pigeon://127.0.0.1:1: " in errors
    assert "Traceback" not in errors
    assert process.returncode == 1


def test_dask_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    results = lab.results.Results(tmp_path / "any.json", {}, {})
    with pytest.raises(lab.workers.WorkersError, match=r"needs the package distributed; install '\.\[distributed\]'"):
        lab.conduct.conduct(results, [lab.runs.Run("run", 0, mortal, {})], print, print, "tcp://127.0.0.1:1")


def test_processes_or_dask_but_not_both(capsys):
    with pytest.raises(SystemExit):
        lab.command_line.parse(lab.command_line.options("", [0]), ["--jobs", "2", "--dask", "tcp://127.0.0.1:1"])
    assert "not allowed with argument --jobs" in capsys.readouterr().err


def test_an_interrupted_plan_goes_on_with_as_many_workers(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(lab.conduct.doctor, "available_cpus", lambda: 2)
    monkeypatch.setattr(lab.conduct, "carried_out", lambda results, missing, jobs, executor: seen.append(jobs) or [])
    for finished in (0, 3):
        results = lab.results.Results(tmp_path / "any.json", {"backend": "numpy"}, {})
        for seed in range(finished):
            results.add({"name": "run", "seed": seed})
        runs = [lab.runs.Run("run", seed, mortal, {}) for seed in range(4)]
        lab.conduct.conduct(results, runs, lambda results: [], lambda results, path: None, jobs=None)
    assert seen == [2, 2]
