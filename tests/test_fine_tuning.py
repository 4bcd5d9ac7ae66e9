"""The example on fine-tuning: what its runs record, what they keep apart, and that every verdict can go either way."""

import json
import sys
from itertools import product
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
from lab.verdicts.fine_tuning import HALVES, PARITY, named

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


def small_classifier(backend, rng, classes=5):
    hidden = minidl.Dense(784, 16), minidl.ReLU(), minidl.Dense(16, 16), minidl.ReLU()
    return minidl.Sequential(*hidden, minidl.Dense(16, classes), minidl.LogSoftmax(), seed=rng, backend=backend)


@pytest.fixture
def few_images(mnist, monkeypatch):
    """Let the example see few images only, with a small network, and forget what it pretrains on them."""
    train, test = mnist
    small = minidl.Dataset(train.x[:2000], train.labels[:2000]), minidl.Dataset(test.x[:200], test.labels[:200])
    monkeypatch.setattr(transfer, "mnist", lambda _size=None: small)
    monkeypatch.setattr(transfer, "APART", 1500)  # a hundred of each digit for validation, and others to learn from
    monkeypatch.setattr(transfer, "classifier", small_classifier)
    monkeypatch.setattr(fine_tuning, "QUICK", TINY)
    transfer.pretrained_network.cache_clear()
    yield small
    transfer.pretrained_network.cache_clear()


def test_a_whole_call_and_a_second_one(few_images, tmp_path, capsys):
    options = ["--quick", "--jobs", "1", "--seeds", "3", "--out", str(tmp_path), "--backend", "numpy"]
    fine_tuning.main(options)
    printed = capsys.readouterr().out
    file, figure = tmp_path / "fine_tuning.json", tmp_path / "fine_tuning.png"
    first = file.read_bytes()
    results = json.loads(first)
    rivals = {20: list(RIVALS), 100: [*RIVALS, "factor 2.6", "factor 10"]}
    expected = {
        (f"{transfer}{rival}, {labels} labels", 3)
        for transfer, labels in (("", 20), ("", 100), ("odd or even: ", 100))
        for rival in rivals[labels]
    }
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
        if run["name"].removeprefix("odd or even: ").startswith(STAGED):
            assert [step[:2] for step in run["steps"]] == [f"{line} " for line in range(1, 9)]
            assert len(run["rates"]) == 2
    assert [row["id"] for row in results["claims"]] == list(fine_tuning.CLAIMS)
    assert {row["verdict"] for row in results["claims"]} == {lab.claims.NOT_TESTED}
    assert "From ten digits to odd and even, with 100 labelled images" in printed
    assert figure.read_bytes().startswith(b"\x89PNG")

    figure.unlink()
    fine_tuning.main(options)
    assert "19 of 19 runs were finished earlier." in capsys.readouterr().out
    assert file.read_bytes() == first
    assert figure.exists()


@pytest.mark.parametrize("task", [HALVES, PARITY])
@pytest.mark.parametrize(("factor", "unfreeze"), [(3.0, True), (1.0, False)])
def test_the_trunk_moves_only_once_it_is_unfrozen(few_images, factor, unfreeze, task):
    record = fine_tuning.in_stages(SETTINGS, 0, 20, factor, unfreeze, task)
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


def test_odd_and_even_are_drawn_fairly_from_images_that_the_network_has_not_seen(few_images):
    few, validation, test = transfer.few_of_parity(SETTINGS, 0, 20)
    train = few_images[0]
    known = {row.tobytes(): (number, int(label)) for number, (row, label) in enumerate(zip(*train, strict=True))}
    for data, each in ((few, 2), (validation, 100)):
        found = {known[row.tobytes()] for row in data.x}
        assert min(number for number, _ in found) >= 500
        assert np.bincount([digit for _, digit in found]).tolist() == [each] * 10
        assert all(known[row.tobytes()][1] % 2 == label for row, label in zip(*data, strict=True))
    assert not {row.tobytes() for row in few.x} & {row.tobytes() for row in validation.x}
    assert len(test.x) == len(few_images[1].x)
    assert transfer.pretrained_network(0, 300, 1, 0.001, "numpy", PARITY).layers[4].out_features == 10


def test_a_tenth_of_the_rate_before_the_loss_rises():
    lr = np.geomspace(1e-7, 10, 81)
    falling = np.where(lr < 0.02, 0.5 - 0.3 * lr / 0.02, 0.2 + lr)
    flat = np.where(lr < 0.02, 0.05, 40.0)
    noisy = np.where(lr < 3e-7, 0.001, np.where(lr < 0.02, 0.3, 40.0))  # the first batches are easy ones
    for smoothed, highest in ((falling, 0.1), (flat, 0.01995), (noisy, 0.01995)):
        found = transfer.before_the_rise(minidl.RangeTest(lr.tolist(), smoothed.tolist(), smoothed.tolist()))
        assert found == pytest.approx(highest / 10, rel=0.01)


