import numpy as np
import pytest
from conftest import small_model

import minidl
from minidl import EarlyStopping


def watch(stopping, values):
    """Return after which epoch ``stopping`` stops, and mark the model of every epoch with its number."""
    model = small_model()
    stopping.begin()
    for epoch, value in enumerate(values, start=1):
        model.params[...] = epoch
        if stopping.should_stop(model, epoch, value):
            return epoch, model
    return None, model


@pytest.mark.parametrize(
    ("options", "values", "stop", "best"),
    [
        ({"patience": 2}, [5, 4, 3, 3.5, 3.2, 1], 5, 3),
        ({"patience": 1}, [5, 5], 2, 1),  # as good as before is no improvement
        ({"patience": 3}, [5, 4, 3], None, 3),
        ({"patience": 2, "min_improvement": 0.5}, [5, 4, 3.7, 3.6, 3], 4, 2),
        ({"patience": 2, "min_improvement": 0.5}, [5, 4, 3.7, 3.4, 3], None, 4),
        ({"patience": 2, "column": "test_accuracy"}, [0.5, 0.9, 0.8, 0.9], 4, 2),
    ],
)
def test_when_it_stops_and_what_it_restores(options, values, stop, best):
    stopping = EarlyStopping(**options)
    stopped, model = watch(stopping, values)
    assert stopped == stop
    assert stopping.best_epoch == best
    stopping.restore_best(model)
    np.testing.assert_array_equal(model.params, np.full_like(model.params, best))


def test_it_can_be_used_again():
    stopping = EarlyStopping(patience=1)
    assert watch(stopping, [1.0, 2.0])[0] == 2
    assert watch(stopping, [5.0, 4.0])[0] is None
    assert stopping.best_epoch == 2


@pytest.mark.parametrize("epochs", [2, 60])
def test_fit_leaves_the_best_model_behind(small_data, epochs):
    rng = np.random.default_rng(0)
    noise = minidl.Dataset(small_data.x, rng.permutation(small_data.labels))  # to be learned by heart only
    model = minidl.Sequential(
        minidl.Dense(5, 30), minidl.BatchNorm(30), minidl.ReLU(), minidl.Dense(30, 2), minidl.LogSoftmax(), seed=0
    )
    stopping = EarlyStopping(patience=3)
    history = minidl.fit(
        model,
        minidl.Adam(0.02),
        small_data,
        noise,
        epochs=epochs,
        batch_size=10,
        seed=0,
        early_stopping=stopping,
    )
    best = int(np.argmin(history.test_loss))
    assert stopping.best_epoch == best + 1
    assert len(history) == min(epochs, best + 1 + 3)
    assert minidl.evaluate(model, noise) == (history.test_loss[best], history.test_accuracy[best])


def train(data, stopping, optimizer=None, **options):
    model = small_model()
    options = {"epochs": 9, "batch_size": 10, "seed": 0} | options
    history = minidl.fit(model, optimizer or minidl.SGD(0.3), data, data, early_stopping=stopping, **options)
    return model, history


@pytest.mark.parametrize("epoch", [1, 4])
def test_a_stop_from_after_epoch_restores_too(small_data, epoch):
    stopping = EarlyStopping(patience=3)
    train(small_data, stopping)  # used before
    model, history = train(
        small_data, stopping, after_epoch=lambda _, history: "stop" if len(history) == epoch else None
    )
    assert len(history) == epoch
    assert stopping.best_epoch == 1 + int(np.argmin(history.test_loss))
    assert minidl.evaluate(model, small_data)[0] == min(history.test_loss)


class Bomb(minidl.SGD):
    steps = 0

    def step(self, params, grads, groups):
        self.steps += 1
        super().step(params, grads, groups)
        if self.steps == self.at:
            params[...] = np.nan


@pytest.mark.parametrize(("at", "best"), [(3, 0), (20, 3)])
def test_a_diverging_training_restores_too(small_data, at, best):
    model, stopping, optimizer = small_model(), EarlyStopping(patience=9), Bomb(0.3)
    optimizer.at = at
    with pytest.raises(minidl.DivergedError) as stop:
        minidl.fit(model, optimizer, small_data, small_data, epochs=9, batch_size=10, seed=0, early_stopping=stopping)
    assert stopping.best_epoch == best
    if best:
        assert minidl.evaluate(model, small_data)[0] == stop.value.history.test_loss[best - 1]
    else:
        assert np.isnan(model.params).all()  # there was no better one


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"patience": 0}, ValueError, "patience: "),
        ({"patience": -1}, ValueError, "patience: expected at least 1, got -1"),
        ({"patience": 1.5}, TypeError, "patience: "),
        ({"patience": 1, "min_improvement": -0.1}, ValueError, "min_improvement: "),
        ({"patience": 1, "column": "train_loss"}, ValueError, "column: expected one of test_loss, test_accuracy"),
    ],
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        EarlyStopping(**options)
