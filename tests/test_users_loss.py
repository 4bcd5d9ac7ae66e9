"""`fit` with a loss: the usual one forgotten or misused, numbers to predict, and losses of one's own."""

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import small_model
from test_training import numbers
from test_users_data import LABELS, CrashError, X, refused

import minidl
from minidl.testing import check_gradients, strict_backend

TARGETS = (2 * X[:, 0] - X[:, 1]).astype("float64")


def regressor(outputs=1, dtype="float32"):
    layers = minidl.Dense(5, 16), minidl.ReLU(), minidl.Dense(16, outputs)
    return minidl.Sequential(*layers, seed=0, dtype=dtype)


def train(data, test=None, model=None, **options):
    options = {"epochs": 3, "batch_size": 10, "seed": 0} | options
    return minidl.fit(model or regressor(), minidl.SGD(0.05), data, test, **options)


def smoothed():
    """Return the class that solves the book's exercise on smoothed labels."""
    sys.path.insert(0, str(Path(__file__).parent))
    from test_docs import read

    (code,) = [text for _, _, text in read("docs/engine/losses.md") if "class Smoothed" in text]
    names = {"np": np}
    exec(code[: code.index("\n\n\n")], names)
    return names["Smoothed"](0.1)


class Own:
    """The negative log-likelihood, written anew."""

    def forward(self, log_p, labels):
        self.shape, self.labels, self.dtype = log_p.shape, labels, log_p.dtype
        return -log_p[np.arange(len(labels)), labels].mean()

    def backward(self):
        dy = np.zeros(self.shape, self.dtype)
        dy[np.arange(len(self.labels)), self.labels] = -1.0 / len(self.labels)
        return dy


class Logits(Own):
    """Cross-entropy of a network without LogSoftmax, which it contains."""

    def forward(self, y, labels):
        self.softmax = minidl.LogSoftmax()
        return super().forward(self.softmax.forward(y, training=True), labels)

    def backward(self):
        return self.softmax.backward(super().backward())


class AbsoluteError:
    regression = True

    def forward(self, y, targets):
        self.difference = y - targets
        return np.abs(self.difference).mean()

    def backward(self):
        return np.sign(self.difference) / self.difference.size


# The forgotten LogSoftmax.


def without(*last):
    return minidl.Sequential(minidl.Dense(5, 8), minidl.ReLU(), minidl.Dense(8, 2), *last, seed=0)


class Softmax(minidl.LogSoftmax):
    def forward(self, x, training=False):
        return np.exp(super().forward(x, training))


