"""The loop alone, with each callback alone, left and entered again after every update."""

import io
import signal
import sys
import warnings

import numpy as np
import pytest
from conftest import small_model

import minidl
from minidl.callbacks.after_epoch import AfterEpoch
from minidl.callbacks.checkpoints import Checkpoint
from minidl.callbacks.debugging import Debugging
from minidl.callbacks.divergence import FiniteLoss
from minidl.callbacks.progress import ProgressBar
from minidl.callbacks.signals import Signals
from minidl.datasets import take
from minidl.learning_rate.schedules import scheduled
from minidl.loop import run
from minidl.regularization.augmentation import augmented

UPDATES = 26
"""Two epochs of 13 batches, the last of them short."""


def begin(seed=0, **options):
    return minidl.Training(small_model(), minidl.Adam(0.05), np.random.default_rng(seed), **options)


def measures(state):
    losses = iter([3.0, 2.0, 4.0, 5.0, 6.0])

    def measure():
        names = ("train_loss", "train_accuracy", "test_accuracy", "generalization_gap", "lr", "batch_size")
        return dict.fromkeys(names, 1.0) | {"test_loss": next(losses)}

    return measure


def go(state, data, *callbacks, epochs=2):
    def batches():
        return take(data, state.shuffle(len(data.x)), 5, state.epoch - 1, state.seen)

    run(state, epochs, batches, measures(state), callbacks)
    return state


@pytest.fixture
def data(small_data):
    return minidl.Dataset(small_data.x, small_data.labels)


def test_descend_is_forward_loss_backward_step(data):
    state, expected, loss = begin(), begin(), minidl.NLLLoss()
    batches = [(data.x[i : i + 7], data.labels[i : i + 7]) for i in range(0, 60, 7)]
    losses = [float(value) for value in minidl.descend(state, batches)]
    for (x, labels), value in zip(batches, losses, strict=True):
        assert value == loss.forward(expected.model.forward(x, training=True), labels)
        expected.model.backward(loss.backward())
        expected.optimizer.step(expected.model.params, expected.model.grads)
    np.testing.assert_array_equal(state.model.params, expected.model.params)
    assert (state.updates, state.seen, state.optimizer.t) == (9, 60, 9)


def test_nothing_happens_until_somebody_asks(data):
    state = begin()
    before = state.model.params.copy()
    losses = minidl.descend(state, [(data.x, data.labels)] * 3)
    np.testing.assert_array_equal(state.model.params, before)
    next(losses)
    assert state.updates == 1


class LeaveAfter(minidl.Callback):
    def __init__(self, update):
        self.update = update

    def after_update(self, state, loss):
        if state.updates == self.update:
            raise KeyboardInterrupt


def noise(x, rng):
    return x + 0.1 * rng.normal(size=x.shape).astype("float32")


def full_run(data, **options):
    """Train with everything attached; 26 updates in three epochs."""
    layers = minidl.Dense(5, 8), minidl.BatchNorm(8), minidl.ReLU(), minidl.Dropout(0.3), minidl.Dense(8, 2)
    model = minidl.Sequential(*layers, minidl.LogSoftmax(), seed=2)
    model.freeze("dense0")
    model.scale_lr("dense4", 0.5)
    plan = {"epochs": 3, "batch_size": minidl.piecewise({0: 6, 2: 10}), "lr": minidl.one_cycle(0.1, 3), "seed": 4}
    attached = {"augment": noise, "early_stopping": minidl.EarlyStopping(5), "progress": False}
    history = minidl.fit(model, minidl.Adam(weight_decay=0.01), data, data, **plan, **attached, **options)
    columns = {name: column for name, column in history.to_dict().items() if name != "seconds"}
    return model.params.tobytes(), columns


@pytest.mark.parametrize("update", range(1, UPDATES + 1))
def test_a_run_left_after_any_update_resumes_to_the_same_bits(data, tmp_path, update):
    options = {"checkpoint": tmp_path / "run.npz", "checkpoint_every": 1}

    class Leave(minidl.Callback):
        def after_update(self, state, loss):
            if state.updates == update + 1:  # the checkpoint after `update` is the last one
                raise KeyboardInterrupt

    if update < UPDATES:
        with pytest.raises(KeyboardInterrupt):
            full_run(data, callbacks=[Leave()], **options)
    else:
        full_run(data, **options)
    whole = full_run(data)
    assert whole[1]["updates"][-1] == UPDATES
    assert full_run(data, resume=True, **options) == whole


