import copy
import io
import pickle
import sys

import numpy as np
import pytest
from conftest import small_model

import minidl


def numbers(history):
    """Return a history without its seconds."""
    return {column: values for column, values in history.to_dict().items() if column != "seconds"}


def train_small(data, batch_size=7, epochs=3, seed=0, lr=0.1, **options):
    model = small_model()
    history = minidl.fit(model, minidl.SGD(lr), data, data, epochs=epochs, batch_size=batch_size, seed=seed, **options)
    return model, history


def test_it_learns(small_data):
    _, history = train_small(small_data, epochs=20)
    assert history.train_accuracy[-1] > 0.95
    assert history.train_loss[-1] < history.train_loss[0] / 2


@pytest.mark.parametrize(("batch_size", "updates"), [(1, 60), (7, 9), (30, 2), (60, 1)])
def test_history(small_data, batch_size, updates):
    _, history = train_small(small_data, batch_size)
    assert len(history) == 3
    assert history.epoch == [1, 2, 3]
    assert history.updates == [updates, 2 * updates, 3 * updates]
    assert history.lr == [0.1] * 3
    assert history.batch_size == [batch_size] * 3
    assert all(0 < seconds < 5 for seconds in history.seconds)
    for train, test, gap in zip(history.train_accuracy, history.test_accuracy, history.generalization_gap, strict=True):
        assert gap == train - test


def test_fit_is_the_loop_of_the_book(small_data):
    model, history = train_small(small_data, epochs=2)
    expected, optimizer, loss, rng = small_model(), minidl.SGD(0.1), minidl.NLLLoss(), np.random.default_rng(0)
    for _ in range(2):
        order = rng.permutation(60)
        for start in range(0, 60, 7):
            batch = order[start : start + 7]
            loss.forward(expected.forward(small_data.x[batch], training=True), small_data.labels[batch])
            expected.backward(loss.backward())
            optimizer.step(expected.params, expected.grads)
    np.testing.assert_array_equal(model.params, expected.params)
    assert (history.train_loss[-1], history.train_accuracy[-1]) == minidl.evaluate(expected, small_data)


def test_the_same_call_gives_the_same_bits(small_data):
    (one, first), (two, second) = train_small(small_data), train_small(small_data)
    assert numbers(first) == numbers(second)
    assert one.params.tobytes() == two.params.tobytes()
    _, other = train_small(small_data, seed=1)
    assert numbers(other) != numbers(first)


def test_fit_needs_no_dataset_class(small_data):
    x, labels = small_data
    _, history = train_small((x, labels.astype("uint8")))
    assert numbers(history) == numbers(train_small(small_data)[1])


def test_minibatches_use_every_sample_once_and_differ_between_epochs():
    data = minidl.Dataset(np.arange(10.0)[:, None], np.arange(10))
    rng = np.random.default_rng(0)
    epochs = [list(minidl.minibatches(data, 4, rng)) for _ in range(2)]
    for batches in epochs:
        assert [len(x) for x, _ in batches] == [4, 4, 2]
        assert sorted(label for _, labels in batches for label in labels) == list(range(10))
        for x, labels in batches:
            np.testing.assert_array_equal(x[:, 0], labels)
    sets = [{frozenset(labels.tolist()) for _, labels in batches} for batches in epochs]
    assert sets[0].isdisjoint(sets[1])  # not the same batches in another order


def test_evaluate_weighs_batches_by_length(small_data, monkeypatch):
    model = small_model(dtype="float64")
    data = minidl.Dataset(small_data.x.astype("float64"), small_data.labels)
    log_p = model.forward(data.x)
    loss = -np.mean([log_p[i, label] for i, label in enumerate(data.labels)])
    accuracy = np.mean([log_p[i].argmax() == label for i, label in enumerate(data.labels)])
    for size in (60, 59, 7):
        monkeypatch.setattr(minidl.fitting, "EVALUATION_BATCH", size)
        assert minidl.evaluate(model, data) == pytest.approx((loss, accuracy), rel=1e-12)