@pytest.mark.parametrize("last", [(), (minidl.ReLU,), (Softmax,), (minidl.LogSoftmax, minidl.ReLU)])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_a_forgotten_logsoftmax_is_refused_before_anything_changes(last, scale):
    message = r"^model: NLLLoss expects log-probabilities.*End the model with minidl\.LogSoftmax\(\)"
    for call in (
        lambda model, optimizer: minidl.fit(model, optimizer, (X, LABELS), epochs=1, batch_size=10),
        lambda model, optimizer: minidl.lr_range_test(model, optimizer, (X, LABELS), batch_size=10),
        lambda model, _: minidl.evaluate(model, (X, LABELS)),
    ):
        model, optimizer = without(*(kind() for kind in last)), minidl.Adam()
        model.params *= scale
        before = model.params.tobytes()
        with pytest.raises(ValueError, match=message):
            call(model, optimizer)
        assert (model.params.tobytes(), optimizer.t, optimizer.state) == (before, 0, {})


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("classes", [1, 2, 1000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_probabilities_are_recognised(scale, classes, dtype):
    model = minidl.Sequential(minidl.Dense(5, classes), minidl.LogSoftmax(), seed=0, dtype=dtype)
    model.params *= scale
    train((X, np.zeros(60, int)), model=model, epochs=1)


def test_a_model_that_is_no_number_at_all_is_a_matter_for_divergence():
    model = small_model()
    model.params[0] = np.nan
    with pytest.raises(minidl.DivergedError, match="in epoch 1, at update 1"):
        train((X, LABELS), model=model)


def test_the_look_at_the_output_changes_no_bit():
    watched = []
    model = minidl.Sequential(
        minidl.Dense(5, 8), minidl.BatchNorm(8), minidl.Dropout(0.5), minidl.Dense(8, 2), minidl.LogSoftmax(), seed=0
    )
    model.watch = lambda *seen: watched.append(seen)
    before = model.layers[2].rng.bit_generator.state, model.layers[1].moving_mean.copy()
    minidl.evaluate(model, (X, LABELS))
    assert model.layers[2].rng.bit_generator.state == before[0]
    np.testing.assert_array_equal(model.layers[1].moving_mean, before[1])
    assert not watched
    assert all(layer._memory is None for layer in model.layers)


# A loss of one's own.


def test_a_loss_of_ones_own_trains_as_the_built_in_one_does():
    models = [small_model() for _ in range(3)]
    histories = [
        train((X, LABELS), (X, LABELS), model, loss=loss)
        for model, loss in zip(models, (None, minidl.NLLLoss(), Own()), strict=True)
    ]
    for model, history in zip(models, histories, strict=True):
        assert numbers(history) == numbers(histories[0])
        np.testing.assert_array_equal(model.params, models[0].params)
    assert minidl.evaluate(models[0], (X, LABELS), Own()) == minidl.evaluate(models[0], (X, LABELS))


def test_a_loss_of_logits_needs_no_logsoftmax():
    one, other = without(), without(minidl.LogSoftmax())
    got, expected = train((X, LABELS), model=one, loss=Logits()), train((X, LABELS), model=other)
    np.testing.assert_allclose(got.train_loss, expected.train_loss, rtol=1e-6)
    assert got.train_accuracy == expected.train_accuracy
    np.testing.assert_allclose(one.params, other.params, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_books_exercise_on_smoothed_labels_runs(dtype):
    model = small_model(dtype=dtype)
    history = train((X, LABELS), (X, LABELS), model, loss=smoothed(), epochs=30)
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert entropy < history.train_loss[-1] < history.train_loss[0]
    assert history.test_accuracy[-1] > 0.8
    assert model.params.dtype == dtype
    found = minidl.lr_range_test(model, minidl.SGD(), (X, LABELS), batch_size=10, loss=smoothed(), updates=5)
    assert len(found.loss) == 5


def test_in_float64_the_gradient_of_the_exercise_arrives_unchanged():
    models = [small_model(dtype="float64") for _ in range(2)]
    train((X, LABELS), model=models[0], loss=smoothed(), epochs=1)
    loss, optimizer = smoothed(), minidl.SGD(0.05)
    for x, labels in minidl.minibatches((X.astype("float64"), LABELS), 10, np.random.default_rng(0)):
        loss.forward(models[1].forward(x, training=True), labels)
        models[1].backward(loss.backward())
        optimizer.step(models[1].params, models[1].grads)
    np.testing.assert_array_equal(models[0].params, models[1].params)


def test_in_a_loop_of_ones_own_a_gradient_of_another_precision_is_refused_by_name():
    model, loss = small_model(), smoothed()
    loss.forward(model.forward(X, training=True), LABELS)
    with pytest.raises(TypeError, match=r"^LogSoftmax\.backward: expected dy to be float32, as y is, got float64"):
        model.backward(loss.backward())


class ForEachSample(Own):
    def forward(self, log_p, labels):
        super().forward(log_p, labels)
        return -log_p[np.arange(len(labels)), labels]


class NoNumber(Own):
    def forward(self, log_p, labels):
        super().forward(log_p, labels)


class OfOneRow(Own):
    def backward(self):
        return super().backward()[0]


class NoGradient(Own):
    def backward(self):
        super().backward()


class OneMethod:
    def forward(self, log_p, labels):
        return 0.0


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        ("mse", TypeError, r"expected an object with forward\(y, labels\) and backward\(\), .* got 'mse'"),
        (minidl.MSELoss, TypeError, "expected an object with .* got <class"),
        (np.mean, TypeError, "expected an object with "),
        (OneMethod(), TypeError, "expected an object with "),
        (
            ForEachSample(),
            TypeError,
            r"ForEachSample.forward must return one number, the batch's mean, got shape \(2,\)",
        ),
        (NoNumber(), TypeError, "NoNumber.forward must return one number, the batch's mean, got NoneType"),
        (OfOneRow(), ValueError, r"OfOneRow.backward must return the gradient .* output, \(2, 2\), got \(2,\)"),
        (NoGradient(), ValueError, r"NoGradient.backward must return the gradient .*, got no array"),
    ],
)
def test_losses_that_are_none(loss, error, message):
    refused(error, f"^loss: {message}", lambda model, rng: train((X, LABELS), None, model, seed=rng, loss=loss))
    refused(error, f"^loss: {message}", lambda model, _: minidl.evaluate(model, (X, LABELS), loss))
    refused(
        error,
        f"^loss: {message}",
        lambda model, rng: minidl.lr_range_test(model, minidl.SGD(), (X, LABELS), batch_size=10, seed=rng, loss=loss),
    )


def test_numbers_for_a_loss_of_classes_say_which_losses_take_them():
    message = r"^train: expected integer labels, got float64; to predict numbers .* loss=minidl\.MSELoss\(\)"
    for loss in (None, Own()):
        refused(TypeError, message, lambda model, rng, loss=loss: train((X, TARGETS), None, model, seed=rng, loss=loss))


# The mean squared error.


def test_the_squared_error_by_hand():
    loss = minidl.MSELoss()
    value = loss.forward(np.array([[1.0, 2.0], [3.0, 5.0]], "float32"), np.array([[1.0, 0.0], [2.0, 2.0]]))
    assert float(value) == (0 + 4 + 1 + 9) / 4
    dy = loss.backward()
    np.testing.assert_array_equal(dy, [[0, 1], [0.5, 1.5]])
    assert value.dtype == dy.dtype == np.float32
    with pytest.raises(RuntimeError, match=r"^MSELoss\.backward: call forward\(y, targets\) first"):
        loss.backward()


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_gradient_of_the_squared_error(outputs):
    rng = np.random.default_rng(0)
    check_gradients(minidl.MSELoss(), rng.normal(size=(6, outputs)), rng.normal(size=(6, outputs)))
    if outputs == 1:
        check_gradients(minidl.MSELoss(), rng.normal(size=(6, 1)), rng.normal(size=6))


@pytest.mark.parametrize(
    ("y", "targets"),
    [((6, 1), (1, 6)), ((6, 1), (5,)), ((6, 2), (6,)), ((6, 2), (2,)), ((6, 2), (6, 1)), ((6, 1), (6, 6))],
)
def test_shapes_that_numpy_would_broadcast_are_refused(y, targets):
    with pytest.raises(ValueError, match=r"^targets: expected the shape of the output, \(6, .\), got"):
        minidl.MSELoss().forward(np.zeros(y), np.zeros(targets))


NUMBERS = {
    "float64": TARGETS,
    "float32": TARGETS.astype("float32"),
    "a column": TARGETS[:, None],
    "a list": TARGETS.tolist(),
    "objects": TARGETS.astype(object),
}


@pytest.mark.parametrize("targets", NUMBERS.values(), ids=NUMBERS)
def test_numbers_can_be_predicted(targets):
    model = regressor()
    history = train((X, targets), (X, targets), model, loss=minidl.MSELoss(), epochs=100)
    assert history.train_loss[-1] < 0.05 < history.train_loss[0]
    assert history.test_loss == history.train_loss
    y = minidl.predict(model, X)
    assert y.shape == (60, 1)
    assert history.train_loss[-1] == pytest.approx(np.mean((y[:, 0] - TARGETS) ** 2), rel=1e-4)


def test_whole_numbers_are_numbers_here_and_not_classes():
    whole = np.round(TARGETS).astype(int)
    assert whole.min() < 0
    for targets in (whole, whole > 0):
        history = train((X, targets), loss=minidl.MSELoss())
        assert history.train_loss[-1] < history.train_loss[0]
        assert history.train_accuracy == []


def test_accuracy_is_absent_not_wrong(capsys):
    history = train((X, TARGETS), (X, TARGETS), loss=minidl.MSELoss(), progress=True)
    assert history.train_accuracy == history.test_accuracy == history.generalization_gap == []
    assert len(history.test_loss) == 3
    loss, accuracy = minidl.evaluate(regressor(), (X, TARGETS), minidl.MSELoss())
    assert accuracy is None
    assert loss == pytest.approx(np.mean((minidl.predict(regressor(), X)[:, 0] - TARGETS) ** 2), rel=1e-5)
    err = capsys.readouterr().err
    assert "test loss " in err
    assert "accuracy" not in err
    assert minidl.History(**history.to_dict()) == history


def test_several_numbers_at_once_and_a_loss_of_ones_own():
    wanted = np.column_stack([TARGETS, X[:, 2]])
    for loss in (minidl.MSELoss(), AbsoluteError()):
        history = train((X, wanted), (X, wanted), regressor(2), loss=loss, epochs=60)
        assert history.test_loss[-1] < 0.4 * history.test_loss[0]
        assert history.test_accuracy == []
        found = minidl.lr_range_test(regressor(2), minidl.SGD(), (X, wanted), batch_size=10, updates=20, loss=loss)
        assert len(found.loss) > 1


def test_batches_and_splits_keep_rows_of_targets_whole():
    data = minidl.Dataset(X, np.column_stack([X[:, 0], X[:, 1]]))
    batches = list(minidl.minibatches(data, 7, np.random.default_rng(0)))
    assert batches[0][1].shape == (7, 2)
    for x, targets in batches:
        np.testing.assert_array_equal(x[:, :2], targets)
    for part in data.split(0.5, seed=0):
        np.testing.assert_array_equal(part.x[:, :2], part.labels)


def spoiled(value):
    targets = TARGETS.copy()
    targets[4] = value
    return targets


BAD_TARGETS = {
    "for one output": (
        TARGETS,
        2,
        ValueError,
        r"expected numbers \(60, 2\), as many as the model has outputs, got shape \(60,",
    ),
    "for two outputs": (np.zeros((60, 2)), 1, ValueError, r"expected numbers \(60, 1\), .* got shape \(60, 2\)"),
    "too few": (TARGETS[:59], 1, ValueError, r"expected 60 labels, one per sample, got shape \(59,\)"),
    "too deep": (np.zeros((60, 1, 1)), 1, ValueError, r"got shape \(60, 1, 1\)"),
    "text": (
        TARGETS.astype(str),
        1,
        TypeError,
        r"labels: expected numbers, got text; .*use numpy\.asarray\(x, float\)",
    ),
    "dates": (np.full(60, "2024-01-01", "M8[D]"), 1, TypeError, "labels: expected numbers, got dates"),
    "NaN": (spoiled(np.nan), 1, ValueError, "labels: expected finite numbers.*row 4, column 0"),
    "infinity": (spoiled(np.inf), 1, ValueError, "labels: expected finite numbers"),
    "too large": (spoiled(1e300), 1, ValueError, "float32 cannot hold numbers as large"),
}


@pytest.mark.parametrize(("targets", "outputs", "error", "message"), BAD_TARGETS.values(), ids=BAD_TARGETS)
def test_targets_that_are_none(targets, outputs, error, message):
    good = np.zeros((60, outputs))
    for name, sets in (("train", ((X, targets), (X, good))), ("test", ((X, good), (X, targets)))):
        model = regressor(outputs)
        before = model.params.tobytes()
        with pytest.raises(error, match=f"^{name}: .*{message}"):
            train(*sets, model, loss=minidl.MSELoss())
        assert model.params.tobytes() == before


def test_targets_far_from_unit_scale_give_one_warning():
    model, prices = regressor(), (X, TARGETS * 1e4 + 2e5)
    with pytest.warns(UserWarning, match="^train: the targets are far from unit scale .*Standardizer") as seen:
        train(prices, prices, model, loss=minidl.MSELoss(), epochs=1, lr=1e-12)
    assert len(seen) == 1
    assert seen[0].filename == train.__code__.co_filename
    with pytest.warns(UserWarning, match="^train: the inputs are far") as seen:
        train((X * 1000, prices[1]), None, model, loss=minidl.MSELoss(), epochs=1, lr=1e-12)
    assert len(seen) == 1


def test_early_stopping_cannot_watch_an_accuracy_that_there_is_not():
    stopping = minidl.EarlyStopping(3, column="test_accuracy")
    with pytest.raises(
        ValueError, match=r"^early_stopping: it watches test_accuracy, but only classes have one; use column="
    ):
        train((X, TARGETS), (X, TARGETS), loss=minidl.MSELoss(), early_stopping=stopping)
    model, stopping = regressor(), minidl.EarlyStopping(2)
    history = train(
        (X, TARGETS), (X[:9], -TARGETS[:9]), model, loss=minidl.MSELoss(), early_stopping=stopping, epochs=50
    )
    assert len(history) < 50
    assert minidl.evaluate(model, (X[:9], -TARGETS[:9]), minidl.MSELoss())[0] == min(history.test_loss)


def test_a_regression_resumes_to_the_same_bits_and_not_with_another_loss(tmp_path):
    def run(crash_after=None, targets=TARGETS, loss=None, **options):
        def stop(_model, history):
            if len(history) == crash_after:
                raise CrashError

        model = regressor()
        how = {"loss": loss or minidl.MSELoss(), "epochs": 4, "after_epoch": stop} | options
        return numbers(train((X, targets), (X, targets), model, **how)), model.params.tobytes()

    options = {"checkpoint": tmp_path / "run.npz", "resume": True, "checkpoint_every": 2}
    with pytest.raises(CrashError):
        run(crash_after=2, **options)
    with pytest.raises(ValueError, match=r"loss: the checkpoint was made with 'MSELoss', got 'AbsoluteError'"):
        run(loss=AbsoluteError(), **options)
    with pytest.raises(ValueError, match=r"labels: the checkpoint was made with"):
        run(targets=TARGETS + 1e-6, **options)
    assert run(**options) == run()


def test_a_checkpoint_of_before_there_were_losses_to_choose_resumes(tmp_path):
    from minidl.files import archives

    path = tmp_path / "run.npz"
    whole = numbers(train((X, LABELS), (X, LABELS), small_model(), epochs=4))
    train((X, LABELS), (X, LABELS), small_model(), epochs=2, checkpoint=path)
    metadata, arrays = archives.read_archive(path)
    assert (metadata["plan"].pop("loss"), metadata["plan"].pop("test")) == ("NLLLoss", "given")
    del metadata["arrays"]
    archives.write_archive(path, metadata, arrays)
    assert numbers(train((X, LABELS), (X, LABELS), small_model(), epochs=4, checkpoint=path, resume=True)) == whole


def test_columns_that_cannot_be_empty_are_refused(tmp_path):
    from minidl.files import archives

    path = tmp_path / "run.npz"
    train((X, LABELS), model=small_model(), checkpoint=path)
    metadata, arrays = archives.read_archive(path)
    metadata["training"]["history"]["train_loss"] = []
    del metadata["arrays"]
    archives.write_archive(path, metadata, arrays)
    with pytest.raises(ValueError, match="history: expected train_loss to have a number for each of 3 epochs"):
        train((X, LABELS), model=small_model(), checkpoint=path, resume=True)


def test_a_regression_is_the_same_on_another_backend():
    expected = numbers(train((X, TARGETS), (X, TARGETS), loss=minidl.MSELoss()))
    with strict_backend():
        assert numbers(train((X, TARGETS), (X, TARGETS), regressor().to("cupy"), loss=minidl.MSELoss())) == expected
