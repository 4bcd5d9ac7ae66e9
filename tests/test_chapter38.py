"""Chapter 38's example: a tiny run from end to end, the plans that it carries out, and every verdict both ways."""

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import minidl

sys.path.insert(0, str(Path(minidl.__file__).parent.parent / "examples"))

import chapter38
import lab.formats
import lab.network
import lab.plots
import lab.results
from lab.claims import BY_DEFINITION, NOT_REPRODUCED, NOT_TESTED, REPRODUCED, UNDECIDED
from lab.verdicts.chapter38 import CLAIMS

TINY = {"half": 2, "train_size": 1100, "paper_train_size": 1700, "smith_stage": 1, "hoffer_epochs": 1}
PLANS = {  # with TINY: batch size and rate of each epoch
    "64": ([64, 64], [0.01, 0.01]),
    "1024 at lr 0.1": ([1024, 1024], [0.1, 0.1]),
    "1024, twice as long": ([1024] * 4, [0.01] * 4),
    "1024 for 1 epoch, then 64": ([1024, 64, 64], [0.01] * 3),
    "1024, then 64": ([1024, 1024, 64, 64], [0.01] * 4),
    "1024, then lr × 10": ([1024] * 4, [0.01, 0.01, 0.1, 0.1]),
    "64 for 1 epoch, then 1024": ([64, 1024, 1024], [0.01] * 3),
    "64, then 1024": ([64, 64, 1024, 1024], [0.01] * 4),
    "lr ÷ 5 twice": ([64] * 3, [0.1, 0.02, 0.004]),
    "batch × 5 twice": ([64, 320, 1600], [0.1] * 3),
    "neither changes": ([64] * 3, [0.1] * 3),
    "small batch": ([64], [0.1]),
    "large batch": ([1024], [0.1]),
    "+ lr × √k": ([1024], [0.4]),
    "+ ghost batches": ([1024], [0.4]),
    "+ as many updates": ([1024] * 16, [0.4] * 16),
}
OF_THE_PAPERS = list(PLANS)[8:]


@pytest.fixture
def small(mnist, monkeypatch):
    """Give the example 100 test images and narrow networks; return these as they are made."""
    train, test = mnist
    few = minidl.Dataset(test.x[:100], test.labels[:100])
    normalized, made = chapter38.normalized_network, []

    def remembered(seed, backend, ghost_size):
        made.append(normalized(seed, backend, ghost_size, width=8))
        return made[-1]

    monkeypatch.setattr(chapter38, "mnist", lambda n: (minidl.Dataset(train.x[:n], train.labels[:n]), few))
    monkeypatch.setattr(chapter38, "network", lambda seed, backend: lab.network.network(seed, backend, width=8))
    monkeypatch.setattr(chapter38, "normalized_network", remembered)
    monkeypatch.setattr(chapter38, "QUICK", TINY)
    return made