def test_evaluate_changes_nothing(small_data):
    model = small_model()
    before = copy.deepcopy(model.__dict__)
    minidl.evaluate(model, small_data)
    np.testing.assert_array_equal(model.params, before["params"])
    assert all(layer._memory is None for layer in model.layers)


def test_evaluate_refuses_nothing_at_all():
    for samples, labels, message in (
        (0, 0, r"at least one sample: \(n, 5\), n > 0, got shape \(0, 5\)"),
        (1000, 2000, r"1000 labels, one per sample, got shape \(2000,\)"),
    ):
        with pytest.raises(ValueError, match=f"^data: expected {message}"):
            minidl.evaluate(small_model(), (np.zeros((samples, 5), "float32"), np.zeros(labels, int)))


def test_divergence_names_where_and_what_to_try(small_data):
    with pytest.raises(minidl.DivergedError) as stop:
        train_small(small_data, lr=1e20, epochs=5)
    message = str(stop.value)
    for part in ("the loss became", "in epoch 1, at update", "learning rate 1e+20", "try a smaller one, such as 1e+19"):
        assert part in message
    assert len(stop.value.history) == 0


def test_divergence_in_the_last_update_of_an_epoch_is_noticed(small_data):
    with pytest.raises(minidl.DivergedError, match="in epoch 1, at update 1,"):
        train_small(small_data, batch_size=60, lr=1e30)


def test_divergence_keeps_the_epochs_before(small_data):
    class Bomb(minidl.SGD):
        steps = 0

        def step(self, params, grads, groups):
            self.steps += 1
            if self.steps == 20:
                params[...] = np.nan
            super().step(params, grads, groups)

    with pytest.raises(minidl.DivergedError, match="in epoch 3, at update 21") as stop:
        minidl.fit(small_model(), Bomb(0.1), small_data, small_data, epochs=5, batch_size=7)
    assert stop.value.history.epoch == [1, 2]