@pytest.mark.parametrize("update", range(1, UPDATES + 1))
def test_the_loop_itself_goes_on_where_it_was_left(data, update):
    data, expected = minidl.Dataset(data.x, data.labels), begin()
    data = minidl.Dataset(np.vstack([data.x, data.x[:3]]), np.append(data.labels, data.labels[:3]))
    go(expected, data)
    assert expected.updates == UPDATES
    state = begin()
    if update < UPDATES:
        with pytest.raises(KeyboardInterrupt):
            go(state, data, LeaveAfter(update))
        assert state.updates == update
    go(state, data)
    np.testing.assert_array_equal(state.model.params, expected.model.params)
    assert state.history.updates == expected.history.updates == [13, 26]


def test_the_loop_needs_no_callback(data):
    state = go(begin(), data)
    assert (state.epoch, state.seen, state.updates) == (3, 0, 24)
    assert state.history.epoch == [1, 2]


def test_finite_loss_alone_ends_the_run_before_the_step(data):
    state = begin()
    loss, state.optimizer.lr = state.loss, 1e30
    with pytest.raises(minidl.DivergedError, match="in epoch 1, at update 2, with learning rate 1e\\+30"):
        go(state, data, FiniteLoss())
    assert state.loss is loss
    assert (state.updates, np.isfinite(state.model.params).all()) == (1, True)


def test_debugging_alone_names_the_place_and_gives_the_watch_back(data):
    state = begin()
    state.model.watch = watch = lambda *_: None
    state.model.layers[2].W[0, 0] = np.nan
    with pytest.raises(minidl.DivergedError, match=r"^dense2: y has NaN or infinity in it, in epoch 1, at update 1;"):
        go(state, data, Debugging())
    assert state.model.watch is watch


@pytest.mark.parametrize("broken", [1, 2, 5])
def test_debugging_blames_the_update_that_broke_the_parameters(data, broken):
    class Breaks(minidl.SGD):
        def step(self, params, grads, groups):
            super().step(params, grads, groups)
            if self.t == broken:
                params[3] = np.inf

    with pytest.raises(minidl.DivergedError, match=f"^dense0: W has .*, in epoch 1, at update {broken};"):
        minidl.fit(small_model(), Breaks(), data, data, epochs=1, batch_size=5, debug=True)


def test_the_bar_alone_shows_the_loss_of_the_latest_batch_all_the_time(data, monkeypatch):
    written = []
    monkeypatch.setattr("tqdm.tqdm.set_postfix_str", lambda _bar, text, refresh=True: written.append(text))
    losses = []

    class Note(minidl.Callback):
        def after_update(self, state, loss):
            losses.append(f"{float(loss):.4f}")

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    go(begin(), data, ProgressBar(24, 2, True, "here"), Note())
    shown = [text.partition("loss ")[2][:6] for text in written]
    assert shown == [*losses[:12], losses[11], *losses[12:], losses[23]]
    assert written[11] == f"epoch 1/2, loss {losses[11]}"
    assert written[12] == f"epoch 1/2, loss {losses[11]}, test accuracy 100.00%"
    assert written[-1].startswith("epoch 2/2, loss")
    assert "here: 100%" in sys.stderr.getvalue()


def test_early_stopping_alone_stops_and_restores(data):
    stopping, kept = minidl.EarlyStopping(2), []

    class Keep(minidl.Callback):
        def after_epoch(self, state):
            kept.append(state.model.params.copy())

    state = go(begin(), data, Keep(), stopping, epochs=5)
    assert (state.history.epoch, state.stopped, stopping.best_epoch) == ([1, 2, 3, 4], True, 2)
    np.testing.assert_array_equal(state.model.params, kept[1])


def test_a_function_after_each_epoch_alone(data):
    state = go(begin(), data, AfterEpoch(lambda _, history: "stop" if len(history) == 3 else None), epochs=5)
    assert state.history.epoch == [1, 2, 3]


