"""Chapter 39's example: what it measures against direct computation, a tiny run, and every verdict both ways."""

import json
import sys
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl.testing import strict_backend

sys.path.insert(0, str(Path(minidl.__file__).parent.parent / "examples"))

import chapter39
import lab.formats
import lab.network
import lab.plots
import lab.results
import lab.verdicts.chapter39
from lab import sample_gradients, sharpness
from lab.claims import BY_DEFINITION, NOT_REPRODUCED, NOT_TESTED, REPRODUCED, UNDECIDED

TINY = {
    "train_size": 1100,
    "epochs": 2,
    "batches": 4,
    "stride": 500,
    "law_sizes": [16, 64],
    "keskar_size": 300,
    "keskar_epochs": {"small": 1, "large": 2},
    "keskar_width": 8,
    "sharpness_samples": 50,
}
SETTINGS = TINY | {"lr": 0.1, "keskar_lr": 0.001, "backend": "numpy"}
SAMPLES = {  # the first at or above each multiple of 500; 1100 end an epoch
    64: [0, 8 * 64, 16 * 64, 1100 + 7 * 64, 1100 + 15 * 64],
    256: [0, 2 * 256, 4 * 256, 1100 + 2 * 256, 1100 + 4 * 256],
    1024: [0, 1024, 1100 + 1024],
}


def use(monkeypatch, **functions):
    """Put functions in place of those that every module of the experiment imports."""
    for module in (chapter39, sample_gradients, sharpness):
        for name, function in functions.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, function)


@pytest.fixture
def small(mnist, monkeypatch):
    """Give the example 100 test images and a narrow network."""
    train, test = mnist
    few = minidl.Dataset(test.x[:100], test.labels[:100])
    use(
        monkeypatch,
        mnist=lambda n, backend: (minidl.Dataset(train.x[:n], train.labels[:n]), few),
        network=lambda seed, backend: lab.network.network(seed, backend, width=8),
    )
    monkeypatch.setattr(chapter39, "QUICK", TINY)


def test_the_whole_experiment_on_few_images(small, tmp_path, capsys, monkeypatch):
    given = ["--quick", "--jobs", "1", "--backend", "numpy", "--seeds", "0", "1", "--out", str(tmp_path)]
    chapter39.main(given)
    path = tmp_path / "chapter39.json"
    before = path.read_bytes()
    results = json.loads(before)
    names = [("batch 1024", 0), ("batch 1024", 1), ("batch 256", 0), ("batch 256", 1), ("batch 64", 0), ("batch 64", 1)]
    assert [(run["name"], run["seed"]) for run in results["runs"]] == [
        *names,
        ("law", 0),
        ("law", 1),
        ("minima", 0),
        ("minima", 1),
    ]
    for run in results["runs"]:
        if "way" in run:
            assert run["way"]["samples"] == SAMPLES[run["batch_size"]]
            assert len(run["way"]["distance"]) == len(run["way"]["samples"])
            assert all(len(run["gradients"][time]["norms"]) == 4 for time in ("early", "late"))
    assert [row["id"] for row in results["claims"]] == list(chapter39.CLAIMS)
    assert {row["verdict"] for row in results["claims"]} == {NOT_TESTED}
    assert all(row["measured"].endswith(" (a quick run)") for row in results["claims"])
    assert (tmp_path / "chapter39.png").read_bytes().startswith(b"\x89PNG")
    assert "mean gradient after the first epoch" in " ".join(capsys.readouterr().out.split())

    monkeypatch.setattr(chapter39, "draw", lambda results, path: None)
    chapter39.main(given)
    printed = capsys.readouterr().out
    assert "10 of 10 runs were finished earlier." in printed
    assert "run 1/" not in printed
    assert path.read_bytes() == before


def tiny_network(*layers, dtype="float64", seed=0):
    return minidl.Sequential(*layers, minidl.LogSoftmax(), seed=seed, dtype=dtype)


@pytest.fixture
def deep():
    """A network with two dense layers, neither the first nor the last of the chain, and biases that are not zero."""
    model = tiny_network(minidl.ReLU(), minidl.Dense(5, 16), minidl.ReLU(), minidl.Dense(16, 3))
    model.params += 0.1
    return model


def samples(n, features=5, classes=3, seed=1, dtype="float64"):
    rng = np.random.default_rng(seed)
    return minidl.Dataset(rng.normal(size=(n, features)).astype(dtype), rng.integers(0, classes, n))


