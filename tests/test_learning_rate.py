"""The example on the learning rate: a small run of it, and verdicts that can turn out either way."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl

sys.path.insert(0, str(Path(minidl.__file__).parent.parent / "examples"))

import lab.crossings
import lab.network
import lab.plots
import lab.results
import learning_rate

TINY = {"train_size": 640, "test_size": 100, "epochs": 15, "every": 5, "target": 0.5, "range_updates": 40}
SEEDS = (0, 1, 2)
ENTRIES = 60


@pytest.fixture
def small(mnist, monkeypatch):
    """Make the network narrow and the experiment small."""
    monkeypatch.setattr(minidl, "load_mnist", lambda: mnist)
    monkeypatch.setattr(learning_rate, "network", lambda seed, backend: lab.network.network(seed, backend, width=8))
    monkeypatch.setattr(learning_rate, "QUICK", TINY)


def test_a_small_run_has_the_documented_shape_and_is_kept(tmp_path, small, monkeypatch, capsys):
    given = ["--quick", "--jobs", "1", "--backend", "numpy", "--out", str(tmp_path)]
    learning_rate.main(given)
    first = (tmp_path / "learning_rate.json").read_bytes()
    results = json.loads(first)
    policies = [*learning_rate.CYCLICAL, *(f"rate {rate}" for rate in ("0.0003", "0.01", "0.025", "0.04"))]
    policies += [f"rate {rate}" for rate in ("0.3", "0.35", "0.4", "0.45", "0.5", "1", "3")]
    crossings = [f"crossing: {name}" for name in ("SGD", "Momentum", "Adam")]
    assert sorted(run["name"] for run in results["runs"]) == sorted([*policies, "range test", *crossings])
    for run in results["runs"]:
        if run["name"] in crossings:
            assert len(run["saddle_steps"]) == len(run["plateau_steps"]) == 4
            assert len(run["path"]) == run["saddle_steps"][2] + 1
        elif run["name"] in policies:
            assert list(run["history"]) == ["updates", "lr", "loss", "test_accuracy"]
            measured = run["history"]["updates"]
            assert measured == list(range(5, 5 * len(measured) + 1, 5))
            assert "diverged" in run or len(measured) == 30
    assert [row["id"] for row in results["claims"]] == ["C1", "C2", "C3", "C4", "C5", "C6", "Smith 2017"]
    assert {row["verdict"] for row in results["claims"]} == {"not tested in this run"}
    assert (tmp_path / "learning_rate.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    monkeypatch.setattr(learning_rate, "draw", lambda results, path: None)
    learning_rate.main(given)
    printed = capsys.readouterr().out
    assert "19 of 19 runs were finished earlier." in printed
    assert "run 1/" not in printed
    assert (tmp_path / "learning_rate.json").read_bytes() == first


def test_a_range_test_without_a_suggestion_is_a_result(small, monkeypatch):
    monkeypatch.setattr(minidl.RangeTest, "suggestions", lambda _: {})
    measured = learning_rate.range_test(learning_rate.SETTINGS | TINY | {"backend": "numpy"}, 0)
    assert list(measured) == ["range", "suggestions", "no_suggestion"]
    assert measured["suggestions"] == {"steepest": None, "valley": None, "minimum/10": None}


def test_a_training_is_that_of_fit(small):
    settings = learning_rate.SETTINGS | TINY | {"backend": "numpy", "epochs": 5}
    found = learning_rate.follow(settings, 3, "triangular")["history"]
    train, test = learning_rate.images(settings)
    model, schedule = lab.network.network(3, width=8), minidl.triangular(0.01, 0.04, 2.5)
    history = minidl.fit(model, minidl.SGD(), train, test, epochs=5, batch_size=64, lr=schedule, seed=3)
    assert found["test_accuracy"][1::2] == history.test_accuracy
    assert found["lr"][::2] == history.lr


@pytest.mark.parametrize(("policy", "entries"), [(1e25, 0), (0.01, 30)])
def test_divergence_is_a_result(small, policy, entries):
    measured = learning_rate.follow(learning_rate.SETTINGS | TINY | {"backend": "numpy"}, 0, policy)
    assert len(measured["history"]["loss"]) == entries
    assert ("diverged" in measured) == (entries == 0)


def test_divergence_is_reported_for_the_update_whose_loss_it_is(small):
    settings = learning_rate.SETTINGS | TINY | {"backend": "numpy"}
    train, _ = learning_rate.images(settings)

    def losses_at(rate):
        model, optimizer, loss, losses = lab.network.network(0, width=8), minidl.SGD(rate), minidl.NLLLoss(), []
        with np.errstate(all="ignore"):
            for x, labels in minidl.minibatches(train, 64, np.random.default_rng(0)):
                losses.append(float(loss.forward(model.forward(x, training=True), labels)))
                if not np.isfinite(losses[-1]):
                    break
                model.backward(loss.backward())
                optimizer.step(model.params, model.grads)
        return losses

    courses = {rate: losses_at(rate) for rate in (1e4, 2e4, 1e5, 2e5, 1e6, 2e6)}  # each processor has its own chaos
    rate, losses = next((r, ls) for r, ls in courses.items() if len(ls) > 2 and not np.isfinite(ls[-1]))
    assert np.isfinite(losses[:-1]).all()
    measured = learning_rate.follow(settings, 0, rate)
    assert measured["diverged"] == f"the loss became infinite or NaN in update {len(losses)}"


@pytest.mark.parametrize("landscape", ["saddle", "plateau"])
def test_gradients_of_the_landscapes(landscape):
    w, step = np.array([0.7, -0.4]), 1e-6
    numeric = [
        (lab.crossings.height(landscape, *(w + d)) - lab.crossings.height(landscape, *(w - d))) / (2 * step)
        for d in step * np.eye(2)
    ]
    np.testing.assert_allclose(lab.crossings.gradient(landscape, w), numeric, rtol=1e-6)


def test_steps_that_never_suffice_end():
    settings = learning_rate.SETTINGS | {"most_steps": 7}
    measured = learning_rate.cross(settings, 0, "SGD")
    assert measured["saddle_steps"] == measured["plateau_steps"] == [7, 7, 7, 7]


def made_up():
    """Return made-up measurements by name, of one seed, in which all claims hold."""
    settings = learning_rate.SETTINGS | learning_rate.FULL
    updates = (40 * np.arange(1, ENTRIES + 1)).tolist()
    way = np.linspace(0, 1, ENTRIES)
    losses = {0.0003: 2.3 - way, 0.01: 1.1 - way, 0.025: 1.05 - way, 0.04: 1.02 - way}
    losses |= dict.fromkeys((0.3, 0.35, 0.4, 0.45), 0.9 + 0 * way)
    reach = {0.0003: 99, 0.01: 50, 0.025: 40, 0.04: 30, 0.3: 99, "triangular": 20, "triangular2": 25}
    runs = {}
    for policy in (*learning_rate.CYCLICAL, *learning_rate.rates_of(settings)):
        schedule = learning_rate.schedule_of(settings, policy)
        lr = np.array([schedule(update / 160) for update in 40 * np.arange(ENTRIES)])
        accuracy = np.where(np.arange(ENTRIES) < reach.get(policy, 0), 0.94, 0.96)
        if "SGDR" in str(policy):
            accuracy = 0.92 + 0.04 * way - 0.5 * lr
        history = {"updates": updates, "lr": lr, "loss": losses.get(policy, 1 - way), "test_accuracy": accuracy}
        runs[learning_rate.name_of(policy)] = {"history": history}
    for rate in ("0.5", "1", "3"):
        runs[f"rate {rate}"] = diverged()
    for method in (*learning_rate.CYCLICAL, "fixed"):
        bounds = (0.02, 0.08)
        schedule = minidl.constant(0.08)
        if method != "fixed":
            schedule = learning_rate.schedule_of(settings, method, bounds)
        lr = np.array([schedule(update / 160) for update in 40 * np.arange(ENTRIES)])
        accuracy = np.where(np.arange(ENTRIES) < (20 if method == "triangular" else 30), 0.94, 0.96)
        if "SGDR" in method:
            accuracy = 0.92 + 0.04 * way - 0.1 * lr
        history = {"updates": updates, "lr": lr, "loss": 1 - way, "test_accuracy": accuracy}
        runs[f"contest: {method}"] = {"history": history, "bounds": list(bounds), "factor": 1, "bound": 0.08}
    runs["range test"] = ranged()
    for name in learning_rate.OPTIMIZERS:
        runs[f"crossing: {name}"] = {"saddle_steps": [9, 7, 5, 3], "plateau_steps": [8, 6, 4, 2], "path": [[1, 0]] * 4}
    return runs


def diverged():
    columns = ("updates", "lr", "loss", "test_accuracy")
    return {"history": {column: [] for column in columns}, "diverged": "the loss became infinite"}


def ranged(curve=None, accuracy=0.957, stop=121):
    lr = np.geomspace(1e-5, 10, 121)[:stop]
    smoothed = 0.4 + 2.1 / (1 + (lr / 0.004) ** 2) + (lr / 0.3) ** 2 if curve is None else curve(lr)
    found = minidl.RangeTest(lr.tolist(), smoothed.tolist(), smoothed.tolist())
    measured = {"range": vars(found), "suggestions": found.suggestions()}
    return measured | ({} if accuracy is None else {"history": with_accuracy(accuracy)})


def with_accuracy(accuracy):
    column = [accuracy] * ENTRIES
    return {"updates": column, "lr": column, "loss": column, "test_accuracy": column}


def results_of(tmp_path, runs, settings=learning_rate.SETTINGS | learning_rate.FULL, seeds=SEEDS):
    results = lab.results.Results(tmp_path / "learning_rate.json", settings | {"backend": "numpy"}, {})
    for name, measured in runs.items():
        for seed in seeds:
            record = {"name": name, "seed": seed} | measured
            if "history" in measured:
                history = {column: np.array(values) for column, values in measured["history"].items()}
                history["loss"] = history["loss"] * (1 + 0.01 * seed)
                record["history"] = {column: values.tolist() for column, values in history.items()}
            results.add(json.loads(json.dumps(record, allow_nan=False)))
    return results


def verdicts(results):
    return {row["id"]: row["verdict"] for row in learning_rate.verdicts(results)}


AS_CLAIMED = dict.fromkeys(learning_rate.CLAIMS, "reproduced") | dict.fromkeys(("C3", "C6"), "holds by definition")


def test_all_claims_can_be_reproduced(tmp_path):
    assert verdicts(results_of(tmp_path, made_up())) == AS_CLAIMED


def column(name, key, values):
    """Return a change of one column of one name, given the histories of all."""

    def change(runs):
        new = values(runs) if callable(values) else values
        runs[name]["history"] = runs[name]["history"] | {key: np.broadcast_to(new, ENTRIES)}

    return change


def replaced(name, measured):
    return lambda runs: runs.update({name: measured})


def of(name, key):
    return lambda runs: runs[name]["history"][key]


def no_finer_rates(runs):
    for rate in ("0.35", "0.4", "0.45"):
        del runs[f"rate {rate}"]


def the_best_is_the_highest(runs):
    for rate in ("0.35", "0.4", "0.45"):
        runs[f"rate {rate}"] = diverged()
    column("rate 0.3", "loss", 0.001)(runs)


@pytest.mark.parametrize(
    ("identity", "change"),
    [
        ("C1", column("rate 0.0003", "loss", 0.015)),  # not slow
        ("C1", column("rate 0.0003", "loss", lambda runs: np.linspace(2.2, 2.25, ENTRIES))),  # not falling
        ("C1", the_best_is_the_highest),  # no plateau
        ("C1", column("rate 0.45", "loss", lambda runs: np.geomspace(9, 0.1, ENTRIES))),  # still falling
        ("C1", lambda runs: runs.update({"rate 3": {"history": with_accuracy(0.9)}})),  # learns
        ("C2", replaced("range test", ranged(lambda lr: 2.5 + 2.1 / (1 + (lr / 0.004) ** 2) + lr**2))),  # falls little
        ("C2", replaced("range test", ranged(lambda lr: np.where(lr < 0.03, 3 - np.log(lr / 1e-5) / 3, 9)))),  # sudden
        ("C2", replaced("range test", ranged(stop=70))),  # does not rise
        ("C2", replaced("range test", ranged(accuracy=0.953))),  # suggests too little
        ("C2", replaced("range test", ranged(lambda lr: 2.5 + lr, accuracy=None))),  # suggests nothing
        ("C3", column("triangular2", "lr", of("triangular", "lr"))),
        ("C3", column("triangular", "lr", lambda runs: 0.9 * runs["triangular"]["history"]["lr"])),
        ("C3", column("triangular", "lr", 0.04)),
        ("C4", column("contest: SGDR growing", "lr", of("contest: SGDR", "lr"))),
        ("C4", column("contest: SGDR", "lr", of("contest: SGDR growing", "lr"))),
        ("C4", column("contest: SGDR", "lr", lambda runs: 0.9 * runs["contest: SGDR"]["history"]["lr"])),
        ("C4", column("contest: SGDR", "test_accuracy", np.linspace(0.96, 0.9, ENTRIES))),  # no recovery
        ("C4", replaced("contest: SGDR", diverged() | {"bounds": [0.02, 0.08], "factor": 1})),
        ("C5", lambda runs: runs.update({"contest: triangular": runs["contest: SGDR"] | with_target(50)})),
        ("C5", lambda runs: runs.update({"contest: triangular": runs["contest: SGDR"] | with_target(99)})),
        ("C6", lambda runs: runs["crossing: SGD"].update(saddle_steps=[9, 7, 7, 3])),
        ("C6", lambda runs: runs["crossing: SGD"].update(plateau_steps=[8, 6, 4, 20_000])),
        ("Smith 2017", column("triangular2", "test_accuracy", 0.9)),
    ],
)
def test_claims_can_fail(tmp_path, identity, change):
    runs = made_up()
    if identity == "Smith 2017":
        column("rate 0.01", "test_accuracy", 0.96)(runs)
    change(runs)
    failed = {name for name, verdict in verdicts(results_of(tmp_path, runs)).items() if verdict == "not reproduced"}
    assert failed == {identity}


def with_target(entry):
    """Return a history that reaches the target with this entry."""
    accuracy = np.where(np.arange(ENTRIES) < entry, 0.94, 0.96)
    updates = 40 * np.arange(1, ENTRIES + 1)
    return {"history": {"updates": updates, "lr": accuracy, "loss": accuracy, "test_accuracy": accuracy}}


@pytest.mark.parametrize(
    ("identity", "change"),
    [
        ("C1", lambda runs: [the_best_is_the_highest(runs), no_finer_rates(runs)]),  # a hole in the grid
        ("C5", lambda runs: runs["contest: fixed"].update(factor=4)),  # the edge of its grid
        ("C5", lambda runs: runs["contest: triangular"].update(factor=0.25)),
        ("C5", column("contest: triangular", "test_accuracy", of("contest: fixed", "test_accuracy"))),  # equal
    ],
)
def test_what_cannot_be_told_is_undecided(tmp_path, identity, change):
    runs = made_up()
    change(runs)
    found = verdicts(results_of(tmp_path, runs))
    assert {name for name, verdict in found.items() if verdict == "undecided"} == {identity}
    assert "not reproduced" not in found.values()


def test_without_the_contest_cycles_are_judged_with_the_bounds_of_the_settings(tmp_path):
    runs = {name: run for name, run in made_up().items() if not name.startswith("contest")}
    found = verdicts(results_of(tmp_path, runs))
    assert (found["C4"], found["C5"]) == ("reproduced", "not tested in this run")
    column("SGDR", "test_accuracy", np.linspace(0.96, 0.9, ENTRIES))(runs)
    assert verdicts(results_of(tmp_path / "fallen", runs))["C4"] == "not reproduced"


@pytest.mark.parametrize("method", ["fixed", "triangular"])
def test_contestants_choose_without_the_test_set(mnist, small, monkeypatch, method):
    settings = learning_rate.SETTINGS | TINY | {"backend": "numpy", "epochs": 2}
    plan = {"factors": [0.5, 1e6], "held_back": 100, "range_epochs": 2, "range_top": 0.2}
    found = learning_rate.contest(settings, 0, method, **plan)
    assert found["factor"] == 0.5  # the other diverges
    assert found["bounds"] == [found["bound"] / 8, found["bound"] / 2]
    assert max(found["history"]["lr"]) <= found["bounds"][1] * 1.0001
    train, test = learning_rate.images(settings)
    monkeypatch.setattr(learning_rate, "images", lambda _: (train, minidl.Dataset(-test.x, test.labels)))
    other = learning_rate.contest(settings, 0, method, **plan)
    assert other["tries"] == found["tries"]
    assert other["history"]["loss"] == found["history"]["loss"]


def test_a_smaller_experiment_gives_no_verdict(tmp_path):
    settings = learning_rate.SETTINGS | learning_rate.FULL | {"epochs": 14}
    assert set(verdicts(results_of(tmp_path, made_up(), settings)).values()) == {"not tested in this run"}


def test_seeds_that_some_runs_lack_are_left_out(tmp_path):
    results = results_of(tmp_path, made_up())
    results.add({"name": "triangular", "seed": 7, **diverged()})
    assert verdicts(results) == AS_CLAIMED


@pytest.fixture
def coarse(monkeypatch):
    """Save figures with few points."""
    monkeypatch.setattr(lab.plots, "save_figure", lambda figure, path: figure.savefig(path, dpi=20))


@pytest.mark.parametrize(
    ("lost", "failing"),
    [
        (["contest: SGDR"], {"C4"}),
        (["triangular", "triangular2", "contest: triangular"], {"C3", "C5", "Smith 2017"}),
        (["rate 0.0003", "rate 0.01", "rate 0.025", "rate 0.04", "rate 0.3"], {"C1"}),
    ],
)
def test_whatever_diverges_is_judged_and_drawn(tmp_path, coarse, lost, failing):
    runs = made_up()
    runs |= {name: runs[name] | diverged() for name in lost}
    results = results_of(tmp_path, runs)
    assert {name for name, verdict in verdicts(results).items() if verdict == "not reproduced"} == failing
    learning_rate.draw(results, tmp_path / "learning_rate.png")
    assert (tmp_path / "learning_rate.png").read_bytes().startswith(b"\x89PNG")
