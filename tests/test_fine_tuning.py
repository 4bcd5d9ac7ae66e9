"""The example on fine-tuning: what its runs record, what they keep apart, and that every verdict can go either way."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl

sys.path.insert(0, str(Path(minidl.__file__).parent.parent / "examples"))

import fine_tuning
import lab.claims
import lab.formats
import lab.results
from lab import transfer
from lab.figures.fine_tuning import RIVALS

TINY = {"labels": [20, 100], "pretrain_size": 300, "pretrain_epochs": 1, "images": 100, "cycles": 2}
SETTINGS = TINY | {
    "pretrain_lr": 0.001,
    "augmentation": {"shift": 2.0, "rotation": 10.0, "scale": 0.1},
    "suggestion": "valley",
    "first_epochs": 1,
    "batch_size": 25,
    "backend": "numpy",
}
STAGED = ("recipe", "one rate", "last layer only", "factor 2.6", "factor 10")


def small_classifier(backend, rng):
    hidden = minidl.Dense(784, 16), minidl.ReLU(), minidl.Dense(16, 16), minidl.ReLU()
    return minidl.Sequential(*hidden, minidl.Dense(16, 5), minidl.LogSoftmax(), seed=rng, backend=backend)


@pytest.fixture
def few_images(mnist, monkeypatch):
    """Let the example see few images only, with a small network, and forget what it pretrains on them."""
    train, test = mnist
    small = minidl.Dataset(train.x[:2000], train.labels[:2000]), minidl.Dataset(test.x[:200], test.labels[:200])
    monkeypatch.setattr(transfer, "mnist", lambda _size=None: small)
    monkeypatch.setattr(transfer, "classifier", small_classifier)
    monkeypatch.setattr(fine_tuning, "QUICK", TINY)
    transfer.pretrained_network.cache_clear()
    yield small
    transfer.pretrained_network.cache_clear()


def test_a_whole_call_and_a_second_one(few_images, tmp_path, capsys):
    options = ["--quick", "--seeds", "3", "--out", str(tmp_path), "--backend", "numpy"]
    fine_tuning.main(options)
    printed = capsys.readouterr().out
    file, figure = tmp_path / "fine_tuning.json", tmp_path / "fine_tuning.png"
    first = file.read_bytes()
    results = json.loads(first)
    rivals = {20: list(RIVALS), 100: [*RIVALS, "factor 2.6", "factor 10"]}
    expected = {(f"{rival}, {labels} labels", 3) for labels in rivals for rival in rivals[labels]}
    assert {(run["name"], run["seed"]) for run in results["runs"]} == expected
    assert len(results["runs"]) == len(expected)
    for run in results["runs"]:
        assert all(len(values) == 2 * 2 + 3 for values in run["history"].values())
        assert {"epoch", "train_loss", "validation_loss", "test_accuracy", "lr"} <= set(run["history"])
        assert run["history"]["epoch"] == list(range(1, 8))
        assert 1 <= run["best_epoch"] <= 3
        best = min(run["history"]["validation_loss"][-3:])
        assert run["history"]["validation_loss"][-3:].index(best) + 1 == run["best_epoch"]
        assert run["accuracy"] == run["history"]["test_accuracy"][3 + run["best_epoch"]]
        assert run["last_accuracy"] == run["history"]["test_accuracy"][-1]
        assert len(run["moved"]) == 3
        if run["name"].startswith(STAGED):
            assert [step[:2] for step in run["steps"]] == [f"{line} " for line in range(1, 9)]
            assert len(run["rates"]) == 2
    assert [row["id"] for row in results["claims"]] == list(fine_tuning.CLAIMS)
    assert {row["verdict"] for row in results["claims"]} == {lab.claims.NOT_TESTED}
    assert "The recipe with 100 labels, seed 3, line by line:\n1 augmentation" in printed
    assert figure.read_bytes().startswith(b"\x89PNG")

    figure.unlink()
    fine_tuning.main(options)
    assert "12 of 12 runs were finished earlier." in capsys.readouterr().out
    assert file.read_bytes() == first
    assert figure.exists()


@pytest.mark.parametrize(("factor", "unfreeze"), [(3.0, True), (1.0, False)])
def test_the_trunk_moves_only_once_it_is_unfrozen(few_images, factor, unfreeze):
    record = fine_tuning.in_stages(SETTINGS, 0, 20, factor, unfreeze)
    trunk = record["trunk"]
    assert trunk["after line 4"] == trunk["pretrained"]
    assert (trunk["end"] != trunk["pretrained"]) == unfreeze
    assert [distance > 0 for distance in record["moved"]] == [unfreeze, unfreeze, True]
    assert ("left out" in record["steps"][4]) == (not unfreeze)
    assert ("left out" in record["steps"][5]) == (factor == 1)


def test_a_run_is_the_same_whatever_went_before(few_images):
    def record():
        record = fine_tuning.in_stages(SETTINGS, 1, 20, 3.0)
        record["history"].pop("seconds", None)
        return record

    alone = record()
    transfer.pretrained_network.cache_clear()
    fine_tuning.at_once(SETTINGS, 1, 20, 3.0, pretrained=True)  # on a copy of the same pretrained network
    assert record() == alone


@pytest.mark.parametrize("pretrained", [True, False])
def test_rivals_start_alike_but_for_the_trunk(few_images, pretrained):
    way = transfer.Transfer(SETTINGS, 0, 20, pretrained)
    source = transfer.pretrained_network(0, 300, 1, 0.001, "numpy")
    fresh = transfer.classifier("numpy", np.random.default_rng([0, 0]))
    assert np.array_equal(way.model[:4].params, (source if pretrained else fresh)[:4].params)
    assert np.array_equal(way.model[4:].params, fresh[4:].params)
    way.lower_rates(3.0)
    assert [layer.lr_scale for layer in way.model.layers[::2]] == pytest.approx([1 / 9, 1 / 3, 1])


@pytest.mark.parametrize("suggested", [0.02, None])
def test_where_nothing_is_suggested_adams_default_is_taken(few_images, monkeypatch, suggested):
    monkeypatch.setattr(minidl.RangeTest, "suggestions", lambda _: {"valley": suggested, "steepest": 0.5})
    record = fine_tuning.in_stages(SETTINGS, 0, 20, 3.0)
    rate = suggested or 0.001
    assert record["rates"] == [suggested] * 2
    assert record["history"]["lr"] == pytest.approx([rate, rate, rate, rate, rate / 2])  # at the start of each epoch
    assert ("default" in record["steps"][6]) == (suggested is None)


def test_the_network_is_the_one_that_the_settings_name():
    model = transfer.classifier("numpy", np.random.default_rng(0))
    assert [layer.out_features for layer in model.layers[::2]] == [256, 256, 5]
    assert [layer.name for layer in model.layers[::2]] == ["dense0", "dense2", "dense4"]


def test_images_are_drawn_fairly(few_images):
    few, validation, test = transfer.few_labels(SETTINGS, 0, 20)
    more, more_validation, _ = transfer.few_labels(SETTINGS, 0, 100)
    other, _, _ = transfer.few_labels(SETTINGS, 1, 20)

    def images(data):
        return {row.tobytes() for row in data.x}

    assert (len(images(few)), len(images(more))) == (20, 100)
    assert images(few) < images(more)
    assert images(few) != images(other)
    assert len(few.x) == len(more.x) == SETTINGS["images"]
    for data, each in ((few, 20), (more, 20), (validation, 1), (more_validation, 5)):
        assert np.bincount(data.labels).tolist() == [each] * 5
    assert not images(more) & images(more_validation)
    known = {row.tobytes(): label for row, label in zip(*few_images[0], strict=True)}
    assert all(known[row.tobytes()] == label + 5 for row, label in zip(*more, strict=True))
    assert len(test.x) == np.count_nonzero(few_images[1].labels >= 5)


def test_divergence_is_a_result(few_images, monkeypatch, tmp_path):
    monkeypatch.setattr(transfer.Transfer, "find_rate", lambda way, *_: way.rates.append(1e30) or 1e30)
    for record in (
        fine_tuning.in_stages(SETTINGS, 0, 20, 3.0),
        fine_tuning.at_once(SETTINGS, 0, 20, 1.0, pretrained=False),
    ):
        assert record["accuracy"] is record["last_accuracy"] is None
        assert record["moved"] == [None] * 3
        assert "the loss became" in record["diverged"]
        json.dumps(record, allow_nan=False)


AS_CLAIMED = {
    "recipe": [0.95, 0.96, 0.95],
    "one rate": [0.93, 0.93, 0.94],
    "factor 2.6": [0.95, 0.95, 0.96],
    "factor 10": [0.94, 0.94, 0.94],
    "last layer only": [0.90, 0.90, 0.91],
    "all at once": [0.92, 0.93, 0.92],
    "from scratch": [0.85, 0.86, 0.85],
}


def results_with(tmp_path, accuracies, trunk=("a", "a", "b"), **settings):
    """Return results in which the rivals end with these accuracies, one a seed, whatever the number of labels."""
    settings = SETTINGS | {"first_epochs": 2} | fine_tuning.FULL | settings
    results = lab.results.Results(tmp_path / "fine_tuning.json", settings, {})
    for labels in settings["labels"]:
        for rival, values in accuracies.items():
            for seed, value in enumerate(values):
                diverged = {"diverged": "the loss became nan"} if value is None else {}
                history = {"test_accuracy": [] if value is None else [value] * 19}
                record = {"name": f"{rival}, {labels} labels", "seed": seed, "history": history}
                record |= {"accuracy": value, "last_accuracy": value} | diverged
                record["moved"] = [None] * 3 if value is None else [0.1, 0.2, 0.5]
                record["rates"] = [0.01, None if seed == 1 else 0.001]
                record["trunk"] = dict(zip(("pretrained", "after line 4", "end"), trunk, strict=True))
                results.add(record)
    return results


def verdicts(results):
    return {row["id"]: row["verdict"] for row in fine_tuning.verdicts(results)}


def test_all_claims_can_be_reproduced(tmp_path):
    found = verdicts(results_with(tmp_path, AS_CLAIMED))
    assert list(found) == list(fine_tuning.CLAIMS)
    assert set(found.values()) == {lab.claims.REPRODUCED}


@pytest.mark.parametrize(
    ("failing", "change"),
    [
        ({"C7"}, {"one rate": [0.94, 0.97, 0.94], "factor 2.6": [0.99] * 3}),  # above in the mean, but not clearly
        ({"C7", "Howard & Ruder 2018"}, {"one rate": [0.97] * 3}),
        ({"Howard & Ruder 2018"}, {"factor 2.6": [0.93, 0.93, 0.93]}),
        ({"C8"}, {"last layer only": [0.96, 0.96, 0.96]}),
        ({"C8"}, {"all at once": [0.95, 0.96, 0.95]}),
        ({"C9"}, {"from scratch": [0.95, 0.94, 0.97]}),
        ({"C7", "C8", "C9"}, {"recipe": [0.95, None, 0.95]}),
    ],
)
def test_claims_can_fail(tmp_path, failing, change):
    found = verdicts(results_with(tmp_path, AS_CLAIMED | change))
    assert {identity for identity, verdict in found.items() if verdict == lab.claims.NOT_REPRODUCED} == failing
    assert list(found.values()).count(lab.claims.REPRODUCED) == len(found) - len(failing)


@pytest.mark.parametrize("trunk", [("a", "c", "b"), ("a", "a", "a")])
def test_freezing_that_does_not_work_is_noticed(tmp_path, trunk):
    found = verdicts(results_with(tmp_path, AS_CLAIMED, trunk=trunk))
    assert [identity for identity in found if found[identity] == lab.claims.NOT_REPRODUCED] == ["C8"]


@pytest.mark.parametrize("change", [{"labels": [20, 100]}, {"pretrain_epochs": 4}, {"cycles": 3}])
def test_a_smaller_experiment_gives_no_verdict(tmp_path, change):
    found = verdicts(results_with(tmp_path, AS_CLAIMED, **change))
    assert set(found.values()) == {lab.claims.NOT_TESTED}


def test_what_was_found_is_said_in_words(tmp_path):
    results = results_with(tmp_path, AS_CLAIMED | {"one rate": [0.97] * 3, "from scratch": [0.95, 0.96, 0.95]})
    said = {row["id"]: row["measured"].replace(lab.formats.NBSP, " ") for row in fine_tuning.verdicts(results)}
    assert "recipe (95.33 ± 0.58 %) is worse than one rate (97.00 ± 0.00 %)" in said["C7"]
    assert "with 2,500 labels the difference is -1.67 ± 0.58 points" in said["C7"]
    assert "is not clearly better or worse than from scratch" in said["C9"]
    assert "line 7 had no suggestion in 4 of 12 runs" in said["C9"]
    assert "unchanged after line 4 in 12 of 12 runs, changed at the end in 12" in said["C8"]


@pytest.mark.parametrize(
    "accuracies",
    [AS_CLAIMED, {rival: [0.9] for rival in AS_CLAIMED}, {rival: [None] for rival in AS_CLAIMED}],
    ids=["seeds", "one seed", "diverged"],
)
def test_the_figure_can_be_drawn(tmp_path, accuracies):
    results = results_with(tmp_path, accuracies)
    fine_tuning.draw(results, tmp_path / "fine_tuning.png")
    assert (tmp_path / "fine_tuning.png").read_bytes().startswith(b"\x89PNG")
