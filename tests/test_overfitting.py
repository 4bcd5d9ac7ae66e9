"""The overfitting experiment: a tiny run from end to end, and every verdict both ways on made-up results."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl

sys.path.insert(0, str(Path(minidl.__file__).parent.parent / "examples"))

import overfitting
from lab.claims import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, UNDECIDED
from lab.results import Results
from lab.verdicts import overfitting as rules

SMALL = {"epochs": 2, "train_size": 160, "validation_size": 20, "patience": 1}
NAMES = [rules.called("plain", *key) for key in rules.PLAIN] + [
    rules.called(variant, size) for variant in overfitting.VARIANTS if variant != "plain" for size in (10, 32)
]


@pytest.fixture
def few_images(mnist, monkeypatch):
    train, test = mnist
    few = minidl.Dataset(train.x[:180], train.labels[:180]), minidl.Dataset(test.x[:100], test.labels[:100])
    monkeypatch.setattr(overfitting, "mnist", lambda n, backend: few)
    return few


@pytest.fixture
def call(few_images, monkeypatch, tmp_path):
    """Return a function that calls the example as a command does, on few images, and returns the results file."""
    monkeypatch.setattr(overfitting, "QUICK", SMALL)

    def run(*options):
        overfitting.main(["--quick", "--jobs", "1", "--backend", "numpy", "--out", str(tmp_path), *options])
        return tmp_path / "overfitting.json"

    return run


def test_the_whole_experiment_on_few_images(call, capsys, monkeypatch):
    path = call("--seeds", "0", "1")
    results = json.loads(path.read_text())
    assert [(run["name"], run["seed"]) for run in results["runs"]] == [(n, s) for n in sorted(NAMES) for s in (0, 1)]
    for run in results["runs"]:
        assert run["history"]["updates"] == [-(-160 // run["batch_size"]) * epoch for epoch in (1, 2)]
        assert run["history"]["lr"] == [run["lr"]] * 2
        assert 1 <= run["best_epoch"] <= 2
        assert run["stop_epoch"] in (None, run["best_epoch"] + 1)
        normalised = run["variant"].startswith("batch norm") or run["variant"] == "both"
        assert ("moving_over_real" in run) == normalised
    assert [row["id"] for row in results["claims"]] == ["D1", "D2", "D3", "D4", "D5", "Li 2018"]
    assert {row["verdict"] for row in results["claims"]} == {NOT_TESTED}
    tested = [row for row in results["claims"] if row["id"] != "D2"]  # whose runs are not part of a quick call
    assert all(row["measured"].endswith("(after 2 epochs on 160 images)") for row in tested)
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")

    before = path.read_bytes()
    capsys.readouterr()
    monkeypatch.setattr(overfitting, "train_with", None)  # whoever calls it fails
    monkeypatch.setattr(overfitting, "draw", lambda results, picture: None)
    call("--seeds", "0", "1")
    assert f"{2 * len(NAMES)} of {2 * len(NAMES)} runs were finished earlier" in capsys.readouterr().out
    assert path.read_bytes() == before


def test_a_run_is_the_same_again_and_the_decay_changes_evaluation_only(few_images, monkeypatch):
    settings = SMALL | {"backend": "numpy"}
    models, build = [], overfitting.build

    def remembered(*args, **options):
        models.append(build(*args, **options))
        return models[-1]

    monkeypatch.setattr(overfitting, "build", remembered)
    runs = [
        overfitting.train_with(settings, 3, variant, 10, 0.01)
        for variant in ("batch norm 0.9", "batch norm 0.9", "batch norm 0.999")
    ]
    for run in runs:
        run["history"].pop("seconds")
    assert runs[0] == runs[1]
    assert runs[0]["history"]["test_loss"] != runs[2]["history"]["test_loss"]
    np.testing.assert_array_equal(models[0].params, models[2].params)


def test_early_stopping_keeps_what_fit_would_have_kept(few_images):
    settings = SMALL | {"epochs": 12, "backend": "numpy"}
    noted = overfitting.train_with(settings, 0, "plain", 10, 0.1)
    train, test = few_images
    data = minidl.Dataset(train.x[:160], train.labels[:160])
    validation = minidl.Dataset(train.x[160:180], train.labels[160:180])
    model, stopping = overfitting.build(0, "numpy"), minidl.EarlyStopping(1)
    history = minidl.fit(
        model, minidl.SGD(0.1), data, validation, epochs=12, batch_size=10, seed=0, early_stopping=stopping
    )
    assert len(history) == noted["stop_epoch"] < 12
    assert stopping.best_epoch == noted["best_epoch"]
    assert minidl.evaluate(model, test)[0] == noted["history"]["test_loss"][noted["best_epoch"] - 1]


def test_divergence_is_a_result(call, monkeypatch, few_images):
    whole = overfitting.train_with

    def diverging(settings, seed, variant, batch_size, lr):
        return whole(settings, seed, variant, batch_size, 1e20 if variant == "plain" else lr)

    monkeypatch.setattr(overfitting, "train_with", diverging)
    path = call("--seeds", "1")
    results = json.loads(path.read_text())
    lost = [run for run in results["runs"] if "diverged" in run]
    assert {(run["variant"], run["seed"], run["best_epoch"]) for run in lost} == {("plain", 1, 0)}
    measured = {row["id"]: row["measured"] for row in results["claims"]}
    assert "diverged with 1 of 1 seeds" in measured["D1"]
    assert path.with_suffix(".png").exists()


def test_the_shift_is_a_ratio_of_variances():
    model = overfitting.build(0, "numpy", p=0.5, decay=0.9, width=4)
    x = np.random.default_rng(0).normal(size=(50, 784)).astype("float32")
    where = 5  # Dense, BatchNorm, ReLU, Dropout, Dense, BatchNorm
    model.layers[where].moving_var[...] = 3 * minidl.predict(model[:where], x).var(axis=0)
    assert overfitting.moving_over_real(model, x) == pytest.approx(3)


AS_CLAIMED = {  # name -> what ends differently from DEFAULT
    "plain, batch 10": {"test_accuracy": 0.95},
    "plain, batch 32": {"test_accuracy": 0.93, "test_loss": 0.45},
    "tuned, batch 1": {"test_accuracy": 0.97, "rate": [0.00316, 0.00316, 0.00316, 0.01, 0.00316]},
    "tuned, batch 10": {"test_accuracy": 0.95, "rate": 0.0316},
    "tuned, batch 32": {"rate": 0.1},
    "tuned, batch 128": {"rate": [0.1, 0.1, 0.316, 0.1, 0.1]},
    "both, batch 10": {"test_accuracy": 0.96, "moving_over_real": 2.0},
    "both, batch 32": {"test_accuracy": 0.95, "moving_over_real": 2.0},
    "batch norm 0.999, batch 32": {"test_accuracy": 0.90, "first": 0.50},
}
DEFAULT = {
    "train_accuracy": 1.0,
    "test_accuracy": 0.94,
    "train_loss": 0.0,
    "test_loss": 0.4,
    "kept_loss": 0.2,
    "first": 0.8,
    "stop_epoch": 15,
    "moving_over_real": 1.0,
    "rate": 0.01,
}


def results_with(tmp_path, changes, seeds=5, **settings):
    """Return results in which runs end as claimed, but for ``changes``; a list has a value for each seed."""
    results = Results(tmp_path / "overfitting.json", overfitting.FULL | settings, {})
    epochs = results.settings["epochs"]
    for name in (*NAMES, *map(rules.tuned, rules.TUNED)):
        for seed in range(seeds):
            ends = DEFAULT | AS_CLAIMED.get(name, {}) | changes.get(name, {})
            run = {key: value[seed] if isinstance(value, list) else value for key, value in ends.items()}
            test = [run["first"], *[0.6] * (epochs - 2), run["test_accuracy"] + 0.001 * seed]
            history = {
                "epoch": list(range(1, epochs + 1)),
                "test_accuracy": test,
                "train_accuracy": [run["train_accuracy"]] * epochs,
                "generalization_gap": [run["train_accuracy"] - value for value in test],
                "train_loss": [run["train_loss"]] * epochs,
                "test_loss": [0.9] * 9 + [run["kept_loss"]] + [0.9] * (epochs - 11) + [run["test_loss"]],
            }
            noted = {
                "rate": run["rate"],
                "best_epoch": 10,
                "stop_epoch": run["stop_epoch"],
                "moving_over_real": run["moving_over_real"],
            }
            results.add({"name": name, "seed": seed, **noted, "history": history})
    return results


def verdicts(results):
    return {row["id"]: row["verdict"] for row in overfitting.verdicts(results)}


def test_all_claims_can_be_reproduced(tmp_path):
    assert set(verdicts(results_with(tmp_path, {})).values()) == {REPRODUCED}


NOISY = [0.90, 0.96, 0.90, 0.96, 0.90]


@pytest.mark.parametrize(
    ("failing", "change"),
    [
        ("D1", {"plain, batch 32": {"train_accuracy": 0.97}}),  # less accurate, but without a larger gap
        ("D1", {"plain, batch 32": {"test_accuracy": 0.946}}),  # a larger gap, but not visibly
        ("D1", {"plain, batch 32": {"test_loss": 0.35}}),  # the gap in the loss is narrower
        ("D2", {"tuned, batch 1": {"test_accuracy": 0.945}}),
        ("D2", {"tuned, batch 128": {"test_accuracy": 0.975}}),
        ("D2", {"tuned, batch 10": {"rate": 0.00158}}),  # its rate is lower
        ("D3", {"batch norm 0.999, batch 32": {"test_accuracy": 0.937}}),  # behind at first; not visibly at the end
        ("D3", {"batch norm 0.999, batch 32": {"first": 0.797}}),  # at the end only
        ("D4", {"both, batch 10": {"test_accuracy": 0.93}}),
        ("D4", {"dropout, batch 32": {"test_accuracy": 0.955}}),
        ("D4", {"batch norm 0.9, batch 10": {"test_accuracy": 0.965}}),
        ("D5", {"plain, batch 10": {"test_loss": 0.19}}),
        ("D5", {"plain, batch 32": {"stop_epoch": [15, 15, None, 15, 15]}}),
        ("Li 2018", {"both, batch 32": {"moving_over_real": 0.9}}),
        ("Li 2018", {"both, batch 10": {"moving_over_real": 0.9}}),
    ],
)
def test_each_claim_can_fail_alone(tmp_path, failing, change):
    found = verdicts(results_with(tmp_path, change))
    assert {identity for identity, verdict in found.items() if verdict == NOT_REPRODUCED} == {failing}


@pytest.mark.parametrize(
    ("undecided", "change"),
    [
        ({"D1"}, {"plain, batch 32": {"test_accuracy": NOISY}}),
        ({"D2"}, {"tuned, batch 10": {"test_accuracy": [0.90, 0.99, 0.97, 0.99, 0.95]}}),
        ({"D2"}, {"tuned, batch 128": {"rate": 0.316}}),  # the edge of its grid
        ({"D2"}, {"tuned, batch 1": {"rate": 0.001}}),
        ({"D4"}, {"both, batch 10": {"test_accuracy": 0.94}}),  # equal
        ({"Li 2018"}, {"both, batch 10": {"moving_over_real": 1.0}}),
    ],
)
def test_what_the_seeds_cannot_tell_is_undecided(tmp_path, undecided, change):
    found = verdicts(results_with(tmp_path, change))
    assert {identity for identity, verdict in found.items() if verdict == UNDECIDED} == undecided
    assert NOT_REPRODUCED not in found.values()


def test_batch_1_is_judged_at_rates_chosen_without_the_test_set(tmp_path):
    results = results_with(tmp_path, {})
    results.data["runs"] = [run for run in results.runs if not run["name"].startswith("tuned")]
    rows = {row["id"]: row for row in overfitting.verdicts(results)}
    assert rows["D2"]["verdict"] == NOT_TESTED
    assert "images held back" in rows["D2"]["effect"]


def test_the_rate_is_chosen_on_images_held_back(few_images, monkeypatch):
    monkeypatch.setattr(overfitting, "mnist", lambda *size, backend: few_images)
    settings = SMALL | {"backend": "numpy"}
    plan = {"batch_size": 10, "rates": [1e-6, 0.05, 1e20], "held_back": 20}
    found = overfitting.tune(settings, 0, **plan)
    assert found["rate"] == 0.05
    assert [rate for rate, _ in found["tries"]] == plan["rates"]
    assert found["tries"][2][1] == 0.0  # diverged
    assert found["history"]["lr"] == [0.05] * 2
    train, test = few_images
    upside_down = minidl.Dataset(-test.x, test.labels)
    monkeypatch.setattr(overfitting, "mnist", lambda *size, backend: (train, upside_down))
    other = overfitting.tune(settings, 0, **plan)
    assert other["tries"] == found["tries"]
    assert other["history"]["test_loss"] != found["history"]["test_loss"]


def test_only_the_experiment_in_full_decides(tmp_path):
    assert set(verdicts(results_with(tmp_path, {}, epochs=59)).values()) == {NOT_TESTED}


def test_seeds_that_not_all_runs_have_are_left_out(tmp_path):
    results = results_with(tmp_path, {"plain, batch 10": {"test_accuracy": [0.95, 0.95, 0.95, 0.95, 0.0]}})
    results.runs.remove(next(run for run in results.called("both, batch 32") if run["seed"] == 4))
    assert set(verdicts(results).values()) == {REPRODUCED}
    assert len(rules.after(results, "plain, batch 10", "test_accuracy")) == 4


def test_measured_text_says_what_was_found(tmp_path):
    rows = {row["id"]: row["measured"] for row in overfitting.verdicts(results_with(tmp_path, {}))}
    assert "batch 32 at rate 0.01: gap 6.80" in rows["D1"]
    assert "at the rates chosen: 1: 97.20" in rows["D2"]
    assert "the gap of 0.999 after the first epoch" in rows["D3"]
    assert "validation stops 5 of 5 seeds, after epoch 15, 15, 15, 15, 15" in rows["D5"]