def test_line_7_of_the_second_transfer_always_has_a_rate(few_images, monkeypatch):
    monkeypatch.setattr(minidl.RangeTest, "suggestions", lambda _: {"valley": 0.02})
    monkeypatch.setattr(transfer, "before_the_rise", lambda _: 0.003)
    assert fine_tuning.in_stages(SETTINGS, 0, 20, 3.0, transfer=PARITY)["rates"] == [0.02, 0.003]
    monkeypatch.setattr(minidl.RangeTest, "suggestions", lambda _: {})
    assert fine_tuning.in_stages(SETTINGS, 0, 20, 3.0, transfer=PARITY)["rates"] == [None, 0.003]


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
    monkeypatch.setattr(transfer.Transfer, "find_rate", lambda way, *_, **__: way.rates.append(1e30) or 1e30)
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
    "one rate": [0.93, 0.942, 0.931],
    "factor 2.6": [0.95, 0.961, 0.951],
    "factor 10": [0.94, 0.94, 0.94],
    "last layer only": [0.90, 0.912, 0.901],
    "all at once": [0.92, 0.932, 0.921],
    "from scratch": [0.85, 0.862, 0.851],
}


def results_with(tmp_path, accuracies, trunk=("a", "a", "b"), transfers=(HALVES, PARITY), **settings):
    """Return results in which the rivals end with these accuracies, one a seed, whatever the number of labels."""
    settings = SETTINGS | {"first_epochs": 2} | fine_tuning.FULL | settings
    results = lab.results.Results(tmp_path / "fine_tuning.json", settings, {})
    for labels, task, (rival, values) in product(settings["labels"], transfers, accuracies.items()):
        for seed, value in enumerate(values):
            diverged = {"diverged": "the loss became nan"} if value is None else {}
            history = {"test_accuracy": [] if value is None else [value] * 19}
            record = {"name": named(rival, labels, task), "seed": seed, "labels": labels, "history": history}
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
    ("verdict", "affected", "change"),
    [
        (lab.claims.UNDECIDED, {"C7"}, {"one rate": [0.94, 0.97, 0.94], "factor 2.6": [0.98, 0.999, 0.98]}),
        (lab.claims.NOT_REPRODUCED, {"C7", "Howard & Ruder 2018"}, {"one rate": [0.97, 0.981, 0.972]}),
        (lab.claims.NOT_REPRODUCED, {"Howard & Ruder 2018"}, {"factor 2.6": [0.92, 0.931, 0.92]}),
        (lab.claims.NOT_REPRODUCED, {"C8"}, {"last layer only": [0.96, 0.971, 0.961]}),
        (lab.claims.UNDECIDED, {"C8"}, {"all at once": [0.95, 0.96, 0.95]}),
        (lab.claims.UNDECIDED, {"C9"}, {"from scratch": [0.95, 0.94, 0.97]}),
        (lab.claims.NOT_REPRODUCED, {"C9"}, {"from scratch": [0.96, 0.971, 0.961]}),
        (lab.claims.NOT_REPRODUCED, {"C7", "C8", "C9"}, {"recipe": [0.95, None, 0.95]}),
    ],
)
def test_claims_can_fail(tmp_path, verdict, affected, change):
    found = verdicts(results_with(tmp_path, AS_CLAIMED | change))
    assert {identity for identity, given in found.items() if given == verdict} == affected
    assert list(found.values()).count(lab.claims.REPRODUCED) == len(found) - len(affected)


def test_the_first_transfer_decides_nothing(tmp_path):
    found = verdicts(results_with(tmp_path, AS_CLAIMED, transfers=(HALVES,)))
    assert set(found.values()) == {lab.claims.NOT_TESTED}


@pytest.mark.parametrize("trunk", [("a", "c", "b"), ("a", "a", "a")])
def test_freezing_that_does_not_work_is_noticed(tmp_path, trunk):
    found = verdicts(results_with(tmp_path, AS_CLAIMED, trunk=trunk))
    assert [identity for identity in found if found[identity] == lab.claims.NOT_REPRODUCED] == ["C8"]


@pytest.mark.parametrize("change", [{"labels": [20, 100]}, {"pretrain_epochs": 4}, {"cycles": 3}])
def test_a_smaller_experiment_gives_no_verdict(tmp_path, change):
    found = verdicts(results_with(tmp_path, AS_CLAIMED, **change))
    assert set(found.values()) == {lab.claims.NOT_TESTED}


def test_what_was_found_is_said_in_words(tmp_path):
    rows = fine_tuning.verdicts(results_with(tmp_path, AS_CLAIMED | {"one rate": [0.97] * 3}))
    said = {row["id"]: row["measured"].replace(lab.formats.NBSP, " ") for row in rows}
    assert "odd or even, 100 labels: recipe 95.33 ± 0.58 %, one rate 97.00 ± 0.00 %" in said["C7"]
    assert "5 to 9, 2,500 labels: -1.67 ± 0.58 points" in said["C7"]
    assert "line 7 had no suggestion in 8 of 24 runs" in said["C9"]
    assert "unchanged after line 4 in 24 of 24 runs, changed at the end in 24" in said["C8"]


@pytest.mark.parametrize(
    "accuracies",
    [AS_CLAIMED, {rival: [0.9] for rival in AS_CLAIMED}, {rival: [None] for rival in AS_CLAIMED}],
    ids=["seeds", "one seed", "diverged"],
)
def test_the_figure_can_be_drawn(tmp_path, accuracies):
    results = results_with(tmp_path, accuracies)
    fine_tuning.draw(results, tmp_path / "fine_tuning.png")
    assert (tmp_path / "fine_tuning.png").read_bytes().startswith(b"\x89PNG")
