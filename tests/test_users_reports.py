"""What testers who knew only README and the pages stumbled over, and what they get now."""

import io
import sys
from datetime import datetime
from threading import Thread

import numpy as np
import pytest
from conftest import small_model

import minidl
from minidl.learning_rate.range_test import lr_range_test

RNG = np.random.default_rng(3)
X, LABELS = RNG.normal(size=(60, 5)).astype("float32"), np.arange(60) % 2


def fit(model=None, optimizer=None, data=(X, LABELS), **options):
    options = {"epochs": 2, "batch_size": 10, "seed": 0} | options
    return minidl.fit(model or small_model(), optimizer or minidl.SGD(), data, **options)


# The range test on small sets: a lucky first batch is no minimum.


@pytest.mark.parametrize("n", [60, 300, 1000])
def test_a_loss_that_falls_gives_a_suggestion(n):
    found = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 4))
        model = minidl.Sequential(
            minidl.Dense(4, 16), minidl.ReLU(), minidl.Dense(16, 2), minidl.LogSoftmax(), seed=seed
        )
        batch = max(10, n // 15)
        found += bool(lr_range_test(model, minidl.SGD(), (x, x.sum(axis=1) > 0), batch_size=batch).suggestions())
    assert found >= 5


# Standardising twice, and one set alone.


@pytest.mark.parametrize("per_feature", [False, True])
def test_standardising_twice_keeps_the_way_from_raw_numbers(per_feature):
    raw, other = minidl.Dataset(7 + 3 * X.astype("float64"), LABELS), minidl.Dataset(5 + 2 * X, LABELS)
    once = minidl.standardize(raw, other, "float64")
    train, test = minidl.standardize(*once, "float64", per_feature=per_feature)
    np.testing.assert_allclose(train.standardizer(raw.x), train.x, atol=1e-12)
    np.testing.assert_allclose(test.standardizer(other.x), test.x, atol=1e-12)


def test_a_set_alone_is_standardised_like_one_of_two():
    alone = minidl.standardize((7 + 3 * X, LABELS))
    train, _ = minidl.standardize((7 + 3 * X, LABELS), (X, LABELS))
    np.testing.assert_array_equal(alone.x, train.x)
    assert repr(alone.standardizer) == repr(train.standardizer)


# Remedies that work on what they are printed for.


@pytest.mark.parametrize("labels", [np.eye(2)[LABELS], np.eye(2)[LABELS].tolist(), LABELS.astype(float).tolist()])
def test_the_remedy_for_labels_works_on_lists_too(labels):
    with pytest.raises((TypeError, ValueError), match=r"; .*: (numpy\..*?) makes labels of them") as refused:
        fit(data=(X, labels))
    remedy = str(refused.value).split(": ")[-1].removesuffix(" makes labels of them")
    mended = eval(remedy, {"numpy": np, "labels": labels})
    np.testing.assert_array_equal(mended, LABELS)
    fit(data=(X, mended))


@pytest.mark.parametrize(
    "x",
    [X[0].tolist(), X.reshape(60, 5, 1).tolist(), X.T.tolist(), (X * 255).astype(int).tolist(), X.astype(str).tolist()],
)
def test_the_remedy_for_samples_works_on_lists_too(x):
    with pytest.raises((TypeError, ValueError), match=r"numpy\.\w+\(x.*\)") as refused:
        minidl.predict(small_model(), x)
    remedy = str(refused.value)[str(refused.value).rindex("numpy.") :]
    mended = eval(remedy, {"numpy": np, "x": x, "len": len})
    assert np.shape(mended)[-1] == 5


def test_two_classes_need_two_outputs():
    model = minidl.Sequential(minidl.Dense(5, 1), seed=0)
    with pytest.raises(ValueError, match=r"^train: expected labels from 0 to 0, got 0 to 1; give the model 2 outputs"):
        fit(model)


def test_times_are_not_missing_values():
    x = X.astype(object)
    x[3, 2] = datetime(2026, 1, 1)
    with pytest.raises(TypeError, match=r"got datetime.* among them; make a number, or several, of each"):
        fit(data=(x, LABELS))


def test_pairs_are_taken_apart():
    for pairs in (zip(X, LABELS, strict=True), list(zip(X, LABELS, strict=True))):
        with pytest.raises(TypeError, match=r"^train: expected a pair .*x, labels = zip\(\*pairs\)"):
            fit(data=pairs)


# Results.


def test_a_single_epoch_is_seen():
    axes = fit(epochs=1).plot()
    assert all(line.get_marker() == "." for line in axes.get_lines())


def test_numbers_are_no_classes():
    model = minidl.Sequential(minidl.Dense(5, 1), seed=0)
    with pytest.raises(ValueError, match=r"^model: expected an output for each class, got one"):
        minidl.classes(model, X)
    model = small_model()
    model.params = model.params * np.float32(np.nan)
    for call in (lambda: minidl.classes(model, X), lambda: minidl.confusion_matrix(model, (X, LABELS))):
        with pytest.raises(ValueError, match=r"^model: its output has NaN in it"):
            call()


def test_whatever_ends_a_run_has_the_history():
    def after_epoch(_model, history):
        if len(history) == 2:
            raise LookupError

    with pytest.raises(LookupError) as end:
        fit(epochs=5, after_epoch=after_epoch)
    assert len(end.value.history) == 2


@pytest.mark.parametrize("answer", [True, False, "Stop", 0])
def test_an_answer_that_would_be_ignored_is_refused(answer):
    with pytest.raises(ValueError, match=r'^after_epoch: expected it to return None, or "stop" to stop, got'):
        fit(after_epoch=lambda _model, _history: answer)


class Gone(io.TextIOBase):
    """A terminal that is closed at some time."""

    encoding = "utf-8"

    def __init__(self, writes):
        self.left = writes

    def isatty(self):
        return True

    def write(self, text):
        self.left -= 1
        if self.left < 0:
            raise BrokenPipeError
        return len(text)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a bar half made, before tqdm 4.68
@pytest.mark.parametrize("writes", [0, 1, 2, 5])
@pytest.mark.parametrize("progress", [None, True])
def test_a_terminal_that_is_gone_costs_the_bar_and_nothing_else(monkeypatch, writes, progress):
    monkeypatch.setattr(sys, "stderr", Gone(writes))
    assert len(fit(progress=progress)) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a bar half made, before tqdm 4.68
def test_a_letter_that_the_terminal_lacks_costs_the_bar_and_nothing_else(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert len(fit(progress=True, description="é→")) == 2


# Optimisers of one's own.


class TwoArguments(minidl.SGD):
    def step(self, params, grads):
        params -= self.lr * grads


class Velocity(minidl.SGD):
    """Keeps its velocity where no checkpoint finds it."""

    def step(self, params, grads, groups=None):
        self.v = 0.9 * getattr(self, "v", np.zeros_like(params)) + grads
        super().step(params, self.v, groups)


def test_a_step_without_groups_is_refused_before_the_run():
    model = small_model()
    before = model.params.copy()
    with pytest.raises(TypeError, match=r"^optimizer: TwoArguments.step must take \(params, grads, groups\)"):
        fit(model, TwoArguments())
    np.testing.assert_array_equal(model.params, before)


def test_a_vector_that_no_checkpoint_has_is_named(tmp_path):
    with pytest.warns(RuntimeWarning, match=r"Velocity keeps v beside its state; name them in state_names"):
        fit(optimizer=Velocity(), checkpoint=tmp_path / "run.npz")


def test_a_vector_beside_the_state_is_not_carried_to_the_next_model():
    optimizer = Velocity()
    fit(optimizer=optimizer)
    with pytest.raises(ValueError, match=r"^params: Velocity has made steps on another model"):
        fit(optimizer=optimizer)


# Resuming something else.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": minidl.cosine_restarts(0.2)}, r"lr: the checkpoint was made with 'cosine_restarts\(0.1\)', got"),
        ({"data": (X + 1, LABELS)}, "x: the checkpoint was made with"),
        ({"augment": lambda x, rng: x}, "augment: the checkpoint was made with None, got 'a function'"),
        ({"batch_size": minidl.piecewise({0: 10})}, "batch_size: the checkpoint was made with 10, got 'piecewise"),
        ({"test": (X, LABELS)}, "test: the checkpoint was made with 'left out', got 'given'"),
    ],
)
def test_a_run_resumes_with_the_same_arguments_only(tmp_path, change, message):
    options = {"lr": minidl.cosine_restarts(0.1), "checkpoint": tmp_path / "run.npz", "resume": True}
    fit(**options)
    with pytest.raises(ValueError, match=message):
        fit(**options | change)
    fit(**options | {"lr": minidl.cosine_restarts(0.1), "epochs": 3})