def test_the_progress_bar_is_silent_unless_asked(small_data, capsys):
    train_small(small_data)
    assert capsys.readouterr() == ("", "")
    train_small(small_data, progress=False)
    assert capsys.readouterr() == ("", "")
    train_small(small_data, progress=True, description="batch 7")
    out, err = capsys.readouterr()
    assert out == ""
    for part in ("batch 7: 100%", "27/27", "epoch 3/3, loss ", "test accuracy "):
        assert part in err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_progress_bar_shows_on_a_terminal(small_data, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    train_small(small_data)
    assert "27/27" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", Terminal())
    train_small(small_data, progress=False)
    assert sys.stderr.getvalue() == ""


def test_the_error_of_a_divergence_survives_a_change_of_process(small_data):
    with pytest.raises(minidl.DivergedError) as stop:
        train_small(small_data, lr=1e30)
    error = pickle.loads(pickle.dumps(stop.value))
    assert str(error) == str(stop.value)
    assert error.history == stop.value.history


def test_a_test_loss_that_is_not_finite_is_noticed(small_data):
    huge = minidl.Dataset(small_data.x * np.float32(1e37), small_data.labels)
    model = minidl.Sequential(minidl.Dense(5, 8), minidl.Dense(8, 8), minidl.Dense(8, 2), minidl.LogSoftmax(), seed=0)
    model.params *= 10
    with (
        pytest.warns(UserWarning, match="test: the inputs are far from unit scale"),
        pytest.raises(minidl.DivergedError, match=r"loss of the test set became .* in epoch 1"),
    ):
        minidl.fit(model, minidl.SGD(1e-6), small_data, huge, epochs=1, batch_size=7)


def test_the_rate_of_the_optimizer_is_checked(small_data):
    optimizer = minidl.SGD()
    with pytest.raises(ValueError, match=r"^lr: expected a finite number of at least 0, got -1"):
        optimizer.lr = -1
    optimizer.lr = 0  # as a schedule may leave it
    with pytest.raises(ValueError, match=r"^optimizer\.lr: expected a finite number above 0, got 0"):
        minidl.fit(small_model(), optimizer, small_data, small_data, epochs=1, batch_size=7)
    with pytest.raises(TypeError, match=r"^model: expected an instance of Sequential"):
        minidl.fit("model", minidl.SGD(), small_data, small_data, epochs=1, batch_size=7)


def replaced(data, **changes):
    x, labels = data.x.copy(), data.labels.copy()
    for value in changes.values():
        x[3, 2] = value
    return minidl.Dataset(x, labels)


BAD_DATA = {
    "not a pair": (lambda d: d.x, TypeError, "expected a pair of arrays"),
    "features": (lambda d: (d.x[:, :4], d.labels), ValueError, r"samples \(n, 5\), n > 0, got shape \(60, 4\)"),
    "images": (lambda d: (d.x.reshape(60, 5, 1), d.labels), ValueError, r"got shape \(60, 5, 1\)"),
    "empty": (lambda d: (d.x[:0], d.labels[:0]), ValueError, r"n > 0, got shape \(0, 5\)"),
    "pixels": (lambda d: (d.x.astype("uint8"), d.labels), TypeError, "got samples of uint8"),
    "NaN": (lambda d: replaced(d, x=np.nan), ValueError, "expected finite numbers, got NaN or infinity"),
    "infinity": (lambda d: replaced(d, x=-np.inf), ValueError, "expected finite numbers"),
    "label type": (lambda d: (d.x, d.labels.astype(float)), TypeError, "expected integer labels, got float64"),
    "label count": (lambda d: (d.x, d.labels[1:]), ValueError, r"expected 60 labels.*got shape \(59,\)"),
    "one-hot": (lambda d: (d.x, np.eye(2, dtype=int)[d.labels]), ValueError, r"got shape \(60, 2\)"),
    "label too large": (lambda d: (d.x, d.labels + 1), ValueError, "labels from 0 to 1, got 1 to 2"),
    "label negative": (lambda d: (d.x, d.labels - 1), ValueError, "got -1 to 0"),
}


@pytest.mark.parametrize("name", ["train", "test"])
@pytest.mark.parametrize(("spoil", "error", "message"), BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data_is_refused_before_anything_changes(small_data, name, spoil, error, message):
    model = small_model()
    before = model.params.copy()
    data = {"train": small_data, "test": small_data, name: spoil(small_data)}
    with pytest.raises(error, match=f"^{name}: .*{message}"):
        minidl.fit(model, minidl.SGD(), **data, epochs=1, batch_size=1)
    np.testing.assert_array_equal(model.params, before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size: expected 1 to 60, got 0"),
        ({"batch_size": -5}, ValueError, "batch_size: expected 1 to 60, got -5"),
        ({"batch_size": 61}, ValueError, "batch_size: expected 1 to 60, got 61"),
        ({"batch_size": 7.0}, TypeError, "batch_size: expected a whole number, got 7.0"),
        ({"batch_size": True}, TypeError, "batch_size: expected a whole number"),
        ({"epochs": 0}, ValueError, "epochs: expected at least 1, got 0"),
        ({"epochs": "3"}, TypeError, "epochs: expected a whole number, got '3'"),
    ],
)
def test_bad_numbers_are_refused(small_data, options, error, message):
    with pytest.raises(error, match=message):
        train_small(small_data, **options)


def test_one_seed_for_everything():
    data = minidl.Dataset(np.eye(20, dtype="float32"), np.arange(20))
    model = minidl.Sequential(minidl.Dense(20, 64), minidl.ReLU(), minidl.Dense(64, 20), minidl.LogSoftmax(), seed=0)
    history = minidl.fit(model, minidl.SGD(0.5), data, data, epochs=150, batch_size=5, seed=0)
    assert history.train_accuracy[-1] == 1.0  # a sound engine can learn 20 samples by heart
    assert history.train_loss[-1] < 0.1


def test_a_schedule_sets_the_rate_before_every_update(small_data):
    rates = []

    class Spy(minidl.SGD):
        def step(self, params, grads, groups):
            rates.append(self.lr)
            super().step(params, grads, groups)

    history = minidl.fit(
        small_model(), Spy(), small_data, small_data, epochs=2, batch_size=24, lr=lambda t: 0.1 + t, seed=0
    )
    assert rates == pytest.approx([0.1 + t for t in (0, 0.4, 0.8, 1, 1.4, 1.8)])
    assert history.lr == [0.1, 1.1]


def test_a_constant_schedule_is_the_number(small_data):
    _, by_number = train_small(small_data, lr=0.1, batch_size=7)
    model = small_model()
    by_schedule = minidl.fit(
        model,
        minidl.SGD(5.0),
        small_data,
        small_data,
        epochs=3,
        batch_size=minidl.constant(7),
        lr=minidl.constant(0.1),
        seed=0,
    )
    assert numbers(by_schedule) == numbers(by_number)


def test_the_batch_size_can_grow(small_data):
    sizes = []

    def note(x, rng):
        sizes.append(len(x))
        return x

    _, history = train_small(small_data, minidl.piecewise({0: 20, 1: 60, 2.5: 15}), augment=note)
    assert sizes == [20, 20, 20, 60, 60]  # the batch of the third epoch is taken before half of it has passed
    assert history.batch_size == [20, 60, 60]
    assert history.updates == [3, 4, 5]


def test_the_batch_size_can_change_within_an_epoch(small_data):
    sizes = []

    def note(x, rng):
        sizes.append(len(x))
        return x

    train_small(small_data, minidl.piecewise({0: 15, 0.5: 30}), epochs=1, augment=note)
    assert sizes == [15, 15, 30]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"schedule": lambda t: 0.1 - 0.1 * t},
            r"lr after 1\.\d+ epochs: expected a finite number of at least 0, got -0\.0",
        ),
        ({"schedule": lambda t: float("nan") if t > 2.5 else 0.1}, r"lr after 2\.\d+ epochs: .* got nan"),
        ({"batch_size": lambda t: 61 if t >= 1 else 60}, "batch_size after 1 epochs: expected 1 to 60, got 61"),
        ({"batch_size": lambda t: 10 - 10 * (t >= 1)}, "batch_size after 1 epochs: expected a finite number above 0"),
        ({"batch_size": lambda t: float("nan")}, "batch_size after 0 epochs: "),
        ({"batch_size": lambda t: 0.3}, "batch_size after 0 epochs: expected 1 to 60, got 0"),
    ],
)
def test_schedules_are_checked_for_the_whole_training_before_it_starts(small_data, options, message):
    model, optimizer = small_model(), minidl.SGD()
    before = model.params.copy()
    with pytest.raises(ValueError, match=message):
        minidl.fit(
            model,
            optimizer,
            small_data,
            small_data,
            epochs=3,
            batch_size=options.get("batch_size", 7),
            lr=options.get("schedule"),
        )
    np.testing.assert_array_equal(model.params, before)
    assert (optimizer.t, optimizer.lr) == (0, 0.01)


