"""The example on optimisers: results of the documented shape, taken up again; every verdict can be yes and no."""

import copy
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl

EXAMPLES = Path(minidl.__file__).parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))

import lab.claims  # noqa: E402
import lab.landscapes  # noqa: E402
import lab.results  # noqa: E402

spec = importlib.util.spec_from_file_location("optimizers_example", EXAMPLES / "optimizers.py")
example = importlib.util.module_from_spec(spec)
sys.modules["optimizers_example"] = example
spec.loader.exec_module(example)

TINY = {
    "logistic": {"images": 300, "epochs": 2, "trials": [[200, 1]]},
    "hidden": {"images": 300, "epochs": 2, "trials": [[150, 3], [200, 1]]},
    "units": 20,
    "steps": 20,
}
SETTINGS = TINY | {
    "batch_size": 100,
    "rates": [0.001, 0.01, 0.1, 1e38],
    "landscape_rates": [0.01, 0.1, 100.0],
    "backend": "numpy",
}


@pytest.fixture
def few(mnist, monkeypatch):
    """Give the example no more than the images that it asks for, and 200 test images."""
    train, test = mnist

    def first(n):
        return minidl.Dataset(train.x[:n], train.labels[:n]), minidl.Dataset(test.x[:200], test.labels[:200])

    monkeypatch.setattr(example, "mnist", first)
    return first