def test_the_whole_experiment_on_few_images(small, tmp_path, capsys, monkeypatch):
    given = ["--quick", "--jobs", "1", "--backend", "numpy", "--seeds", "0", "1", "--out", str(tmp_path)]
    chapter38.main(given)
    path = tmp_path / "chapter38.json"
    before = path.read_bytes()
    results = json.loads(before)
    assert [(run["name"], run["seed"]) for run in results["runs"]] == [(n, s) for n in sorted(PLANS) for s in (0, 1)]
    for run in results["runs"]:
        sizes, rates = PLANS[run["name"]]
        images = 1700 if run["name"] in OF_THE_PAPERS else 1100
        assert run["history"]["batch_size"] == sizes
        assert run["history"]["lr"] == rates
        assert run["history"]["updates"] == np.cumsum([-(-images // size) for size in sizes]).tolist()
    assert [row["id"] for row in results["claims"]] == list(CLAIMS)
    assert {row["verdict"] for row in results["claims"]} == {NOT_TESTED}
    assert all(row["measured"].endswith(" (a quick run)") for row in results["claims"])
    for name in ("chapter38.png", "chapter38_papers.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")

    capsys.readouterr()
    monkeypatch.setattr(chapter38, "draw", lambda results, path: None)
    chapter38.main(given)
    printed = capsys.readouterr().out
    assert "32 of 32 runs were finished earlier." in printed
    assert "run 1/" not in printed
    assert path.read_bytes() == before


def test_a_training_by_plan_is_the_same_as_its_parts_in_a_row(small):
    record = chapter38.train_by_plan(
        {"backend": "numpy"}, 3, epochs=3, batch_size=[[0, 64], [1, 1024]], lr=[[0, 0.01], [2, 0.1]], train_size=1100
    )
    data, test = chapter38.mnist(1100)
    model, rng = lab.network.network(3, width=8), np.random.default_rng(3)
    parts = [
        minidl.fit(model, minidl.SGD(lr), data, test, epochs=1, batch_size=size, seed=rng)
        for size, lr in ((64, 0.01), (1024, 0.01), (1024, 0.1))
    ]
    for column in ("train_loss", "test_accuracy", "batch_size", "lr"):
        assert record["history"][column] == [getattr(part, column)[0] for part in parts]


def test_each_adaptation_is_on_top_of_the_one_before(small):
    assert list(chapter38.HOFFER) == list(PLANS)[11:]
    steps = list(chapter38.HOFFER.values())
    changes = [{key for key in one if one[key] != other[key]} for one, other in pairwise(steps)]
    assert changes == [{"batch_size"}, {"lr"}, {"ghost_size"}, {"longer"}]
    assert steps[2]["lr"] == steps[1]["lr"] * (steps[1]["batch_size"] / steps[0]["batch_size"]) ** 0.5
    for arguments in steps[1:4]:
        chapter38.train_normalized(TINY | {"backend": "numpy"}, 0, **arguments)
    assert [[layer.ghost_size for layer in model.layers[1:5:3]] for model in small] == [
        [None] * 2,
        [None] * 2,
        [64] * 2,
    ]
    without = tuple(layer for layer in small[0].layers if not isinstance(layer, minidl.BatchNorm))
    assert repr(without) == repr(lab.network.network(0, width=8).layers)


def test_a_normalised_training_is_the_same_again(small):
    arguments = chapter38.HOFFER["+ ghost batches"] | {"longer": 2}
    runs = [chapter38.train_normalized(TINY | {"backend": "numpy"}, seed, **arguments)["history"] for seed in (2, 2, 3)]
    assert runs[0]["train_loss"] == runs[1]["train_loss"] != runs[2]["train_loss"]


def test_the_networks_are_those_that_the_settings_name():
    model = chapter38.normalized_network(0, "numpy", 64)
    assert [layer.out_features for layer in model.layers if isinstance(layer, minidl.Dense)] == [1024, 1024, 10]


ENDS = {  # test accuracy at the end; 0.98 for all others
    "1024, twice as long": 0.966,
    "lr ÷ 5 twice": 0.97,
    "batch × 5 twice": 0.97,
    "neither changes": 0.97,
    "small batch": 0.97,
    "large batch": 0.944,
    "+ lr × √k": 0.96,
    "+ ghost batches": 0.962,
    "+ as many updates": 0.971,
}
LOSSES = {"lr ÷ 5 twice": 0.0013, "batch × 5 twice": 0.0013, "neither changes": 0.00045}


def made_up():
    """Return test accuracies and training losses, (seeds, epochs), and updates, with which all claims hold."""
    runs = {}
    for name in PLANS:
        way = np.linspace(0.9, ENDS.get(name, 0.98), 60 if name == "1024, twice as long" else 30)
        updates = 3890 if name == "batch × 5 twice" else 9390
        loss = LOSSES.get(name, 0.1) * (1 + 0.001 * np.arange(3)[:, None]) * np.ones_like(way)
        runs[name] = {"test": way + 0.0001 * np.arange(3)[:, None], "loss": loss, "updates": updates}
    return runs


def results_of(tmp_path, runs, settings=chapter38.FULL):
    results = lab.results.Results(tmp_path / "chapter38.json", dict(settings), {})
    for name, run in runs.items():
        for seed, test in enumerate(run["test"]):
            epochs = len(test)
            history = {
                "epoch": list(range(1, epochs + 1)),
                "test_accuracy": list(test),
                "train_accuracy": [0.99] * epochs,
                "train_loss": list(run["loss"][seed][:epochs]),
                "updates": [run["updates"]] * epochs,
            }
            results.add({"name": name, "seed": seed, "history": history} | run.get("noted", {}))
    return results


def verdicts(results):
    return {row["id"]: row["verdict"] for row in chapter38.verdicts(results)}


AS_CLAIMED = dict.fromkeys(CLAIMS, REPRODUCED) | {"B7": BY_DEFINITION}


def test_all_claims_can_be_reproduced(tmp_path):
    assert verdicts(results_of(tmp_path, made_up())) == AS_CLAIMED


def ending(name, *accuracies):
    """Return a change: the seeds end with these test accuracies, or all with the only one, but for a nudge."""

    def change(runs):
        runs[name]["test"][:, -1] = accuracies if len(accuracies) > 1 else accuracies[0] + 0.0001 * np.arange(3)

    return change


def losing(name, loss, epoch=29):
    """Return a change: the training loss after an epoch."""

    def change(runs):
        runs[name]["loss"][:, epoch] = loss * (1 + 0.001 * np.arange(3))

    return change


def short(runs):
    runs["1024, twice as long"]["test"] = runs["1024, twice as long"]["test"][:, -29:]


@pytest.mark.parametrize(
    ("failing", "change"),
    [
        ({"B1"}, ending("1024 at lr 0.1", 0.974)),
        ({"B1"}, ending("1024 at lr 0.1", 0.986)),  # more than 98 % is not 98 %
        ({"B1", "B6"}, lambda runs: [ending("1024 at lr 0.1", 0.976)(runs), ending("64", 0.9852)(runs)]),
        ({"B2"}, ending("1024 for 1 epoch, then 64", 0.986)),
        ({"B2", "B6"}, ending("1024 for 1 epoch, then 64", 0.97)),
        ({"B3"}, ending("1024, then 64", 0.986)),
        ({"B3", "B6"}, ending("1024, then 64", 0.97)),
        ({"B4"}, ending("1024, then lr × 10", 0.986)),
        ({"B4", "B6"}, ending("1024, then lr × 10", 0.97)),
        ({"B5"}, ending("1024, twice as long", 0.976)),  # rounds to 98 %
        ({"B5", "B2", "B6"}, ending("1024 for 1 epoch, then 64", 0.965)),  # below the control
        ({"B5", "B3", "B6"}, ending("1024, then 64", 0.965)),
        ({"B5", "B4", "B6"}, ending("1024, then lr × 10", 0.965)),
        ({"B7"}, short),
        ({"prose"}, ending("64 for 1 epoch, then 1024", 0.963)),
        ({"prose"}, ending("64, then 1024", 0.963)),
        ({"Smith 2018"}, losing("batch × 5 twice", 0.0009)),
        ({"Smith 2018"}, losing("batch × 5 twice", 0.0018)),
        ({"Smith 2018"}, losing("batch × 5 twice", 0.0018, epoch=19)),  # after the second stage
        ({"Smith 2018"}, lambda runs: [losing("neither changes", 0.002, epoch)(runs) for epoch in (19, 29)]),
        ({"Smith 2018"}, lambda runs: runs["batch × 5 twice"].update(updates=9390)),
        ({"Hoffer 2017"}, ending("+ as many updates", 0.9645)),
        ({"Hoffer 2017"}, lambda runs: [ending(name, 0.972)(runs) for name in list(chapter38.HOFFER)[1:]]),  # no gap
    ],
)
def test_each_claim_can_fail(tmp_path, failing, change):
    runs = made_up()
    change(runs)
    found = verdicts(results_of(tmp_path, runs))
    assert {identity for identity, verdict in found.items() if verdict == NOT_REPRODUCED} == failing


@pytest.mark.parametrize(
    ("undecided", "change"),
    [
        ({"B1"}, ending("1024 at lr 0.1", 0.9745, 0.9755, 0.9765)),
        ({"B2", "B6"}, ending("1024 for 1 epoch, then 64", 0.9745, 0.9755, 0.9765)),
        ({"B5", "B2", "B6"}, ending("1024 for 1 epoch, then 64", 0.99, 0.96, 0.99)),
        ({"B5", "B3", "B6"}, ending("1024, then 64", 0.99, 0.96, 0.99)),
        ({"B5", "B4", "B6"}, ending("1024, then lr × 10", 0.99, 0.96, 0.99)),
        ({"Smith 2018"}, losing("batch × 5 twice", np.array([0.0013, 0.0009, 0.0018]))),
        ({"Hoffer 2017"}, ending("large batch", 0.944, 0.99, 0.944)),
    ],
)
def test_what_the_seeds_cannot_tell_is_undecided(tmp_path, undecided, change):
    runs = made_up()
    change(runs)
    found = verdicts(results_of(tmp_path, runs))
    assert {identity for identity, verdict in found.items() if verdict == UNDECIDED} == undecided
    assert NOT_REPRODUCED not in found.values()


def test_two_seeds_decide_nothing(tmp_path):
    results = results_of(tmp_path, made_up())
    results.data["runs"] = [run for run in results.runs if run["seed"] < 2]
    assert set(verdicts(results).values()) == {UNDECIDED, BY_DEFINITION}


@pytest.mark.parametrize(
    "change",
    [
        ending("1024 at lr 0.1", 0.9757),
        ending("1024 for 1 epoch, then 64", 0.9757),
        ending("+ as many updates", 0.9657),
        losing("batch × 5 twice", 0.0011),
    ],
)
def test_what_is_close_enough_counts_as_reproduced(tmp_path, change):
    runs = made_up()
    change(runs)
    assert verdicts(results_of(tmp_path, runs)) == AS_CLAIMED


@pytest.mark.parametrize("change", [{"half": 29}, {"train_size": 6_000}, {"smith_stage": 11}, {"hoffer_epochs": 4}])
def test_a_smaller_experiment_gives_no_verdict(tmp_path, change):
    results = results_of(tmp_path, made_up(), chapter38.FULL | change)
    assert set(verdicts(results).values()) == {NOT_TESTED}


def test_what_was_found_is_said(tmp_path):
    runs = made_up()
    ending("1024 at lr 0.1", 0.9788)(runs)
    rows = {row["id"]: row for row in chapter38.verdicts(results_of(tmp_path, runs))}
    said = {identity: row["measured"].replace(lab.formats.NBSP, " ") for identity, row in rows.items()}
    effect = rows["B1"]["effect"].replace(lab.formats.NBSP, " ")
    assert said["B1"] == "test 1024 at lr 0.1: 97.89 ± 0.01 %, 64: 98.01 ± 0.01 %"
    assert "1024 at lr 0.1: 97.89 % [97.87, 97.91], within the test set's noise of 0.28 from 98%" in effect
    assert "1024 at lr 0.1 − 64: -0.12 points [-0.12, -0.12], less than the test set's noise of 0.27" in effect
    assert "rises from 90.01 ± 0.01 % to 93.2" in said["B7"]
    assert "training loss at the end 0.0013 and 0.0013 (0.00045 with neither), after 9,390 and 3," in said["Smith 2018"]
    assert "within 0.00 points of each other, but also within 0.00 points of that with neither" in said["Smith 2018"]


@pytest.mark.parametrize("epochs", [0, 5])
@pytest.mark.parametrize(
    ("lost", "failing"),
    [
        ("1024 at lr 0.1", {"B1"}),
        ("1024, twice as long", {"B5", "B7"}),
        ("batch × 5 twice", {"Smith 2018"}),
        ("lr ÷ 5 twice", {"Smith 2018"}),
        ("+ as many updates", {"Hoffer 2017"}),
    ],
)
def test_whatever_diverges_is_judged_and_drawn(tmp_path, monkeypatch, lost, failing, epochs):
    monkeypatch.setattr(lab.plots, "save_figure", lambda figure, path: None)
    runs = made_up()
    runs[lost] |= {"test": runs[lost]["test"][:, -epochs - 1 : -1], "noted": {"diverged": "the loss became nan"}}
    results = results_of(tmp_path, runs)
    assert {name for name, verdict in verdicts(results).items() if verdict == NOT_REPRODUCED} == failing
    chapter38.draw(results, tmp_path / "chapter38.png")