def test_a_function_after_each_epoch_can_stop(small_data):
    seen = []

    def after_epoch(model, history):
        seen.append((type(model), len(history)))
        return "stop" if len(history) == 2 else None

    _, history = train_small(small_data, epochs=5, after_epoch=after_epoch)
    assert seen == [(minidl.Sequential, 1), (minidl.Sequential, 2)]
    assert history.epoch == [1, 2]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lr": 0}, ValueError, "lr: expected a finite number above 0, got 0"),
        ({"lr": "fast"}, TypeError, "lr: expected a number, got 'fast'"),
        ({"augment": 5}, TypeError, "augment: expected a function or None, got 5"),
        ({"augment": lambda x: x}, TypeError, r"augment: expected a function of \(x, rng\), got .*: too many"),
        ({"after_epoch": lambda: None}, TypeError, r"after_epoch: expected a function of \(model, history\)"),
        ({"lr": lambda epoch, update: 0.1}, TypeError, r"lr: expected a function of \(t\), got .*'update'"),
        ({"batch_size": lambda: 10}, TypeError, r"batch_size: expected a function of \(t\)"),
        ({"after_epoch": "stop"}, TypeError, "after_epoch: expected a function or None, got 'stop'"),
        ({"early_stopping": 3}, TypeError, "early_stopping: expected an instance of EarlyStopping, got 3"),
        ({"optimizer": minidl.SGD}, TypeError, "optimizer: expected an instance of Optimizer"),
        ({"optimizer": None}, TypeError, "optimizer: expected an instance of Optimizer, got None"),
        ({"seed": -1}, ValueError, "seed: expected a whole number of at least 0, got -1"),
        ({"seed": "x"}, TypeError, "seed: expected a whole number, a numpy.random.Generator or None, got 'x'"),
        ({"seed": 1.5}, TypeError, "seed: "),
    ],
)
def test_bad_arguments_are_refused_before_anything_changes(small_data, options, error, message):
    model, optimizer = small_model(), minidl.SGD()
    before = model.params.copy()
    arguments = {"optimizer": optimizer, "epochs": 2, "batch_size": 7} | options
    with pytest.raises(error, match=f"^{message}"):
        minidl.fit(model, train=small_data, test=small_data, **arguments)
    np.testing.assert_array_equal(model.params, before)
    assert (optimizer.t, optimizer.lr) == (0, 0.01)