def test_a_checkpoint_alone(data, tmp_path):
    saver = Checkpoint(tmp_path / "run.npz", None, {})
    state = begin()
    saver.open(state, resume=False)
    state.optimizer.prepare(state.model.params, state.model.grads)
    saver.begin(state)
    go(state, data, saver)
    other = begin(seed=9)
    minidl.load_training(tmp_path / "run.npz", other)
    np.testing.assert_array_equal(other.model.params, state.model.params)
    assert (other.epoch, other.updates) == (3, 24)


def test_schedule_and_augmentation_wrap_the_batches_alone(data):
    state, rates = begin(), []
    wrapped = scheduled([(data.x, data.labels)] * 3, state, lambda t: 0.1 + t, 180)
    for _ in minidl.descend(state, wrapped):
        rates.append(state.optimizer.lr)
    assert rates == pytest.approx([0.1, 0.1 + 60 / 180, 0.1 + 120 / 180])
    (changed, labels), *_ = augmented(
        [(data.x, data.labels)], lambda x, rng: x + rng.random(), np.random.default_rng(0)
    )
    assert (changed - data.x).std() < 1e-6 < abs(changed - data.x).min()
    assert labels is data.labels


class Halve(minidl.Callback):
    """A reader's own: halve the learning rate every epoch, count the updates, and stop after the second."""

    def __init__(self):
        self.updates, self.log = 0, []

    def around(self, state):
        self.log.append("begin")
        return super().around(state)

    def after_update(self, state, loss):
        self.updates += 1

    def after_epoch(self, state):
        state.optimizer.lr /= 2
        state.stopped = len(state.history) == 2


def test_fit_takes_callbacks_of_ones_own(data):
    own = Halve()
    history = minidl.fit(small_model(), minidl.SGD(0.4), data, data, epochs=5, batch_size=20, callbacks=(own,))
    assert history.lr == [0.4, 0.2]
    assert (own.updates, own.log) == (6, ["begin"])


def test_callbacks_are_called_in_order_after_after_epoch(data):
    calls = []

    class Note(minidl.Callback):
        def __init__(self, name):
            self.name = name

        def after_epoch(self, state):
            calls.append(self.name)

    minidl.fit(
        *(small_model(), minidl.SGD(), data, data),
        epochs=1,
        batch_size=20,
        callbacks=iter([Note("a"), Note("b")]),
        after_epoch=lambda *_: calls.append("function"),
    )
    assert calls == ["function", "a", "b"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Halve(), r"callbacks: expected a sequence such as \(callback,\), got <"),
        (5, r"callbacks: expected a sequence such as \(callback,\), got 5"),
        ([print], "callbacks: expected an instance of Callback, got <built-in function print>"),
        ([Halve], "callbacks: expected an instance of Callback, got <class"),
        ([minidl.EarlyStopping(3)], "callbacks: pass early stopping as early_stopping="),
    ],
)
def test_what_is_no_callback_is_refused(data, given, message):
    with pytest.raises(TypeError, match=message):
        minidl.fit(small_model(), minidl.SGD(), data, data, epochs=1, batch_size=20, callbacks=given)


# What the loop hid before it was one page.


@pytest.mark.parametrize("bits", [np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM])
def test_any_generator_will_do_without_a_checkpoint(data, bits):
    seeds = [np.random.Generator(bits(0)) for _ in range(2)]
    one, two = (
        minidl.fit(small_model(), minidl.SGD(), data, data, epochs=2, batch_size=7, seed=seed).train_loss
        for seed in seeds
    )
    assert one == two


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"debug": "yes"}, TypeError),
        ({"debug": 1}, TypeError),
        ({"progress": "no"}, TypeError),
        ({"progress": 0}, TypeError),
        ({"callbacks": 3}, TypeError),
        ({"augment": 3}, TypeError),
        ({"after_epoch": 3}, TypeError),
        ({"epochs": 0}, ValueError),
        ({"lr": -1}, ValueError),
        ({"batch_size": 61}, ValueError),
        ({"seed": -1}, ValueError),
        ({"resume": 1}, TypeError),
    ],
)
def test_a_bad_argument_is_refused_by_name_before_anything_is_written_or_reset(data, tmp_path, options, error):
    (name,) = options
    stopping, model, optimizer = minidl.EarlyStopping(3), small_model(), minidl.Adam()
    stopping.should_stop(small_model(), 1, 0.5)
    best, before = stopping.best, model.params.copy()
    usual = {"epochs": 1, "batch_size": 20, "early_stopping": stopping, "checkpoint": tmp_path / "run.npz"}
    with pytest.raises(error, match=f"^{name}: expected .*got"):
        minidl.fit(model, optimizer, data, data, **(usual | options))
    assert not list(tmp_path.iterdir())
    assert (stopping.best, stopping.best_epoch, optimizer.state, optimizer.t) == (best, 1, {}, 0)
    np.testing.assert_array_equal(model.params, before)