def test_a_call_leaves_results_and_figures_and_a_second_one_changes_nothing(few, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(example, "QUICK", TINY)
    call = ["--quick", "--jobs", "1", "--seeds", "0", "1", "--backend", "numpy", "--out", str(tmp_path)]
    example.main(call)
    path = tmp_path / "optimizers.json"
    results = json.loads(path.read_text())
    names = [f"{e}: {name}" for e in ("hidden", "logistic") for name in sorted(example.OPTIMIZERS)]
    assert [(run["name"], run["seed"]) for run in results["runs"]] == [
        *[("formulas", 0)],
        *[(name, seed) for name in names[:6] for seed in (0, 1)],
        ("landscapes", 0),
        *[(name, seed) for name in names[6:] for seed in (0, 1)],
    ]
    for run in results["runs"]:
        if "history" in run:
            assert run["name"] == f"{run['experiment']}: {run['optimizer']}"
            assert run["rate"] in results["settings"]["rates"]
            assert len(run["trials"]) == (9 if run["experiment"] == "logistic" else 9 + 3)
            assert len(run["history"]["epoch"]) == 2 or "diverged" in run
    walks = next(run for run in results["runs"] if run["name"] == "landscapes")["walks"]
    assert set(walks) == set(lab.landscapes.LANDSCAPES)
    assert all(set(walk) == set(example.OPTIMIZERS) for walk in walks.values())
    assert [row["id"] for row in results["claims"]] == list(example.CLAIMS)
    assert {row["verdict"] for row in results["claims"]} == {lab.claims.NOT_TESTED}
    for figure in ("optimizers.png", "optimizers_trajectories.png"):
        assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")

    text = path.read_text()
    capsys.readouterr()
    example.main(call)
    printed = capsys.readouterr().out
    assert "26 of 26 runs were finished earlier" in printed
    assert "run 1/" not in printed
    assert path.read_text() == text


@pytest.mark.parametrize("which", ["logistic", "hidden"])
def test_the_rate_is_the_best_of_the_trials_and_the_test_set_has_no_say(few, monkeypatch, which):
    one = example.train_with(SETTINGS, 3, which, "Momentum")
    last = SETTINGS[which]["trials"][-1][0]
    losses = {rate: loss for images, rate, loss in one["trials"] if images == last and loss is not None}
    assert one["rate"] == min(losses, key=losses.get)
    assert [loss is None for _, _, loss in one["trials"][:4]] == [False, False, False, True]  # 1e38 diverges
    json.dumps(one, allow_nan=False)

    train, test = few(300)
    monkeypatch.setattr(example, "mnist", lambda n: (train, minidl.Dataset(-test.x, test.labels)))
    other = example.train_with(SETTINGS, 3, which, "Momentum")
    assert other["trials"] == one["trials"]
    assert other["history"]["train_loss"] == one["history"]["train_loss"]
    assert other["history"]["test_loss"] != one["history"]["test_loss"]


def test_the_rate_of_logistic_regression_falls_with_the_root_of_the_updates(few):
    run = example.train_with(SETTINGS, 0, "logistic", "SGD")
    assert run["history"]["lr"] == pytest.approx([run["rate"], run["rate"] / np.sqrt(1 + 3)])
    run = example.train_with(SETTINGS, 0, "hidden", "SGD")
    assert run["history"]["lr"] == [run["rate"]] * 2


def test_walks_go_down_the_gradient():
    starts = np.array([[-3.0, 1.0], [-0.7, 2.0]])
    path = lab.landscapes.walk(lab.landscapes.LANDSCAPES["ravine"], minidl.SGD(0.01), starts, 2)
    c, s = np.sqrt(3) / 2, 0.5
    turn = np.array([[c, s], [-s, c]])
    hessian = turn.T @ np.diag([1.0, 100.0]) @ turn
    expected = [starts]
    for _ in range(2):
        expected.append(expected[-1] - 0.01 * hessian @ expected[-1])
    np.testing.assert_allclose(path, expected, rtol=1e-12)


def test_a_walk_has_arrived_when_it_stays():
    plane = lab.landscapes.Landscape("", lambda x, y: x + 0 * y, (0, 0), 0.0, (0, 1, 0, 1))
    x = np.array(
        [[5, 0, 0, 0], [5, 0, 1, 0], [5, 0, 0, 1], [0, 0, 0, 0], [5, np.inf, np.nan, np.nan], [5, np.nan, 0, 0]]
    )
    path = np.stack([x, 0 * np.ones_like(x)], axis=1).transpose(2, 1, 0)
    assert lab.landscapes.arrivals(plane, path).tolist() == [1, 3, np.inf, 0, np.inf, 2]


def test_what_formulas_do_is_as_the_text_says(few):
    results = made_up(formulas=example.measure_formulas(SETTINGS, 0))
    found = verdicts(results)
    assert {found[key] for key in ("E1", "E2", "E3", "E4", "E5")} == {lab.claims.BY_DEFINITION}


@pytest.mark.parametrize(
    ("kind", "update", "failing"),
    [
        (minidl.Momentum, lambda self, w, g, lr, v: minidl.SGD.formula(w, g, lr), {"E2", "E5"}),
        (minidl.Adagrad, lambda self, w, g, lr, s: minidl.SGD.formula(w, g, lr), {"E3"}),
        (minidl.RMSprop, lambda self, w, g, lr, s: minidl.Adagrad.formula(w, g, s, lr, self.eps), {"E4", "E5"}),
        (minidl.Adam, lambda self, w, g, lr, m, v: minidl.Momentum.formula(w, g, v, 0.9, lr), {"E5"}),
    ],
)
def test_wrong_formulas_are_found_out(few, monkeypatch, kind, update, failing):
    monkeypatch.setattr(kind, "update", update)
    found = verdicts(made_up(formulas=example.measure_formulas(SETTINGS, 0)))
    assert {key for key, verdict in found.items() if verdict == lab.claims.NOT_REPRODUCED} == failing


def test_a_wrong_gradient_is_found_out(few, monkeypatch):
    true = minidl.ReLU.backward
    monkeypatch.setattr(minidl.ReLU, "backward", lambda self, dy: 1.0001 * true(self, dy))
    assert verdicts(made_up(formulas=example.measure_formulas(SETTINGS, 0)))["E1"] == lab.claims.NOT_REPRODUCED


LOSSES = {  # at the end
    "SGD": 0.25,
    "Momentum": 0.1,
    "Nesterov": 0.2,
    "Adagrad": 0.3,
    "RMSprop": 0.25,
    "Adam": 0.195,
}
FORMULAS = {
    "gradient_error": 1e-9,
    "theta": {"classical": -0.2, "pytorch": -0.119},
    "adagrad_rates": [0.03, 0.003, 0.15],
    "adagrad_power": -0.5,
    "adagrad_rise": 1.0,
    "after_burst": {"Adagrad": 1.0, "RMSprop": 97.0},
    "rmsprop_steps": [1.0, 1.0],
    "adam_error": 1e-14,
    "adam_first": [0.99999, 1.0],
}
STEPS = {"ravine": (98, 234), "saddle": (9, 9), "plateau": (31, 40), "double well": (9, 9), "plateau, at rest": (9, 5)}


def made_up(losses=None, steps=None, shares=(0.3, 0.2), formulas=None, settings=None, seeds=3, edge=()):
    """Return results in which everything is as claimed, but for what is given.

    ``losses`` has histories in place of a fall from 1 to ``LOSSES``, by experiment and optimiser; those of ``edge``
    choose the highest of their rates.
    """
    settings = copy.deepcopy(example.FULL) | (settings or {})
    results = object.__new__(lab.results.Results)
    results.data = {"settings": settings, "runs": []}
    runs = results.data["runs"]
    runs.append({"name": "formulas", "seed": 0, **(FORMULAS | (formulas or {}))})
    walks = {
        place: {
            name: {"rate": 0.1, "steps": ours if name == "Momentum" else theirs, "path": [[0.0, 0.0], [1.0, 1.0]]}
            for name in example.OPTIMIZERS
        }
        for place, (ours, theirs) in (STEPS | (steps or {})).items()
    }
    parts = {
        name: {"rate": 0.1, "all": 0.5, "poor": shares[name != "Momentum"], "good": 0.9} for name in example.OPTIMIZERS
    }
    runs.append({"name": "landscapes", "seed": 0, "walks": walks, "shares": parts})
    for which in example.EXPERIMENTS:
        epochs = settings[which]["epochs"]
        for name, end in LOSSES.items():
            for seed in range(seeds):
                curve = list(np.geomspace(1.0, end, epochs))
                curve = (losses or {}).get((which, name), curve)
                wobble = [loss * (1 + 0.001 * seed) for loss in curve]
                history = {"train_loss": wobble, "test_accuracy": [1 - loss / 2 for loss in wobble]}
                run = {"name": f"{which}: {name}", "seed": seed, "rate": 0.1 * (1 + seed), "history": history}
                runs.append(run | {"rates": [0.01, 0.1 if name in edge else 10.0]})
    return results


def verdicts(results):
    rows = example.verdicts(results)
    assert [row["id"] for row in rows] == list(example.CLAIMS)
    return {row["id"]: row["verdict"] for row in rows}


def to(end, epochs=6):
    return list(np.geomspace(1.0, end, epochs))


AS_CLAIMED = dict.fromkeys(example.CLAIMS, lab.claims.REPRODUCED)
AS_CLAIMED |= dict.fromkeys(("E1", "E2", "E3", "E4", "E5"), lab.claims.BY_DEFINITION)


def test_all_claims_can_be_reproduced():
    assert verdicts(made_up()) == AS_CLAIMED


@pytest.mark.parametrize(
    ("failing", "change"),
    [
        ({"E1"}, {"formulas": {"gradient_error": 2e-6}}),
        ({"E1", "E2, speed"}, {"losses": {("hidden", "SGD"): [0.05, 0.6, 0.6, 0.6, 0.6, 0.6]}}),
        ({"E2"}, {"formulas": {"theta": {"classical": -0.119, "pytorch": -0.119}}}),
        ({"E2"}, {"formulas": {"theta": {"classical": -0.2, "pytorch": -0.2}}}),
        ({"E2, speed"}, {"losses": {("hidden", "Momentum"): to(0.26)}}),
        ({"E2, speed"}, {"losses": {("logistic", "Momentum"): to(0.26, 20)}}),
        ({"E3"}, {"formulas": {"adagrad_rates": [0.03, 0.03, 0.15]}}),
        ({"E3"}, {"formulas": {"adagrad_rates": [0.03, 0.003, 0.03]}}),
        ({"E3"}, {"formulas": {"adagrad_rise": 1.01}}),
        ({"E3"}, {"formulas": {"adagrad_power": -0.48}}),
        ({"E4"}, {"formulas": {"after_burst": {"Adagrad": 1.0, "RMSprop": 9.0}}}),
        ({"E4"}, {"formulas": {"rmsprop_steps": [1.0, 0.98]}}),
        ({"E5"}, {"formulas": {"adam_error": 1e-8}}),
        ({"E5"}, {"formulas": {"adam_first": [0.999, 1.0]}}),
        ({"E6"}, {"steps": {"ravine": (234, 234)}}),
        ({"E6"}, {"steps": {"ravine": (None, 234)}}),
        ({"E6"}, {"steps": {"plateau": (41, 40)}}),
        ({"E6"}, {"steps": {"plateau": (None, None)}}),
        ({"E6"}, {"shares": (0.24, 0.2)}),
        ({"Kingma 2015, fig. 1"}, {"losses": {("logistic", "Adam"): to(0.22, 20)}}),
        ({"Kingma 2015, fig. 1"}, {"losses": {("logistic", "Adagrad"): to(0.196, 20)}}),
        ({"Kingma 2015, fig. 2"}, {"losses": {("hidden", "Nesterov"): to(0.19)}}),
        ({"Kingma 2015, fig. 2"}, {"losses": {("hidden", "RMSprop"): to(0.19)}}),
        ({"Kingma 2015, fig. 2"}, {"losses": {("hidden", "Adagrad"): to(0.19)}}),
        ({"Kingma 2015, fig. 2"}, {"losses": {("hidden", "Adam"): to(0.195, 5)}}),  # diverged after 5 epochs
        ({"Kingma 2015, fig. 1"}, {"losses": {("logistic", "Adam"): []}}),
    ],
)
def test_each_claim_can_fail(failing, change):
    found = verdicts(made_up(**change))
    assert {key for key, verdict in found.items() if verdict == lab.claims.NOT_REPRODUCED} == failing


def test_adam_may_be_better_than_similar():
    assert verdicts(made_up(losses={("logistic", "Adam"): to(0.15, 20)})) == AS_CLAIMED


@pytest.mark.parametrize(
    ("undecided", "change"),
    [
        ({"E2, speed"}, {"edge": ("SGD",)}),
        ({"Kingma 2015, fig. 1", "Kingma 2015, fig. 2"}, {"edge": ("Adagrad",)}),
        ({"Kingma 2015, fig. 2"}, {"losses": {("hidden", "Nesterov"): to(0.195)}}),  # equal to Adam
        ({"E2, speed", "Kingma 2015, fig. 1", "Kingma 2015, fig. 2"}, {"seeds": 2}),
    ],
)
def test_what_cannot_be_told_is_undecided(undecided, change):
    found = verdicts(made_up(**change))
    assert {key for key, verdict in found.items() if verdict == lab.claims.UNDECIDED} == undecided
    assert lab.claims.NOT_REPRODUCED not in found.values()


def test_runs_with_the_wider_grid_take_the_place_of_the_others():
    results = made_up(edge=("SGD",))
    runs = [run for run in results.runs if run["name"].endswith(": SGD")]
    results.data["runs"] += [run | {"name": f"tuned {run['name']}", "rates": [0.01, 10.0]} for run in runs]
    assert verdicts(results) == AS_CLAIMED


@pytest.mark.parametrize("which", ["logistic", "hidden"])
def test_tuned_runs_choose_on_images_held_back(few, monkeypatch, which):
    plan = {"rates": [1e-6, 0.01, 0.1, 1e38], "held_back": 50, "trials": [[150, 1, 2], [250, 2, 1]]}
    one = example.train_tuned(SETTINGS, 3, which, "Momentum", **plan)
    losses = {rate: loss for images, epochs, rate, loss in one["tried"] if images == 250}
    assert len(losses) == 2
    assert one["rate"] == min(losses, key=losses.get)
    assert [loss is None for *_, loss in one["tried"][:4]] == [False, False, False, True]  # 1e38 diverges
    assert len(one["history"]["epoch"]) == 2
    json.dumps(one, allow_nan=False)
    train, test = few(300)
    monkeypatch.setattr(example, "mnist", lambda n: (train, minidl.Dataset(-test.x, test.labels)))
    other = example.train_tuned(SETTINGS, 3, which, "Momentum", **plan)
    assert other["tried"] == one["tried"]
    assert other["history"]["test_loss"] != one["history"]["test_loss"]


def test_what_never_arrives_loses_to_what_does():
    assert verdicts(made_up(steps={"ravine": (98, None)}))["E6"] == lab.claims.REPRODUCED
    row = {row["id"]: row for row in example.verdicts(made_up(steps={"ravine": (98, None)}))}["E6"]
    assert "ravine 98 and never" in row["measured"]


@pytest.mark.parametrize("settings", [{"units": 999}, {"steps": 1000}, {"hidden": TINY["hidden"]}])
def test_a_smaller_experiment_gives_no_verdict(settings):
    assert set(verdicts(made_up(settings=settings, losses={("hidden", n): to(0.2, 2) for n in LOSSES})).values()) == {
        lab.claims.NOT_TESTED
    }


@pytest.mark.parametrize("seeds", [1, 3])
def test_diverged_runs_are_drawn_and_judged(tmp_path, seeds):
    results = made_up(losses={("hidden", "SGD"): [0.5], ("logistic", "Adam"): []}, seeds=seeds)
    example.draw(results, tmp_path / "optimizers.png")
    assert {path.name for path in tmp_path.iterdir()} == {"optimizers.png", "optimizers_trajectories.png"}
    measured = {row["id"]: row["measured"] for row in example.verdicts(results)}
    assert "diverged with" in measured["Kingma 2015, fig. 1"]
