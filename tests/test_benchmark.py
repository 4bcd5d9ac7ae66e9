"""The benchmark: contestants do the work they are said to do, targets are judged rightly, the page can be made."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl

ROOT = Path(minidl.__file__).parent.parent
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "docs" / "results")]

import make_speed  # noqa: E402

import benchmark  # noqa: E402
from lab import race  # noqa: E402
from lab.contestants import floor  # noqa: E402
from lab.contestants import minidl as of_minidl  # noqa: E402
from lab.contestants.__main__ import prepare  # noqa: E402
from lab.contestants.task import LEARNING_RATE, Task  # noqa: E402
from lab.figures.benchmark import COLOURS, style  # noqa: E402
from lab.formats import NBSP  # noqa: E402
from lab.ratios import Ratio, ratio  # noqa: E402
from lab.results import Results  # noqa: E402
from lab.roofline import measured_parts, parts_of_step, speeds  # noqa: E402

SETTINGS = benchmark.FULL | {"threads": 1, "starts": 2, "rounds": 2, "round_seconds": 0.001, "backend": "numpy"}
SPEEDS = {
    "floor": 1.0,
    "minidl": 1.05,
    "minidl fast": 1.02,
    "PyTorch": 2.0,
    "PyTorch fused": 1.5,
    "PyTorch compiled": 1.4,
    "JAX": 1.3,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a few random images."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    np.save(folder / "x.npy", rng.standard_normal((300, 784), np.float32))
    np.save(folder / "labels.npy", rng.integers(0, 10, 300))
    return folder


def task(folder, contestant="minidl", kind="train", **fields):
    return Task(contestant, kind, str(folder), 1, **({"samples": 300, "width": 16} | fields))


def test_contestants_take_turns(folder, monkeypatch):
    monkeypatch.setattr(race, "data_folder", lambda: str(folder))
    names = ["floor", "minidl", "a library that nobody wrote"]
    found = race.race(SETTINGS, 0, names, width=16, samples=300)
    assert found["steps"] >= 1
    assert {name: len(times) for name, times in found["seconds_per_step"].items()} == {"floor": 4, "minidl": 4}
    assert all(0 < time < 1 for times in found["seconds_per_step"].values() for time in times)
    assert all(1e7 < peak < 1e9 for peak in found["peak_bytes"].values())
    assert list(found["missing"]) == names[2:]
    json.dumps(found, allow_nan=False)


def test_a_contestant_that_breaks_down_is_missing(folder, monkeypatch):
    """It breaks down in its third round, that is, after the second start; what it did before does not count."""
    monkeypatch.setattr(race, "data_folder", lambda: str(folder))
    ask, asked = race.Worker.ask, []

    def breaking(worker, **question):
        if worker.process.args[-1] == "minidl" and len(asked) == 3:
            worker.process.kill()
            worker.process.wait()
        asked.extend(["round"] if worker.process.args[-1] == "minidl" and "steps" in question else [])
        return ask(worker, **question)

    monkeypatch.setattr(race.Worker, "ask", breaking)
    found = race.race(SETTINGS, 0, ["floor", "minidl"], width=16, samples=300, steps=2)
    assert found["missing"] == {"minidl": "ended without an answer, with status -9"}
    assert set(found["seconds_per_step"]) == set(found["peak_bytes"]) == {"floor"}
    assert len(found["seconds_per_step"]["floor"]) == 4


class Counting:
    """NumPy that counts the operations of its matrix products."""

    float32 = np.float32
    asarray = staticmethod(np.asarray)
    cuda = None

    def __init__(self):
        self.products = []

    def matmul(self, a, b, out):
        np.matmul(a, b, out=out)
        self.products.append((*a.shape, b.shape[1]))


@pytest.mark.parametrize("batch", [7, 64])
def test_the_floor_is_the_products_of_a_step(folder, monkeypatch, batch):
    xp = Counting()
    monkeypatch.setattr(floor, "array_module", lambda task: xp)
    monkeypatch.setattr(floor, "synchronize", lambda xp: None)
    floor.train(task(folder, "floor", batch_size=batch))(1)
    counted = [2 * m * k * n for m, k, n in xp.products]
    parts = parts_of_step(batch, "SGD", width=16)
    biases = 2 * batch * (16 + 16 + 10)
    assert len(counted) == 8
    assert sum(counted) == sum(part.operations for name, part in parts.items() if "dense" in name) - biases


def test_the_floor_of_an_evaluation_is_the_products_of_all_images(folder, monkeypatch):
    xp = Counting()
    monkeypatch.setattr(floor, "array_module", lambda task: xp)
    monkeypatch.setattr(floor, "synchronize", lambda xp: None)
    floor.evaluate(task(folder, "floor", "evaluate"))(1)
    assert sum(m for m, k, _ in xp.products if k == 784) == 10_000
    assert len(xp.products) == 30


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_parts_are_those_that_are_counted(folder, monkeypatch, optimizer):
    monkeypatch.setattr("minidl.machine.doctor.gflops", lambda size: 1.0)
    monkeypatch.setattr("minidl.machine.doctor.bandwidth", lambda size=0: 1e9)
    found = of_minidl.parts(task(folder, kind="parts", optimizer=optimizer))(3)
    assert set(found["parts"]) == set(parts_of_step(64, optimizer))


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_minidl_trains(folder, monkeypatch, optimizer):
    models = []
    network = of_minidl.network
    monkeypatch.setattr(of_minidl, "network", lambda task: models.append(network(task)) or models[-1])
    fields = task(folder, optimizer=optimizer, batch_size=50)
    work = of_minidl.train(fields)
    data = fields.load()
    before = minidl.evaluate(models[0], data)[0]
    work(12)
    same = network(fields)
    orders, optimiser = fields.orders(), getattr(minidl, optimizer)(LEARNING_RATE[optimizer])
    for order in (next(orders), next(orders)):
        for batch in order.reshape(-1, 50):
            loss = minidl.NLLLoss()
            loss.forward(same.forward(data[0][batch], training=True), data[1][batch])
            same.backward(loss.backward())
            optimiser.step(same.params, same.grads)
    assert np.array_equal(models[0].params, same.params)
    assert minidl.evaluate(models[0], data)[0] < before


@pytest.mark.parametrize("contestant", ["PyTorch", "JAX"])
def test_others_multiply_where_they_are_installed(folder, contestant):
    pytest.importorskip({"PyTorch": "torch", "JAX": "jax"}[contestant])
    prepare(task(folder, contestant, "products"))(3)


@pytest.mark.parametrize("contestant", ["PyTorch", "PyTorch fused", "JAX", "scikit-learn"])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_other_libraries_take_part_where_they_are_installed(folder, contestant, optimizer):
    pytest.importorskip({"PyTorch": "torch", "JAX": "jax", "scikit-learn": "sklearn"}[contestant.split()[0]])
    prepare(task(folder, contestant, optimizer=optimizer))(7)


def results_with(change=None, settings=None, missing=()):
    """Return results in full, with ``SPEEDS`` but for ``change``: seconds by name of the run and contestant."""
    settings = SETTINGS | benchmark.FULL | (settings or {})
    results = Results.__new__(Results)
    environment = {"cpu": "x", "numpy": "2", "blas": "y", "blas_kernels": "Z", "libraries": {"jax": "1"}}
    results.data = {"settings": settings, "environment": environment, "runs": []}
    for run in benchmark.plan(settings):
        clocks = {"import": ["numpy", "minidl"], "fusing": ["compiled", "loaded"]}
        names = clocks.get(run.name) or run.arguments.get("contestants") or list(SPEEDS)
        seconds = {
            name: [0.002 * (change or {}).get((run.name, name), SPEEDS.get(name, 1.0))] * 3
            for name in names
            if name not in missing
        }
        parts = dict.fromkeys(parts_of_step(64, "SGD"), 1e-3)
        speeds = {"parts": parts, "flops": 1e11, "bandwidth": 1e10, "cache_bandwidth": 1e11}
        slower = {"parts": dict.fromkeys(parts, 3e-3), "flops": 1e10, "bandwidth": 1e9, "cache_bandwidth": 1e10}
        results.runs.append(
            {
                "name": run.name,
                "seed": 0,
                "seconds": 1.0,
                "steps": 3,
                "seconds_per_step": seconds,
                "peak_bytes": dict.fromkeys(seconds, (change or {}).get((run.name, "peak"), 5e8)),
                "details": {"minidl": [speeds, slower]} if run.name.startswith("parts") else {},
                "missing": dict.fromkeys(missing, "not installed"),
            }
        )
    results.data["claims"] = benchmark.verdicts(results)
    return results


def verdicts(results):
    return {row["id"]: row["verdict"] for row in benchmark.verdicts(results)}


def test_all_targets_can_be_met():
    assert set(verdicts(results_with()).values()) == {"met"}


@pytest.mark.parametrize(
    ("target", "change"),
    [
        ("S1", {("SGD, batch 64", "minidl fast"): 1.21}),
        ("S2", {("SGD, batch 256", "minidl fast"): 1.13}),
        ("S3", {("SGD, batch 1024", "minidl fast"): 1.09}),
        ("S4", {("Adam, batch 256", "JAX"): 1.01}),
        ("S4", {("SGD, batch 1024", "PyTorch compiled"): 1.01}),
        ("S5", {("update, Adam", "minidl fast"): 3.1}),
        ("S6", {("evaluate", "minidl"): 1.16}),
        ("S7", {("chapter 37", "peak"): 701e6}),
        ("S8", {("import", "minidl"): 1.31}),
        ("S9", {("Adam, batch 64", "floor"): 0.69}),
        ("S10", {("Adam, batch 256", "minidl fast"): 1.21}),
        ("S11", {("Adam, batch 1024", "minidl fast"): 1.11}),
    ],
)
def test_targets_can_be_missed(target, change):
    found = verdicts(results_with(change))
    assert {identity for identity, verdict in found.items() if verdict == "not met"} == {target}


def test_nobody_is_beaten_who_was_not_there():
    found = verdicts(results_with(missing=["JAX"]))
    assert found.pop("S4") == "undecided"
    assert set(found.values()) == {"met"}


@pytest.mark.parametrize(
    ("target", "run", "contestant", "factors"),
    [
        ("S1", "SGD, batch 64", "minidl fast", [1.15, 1.19, 1.25]),
        ("S4", "Adam, batch 256", "JAX", [0.9, 1.05, 1.2]),
        ("S5", "update, Adam", "minidl fast", [1.9, 2.0, 2.1]),
        ("S10", "Adam, batch 256", "minidl fast", [1.15, 1.19, 1.25]),
        ("S6", "evaluate", "minidl", [1.10, 1.12, 1.16]),
        ("S8", "import", "minidl", [1.25, 1.28, 1.35]),
    ],
)
def test_a_target_within_the_interval_is_undecided(target, run, contestant, factors):
    results = results_with()
    seconds = results.called(run)[0]["seconds_per_step"]
    against = {"S4": "minidl fast", "S5": "PyTorch fused", "S8": "numpy"}.get(target, "floor")
    seconds[contestant] = [factor * seconds[against][0] for factor in factors]
    found = verdicts(results)
    assert found.pop(target) == "undecided"
    assert set(found.values()) == {"met"}


def test_a_smaller_benchmark_gives_no_verdict():
    assert set(verdicts(results_with(settings={"rounds": 20})).values()) == {"not tested in this run"}


def test_a_ratio_is_that_of_the_medians_within_its_interval():
    results = results_with()
    seconds = results.called("evaluate")[0]["seconds_per_step"]
    seconds["floor"], seconds["minidl"] = [1.0, 2.0, 4.0, 1.0, 2.0], [2.0, 2.0, 4.0, 3.0, 3.0]
    found = ratio(results, "evaluate", "minidl", "floor")
    assert found.value == 1.5
    assert 1 <= found.low < 1.5 < found.high <= 3
    assert str(Ratio(1.5, 1.004, 2.0)).replace(NBSP, " ") == "1.50 × (1.00 to 2.00)"
    assert ratio(results, "evaluate", "minidl", "JAX") is None


def test_the_interval_of_a_ratio_holds_the_true_one_as_often_as_it_says():
    rng, held = np.random.default_rng(0), 0
    results = results_with()
    seconds = results.called("evaluate")[0]["seconds_per_step"]
    for _ in range(200):
        seconds["floor"], seconds["minidl"] = ((scale * rng.lognormal(0, 0.2, 15)).tolist() for scale in (1.0, 1.3))
        found = ratio(results, "evaluate", "minidl", "floor")
        held += found.low <= 1.3 <= found.high
    assert 0.84 * 200 < held < 0.97 * 200


def test_parts_are_medians_over_the_starts_and_the_machine_is_taken_at_its_best():
    results = results_with()
    assert set(measured_parts(results, "Adam", 256).values()) == {2e-3}
    assert speeds(results) == (1e11, 1e10, 1e11)


def test_figures_and_page_can_be_made(tmp_path):
    results = results_with({("SGD, batch 64", "minidl"): 1.19}, missing=["scikit-learn"])
    benchmark.draw(results, tmp_path / "benchmark.png")
    assert {path.name for path in tmp_path.iterdir()} == {
        "benchmark.png",
        "benchmark_cost.png",
        "benchmark_roofline.png",
    }
    page = make_speed.page(results.data)
    assert "| minidl | 2.38: 1.19" in page
    assert "scikit-learn did not take part (not installed)." in page
    assert "| S1 | " in page
    assert "$" not in page
    assert "| time of minidl | against PyTorch | against JAX |" in page
    assert "| with Adam and `fast` | less | less |" in page
    assert "Alone, an update is 1.03" in page


def test_who_is_ahead_is_said_by_the_numbers():
    change = {("SGD, batch 64", "JAX"): 1.0, ("Adam, batch 256", "JAX"): 1.0, ("SGD, batch 1024", "JAX"): 1.05}
    said = make_speed.standing(results_with(change, missing=["PyTorch", "PyTorch fused", "PyTorch compiled"]))
    assert said.splitlines()[2:5] == [
        "| with SGD | less at 256, as much at 1024, more at 64 |",
        "| with Adam | less at 64 and 1024, more at 256 |",
        "| with SGD and `fast` | less at 256 and 1024, more at 64 |",
    ]
    assert make_speed.fusing(results_with(missing=["minidl fast"])) == ""


def test_the_cost_of_fusing_is_measured():
    pytest.importorskip("numba")
    found = race.time_fusing({"starts": 1}, 0)["seconds_per_step"]
    assert {what: len(times) for what, times in found.items()} == {"compiled": 1, "loaded": 1}
    assert all(0 < times[0] < 60 for times in found.values())


def test_importing_is_measured():
    found = race.time_imports({"starts": 1, "rounds": 1}, 0)["seconds_per_step"]
    assert {module: len(times) for module, times in found.items()} == {"numpy": 1, "minidl": 1}
    assert 0 < found["numpy"][0] < 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--contestants", "floor", "minidl", "TensorFlow"], "got 'TensorFlow'"),
        (["--contestants", "minidl"], "expected floor and minidl among them"),
        (["--threads", "0"], "--threads: expected at least 1"),
        (["--rounds", "0"], "--rounds: expected at least 1"),
    ],
)
def test_bad_options_are_refused(options, message, capsys):
    with pytest.raises(SystemExit):
        benchmark.arguments(options)
    assert message in capsys.readouterr().err


def test_a_gpu_is_prepared_for():
    settings = SETTINGS | {"backend": "cupy", "contestants": list(benchmark.GPU)}
    runs = {run.name: run.arguments for run in benchmark.plan(settings)}
    assert not [name for name in runs if name.startswith("parts")]
    assert runs["curve, batch 64"]["contestants"] == ["floor", "minidl", "minidl fast", "PyTorch"]
    assert runs["launches, Adam, batch 64"]["contestants"][:3] == ["minidl", "minidl fast", "PyTorch"]
    assert {style(name)["color"] for name in benchmark.GPU} <= set(COLOURS.values())
