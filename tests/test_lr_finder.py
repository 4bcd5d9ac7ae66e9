import copy

import matplotlib
import numpy as np
import pytest
from test_groups import deep_model

import minidl
from minidl.learning_rate.range_test import RangeTest, longest_descent

matplotlib.use("Agg")


def state_of(*things):
    """Return all that is in some objects as bytes, arrays and generators included."""
    found = []
    for thing in things:
        if isinstance(thing, np.ndarray):
            found.append(thing.tobytes())
        elif isinstance(thing, np.random.Generator):
            found.append(repr(thing.bit_generator.state).encode())
        elif hasattr(thing, "__dict__"):
            found.append(state_of(*(value for _, value in sorted(thing.__dict__.items()))))
        elif isinstance(thing, dict):
            found.append(state_of(*thing.values()))
        elif isinstance(thing, list | tuple):
            found.append(state_of(*thing))
        else:
            found.append(repr(thing).encode())
    return b"|".join(found)


@pytest.fixture
def prepared(small_data):
    """A model and an optimiser in the midst of training."""
    model, optimizer = deep_model(), minidl.Adam(0.003)
    minidl.fit(model, optimizer, small_data, small_data, epochs=1, batch_size=10, seed=0)
    return model, optimizer, small_data


def test_everything_stays_bit_identical(prepared):
    rng = np.random.default_rng(5)
    before = state_of(*prepared, rng)
    result = minidl.lr_range_test(*prepared, batch_size=10, seed=rng)
    assert len(result.lr) > 50
    assert state_of(*prepared, rng) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_also_when_it_is_interrupted(prepared, monkeypatch, error):
    steps = []

    def step(self, *args):
        steps.append(1)
        if len(steps) == 7:
            raise error
        minidl.Optimizer.step(self, *args)

    before = state_of(*prepared)
    monkeypatch.setattr(minidl.Adam, "step", step)
    with pytest.raises(error):
        minidl.lr_range_test(*prepared, batch_size=10)
    assert state_of(*prepared) == before


def test_also_when_it_diverges(prepared):
    model, _, data = prepared
    optimizer = minidl.SGD()
    before = state_of(model, optimizer, data)
    result = minidl.lr_range_test(model, optimizer, data, max_lr=1e30, batch_size=10)
    assert len(result.lr) < 100
    assert np.isfinite(result.loss).all()
    assert state_of(model, optimizer, data) == before


def test_training_goes_on_as_if_nothing_had_been(prepared):
    histories = []
    for probe in (False, True):
        model, optimizer, data = copy.deepcopy(prepared)
        rng = np.random.default_rng(1)
        if probe:
            minidl.lr_find(model, optimizer, data, batch_size=10, seed=rng)
        histories.append(minidl.fit(model, optimizer, data, data, epochs=1, batch_size=10, seed=rng).to_dict())
        histories[-1].pop("seconds")
    assert histories[0] == histories[1]


@pytest.mark.parametrize(("spacing", "middle"), [("exponential", 1e-2), ("linear", 0.50005)])
def test_spacing(prepared, spacing, middle):
    model, _, data = prepared
    result = minidl.lr_range_test(
        model, minidl.SGD(), data, min_lr=1e-4, max_lr=1.0, updates=21, batch_size=10, spacing=spacing, stop_factor=1e9
    )
    assert (result.lr[0], result.lr[-1]) == (1e-4, 1.0)
    assert result.lr[10] == pytest.approx(middle)


def test_it_is_training_with_a_rising_rate(prepared):
    model, _, data = prepared
    result = minidl.lr_range_test(model, minidl.SGD(), data, updates=6, batch_size=60, smoothing=0.0, seed=3)
    other, optimizer, loss, rng = copy.deepcopy(model), minidl.SGD(), minidl.NLLLoss(), np.random.default_rng(3)
    for lr, value in zip(result.lr, result.loss, strict=True):
        order = rng.permutation(60)
        expected = loss.forward(other.forward(data.x[order], training=True), data.labels[order])
        assert value == pytest.approx(float(expected))
        other.backward(loss.backward())
        optimizer.lr = lr
        optimizer.step(other.params, other.grads)
    assert result.smoothed == pytest.approx(result.loss)


def test_smoothing_by_hand(prepared):
    model, optimizer, data = prepared
    result = minidl.lr_range_test(model, optimizer, data, batch_size=10, updates=5, max_lr=1e-6, smoothing=0.75)
    weights = np.array([0.75, 1]) / 1.75
    assert result.smoothed[0] == pytest.approx(result.loss[0])
    assert result.smoothed[1] == pytest.approx(weights @ result.loss[:2])


def test_frozen_layers_take_no_part(prepared):
    model, _, data = prepared
    model.freeze()
    result = minidl.lr_range_test(model, minidl.SGD(), data, batch_size=60, updates=20)
    assert result.loss == pytest.approx([result.loss[0]] * 20, rel=1e-5)
    assert result.suggestions() == {}