# Files and layers.


def idx(array):
    kind = {"uint8": 8}[str(array.dtype)]
    return bytes([0, 0, kind, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.fixture
def letters(tmp_path):
    """A folder like EMNIST's: labels from 1, images on their side."""
    rng, folder = np.random.default_rng(0), tmp_path / "letters"
    folder.mkdir()
    for part, n in (("train", 30), ("test", 10)):
        images, labels = rng.integers(0, 256, (n, 3, 4), "uint8"), (1 + np.arange(n) % 3).astype("uint8")
        (folder / f"emnist-letters-{part}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"emnist-letters-{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def test_a_converted_set_is_what_load_idx_gives(letters, tmp_path):
    options = {"name": "emnist-letters", "first_label": 1, "transpose": True}
    minidl.convert_idx(letters, tmp_path / "npy", **options)
    expected, found = minidl.load_idx(letters, **options), minidl.load_npy(tmp_path / "npy")
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one.x, other.x, atol=1e-6)
        np.testing.assert_array_equal(one.labels, other.labels)
    raw = RNG.integers(0, 256, (2, 12))
    np.testing.assert_allclose(found[0].standardizer(raw), expected[0].standardizer(raw), atol=1e-6)
    (tmp_path / "npy" / "standardizer.json").write_text('{"mean": 0, "std": -1}')
    with pytest.raises(ValueError, match=r"standardizer\.json: damaged: std"):
        minidl.load_npy(tmp_path / "npy")


def test_a_checksum_for_no_file_is_refused(letters):
    with pytest.raises(ValueError, match=r"^sha256: expected keys among train-images, .*, got train-image$"):
        minidl.load_idx(letters, sha256={"train-image": "0" * 64}, first_label=1)


def test_a_folder_in_place_of_a_file_is_shown_as_one(letters):
    path = letters / "emnist-letters-train-images-idx3-ubyte"
    path.rename(letters / "file")
    path.mkdir()
    with pytest.raises(FileNotFoundError, match=r"got .*emnist-letters-train-images-idx3-ubyte/,"):
        minidl.load_idx(letters)


def test_an_activation_is_no_initializer():
    with pytest.raises(TypeError, match=r"^init: expected a function, .*an activation is a layer of its own"):
        minidl.Dense(4, 8, "relu")


def test_where_to_save(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^path: there is no folder .*models"):
        minidl.save(small_model(), tmp_path / "models" / "m.npz")
    for call in (lambda: minidl.save(small_model(), None), lambda: minidl.load(3), lambda: minidl.load(b"m.npz")):
        with pytest.raises(TypeError, match=r"^path: expected the name of a file"):
            call()
    minidl.save(small_model(), tmp_path / "m.npz")
    with pytest.raises(TypeError, match=r"^model: expected an instance of Sequential"):
        minidl.load(tmp_path / "m.npz", "numpy")
    with pytest.raises(ValueError, match=r"^standardizer: expected one for 5 features, got one for \(2,\)"):
        minidl.save(small_model(), tmp_path / "m.npz", minidl.Standardizer([1, 2], [3, 4]))


def test_rows_that_are_two_things():
    data = minidl.Dataset(X, LABELS)
    with pytest.raises(TypeError, match=r"^rows: a data set has one axis"):
        data[0, 1]
    with pytest.raises(ValueError, match=r"^rows: expected a mask of 60 entries, one per sample, got 2"):
        data[[True, False]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("writes", [0, 1, 2, 5])
def test_after_a_terminal_is_gone_bars_in_other_threads_do_not_wait(monkeypatch, writes):
    monkeypatch.setattr(sys, "stderr", Gone(writes))
    fit(progress=True)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    thread = Thread(target=fit, kwargs={"progress": True}, daemon=True)
    thread.start()
    thread.join(timeout=20)
    assert not thread.is_alive()