def one_by_one(model, data):
    """Return the gradient of each sample's own loss, (n, parameters), by a backward pass for each."""
    rows, loss = [], minidl.NLLLoss()
    for x, label in zip(*data, strict=True):
        loss.forward(model.forward(x[None], training=True), label[None])
        model.backward(loss.backward())
        rows.append(model.grads.astype("float64"))
    return np.array(rows)


def test_products_of_samples_gradients(deep):
    data = samples(7)
    singles = one_by_one(deep, data)
    np.testing.assert_allclose(
        sample_gradients.sample_products(deep, *data), singles @ singles.T, rtol=1e-12, atol=1e-15
    )
    assert (singles[:, deep.params.size - 3 :] != 0).any()  # the last biases have their share


def test_a_batch_gradient_is_the_mean_of_its_samples(deep):
    data = samples(7)
    found = sample_gradients.batch_gradient(deep, *data).copy()
    np.testing.assert_allclose(found, one_by_one(deep, data).mean(axis=0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("batch_size", [6, 300])
def test_lengths_and_angles_are_those_of_the_samples_gradients(deep, batch_size):
    data = samples(400)
    found = sample_gradients.look_at_gradients(deep, data, batch_size, 3, np.random.default_rng(4))
    rng, singles = np.random.default_rng(4), one_by_one(deep, data)
    batches = [rng.permutation(400)[:batch_size] for _ in range(3)]
    np.testing.assert_allclose(
        found["norms"], [np.linalg.norm(singles[batch].mean(axis=0)) for batch in batches], rtol=1e-4
    )
    few = singles[rng.permutation(400)[: min(batch_size, 256)]]
    lengths = np.linalg.norm(few, axis=1)
    cosines = np.array([a @ b for a, b in combinations(few / lengths[:, None], 2)])
    assert found["mean_sample_norm"] == pytest.approx(lengths.mean())
    assert found["mean_cosine"] == pytest.approx(cosines.mean())
    assert found["negative_cosines"] == pytest.approx(np.count_nonzero(cosines < 0) / len(cosines))
    bins = np.floor((cosines + 1) * 20).astype(int).clip(0, 39)
    assert found["cosines"] == np.bincount(bins, minlength=40).tolist()


@pytest.fixture
def eighty(monkeypatch):
    """Let the example have 80 random samples, and a network of few parameters; return both."""
    data = samples(80, dtype="float32")

    def network(seed, backend="numpy"):
        return tiny_network(minidl.Dense(5, 4), minidl.ReLU(), minidl.Dense(4, 3), dtype="float32", seed=seed)

    use(monkeypatch, mnist=lambda n, backend: (data, data), network=network)
    return data, network


def test_the_law_is_what_all_batches_together_show(eighty):
    data, network = eighty
    sizes = [1, 2, 79, 80]
    settings = SETTINGS | {"train_size": 80, "batches": 500, "law_sizes": sizes}
    found = sample_gradients.check_law(settings, 3)
    model = network(0)
    minidl.fit(model, minidl.SGD(0.1), data, data, epochs=1, batch_size=64, seed=3)
    singles = one_by_one(model, data)
    assert found["full_gradient"] == pytest.approx(np.linalg.norm(singles.mean(axis=0)), rel=1e-4)
    assert found["trace"] == pytest.approx(np.trace(np.cov(singles.T, ddof=0)), rel=1e-4)
    lengths = {
        size: [np.sum(singles[list(batch)].mean(axis=0) ** 2) for batch in combinations(range(80), size)]
        for size in sizes
    }
    for size, predicted, measured, error in found["law"]:
        assert predicted == pytest.approx(np.mean(lengths[size]), rel=1e-4)
        assert error == pytest.approx(np.std(lengths[size]) / np.sqrt(500), rel=0.2, abs=1e-8)
        assert abs(measured - predicted) < 4 * error + 1e-4 * predicted
    assert [row[0] for row in found["law"]] == sizes


def test_the_way_is_that_of_fit(eighty):
    data, network = eighty
    settings = SETTINGS | {"train_size": 80, "epochs": 1, "batches": 2, "stride": 40}
    found = chapter39.travel(settings, 5, 32)
    model = network(0)
    minidl.fit(model, minidl.SGD(0.1), data, data, epochs=1, batch_size=32, seed=5)
    distance = np.sqrt(np.sum((model.params - network(0).params) ** 2))
    assert found["way"]["samples"] == [0, 64, 80]  # with batches of 32, 64 is the first at 40 or above
    assert found["way"]["distance"][0] == 0
    assert found["way"]["distance"][-1] == pytest.approx(distance, rel=1e-6)
    looked = sample_gradients.look_at_gradients(model, data, 32, 2, following(5))
    assert found["gradients"] == {"early": looked}


def following(seed):
    """Return a generator that has drawn the order of 80 samples."""
    rng = np.random.default_rng(seed)
    rng.permutation(80)
    return rng


def test_the_seed_draws_the_order_and_not_the_weights(small):
    settings = SETTINGS | {"train_size": 300}
    one, again, other = (chapter39.travel(settings, seed, 64) for seed in (0, 0, 1))
    assert one == again
    assert one["way"]["distance"] != other["way"]["distance"]
    assert list(one["gradients"]) == ["early", "late"]
    assert one["gradients"]["early"] != one["gradients"]["late"]


def test_on_another_backend_the_same_is_measured(mnist, monkeypatch):
    monkeypatch.setattr(minidl, "load_mnist", lambda: mnist)
    use(monkeypatch, network=lambda seed, backend: lab.network.network(seed, backend, width=8))
    settings = SETTINGS | {"train_size": 300}
    with strict_backend():
        chapter39.mnist.cache_clear()
        for function, arguments in (
            (chapter39.travel, (64,)),
            (sample_gradients.check_law, ()),
            (sharpness.compare_minima, ()),
        ):
            one, other = (function(settings | {"backend": backend}, 0, *arguments) for backend in ("numpy", "cupy"))
            for run in (one, other):
                for name in ("small", "large"):
                    run.get(name, {"history": {}})["history"].pop("seconds", None)
            assert one == other
        chapter39.mnist.cache_clear()  # of what only the stand-in can read


@pytest.mark.parametrize(("radius", "bottom"), [(1e-3, False), (5e-4, False), (1e-2, True)])
def test_sharpness_is_the_highest_loss_in_the_box(radius, bottom):
    """The loss is convex in the parameters of a single dense layer, so that its maximum is in a corner of the box."""
    model, data = tiny_network(minidl.Dense(2, 3)), samples(20, features=2)
    model.params += 0.3
    if bottom:  # where the loss is nearly nothing, and its gradient too
        directions = 10 * np.array([[1.0, -0.5, -0.5], [0.0, 0.9, -0.9]])
        model.params[...] = [*directions.ravel(), 0, 0, 0]
        data = minidl.Dataset(directions.T[data.labels] / 8, data.labels)
        assert minidl.evaluate(model, data)[0] < 1e-5
    start = model.params.copy()
    found = sharpness.sharpness(model, data, radius)
    np.testing.assert_array_equal(model.params, start)
    lowest, highest = minidl.evaluate(model, data)[0], 0.0
    for signs in product((-1, 1), repeat=len(start)):
        model.params[...] = start + radius * (abs(start) + 1) * np.array(signs)
        highest = max(highest, minidl.evaluate(model, data)[0])
    assert found == pytest.approx(100 * (highest - lowest) / (1 + lowest), rel=1e-6)


def test_the_loss_as_in_training_knows_no_moving_averages():
    model, data = tiny_network(minidl.Dense(5, 4), minidl.BatchNorm(4), minidl.ReLU(), minidl.Dense(4, 3)), samples(9)
    norm = model.layers[1]
    norm.moving_mean += 7
    dense = data.x @ model.layers[0].W + model.layers[0].b
    normed = (dense - dense.mean(axis=0)) / np.sqrt(dense.var(axis=0) + norm.eps)
    logits = np.maximum(normed, 0) @ model.layers[3].W
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(p[np.arange(9), data.labels]).mean()
    assert sharpness.loss_as_in_training(model, *data) == pytest.approx(expected)


def test_the_line_leads_from_the_small_batch_to_the_large_one(small):
    found = sharpness.compare_minima(SETTINGS, 2)
    data, test = chapter39.mnist(300, "numpy")
    ends = {}
    for name, batch_size, epochs in (("small", 256, 1), ("large", 30, 2)):
        model = sharpness.keskar_f1(2, "numpy", 8)
        history = minidl.fit(model, minidl.Adam(0.001), data, test, epochs=epochs, batch_size=batch_size, seed=2)
        assert found[name]["history"]["test_accuracy"] == history.test_accuracy
        assert found[name]["sharpness"][0] > found[name]["sharpness"][1] > 0
        few = [(part.x[:50], part.labels[:50]) for part in (data, test)]
        ends[name] = [sharpness.loss_as_in_training(model, *part) for part in few]
    line = dict(zip(sharpness.LINE, found["line"], strict=True))
    assert line[0.0] == pytest.approx(ends["small"], rel=1e-6)
    assert line[1.0] == pytest.approx(ends["large"], rel=1e-6)
    assert (min(line), max(line)) == (-0.5, 1.5)


def test_the_networks_are_those_that_the_settings_name():
    model = sharpness.keskar_f1(0, "numpy", 512)
    kinds = ["Dense", "BatchNorm", "ReLU"] * 5 + ["Dense", "LogSoftmax"]
    assert [type(layer).__name__ for layer in model.layers] == kinds
    assert [layer.out_features for layer in model.layers[::3]] == [512] * 5 + [10]


TAIL = {64: 1.2, 256: 1.4, 1024: 1.6}
LENGTH = {64: 1.0, 256: 1.1, 1024: 1.2}
REACHED = {64: 4.0, 256: 3.0, 1024: 2.0}
SPREAD = {64: 0.01, 256: 0.02, 1024: 0.04}


def with_tail(middle, tail):
    """Return 100 lengths with this median, whose 95th percentile is ``tail`` times as long; a few go far beyond."""
    return middle * np.repeat([1 / tail, 1, tail, 9], [8, 84, 6, 2])


def made_up(seeds=3):
    """Return runs by name, one a seed, with which all claims hold; a number for each seed is an array."""
    nudge = 0.001 * np.arange(seeds)
    runs = {}
    for size in lab.verdicts.chapter39.SIZES:
        middle = LENGTH[size] + nudge
        norms = with_tail(middle[:, None], TAIL[size])
        apart = SPREAD[size] * np.arange(seeds)
        gradients = {
            "norms": norms,
            "mean_sample_norm": 3 + nudge,
            "mean_cosine": 0.01 + nudge,
            "negative_cosines": 0.6,
        }
        gradients = {key: np.broadcast_to(value, (seeds, *np.shape(value)[1:])) for key, value in gradients.items()}
        gradients["cosines"] = np.tile(np.arange(1, 41), (seeds, 1))
        runs[f"batch {size}"] = {
            "samples": np.arange(6) * 4096,
            "distance": np.linspace(0, 1, 6) * (REACHED[size] + apart[:, None]),
            "early": dict(gradients),
            "late": dict(gradients),
        }
    predicted = np.array([3.0, 2.0, 1.5, 1.2, 1.1])
    runs["law"] = {"predicted": predicted, "measured": predicted + 0.01 * nudge[:, None], "error": np.full(5, 0.05)}
    runs["minima"] = {
        "small": {"test": 0.98 + nudge, "sharpness": np.array([4.0, 2.0]) + nudge[:, None]},
        "large": {"test": 0.97 + nudge, "sharpness": np.array([9.0, 5.0]) + nudge[:, None]},
    }
    return runs


def results_of(tmp_path, runs, settings=chapter39.FULL):
    results = lab.results.Results(tmp_path / "chapter39.json", dict(settings), {})
    for seed in range(len(runs["minima"]["small"]["test"])):
        for size in lab.verdicts.chapter39.SIZES:
            run = runs[f"batch {size}"]
            gradients = {
                time: {key: values[seed].tolist() for key, values in run[time].items()} for time in ("early", "late")
            }
            way = {"samples": run["samples"].tolist(), "distance": run["distance"][seed].tolist()}
            results.add({"name": f"batch {size}", "seed": seed, "way": way, "gradients": gradients})
        law = runs["law"]
        rows = zip(chapter39.FULL["law_sizes"], law["predicted"], law["measured"][seed], law["error"], strict=True)
        law = [list(map(float, row)) for row in rows]
        results.add({"name": "law", "seed": seed, "full_gradient": 1.0, "trace": 9.0, "law": law})
        minima = {
            name: {
                "history": {"test_accuracy": [0.5, float(end["test"][seed])], "train_loss": [0.5, 0.25]},
                "sharpness": end["sharpness"][seed].tolist(),
            }
            for name, end in runs["minima"].items()
        }
        line = [[1 + way**2, 2 + way**2] for way in sharpness.LINE]
        results.add({"name": "minima", "seed": seed, **minima, "line": line})
    return results


def verdicts(results):
    return {row["id"]: row["verdict"] for row in chapter39.verdicts(results)}


AS_CLAIMED = dict.fromkeys(chapter39.CLAIMS, REPRODUCED) | {"law": BY_DEFINITION, "G2": BY_DEFINITION}


def test_all_claims_can_be_reproduced(tmp_path):
    assert verdicts(results_of(tmp_path, made_up())) == AS_CLAIMED


def law_off(by):
    """Return a change: the law is missed with one batch size, by so many standard errors of the mean of three seeds."""

    def change(runs):
        runs["law"]["measured"][:, 2] = runs["law"]["predicted"][2] + by * 0.05 / np.sqrt(3)

    return change


def looked(size, time, key, value):
    def change(runs):
        runs[f"batch {size}"][time][key] = np.broadcast_to(value, np.shape(runs[f"batch {size}"][time][key]))

    return change


def longer(size, time, *factors):
    """Return a change: batch gradients are so many times as long, a factor for each seed."""

    def change(runs):
        norms = runs[f"batch {size}"][time]["norms"]
        runs[f"batch {size}"][time]["norms"] = norms * np.array(factors)[:, None]

    return change


def tailed(size, time, *tails):
    def change(runs):
        norms = [with_tail(LENGTH[size] + 0.001 * seed, tail) for seed, tail in enumerate(np.broadcast_to(tails, 3))]
        runs[f"batch {size}"][time]["norms"] = np.array(norms)

    return change


def way(size, distance):
    def change(runs):
        runs[f"batch {size}"]["distance"] = distance(runs[f"batch {size}"]["distance"])

    return change


def minimum(name, key, value):
    def change(runs):
        runs["minima"][name][key] = np.broadcast_to(value, np.shape(runs["minima"][name][key]))

    return change


@pytest.mark.parametrize(
    ("failing", "change"),
    [
        ({"law"}, law_off(3.1)),
        ({"law"}, law_off(-3.1)),
        ({"G1"}, looked(64, "early", "mean_sample_norm", 1.9)),  # no cancelling
        ({"G1"}, looked(1024, "late", "mean_sample_norm", 2.3)),
        ({"G1"}, looked(256, "early", "negative_cosines", 0.49)),  # no competing
        ({"G1"}, looked(1024, "late", "negative_cosines", 0.49)),
        ({"G2 means"}, longer(256, "early", 0.8)),
        ({"G2 means"}, longer(1024, "late", 0.8)),
        ({"G2", "G2 means"}, longer(256, "late", 0.2)),  # as a sum, too, shorter than 64's
        ({"G2", "G2 means"}, longer(1024, "early", 0.2)),
        ({"G3"}, tailed(64, "early", 1.7)),
        ({"G3"}, tailed(64, "late", 1.7)),
        ({"G3"}, tailed(1024, "late", 1.1)),
        ({"G4"}, way(64, lambda distance: distance[:, [0, 1, 2, 4, 3, 5]])),  # goes back
        ({"G4"}, way(64, lambda distance: distance * 0.7)),  # not as far as 256
        ({"G4"}, way(1024, lambda distance: distance * 1.6)),  # farther than 256
        ({"G4"}, way(1024, lambda distance: distance.mean(axis=0) + 0.001 * (distance - distance.mean(axis=0)))),
        ({"Keskar 2017"}, minimum("large", "test", 0.99)),
        ({"Keskar 2017"}, minimum("large", "sharpness", [3.9, 5.0])),
        ({"Keskar 2017"}, minimum("large", "sharpness", [9.0, 1.9])),
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
        ({"G1"}, looked(64, "early", "negative_cosines", [0.4, 0.8, 0.6])),
        ({"G1", "G2 means"}, longer(1024, "late", 0.8, 1.05, 1.05)),  # longer, but not clearly
        ({"G3"}, tailed(1024, "early", 1.1, 1.3, 1.9)),  # heavier, but not clearly
        ({"Keskar 2017"}, minimum("large", "test", [0.9, 0.99, 0.99])),  # lower, but not clearly
    ],
)
def test_what_the_seeds_cannot_tell_is_undecided(tmp_path, undecided, change):
    runs = made_up()
    change(runs)
    found = verdicts(results_of(tmp_path, runs))
    assert {identity for identity, verdict in found.items() if verdict == UNDECIDED} == undecided
    assert NOT_REPRODUCED not in found.values()


@pytest.mark.parametrize(
    "change",
    [
        law_off(2.9),
        looked(64, "late", "mean_sample_norm", 2.4),
        looked(64, "late", "negative_cosines", 0.51),
        way(64, lambda distance: distance.mean(axis=0) + [[-0.2], [0.0], [0.2]] * (np.arange(6) == 5)),  # beyond 1024
    ],
)
def test_what_is_within_the_bounds_counts_as_reproduced(tmp_path, change):
    runs = made_up()
    change(runs)
    assert verdicts(results_of(tmp_path, runs)) == AS_CLAIMED


@pytest.mark.parametrize("change", [{"epochs": 9}, {"batches": 100}, {"keskar_width": 64}, {"law_sizes": [16]}])
def test_a_smaller_experiment_gives_no_verdict(tmp_path, change):
    results = results_of(tmp_path, made_up(), chapter39.FULL | change)
    assert set(verdicts(results).values()) == {NOT_TESTED}


def test_what_was_found_is_said(tmp_path):
    rows = chapter39.verdicts(results_of(tmp_path, made_up()))
    measured = {row["id"]: row["measured"].replace(lab.formats.NBSP, " ") for row in rows}
    assert measured["law"].startswith("measured minus predicted, in standard errors: B = 16: +0.0, B = 64: +0.0, ")
    assert "a batch's gradient over a sample's early 64: 0.386" in measured["G1"]
    assert "obtuse angles at 64: 60.00 ± 0.00 %, 60.00 ± 0.00 %" in measured["G1"]
    assert measured["G2"].startswith("as sums over a batch: early 64: 74.2 ±")
    assert measured["G3"].startswith("95th percentile over median: early 64: 1.2 ± 0, 256: 1.4 ±")
    assert "distance at the end 64: 4.01 ± 0.01, 256: 3.02 ± 0.02, 1024: 2.04 ± 0.04" in measured["G4"]
    assert "where 1024 ends, 64 is at 2.04 ± 0.00509" in measured["G4"]
    large = "large batch: test 97.10 ± 0.10 %, training loss 0.25 ± 0, sharpness 9 ± 0.001 (ε = 1e-3), 5 ± 0.001 (5e-4)"
    assert large in measured["Keskar 2017"]


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_figure_shows_what_was_measured(tmp_path, monkeypatch, seeds):
    figures = []
    monkeypatch.setattr(lab.plots, "save_figure", lambda figure, path: figures.append(figure))
    chapter39.draw(results_of(tmp_path, made_up(seeds)), tmp_path / "chapter39.png")
    law, early, late, reductions, angles, epochs, updates, points, line = figures[0].axes
    assert ("3 seeds" in figures[0].get_suptitle()) == (seeds == 3)
    assert law.lines[0].get_ydata().tolist() == [3.0, 2.0, 1.5, 1.2, 1.1]
    assert len(law.lines[1].get_ydata()) == 5 * seeds
    assert [early.get_title()[:20], late.get_title()[:20]] == ["Early: after 1 epoch", "Late: after 10 epoch"]
    means = [with_tail(LENGTH[size], TAIL[size]).mean() for size in (64, 256, 1024)]
    np.testing.assert_allclose(reductions.lines[1].get_ydata(), means, rtol=2e-3)
    np.testing.assert_allclose(reductions.lines[0].get_ydata(), np.multiply(means, [64, 256, 1024]), rtol=2e-3)
    np.testing.assert_allclose(angles.patches[0].get_data().values.sum(), 100)
    assert epochs.lines[0].get_xdata()[-1] == 5 * 4096 / 60_000
    assert updates.lines[2].get_xdata()[[0, -1]].tolist() == [4096 / 1024, 5 * 4096 / 1024]
    assert [len(drawn.get_ydata()) for drawn in points.lines] == [seeds] * 4
    np.testing.assert_allclose(line.lines[1].get_ydata(), [2 + way**2 for way in sharpness.LINE])