def curve(f, points=601):
    lr = np.geomspace(1e-6, 1, points)
    smoothed = [float(f(x)) for x in np.log10(lr)]
    return RangeTest(lr.tolist(), smoothed, smoothed)


def test_suggestions_on_a_curve_that_is_known():
    # Flat, then down a straight line from 1e-4 to 1e-2, then up.
    result = curve(lambda x: np.interp(x, [-6, -4, -3, -2, 0], [2, 2, 1.5, 0.5, 8]))
    assert result.minimum_tenth() == pytest.approx(1e-3)
    assert 1e-3 < result.steepest() < 1e-2
    assert result.valley() == pytest.approx(1e-3, rel=0.1)
    assert list(result.suggestions()) == ["steepest", "valley", "minimum/10"]


@pytest.mark.parametrize("f", [lambda x: 2, lambda x: 10 + x, lambda x: 2 + 0.01 * np.sin(9 * x)])
def test_no_suggestion_where_the_loss_does_not_fall(f):
    assert curve(f).suggestions() == {}
    for name in ("steepest", "valley", "minimum_tenth"):
        with pytest.raises(ValueError, match=r"^no suggestion: the smoothed loss does not fall by a twentieth"):
            getattr(curve(f), name)()


def test_what_comes_after_the_first_explosion_is_not_suggested():
    # The loss falls to 1 at 1e-3, jumps, and then falls deeper and more steeply at rates that have done their harm.
    result = curve(lambda x: np.interp(x, [-6, -5, -3, -2.9, -2.5, -2.4, 0], [2, 2, 1, 1.5, 1.5, 0.2, 9]))
    assert result.minimum_tenth() == pytest.approx(1e-4)
    for rate in (result.steepest(), result.valley()):
        assert 1e-5 < rate <= 1e-3


def test_noise_at_the_start_is_not_suggested():
    result = curve(lambda x: np.interp(x, [-6, -5.9, -5.8, -4, -2, 0], [2, 2.3, 1.9, 1.9, 0.5, 9]))
    assert 1e-4 <= result.steepest() <= 1e-2


def test_it_stops_by_the_smoothed_loss(prepared):
    _, _, data = prepared
    model = minidl.Sequential(minidl.Dense(5, 2), minidl.LogSoftmax(), seed=0)
    model.layers[0].b[...] = [0, 5]  # so that the loss of a sample depends much on its label
    result = minidl.lr_range_test(model, minidl.SGD(), data, max_lr=1e-6, batch_size=1, smoothing=0.9, stop_factor=4.0)
    least = np.minimum.accumulate(result.smoothed)
    assert (np.array(result.smoothed)[1:] <= 4 * least[:-1]).all()
    assert (np.array(result.loss)[1:] > 4 * least[:-1]).any()


def test_plot_of_nothing():
    axes = RangeTest([], [], []).plot()
    matplotlib.pyplot.close(axes.figure)


def test_no_suggestion_from_nothing():
    assert RangeTest([], [], []).suggestions() == {}
    assert RangeTest([0.1], [1.0], [1.0]).suggestions() == {}


def test_longest_descent():
    values = [5, 9, 8, 10, 7, 3, 4, 1]
    assert [values[i] for i in longest_descent(values)] == [9, 8, 7, 3, 1]
    assert longest_descent([1.0, 2.0, 3.0]) == [0]


def test_it_finds_a_rate_that_works(prepared):
    model, _, data = prepared
    rate = minidl.lr_range_test(deep_model(), minidl.SGD(), data, batch_size=10, smoothing=0.9).minimum_tenth()
    assert 1e-3 < rate < 3
    assert minidl.fit(model, minidl.SGD(rate), data, data, epochs=20, batch_size=10, seed=0).train_accuracy[-1] > 0.9


def test_plot(prepared, tmp_path):
    axes = curve(lambda x: np.interp(x, [-6, -4, -2, 0], [2, 2, 0.5, 8])).plot()
    assert axes.get_xscale() == "log"
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [label.split(":")[0] for label in labels] == [
        "loss of the batch",
        "smoothed",
        "steepest",
        "valley",
        "minimum/10",
    ]
    assert curve(lambda x: 2).plot(axes) is axes
    axes.figure.savefig(tmp_path / "plot.png")
    matplotlib.pyplot.close(axes.figure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_lr": 0}, "min_lr: "),
        ({"max_lr": float("inf")}, "max_lr: "),
        ({"min_lr": 1, "max_lr": 0.1}, "min_lr: expected less than max_lr, 0.1, got 1"),
        ({"min_lr": 1, "max_lr": 1}, "min_lr: expected less than max_lr"),
        ({"updates": 1}, "updates: expected at least 2, got 1"),
        ({"batch_size": 61}, "batch_size: "),
        ({"spacing": "cubic"}, "spacing: expected one of exponential, linear"),
        ({"smoothing": 1}, "smoothing: "),
        ({"stop_factor": 0.5}, "stop_factor: expected a finite number of at least 1, got 0.5"),
        ({"seed": -1}, "seed: "),
    ],
)
def test_bad_arguments(prepared, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        minidl.lr_range_test(*prepared, **options)
