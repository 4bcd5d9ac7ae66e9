"""The map of batch size and learning rate: a tiny run from end to end, and every verdict both ways."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl

sys.path.insert(0, str(Path(minidl.__file__).parent.parent / "examples"))

import batch_and_rate
import lab.network
import lab.plots
import lab.results
from lab.claims import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, UNDECIDED
from lab.verdicts import batch_and_rate as rules

TINY = {"sizes": [16, 64, 256], "rates": [0.5, 1e20], "train_size": 512, "epochs": 2, "updates": 3}
TINY |= {"validation_size": 100, "test_size": 50}
SIZES, RATES = batch_and_rate.FULL["sizes"], batch_and_rate.FULL["rates"]


@pytest.fixture
def small(mnist, monkeypatch):
    """Give the example few images and a narrow network."""
    monkeypatch.setattr(batch_and_rate, "mnist", lambda backend: mnist)
    monkeypatch.setattr(batch_and_rate, "network", lambda seed, backend: lab.network.network(seed, backend, width=8))
    monkeypatch.setattr(batch_and_rate, "QUICK", TINY)


def test_the_whole_map_on_few_images(small, tmp_path, capsys):
    given = ["--quick", "--jobs", "1", "--backend", "numpy", "--out", str(tmp_path)]
    batch_and_rate.main(given)
    path = tmp_path / "batch_and_rate.json"
    before = path.read_bytes()
    results = json.loads(before)
    assert len(results["runs"]) == 3 * 2 * 2
    for run in results["runs"]:
        epochs = run["name"].startswith("equal epochs")
        assert run["updates"] == (2 * 512 // run["batch_size"] if epochs else 3)
        assert ("diverged" in run) == (run["lr"] == 1e20)
        if "diverged" not in run:
            assert all(0 <= run[f"{part}_accuracy"] <= 1 for part in ("train", "validation", "test"))
    assert [row["id"] for row in results["claims"]] == list(rules.CLAIMS)
    assert {row["verdict"] for row in results["claims"]} == {NOT_TESTED}
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    batch_and_rate.main(given)
    assert "12 of 12 runs were finished earlier." in capsys.readouterr().out
    assert path.read_bytes() == before


def test_a_cell_is_a_run_of_fit(small):
    settings = TINY | {"backend": "numpy"}
    found = batch_and_rate.train_cell(settings, 3, batch_size=64, lr=0.5, updates=16)
    train, held_back, test = batch_and_rate.images(settings)
    model = lab.network.network(3, width=8)
    minidl.fit(model, minidl.SGD(0.5), train, test, epochs=2, batch_size=64, seed=3)
    ends = [minidl.evaluate(model, part) for part in (train, held_back, test)]
    assert found == {
        "train_loss": ends[0][0],
        "train_accuracy": ends[0][1],
        "validation_accuracy": ends[1][1],
        "test_accuracy": ends[2][1],
    }


def test_images_held_back_are_neither_learned_from_nor_tested_on(mnist, monkeypatch):
    monkeypatch.setattr(batch_and_rate, "mnist", lambda backend: mnist)
    parts = [{row.tobytes() for row in part.x} for part in batch_and_rate.images(TINY | {"backend": "numpy"})]
    assert [len(part) for part in parts] == [512, 100, 50]
    assert not parts[0] & parts[1]
    assert all(
        size * (batch_and_rate.FULL["train_size"] // size) == batch_and_rate.FULL["train_size"] for size in SIZES
    )


def made_up(power=1.0, limit=0.25, loss_of_large=0.0, loss_at_limit=0.0, seeds=3, ways=("epochs", "updates")):
    """Return results in which the best rate goes with B to the ``power`` up to ``limit``, above which all diverges.

    ``loss_of_large`` is what each quadrupling of the batch size beyond 64 costs at equal epochs.
    """
    results = object.__new__(lab.results.Results)
    results.data = {"settings": dict(batch_and_rate.FULL), "runs": []}
    rng = np.random.default_rng(0)
    for size in SIZES:
        for rate in RATES:
            for seed in range(seeds):
                for regime in (rules.EPOCHS, rules.UPDATES):
                    best = min(0.0625 * (size / 64) ** power, limit) if regime == rules.EPOCHS else 0.0625
                    error = 0.03 * np.exp(0.1 * np.log2(rate / best) ** 2)
                    error += loss_of_large * max(0, np.log2(size / 64) / 2) * (regime == rules.EPOCHS)
                    accuracy = 1 - error + 0.00005 * rng.normal()
                    ends = {"validation_accuracy": accuracy, "test_accuracy": accuracy - 0.001, "train_accuracy": 1.0}
                    run = {"name": rules.named(regime, size, rate), "seed": seed, "batch_size": size, "lr": rate}
                    lost = {"diverged": "the loss became infinite"}
                    results.runs.append(run | (lost if rate > limit else ends | {"train_loss": 0.1}))
    return results


def verdicts(results):
    return {row["id"]: row["verdict"] for row in batch_and_rate.verdicts(results)}


def test_before_the_map_is_run_nothing_is_tested():
    results = made_up(seeds=0)
    assert set(verdicts(results).values()) == {NOT_TESTED}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        # Proportional to B up to the edge of what is stable: scaling works, and ends.
        ({"power": 1.0}, {"H1": REPRODUCED, "H2": NOT_REPRODUCED, "H3": REPRODUCED, "H4": NOT_REPRODUCED}),
        ({"power": 0.5, "limit": 0.5}, {"H1": NOT_REPRODUCED, "H2": REPRODUCED, "H3": UNDECIDED, "H4": NOT_REPRODUCED}),
        ({"power": 1.0, "limit": 1.0}, {"H1": UNDECIDED, "H3": UNDECIDED, "H4": REPRODUCED, "H5": NOT_TESTED}),
        ({"power": 0.0}, {"H1": NOT_REPRODUCED, "H2": NOT_REPRODUCED, "H3": REPRODUCED, "H4": NOT_REPRODUCED}),
    ],
)
def test_how_the_best_rate_grows(how, expected):
    found = verdicts(made_up(**how))
    assert {identity: found[identity] for identity in expected} == expected


def test_the_root_can_be_better_where_the_batch_size_itself_fails():
    assert verdicts(made_up(power=0.5, limit=0.5))["H5"] == REPRODUCED
    results = made_up(power=0.5, limit=0.5)
    for run in results.runs:
        if run["batch_size"] > 64 and run["lr"] == 0.0625 * (run["batch_size"] / 64) ** 0.5:
            run |= {"test_accuracy": 0.05}
    assert verdicts(results)["H5"] == NOT_REPRODUCED


def test_larger_batches_can_be_worse():
    assert verdicts(made_up())["H6"] == REPRODUCED
    results = made_up()
    for run in results.runs:
        if run["name"].startswith(rules.UPDATES) and run["batch_size"] == 4096 and "diverged" not in run:
            run["test_accuracy"] -= 0.007
    assert verdicts(results)["H6"] == NOT_REPRODUCED


def test_small_batches_can_be_best():
    assert verdicts(made_up(loss_of_large=0.002))["H7"] == REPRODUCED
    assert verdicts(made_up(loss_of_large=-0.002))["H7"] == NOT_REPRODUCED


def test_a_best_rate_at_the_edge_of_the_grid_leaves_the_claims_undecided():
    results = made_up()
    results.data["settings"]["rates"] = RATES[4:]
    results.data["runs"] = [run for run in results.runs if run["lr"] >= RATES[4]]
    found = verdicts_of_a_grid(results)
    assert found["H1"] == found["H3"] == UNDECIDED


def verdicts_of_a_grid(results):
    """Return the verdicts as if the settings were those of the experiment in full."""
    from lab.claims import verdict

    return {identity: verdict(rule(results)[1]) for identity, rule in rules.RULES.items()}


def test_two_seeds_decide_nothing():
    assert set(verdicts(made_up(seeds=2)).values()) <= {UNDECIDED, NOT_TESTED}


def test_the_test_set_chooses_nothing():
    results = made_up()
    found = rules.best(results, rules.EPOCHS)
    for run in results.runs:
        if "diverged" not in run:
            run["test_accuracy"] = 1 - run["test_accuracy"]
    other = rules.best(results, rules.EPOCHS)
    np.testing.assert_array_equal(found.cells, other.cells)
    np.testing.assert_array_equal(found.rates, other.rates)
    np.testing.assert_allclose(found.test, 1 - other.test)


def test_the_best_rate_lies_between_cells():
    rates = np.array(RATES)
    for best in (0.03, 0.04, 0.05):
        accuracy = 1 - 0.03 * np.exp(0.1 * np.log2(rates / best) ** 2)
        assert rules.lowest_error(rates, accuracy) == pytest.approx(best, rel=0.02)
    accuracy = np.where(rates > 0.1, rules.CHANCE, 0.9 + rates)  # rises until it diverges
    assert rules.lowest_error(rates, accuracy) <= 2 * 0.0625
    assert rules.lowest_error(rates, np.where(rates == 0.25, 0.9, rules.CHANCE)) == 0.25


def test_what_is_higher_than_a_rate_that_diverges_diverges():
    ends = rules.scaled(made_up(power=1.0, limit=0.25), 1.0)
    assert {size for size, values in ends.items() if values.max() == rules.CHANCE} == {1024, 4096}
    assert rules.scaled(made_up(limit=0.5), 0.5)[4096].min() > 0.9


def test_the_figure_shows_the_map(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(lab.plots, "save_figure", lambda figure, path: figures.append(figure))
    batch_and_rate.draw(made_up(), tmp_path / "map.png")
    epochs, _, best, laws = figures[0].axes[:4]
    assert [text.get_text() for text in epochs.texts].count("×") == len(SIZES) * 2
    rings = epochs.lines[-1]
    np.testing.assert_allclose(
        np.exp2(rings.get_ydata()), rules.best(made_up(), rules.EPOCHS).rates.mean(axis=1), rtol=0.01
    )
    line = epochs.lines[0]
    scales = np.exp2(line.get_ydata()) * (batch_and_rate.FULL["train_size"] / np.exp2(line.get_xdata()) - 1)
    np.testing.assert_allclose(scales, scales[0])
    assert len(best.lines) == 2
    assert [line.get_label() for line in laws.lines] == ["rate × k", "rate × √k", "rate"]