def test_the_rate_can_be_a_number(small_data):
    _, by_optimizer = train_small(small_data, lr=0.2)
    history = minidl.fit(small_model(), minidl.SGD(5.0), small_data, small_data, epochs=3, batch_size=7, lr=0.2, seed=0)
    assert numbers(history) == numbers(by_optimizer)


def test_a_batch_that_batch_norm_cannot_take_is_refused_before_training(small_data):
    model = minidl.Sequential(minidl.Dense(5, 4), minidl.BatchNorm(4), minidl.Dense(4, 2), minidl.LogSoftmax(), seed=0)
    before = model.params.copy()
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"BatchNorm\(4, decay=0.9\) cannot normalise .* a batch of 1 leaves one"):
        minidl.fit(model, minidl.SGD(), small_data, small_data, epochs=1, batch_size=59, seed=rng)
    with pytest.raises(ValueError, match="cannot normalise a single sample"):
        minidl.lr_range_test(model, minidl.SGD(), small_data, batch_size=59)
    np.testing.assert_array_equal(model.params, before)
    np.testing.assert_array_equal(model.layers[1].moving_mean, np.zeros(4))
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state
    model.freeze("dense0", "batchnorm1")  # in a frozen trunk it works as in evaluation
    minidl.fit(model, minidl.SGD(), small_data, small_data, epochs=1, batch_size=59)


def test_an_optimizer_of_another_model_is_refused_before_training(small_data):
    optimizer = minidl.Momentum()
    optimizer.step(np.ones(3), np.ones(3))
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="params: Momentum has made steps on"):
        minidl.fit(small_model(), optimizer, small_data, small_data, epochs=1, batch_size=7, lr=0.5, seed=rng)
    assert optimizer.lr == 0.01
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_many_epochs_of_a_constant_rate_cost_no_planning(small_data):
    history = minidl.fit(
        small_model(),
        minidl.SGD(),
        small_data,
        small_data,
        epochs=10**9,
        batch_size=1,
        after_epoch=lambda *_: "stop",
    )
    assert len(history) == 1


@pytest.mark.parametrize("batch_size", [0, -1, 0.4, 11, lambda t: 0.2, lambda t: -5 if t else 4])
def test_minibatches_refuse_sizes_out_of_range(batch_size):
    data = minidl.Dataset(np.arange(10.0)[:, None], np.arange(10))
    with pytest.raises((ValueError, TypeError), match=r"^batch_size"):
        list(minidl.minibatches(data, batch_size, np.random.default_rng(0)))


def test_scheduled_batch_sizes_are_rounded(small_data):
    _, history = train_small(small_data, lambda t: 19.6, epochs=1)
    assert history.batch_size == [20]
    assert history.updates == [3]