def test_an_optimizer_that_is_refused_has_reset_nothing(data, tmp_path):
    used, stopping = minidl.Adam(), minidl.EarlyStopping(3)
    used.step(np.ones(3, "float32"), np.ones(3, "float32"))
    stopping.should_stop(small_model(), 1, 0.5)
    for options in ({}, {"checkpoint": tmp_path / "run.npz"}):
        with pytest.raises(ValueError, match="params: Adam has made steps on"):
            minidl.fit(small_model(), used, data, data, epochs=1, batch_size=20, early_stopping=stopping, **options)
        assert (stopping.best_epoch, stopping.lowest) == (1, 0.5)
    assert not list(tmp_path.iterdir())


class RaisesAt(minidl.Callback):
    """Receive a signal in an update that then fails."""

    def __init__(self, kind):
        self.kind = kind

    def after_update(self, state, loss):
        signal.raise_signal(self.kind)
        raise minidl.DivergedError("by chance", state.history)


@pytest.mark.parametrize(("kind", "expected"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_is_not_lost_if_its_update_fails(data, tmp_path, kind, expected):
    before = signal.getsignal(kind)
    with pytest.raises(expected) as end:
        minidl.fit(
            *(small_model(), minidl.SGD(), data, data),
            epochs=1,
            batch_size=20,
            checkpoint=tmp_path / "run.npz",
            callbacks=[RaisesAt(kind)],
        )
    assert isinstance(end.value.__context__, minidl.DivergedError)
    if expected is SystemExit:
        assert end.value.code == 143
    assert signal.getsignal(kind) == before


def test_a_signal_goes_to_the_handler_that_had_it(data, tmp_path):
    received = []
    before = signal.signal(signal.SIGTERM, lambda kind, _frame: received.append(kind))
    try:
        with pytest.raises(minidl.DivergedError, match="by chance"):
            minidl.fit(
                *(small_model(), minidl.SGD(), data, data),
                epochs=1,
                batch_size=20,
                checkpoint=tmp_path / "run.npz",
                callbacks=[RaisesAt(signal.SIGTERM)],
            )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]


def test_a_signal_after_the_last_look_is_not_lost():
    with pytest.raises(KeyboardInterrupt), Signals():
        signal.raise_signal(signal.SIGINT)
    with Signals():
        pass


def test_a_second_signal_ends_at_once():
    seen = []

    def receive_two():
        with Signals() as signals:
            signal.raise_signal(signal.SIGTERM)
            seen.append(signals.received)
            signal.raise_signal(signal.SIGTERM)
            seen.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        receive_two()
    assert seen == [signal.SIGTERM]


def test_numpy_stays_quiet_while_a_run_diverges_and_speaks_afterwards(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(minidl.DivergedError):
            minidl.fit(small_model(), minidl.SGD(1e30), data, data, epochs=1, batch_size=20)
        with pytest.raises(RuntimeWarning, match="overflow"):
            np.float32(1e38) * np.float32(1e38)


def test_descend_and_the_state_are_what_a_loop_of_ones_own_needs(data):
    state = begin()
    while state.updates < 30:
        for _ in minidl.descend(state, minidl.minibatches(data, 10, state.rng)):
            pass
    assert state.updates == 30
    assert minidl.evaluate(state.model, data)[1] > 0.9