def test_augmentation_draws_from_the_generator_of_the_training(small_data):
    drawn = []

    def augment(x, rng):
        drawn.append(rng.random())
        return x

    for seed in (0, 0, 1):
        train_small(small_data, 30, epochs=2, seed=seed, augment=augment)
    first, same, other = drawn[:4], drawn[4:8], drawn[8:]
    assert first == same != other
    assert len(set(first)) == 4


def test_plain_floats_reach_the_formula(small_data):
    model = small_model()
    minidl.fit(model, minidl.SGD(), small_data, small_data, epochs=1, batch_size=7, lr=lambda t: np.float64(0.1))
    optimizer = minidl.SGD()
    minidl.fit(model, optimizer, small_data, small_data, epochs=1, batch_size=7, lr=lambda t: np.float64(0.1))
    assert type(optimizer.lr) is float


def spoil(at, value):
    """Return a layer that passes everything on, but for one value in its call number ``at``."""

    class Spoiler(minidl.ReLU):
        calls = 0

        def forward(self, x, training=False):
            y = super().forward(x, training).copy()
            self.calls += training
            if self.calls == at and training:
                y[-1, -1] = value
            return y

        def backward(self, dy):
            dx = super().backward(dy).copy()
            if self.calls == -at:
                dx[0, 0] = value
            return dx

    return Spoiler()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_debug_names_the_first_layer_with_a_number_that_is_not_finite(small_data, value):
    model = minidl.Sequential(
        minidl.Dense(5, 8), spoil(3, value), minidl.Dense(8, 2), minidl.BatchNorm(2), minidl.LogSoftmax(), seed=0
    )
    with pytest.raises(minidl.DivergedError, match=r"^spoiler1: y has NaN or infinity in it, in epoch 1, at update 3;"):
        minidl.fit(model, minidl.SGD(), small_data, small_data, epochs=1, batch_size=7, debug=True)
    assert model.watch is None


def test_debug_looks_at_gradients_and_parameters(small_data):
    class NaNGradient(minidl.Dense):
        def backward(self, dy):
            dx = super().backward(dy)
            self.dW[0, 0] = np.nan
            return dx

    class NaNInput(minidl.ReLU):
        def backward(self, dy):
            return super().backward(dy) * np.nan

    class TooFar(minidl.SGD):
        def update(self, w, g, lr):
            w -= np.float32(3e38) * np.sign(w)

    for layer, optimizer, message in (
        (NaNGradient(8, 8), minidl.SGD(), "nangradient2: dW"),
        (NaNInput(), minidl.SGD(), "naninput2: dx"),
        (minidl.ReLU(), TooFar(), "dense"),
    ):
        model = minidl.Sequential(minidl.Dense(5, 8), minidl.ReLU(), layer, minidl.Dense(8, 2), minidl.LogSoftmax())
        with pytest.raises(minidl.DivergedError, match=f"^{message}.* has NaN or infinity in it"):
            minidl.fit(model, optimizer, small_data, small_data, epochs=9, batch_size=30, debug=True)


def test_debug_changes_no_number(small_data):
    (one, first), (two, second) = train_small(small_data), train_small(small_data, debug=True)
    assert numbers(first) == numbers(second)
    assert one.params.tobytes() == two.params.tobytes()


def test_watch_is_shown_everything_in_order(small_data):
    model, seen = small_model(), []
    model.watch = lambda layer, name, array: seen.append((layer.name, name, array.shape))
    loss = minidl.NLLLoss()
    loss.forward(model.forward(small_data.x, training=True), small_data.labels)
    model.backward(loss.backward())
    assert [f"{layer}.{name}" for layer, name, _ in seen] == [
        *("dense0.y", "relu1.y", "dense2.y", "logsoftmax3.y"),
        *("logsoftmax3.dx", "dense2.dW", "dense2.db", "dense2.dx", "relu1.dx", "dense0.dW", "dense0.db"),
    ]
    assert {f"{layer}.{name}": shape for layer, name, shape in seen}["dense2.dW"] == (8, 2)
    model.forward(small_data.x)
    assert len(seen) == 11  # evaluation is not watched
