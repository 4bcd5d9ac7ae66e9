"""What users hand in as data: it works, or the error says what to change. One case for each report and its siblings."""

import copy
import gzip
import pickle

import numpy as np
import pytest
from conftest import small_model
from test_datasets import idx_bytes
from test_training import numbers

import minidl
from minidl.preparation.splitting import apportioned
from minidl.testing import StrictArray, strict_backend

RNG = np.random.default_rng(7)
LABELS = RNG.integers(0, 2, 60)
X = (RNG.normal(size=(60, 5)) + LABELS[:, None]).astype("float32")


class Frame:
    """What NumPy sees of a data frame: an array protocol, columns, and a length; unpacking it gives column names."""

    def __repr__(self):
        return "Frame"

    def __init__(self, values, columns=("x", "labels")):
        self.values, self.columns = np.asarray(values), columns

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.columns)

    @property
    def x(self):  # columns are attributes
        return self.values[:, 0]

    labels = x


class Pair:
    """A class of one's own that unpacks into two arrays."""

    def __iter__(self):
        return iter((X, LABELS))


def train(data, test=None, model=None, **options):
    model = model or small_model()
    options = {"epochs": 1, "batch_size": 10, "seed": 0} | options
    return minidl.fit(model, minidl.SGD(0.1), data, test, **options)


EXPECTED = numbers(train((X, LABELS)))
objects = X.astype(object)

GOOD = {
    "lists": (X.tolist(), LABELS.tolist()),
    "tuples": (tuple(map(tuple, X.tolist())), tuple(LABELS.tolist())),
    "a list of rows": (list(X), list(LABELS)),
    "the pair as a list": [X, LABELS],
    "a pair of one's own": Pair(),
    "a data set": minidl.Dataset(X, LABELS),
    "data frame and series": (Frame(X), Frame(LABELS)),
    "a data set of those": minidl.Dataset(Frame(X), Frame(LABELS)),
    "a data frame of one column as labels": (Frame(X), Frame(LABELS[:, None])),
    "a frame with mixed columns": (Frame(objects), Frame(LABELS.astype(object))),
    "float64": (X.astype("float64"), LABELS),
    "longdouble": (X.astype("longdouble"), LABELS),
    "big-endian floats": (X.astype(">f4"), LABELS),
    "in Fortran's order": (np.asfortranarray(X), LABELS),
    "every second column": (np.repeat(X, 2, axis=1)[:, ::2], LABELS),
    "a matrix": (X.view(np.matrix), LABELS),
    "masked, with nothing masked": (np.ma.masked_array(X), LABELS),
    "labels of one byte": (X, LABELS.astype("uint8")),
    "true and false": (X, LABELS == 1),
    "a column of labels": (X, LABELS[:, None]),
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_data_whose_meaning_is_clear_are_converted(data):
    assert numbers(train(data)) == EXPECTED


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_everywhere(data):
    model = small_model()
    assert minidl.evaluate(model, data) == minidl.evaluate(model, (X, LABELS))
    x, _ = data
    np.testing.assert_array_equal(minidl.predict(model, x), model.forward(X))
    batches = list(minidl.minibatches(data, 60, np.random.default_rng(0)))
    assert [(len(x), len(labels)) for x, labels in batches] == [(60, 60)]
    losses = [minidl.lr_range_test(model, minidl.SGD(), d, updates=5, batch_size=9).loss for d in (data, (X, LABELS))]
    assert losses[0] == losses[1]
    matrix = minidl.confusion_matrix(model, data)
    assert matrix.tolist() == minidl.confusion_matrix(model, (X, LABELS)).tolist()
    scaled, _ = minidl.standardize(data, data)
    np.testing.assert_allclose(scaled.x, minidl.standardize((X, LABELS), (X, LABELS))[0].x, atol=1e-6)


def test_float16_and_double_precision_models():
    assert train((X.astype("float16"), LABELS)).train_loss == pytest.approx(EXPECTED["train_loss"], rel=1e-3)
    assert train((X, LABELS), model=small_model(dtype="float64")).train_loss == pytest.approx(EXPECTED["train_loss"])


def test_true_false_and_the_numbers_of_logic_are_features():
    logic = [[0, 0], [0, 1], [1, 0], [1, 1]]
    for x in (logic, np.array(logic, bool), np.array(logic, "uint8"), np.array(logic) * 2 - 1):
        model = minidl.Sequential(minidl.Dense(2, 8), minidl.ReLU(), minidl.Dense(8, 2), minidl.LogSoftmax(), seed=0)
        minidl.fit(model, minidl.Adam(0.05), (x, [0, 1, 1, 0]), epochs=150, batch_size=4, seed=0)
        assert minidl.predict(model, x).argmax(axis=1).tolist() == [0, 1, 1, 0]


def test_pandas():
    pandas = pytest.importorskip("pandas")
    frame, series = pandas.DataFrame(X, columns=["x", "labels", "a", "b", "c"]), pandas.Series(LABELS)
    assert numbers(train((frame, series))) == EXPECTED
    assert numbers(train((frame.astype("Float64"), series.astype("Int64")))) == EXPECTED
    assert len(minidl.Dataset(frame, series)[frame.a > 0]) == int((frame.a > 0).sum())
    with pytest.raises(TypeError, match=r"^train: expected a pair of arrays \(x, labels\), got DataFrame"):
        train(frame)
    with pytest.raises(TypeError, match=r"<NA> among them; drop or fill missing values"):
        train((frame.astype("Float64").mask(frame > 1), series))
    with pytest.raises(ValueError, match=r"NaN .*row 0, column 2\. Drop such rows, or fill them in"):
        train((frame.assign(a=np.nan), series))
    with pytest.raises(TypeError, match=r"got text, such as 'red' in column 3; give each category a column of 0 and 1"):
        train((frame.assign(b="red"), series))
    with pytest.raises(TypeError, match=r"number the classes from 0: classes, labels = numpy\.unique"):
        train((frame, series.map({0: "cat", 1: "dog"}).astype("category")))
    with pytest.raises(ValueError, match=r"one-hot: numpy\.asarray\(labels\)\.argmax"):
        train((frame, pandas.get_dummies(series)))


def with_one(value):
    x = X.astype(object)
    x[3, 2] = value
    return x


class Sparse:
    def toarray(self):
        return X


class Elsewhere:
    """An array in memory that NumPy cannot read."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("use tensor.cpu() first")


NO_PAIR = {
    "an array alone": (X, r"expected a pair of arrays \(x, labels\), got ndarray; give samples and labels together"),
    "an array of two rows": (X[:2], "expected a pair of arrays .*got ndarray"),
    "a frame alone": (Frame(X), "expected a pair of arrays .*got Frame; give samples and labels together"),
    "four arrays": ((X, X, LABELS, LABELS), "expected a pair of arrays .*got tuple of 4"),
    "one array": ([X], "expected a pair of arrays .*got list of 1"),
    "a dictionary": ({"x": X, "labels": LABELS}, "expected a pair of arrays .*got dict"),
    "a name": ("xy", "expected a pair of arrays .*got str"),
    "a number": (5, "expected a pair of arrays .*got int"),
}

BAD_X = {
    "pixels": (
        (X * 50 + 128).astype("uint8"),
        TypeError,
        "computes in float32, got samples of uint8 from .*minidl.standardize",
    ),
    "counts": (
        np.arange(300).reshape(60, 5),
        TypeError,
        r"got samples of int64 from 0 to 299; .* use numpy\.asarray\(x, 'float32'\)",
    ),
    "counts in lists": (np.arange(300).reshape(60, 5).tolist(), TypeError, "got samples of int64 from 0 to 299"),
    "text": (with_one("red"), TypeError, "expected numbers, got text, such as 'red' in column 2; give each category a"),
    "numbers as text": (
        X.astype(str),
        TypeError,
        r"got text; they are numbers as text: use numpy\.asarray\(x, float\)",
    ),
    "dates": (np.full((60, 5), "2024-01-01", "M8[D]"), TypeError, "got dates"),
    "spans of time": (np.full((60, 5), 3, "m8[D]"), TypeError, "got spans of time"),
    "complex numbers": (X + 1j, TypeError, "got complex numbers"),
    "named columns": (np.zeros(60, "f4,f4"), TypeError, "got a structured array"),
    "nothing in one place": (
        with_one(None),
        ValueError,
        "got NaN or infinity among them; the first is in row 3, column 2",
    ),
    "something in one place": (
        with_one(Pair),
        TypeError,
        "expected numbers, got .*Pair.* among them; make a number",
    ),
    "NaN": (
        with_one(np.nan),
        ValueError,
        r"got NaN or infinity among them; the first is in row 3, column 2\. Drop such",
    ),
    "infinity": (with_one(-np.inf), ValueError, "NaN or infinity among them; the first is in row 3, column 2"),
    "too large for the model": (with_one(1e300), ValueError, "float32 cannot hold numbers as large as some of these"),
    "masked": (np.ma.masked_less(X, -1), TypeError, "got a MaskedArray in which some are missing"),
    "rows of different lengths": ([[1.0, 2.0]] * 59 + [[1.0]], TypeError, "its rows have different lengths"),
    "a sparse matrix": (Sparse(), TypeError, r"got Sparse; pass its toarray\(\)"),
    "on a device": (Elsewhere(), TypeError, r"cannot be made one: use tensor\.cpu\(\) first"),
    "a generator": ((row for row in X), TypeError, "expected an array, a list or a data frame, got generator"),
    "a set": ({1.0, 2.0}, TypeError, "a data frame, got set"),
    "a number": (3.0, TypeError, "a data frame, got float"),
    "None": (None, TypeError, "a data frame, got NoneType"),
    "a data set": (minidl.Dataset(X, LABELS), TypeError, "got a Dataset with samples and labels; pass its x"),
    "one sample": (
        X[0],
        ValueError,
        r"got shape \(5,\); a single sample is a row as well: numpy\.reshape\(x, \(1, -1\)\)",
    ),
    "images": (
        X[:, None],
        ValueError,
        r"got shape \(60, 1, 5\); flatten each sample to a row: numpy\.reshape\(x, \(len\(x\), -1\)\)",
    ),
    "lying on their side": (
        X.T,
        ValueError,
        r"got shape \(5, 60\); samples are rows, features columns: use numpy\.transpose\(x\)",
    ),
    "too few columns": (X[:, :4], ValueError, r"expected samples \(n, 5\), n > 0, got shape \(60, 4\)$"),
    "none": (X[:0], ValueError, r"expected at least one sample: \(n, 5\), n > 0, got shape \(0, 5\)"),
}

BAD_LABELS = {
    "one-hot": (
        np.eye(2)[LABELS],
        r"got shape \(60, 2\); these are one-hot: numpy\.asarray\(labels\)\.argmax\(axis=1\) makes labels of them",
    ),
    "one-hot whole numbers": (np.eye(2, dtype=int)[LABELS], r"one-hot: numpy\.asarray\(labels\)\.argmax"),
    "one-hot true and false": (np.eye(2, dtype=bool)[LABELS], r"one-hot: numpy\.asarray\(labels\)\.argmax"),
    "text": (
        np.array(["cat", "dog"])[LABELS],
        r"number the classes from 0: classes, labels = numpy\.unique\(labels, return",
    ),
    "text in a list": (np.array(["cat", "dog"])[LABELS].tolist(), "number the classes from 0"),
    "floats": (
        LABELS.astype(float),
        r"got float64; these are whole numbers: numpy\.asarray\(labels\)\.astype\(int\) makes labels of them",
    ),
    "missing": (np.where(LABELS, np.nan, 0), rf"the label of row {LABELS.argmax()} is missing"),
    "numbers to predict": (X[:, 0], r"to predict numbers instead of classes, train with loss=minidl\.MSELoss\(\)"),
    "from 1": (LABELS + 1, "labels from 0 to 1, got 1 to 2; if they are counted from 1, subtract 1"),
    "-1 and 1": (2 * LABELS - 1, "got -1 to 1; number the classes from 0"),
    "codes": (LABELS * 7, "got 0 to 7; number the classes from 0: .*, or give the model 8 outputs"),
    "dates": (np.full(60, "2024-01-01", "M8[D]"), "number the classes from 0"),
    "too few": (LABELS[:59], r"expected 60 labels, one per sample, got shape \(59,\)"),
    "a row of labels": (LABELS[None], r"expected 60 labels, one per sample, got shape \(1, 60\)"),
    "a label for each feature": (np.full(X.shape, 3), r"expected 60 labels, one per sample, got shape \(60, 5\)$"),
    "a number": (1, "labels: expected an array, a list or a data frame, got int"),
    "None": (None, "labels: expected an array, a list or a data frame, got NoneType"),
}


def refused(error, message, function):
    """Call a function of a model; it must be refused and leave the model, the random numbers and the rest alone."""
    model, rng = small_model(), np.random.default_rng(0)
    before = model.params.tobytes()
    with pytest.raises(error, match=message):
        function(model, rng)
    assert model.params.tobytes() == before
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state
    assert all(layer._memory is None for layer in model.layers)


def fit_both(data):
    yield "train", lambda model, rng: train(data, (X, LABELS), model, seed=rng)
    yield "test", lambda model, rng: train((X, LABELS), data, model, seed=rng)
    yield "train", lambda model, rng: minidl.lr_range_test(model, minidl.SGD(), data, seed=rng)
    yield "data", lambda model, rng: minidl.evaluate(model, data)
    yield "data", lambda model, rng: minidl.confusion_matrix(model, data)
    yield "data", lambda model, rng: minidl.plot_mistakes(model, data, shape=(1, 5))


@pytest.mark.parametrize(("data", "message"), NO_PAIR.values(), ids=NO_PAIR)
def test_what_is_no_pair(data, message):
    for name, function in fit_both(data):
        refused(TypeError, f"^{name}: {message}", function)
    refused(TypeError, f"^data: {message}", lambda _, rng: next(minidl.minibatches(data, 10, rng)))
    for name, sets in (("train", (data, (X, LABELS))), ("test", ((X, LABELS), data))):
        refused(TypeError, f"^{name}: {message}", lambda _model, _rng, sets=sets: minidl.standardize(*sets))


@pytest.mark.parametrize(("x", "error", "message"), BAD_X.values(), ids=BAD_X)
def test_samples_that_a_network_cannot_read(x, error, message):
    labels = LABELS[: len(x)] if hasattr(x, "__len__") and len(x) < 60 else LABELS
    labels = np.zeros(len(x), int) if isinstance(x, np.ndarray) and x.ndim else labels
    if not isinstance(x, set):
        for name, function in fit_both((x, labels)):
            refused(error, f"^{name}: .*{message}", function)
    refused(error, f"^x: .*{message}", lambda model, _: minidl.predict(model, x))


@pytest.mark.parametrize(("labels", "message"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_labels_that_are_none(labels, message):
    for name, function in fit_both((X, labels)):
        refused((TypeError, ValueError), f"^{name}: .*{message}", function)


@pytest.mark.parametrize("name", ["one-hot", "text", "floats", "missing", "numbers to predict", "from 1", "codes"])
def test_the_loss_alone_says_the_same(name):
    labels, message = BAD_LABELS[name]
    with pytest.raises((TypeError, ValueError), match=rf"^labels: .*{message.split('; ')[-1]}"):
        minidl.NLLLoss().forward(np.log(np.full((60, 2), 0.5)), labels)


def test_the_loss_alone_wants_arrays():
    with pytest.raises(TypeError, match=r"^labels: expected an array of integers, got list"):
        minidl.NLLLoss().forward(np.zeros((60, 2)), LABELS.tolist())


def test_predict_given_a_pair_says_that_it_wants_samples_alone():
    with pytest.raises(TypeError, match=r"^x: .*different lengths; pass samples alone, without labels"):
        minidl.predict(small_model(), (X, LABELS))


def test_what_is_no_model_is_refused_by_name():
    for call in (
        lambda: minidl.predict("model", X),
        lambda: minidl.evaluate(None, (X, LABELS)),
        lambda: minidl.fit(small_model, minidl.SGD(), (X, LABELS), epochs=1, batch_size=1),
    ):
        with pytest.raises(TypeError, match=r"^model: expected an instance of Sequential"):
            call()


def test_one_feature_without_a_column():
    model = minidl.Sequential(minidl.Dense(1, 2), minidl.LogSoftmax(), seed=0)
    with pytest.raises(ValueError, match=r"make a column of a single feature: numpy\.reshape\(x, \(-1, 1\)\)"):
        train((X[:, 0], LABELS), model=model)
    assert len(train((X[:, :1], LABELS), model=model)) == 1


def test_a_mapped_file_is_not_read_into_memory_as_a_whole(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "float64", X.shape)
    mapped[...] = X
    with pytest.raises(
        TypeError, match=r"^train: the model computes in float32, got a mapped file of float64; write the"
    ):
        train((mapped, LABELS))
    assert len(train((mapped, LABELS), model=small_model(dtype="float64"))) == 1
    assert isinstance(minidl.Dataset(mapped, LABELS).x, np.memmap)


def test_on_another_backend():
    with strict_backend() as xp:
        for x, labels in ((X.tolist(), LABELS.tolist()), (Frame(X.astype("float64")), LABELS), (xp.asarray(X), LABELS)):
            model = small_model().to("cupy")
            assert numbers(train((x, labels), model=model)) == EXPECTED
            assert isinstance(minidl.predict(model, x), StrictArray)
        with pytest.raises(TypeError, match="got samples of uint8 from"):
            train((xp.asarray((X * 50 + 128).astype("uint8")), LABELS), model=small_model().to("cupy"))
        with pytest.raises(ValueError, match=r"one-hot: numpy\.asarray\(labels\)\.argmax"):
            train((xp.asarray(X), xp.asarray(np.eye(2)[LABELS])), model=small_model().to("cupy"))
        # The other way round: the model is here, and the data there.
        assert numbers(train((xp.asarray(X), xp.asarray(LABELS)))) == EXPECTED


SCALES = {
    "pixels as floats": (np.abs(X) * 100, "root mean square 1.*e\\+02"),
    "a column of incomes": (np.column_stack([X[:, :4], X[:, 4] * 1e4 + 3e4]), "root mean square"),
    "tiny": (X * 1e-4, "none above 0.0003.* in size"),
}


@pytest.mark.parametrize(("x", "message"), SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("where", ["fit", "test", "lr_range_test", "evaluate", "predict"])
def test_inputs_far_from_unit_scale_give_one_warning(x, message, where):
    model, data, good = small_model(), (x, LABELS), (X, LABELS)
    calls = {
        "fit": ("train", lambda: train(data, data, model, lr=1e-9)),
        "test": ("test", lambda: train(good, data, model)),
        "lr_range_test": ("train", lambda: minidl.lr_range_test(model, minidl.SGD(), data, updates=2, batch_size=9)),
        "evaluate": ("data", lambda: minidl.evaluate(model, data)),
        "predict": ("x", lambda: minidl.predict(model, x)),
    }
    name, call = calls[where]
    with pytest.warns(
        UserWarning, match=rf"^{name}: the inputs are far from unit scale \({message}.*minidl\.standardize"
    ) as seen:
        call()
    assert len(seen) == 1
    assert seen[0].filename == __file__  # where the user called


@pytest.mark.parametrize(
    "x", [X, np.abs(X), np.zeros((60, 5)), X * 3, X / 3, np.eye(5)[RNG.integers(0, 5, 60)], X - X.mean(), X[:1]]
)
def test_inputs_near_unit_scale_give_none(x):
    train((x, LABELS[: len(x)]), batch_size=1)  # a warning would be an error
    minidl.predict(small_model(), x)


# Point 2: data sets.


def a_set(n=20):
    return minidl.Dataset(np.arange(n * 3.0).reshape(n, 3), np.arange(n) % 4)


def test_a_data_set_has_the_length_of_its_samples():
    assert len(a_set(20)) == 20
    assert len(a_set(0)) == 0
    assert not a_set(0)


@pytest.mark.parametrize(
    "rows",
    [
        slice(5),
        slice(2, 9, 3),
        slice(None, None, -1),
        [3, 1, 1],
        np.array([0, 19]),
        np.arange(20) > 12,
        [],
        [-1],
        Frame([4]),
    ],
    ids=str,
)
def test_slices_lists_and_masks_are_rows(rows):
    data, plain = a_set(), rows.values if isinstance(rows, Frame) else rows
    if isinstance(plain, list):
        plain = np.array(plain, int)
    part = data[rows]
    assert type(part) is minidl.Dataset
    np.testing.assert_array_equal(part.x, data.x[plain])
    np.testing.assert_array_equal(part.labels, data.labels[plain])


def test_a_hundred_samples_are_trained_on_when_a_hundred_are_asked_for():
    data = minidl.Dataset(X, LABELS)
    assert train(data[:30]).updates == [3]


@pytest.mark.parametrize("rows", [3, (slice(3), 2), "x", None, 1.5, [0.5], [[1, 2]], {1}], ids=str)
def test_other_things_are_no_rows(rows):
    with pytest.raises(TypeError, match=r"^rows: (expected a slice or a list of numbers|a data set has one)"):
        a_set()[rows]


def test_a_data_set_unpacks_like_a_pair_and_survives_copies():
    data = a_set()
    x, labels = data
    assert (x is data.x, labels is data.labels) == (True, True)
    for twin in (copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        np.testing.assert_array_equal(twin.x, data.x)
        np.testing.assert_array_equal(twin.labels, data.labels)
    assert repr(data) == "Dataset(20 samples (20, 3) float64, labels int64)"


def test_a_data_set_needs_a_label_for_every_sample():
    with pytest.raises(ValueError, match=r"^data: expected 20 labels, one per sample, got shape \(19,\)"):
        minidl.Dataset(np.zeros((20, 3)), np.zeros(19, int))


@pytest.mark.parametrize(("first", "sizes"), [(0.8, (16, 4)), (5, (5, 15)), (np.float32(0.5), (10, 10)), (19, (19, 1))])
@pytest.mark.parametrize("stratify", [False, True])
def test_split_shares_out_every_sample_once(first, sizes, stratify):
    data = a_set()
    parts = data.split(first, seed=3, stratify=stratify)
    assert tuple(map(len, parts)) == sizes
    whole = np.concatenate([part.x for part in parts])
    np.testing.assert_array_equal(np.sort(whole[:, 0]), data.x[:, 0])
    for part in parts:
        np.testing.assert_array_equal(part.labels, part.x[:, 0] // 3 % 4)  # each with its own label
    again = data.split(first, seed=3, stratify=stratify)
    np.testing.assert_array_equal(again[0].x, parts[0].x)
    other = data.split(first, seed=4, stratify=stratify)
    assert other[0].x.tolist() != parts[0].x.tolist()
    assert parts[0].x[:, 0].tolist() != sorted(parts[0].x[:, 0])  # in random order


@pytest.mark.parametrize("labels", [np.repeat([0, 1, 2], [60, 30, 10]), np.repeat(["a", "b", "c"], [60, 30, 10])])
def test_stratified_parts_have_the_same_proportions(labels):
    data = minidl.Dataset(np.arange(100.0)[:, None], labels)
    for first in (0.5, 0.9, 70):
        one, other = data.split(first, seed=0, stratify=True)
        for value, count in zip(*np.unique(labels, return_counts=True), strict=True):
            assert (one.labels == value).sum() == count * len(one) // 100
            assert (other.labels == value).sum() == count * len(other) // 100
    chosen = [(data.split(0.5, seed=seed)[0].labels == labels[0]).sum() for seed in range(5)]
    assert len(set(chosen)) > 1  # without it, chance decides


@pytest.mark.parametrize(
    ("counts", "size", "taken"),
    [([5, 3, 2], 5, [3, 1, 1]), ([1, 1, 1], 2, [1, 1, 0]), ([60, 30, 10], 9, [5, 3, 1]), ([7], 3, [3])],
)
def test_whole_parts_then_largest_rests(counts, size, taken):
    assert apportioned(counts, size) == taken


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"first": 0}, ValueError, "first: expected 1 to 19 of 20 samples, so that both parts have some, got 0"),
        ({"first": 20}, ValueError, "first: expected 1 to 19 of 20"),
        ({"first": 0.01}, ValueError, r"first: expected 1 to 19 of 20 samples, .* got 0\.01"),
        (
            {"first": 1.0},
            ValueError,
            r"first: expected a fraction between 0 and 1, or a whole number of samples, got 1\.0",
        ),
        ({"first": -0.5}, ValueError, "first: expected a fraction"),
        ({"first": float("nan")}, ValueError, "first: expected a fraction"),
        (
            {"first": "half"},
            TypeError,
            "first: expected a fraction between 0 and 1, or a number of samples, got 'half'",
        ),
        ({"first": True}, TypeError, "first: expected a fraction"),
        ({"first": 0.5, "seed": "x"}, TypeError, "seed: "),
        ({"first": 0.5, "stratify": 1}, TypeError, "stratify: expected True or False, got 1"),
    ],
)
def test_splits_that_cannot_be(options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        a_set().split(**options)


def test_numbers_cannot_be_stratified_and_one_sample_not_split():
    with pytest.raises(TypeError, match=r"^stratify: expected a class for each sample, got labels \(20,\) of float64"):
        minidl.Dataset(np.zeros((20, 1)), np.zeros(20)).split(0.5, stratify=True)
    with pytest.raises(ValueError, match=r"^data: expected at least 2 samples to split, got 1"):
        a_set(1).split(0.5)


def test_rows_and_splits_on_another_backend():
    with strict_backend() as xp:
        data = minidl.Dataset(xp.asarray(X), xp.asarray(LABELS))
        for part in (*data.split(0.5, seed=0, stratify=True), data[:30], data[list(range(30))]):
            assert isinstance(part.x, StrictArray)
            assert isinstance(part.labels, StrictArray)
            assert len(part) == 30


# Standardising.


def test_a_standardizer_is_kept_and_does_to_new_samples_what_was_done_to_old_ones():
    pixels = RNG.integers(0, 256, (50, 6), dtype="uint8")
    data = minidl.Dataset(pixels, np.zeros(50, int))
    for per_feature in (False, True):
        train_set, test_set = minidl.standardize(data, data[:10], per_feature=per_feature)
        scale = train_set.standardizer
        assert scale is test_set.standardizer is train_set[:5].standardizer is train_set.split(0.5)[0].standardizer
        np.testing.assert_array_equal(scale(pixels[:10]), test_set.x)
        np.testing.assert_array_equal(scale(pixels[7:8].tolist()), train_set.x[7:8])
        axis = 0 if per_feature else None
        np.testing.assert_allclose(scale.mean, pixels.mean(axis=axis))
        np.testing.assert_allclose(scale.std, pixels.std(axis=axis))
        again = minidl.Standardizer.of(pixels, per_feature=per_feature)
        np.testing.assert_array_equal(again.mean, scale.mean)
        assert type(scale.mean) is (np.ndarray if per_feature else float)


def test_each_column_has_a_scale_of_its_own():
    table = np.column_stack(
        [RNG.normal(1.7, 0.1, 200), RNG.normal(3e4, 1e4, 200), np.full(200, 7.0), RNG.normal(1e9, 1, 200)]
    )
    data = minidl.Dataset(table, np.zeros(200, int))
    scaled = minidl.standardize(data, data, per_feature=True)[0].x
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 1, 0, 1], atol=1e-6)  # equal values become 0
    assert scaled.dtype == np.float32
    assert minidl.standardize(data, data, "float64", per_feature=True)[0].x.dtype == np.float64


def test_columns_are_measured_in_chunks_like_a_whole(monkeypatch):
    whole = minidl.Standardizer.of(X, per_feature=True)
    monkeypatch.setattr("minidl.checks.arrays.CHUNK", 35)
    parts = minidl.Standardizer.of(X, per_feature=True)
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(parts.std, whole.std, rtol=1e-6)
    np.testing.assert_allclose(parts(X), whole(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x: x.astype(str), TypeError, "got text; they are numbers as text"),
        (lambda x: x * np.nan, ValueError, "expected finite numbers"),
        (
            lambda x: x[:, :4],
            ValueError,
            r"expected samples of equal shape, and not none, got|expected samples \(n, 5\)",
        ),
        (lambda x: x[:0], ValueError, "expected samples of equal shape, and not none|at least one sample"),
    ],
)
@pytest.mark.parametrize("per_feature", [False, True])
def test_what_cannot_be_standardized(change, error, message, per_feature):
    bad, labels = change(X), LABELS[: len(change(X))]
    for sets in (((bad, labels), (X, LABELS)), ((X, LABELS), (bad, labels))):
        with pytest.raises(error, match=rf"^(train|test|train, test): .*{message}"):
            minidl.standardize(*sets, per_feature=per_feature)
    if bad.shape == X.shape or not len(bad):
        with pytest.raises(error, match=rf"^x: .*{message}"):
            minidl.Standardizer.of(bad, per_feature=per_feature)
    elif per_feature:
        with pytest.raises(ValueError, match=r"^x: expected samples \(n, 5\), as in training, got shape \(60, 4\)"):
            minidl.Standardizer.of(X, per_feature=True)(bad)


def test_columns_too_large_to_be_squared():
    with pytest.raises(
        ValueError, match=r"^x: expected values whose squares float64 can hold, got some around 1e\+200"
    ):
        minidl.Standardizer.of([[1.0, 1e200], [2.0, -1e200]], "float64", per_feature=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.1, 0.0), "std: expected a finite number above 0, got 0.0"),
        ((float("nan"), 1.0), "mean: expected a finite number, got nan"),
        (
            ([0.1, 0.2], [1.0]),
            r"mean, std: expected one number above 0 in std for each in mean, got shapes \(2,\) and \(1,\)",
        ),
        (([0.1, 0.2], [1.0, -1.0]), "mean, std: .* least std -1"),
        (([0.1, np.inf], [1.0, 1.0]), "mean: expected finite numbers"),
        ((0.1, 1.0, "float16"), "dtype: expected 'float32' or 'float64'"),
    ],
)
def test_standardizers_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        minidl.Standardizer(*arguments)


def test_standardizers_say_what_they_are():
    assert repr(minidl.Standardizer(0.1307, 0.3081)) == "Standardizer(mean=0.1307, std=0.3081, dtype='float32')"
    assert repr(minidl.Standardizer([1, 2], [3, 4])) == "Standardizer(2 means and standard deviations, dtype='float32')"


def test_standardizing_on_another_backend():
    expected = {flag: minidl.Standardizer.of(X, per_feature=flag) for flag in (False, True)}
    with strict_backend() as xp:
        for per_feature, scale in expected.items():
            there = xp.asarray(X)
            if per_feature:  # the mean of all numbers is measured in main memory, before data are moved
                np.testing.assert_allclose(minidl.Standardizer.of(there, per_feature=True).std, scale.std)
            assert isinstance(scale(there), StrictArray)
            np.testing.assert_array_equal(minidl.to_numpy(scale(there)), scale(X))


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("per_feature", [False, True])
def test_a_new_image_can_be_classified_after_load(tmp_path, suffix, per_feature):
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    pixels = np.clip(X * 40 + 128, 0, 255).astype("uint8")
    train_set, _ = minidl.standardize((pixels, LABELS), (pixels, LABELS), per_feature=per_feature)
    model, path = small_model(), tmp_path / f"model.{suffix}"
    train(train_set, model=model, epochs=5)
    minidl.save(model, path, train_set.standardizer)

    loaded, scale = minidl.load(path), minidl.load_standardizer(path)
    assert type(scale.mean) is type(train_set.standardizer.mean)
    np.testing.assert_array_equal(scale(pixels), train_set.x)
    np.testing.assert_array_equal(minidl.predict(loaded, scale(pixels[:1])), model.forward(train_set.x[:1]))
    other = small_model(1)
    assert (minidl.load(path, other).params == model.params).all()


def test_a_standardizer_of_one_column_and_a_file_without_one(tmp_path):
    minidl.save(small_model(), tmp_path / "a.npz", minidl.Standardizer([1.0], [2.0], "float64"))
    scale = minidl.load_standardizer(tmp_path / "a.npz")
    assert (scale.mean.tolist(), scale.std.tolist(), scale.dtype) == ([1.0], [2.0], "float64")
    minidl.save(small_model(), tmp_path / "b.npz")
    with pytest.raises(
        ValueError, match=r"b\.npz: there is no standardizer in it; save\(model, path, train\.standardizer\)"
    ):
        minidl.load_standardizer(tmp_path / "b.npz")
    with pytest.raises(FileNotFoundError):
        minidl.load_standardizer(tmp_path / "c.npz")
    with pytest.raises(TypeError, match=r"^standardizer: expected an instance of Standardizer, got 0.5"):
        minidl.save(small_model(), tmp_path / "d.npz", 0.5)
    assert not (tmp_path / "d.npz").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda about, arrays: about.pop("dtype"),
        lambda about, arrays: about.update(dtype="float16"),
        lambda about, arrays: about.pop("per_feature"),
        lambda about, arrays: arrays.pop("standardizer.std"),
        lambda about, arrays: arrays.update({"standardizer.std": np.array([-1.0])}),
        lambda about, arrays: arrays.update({"standardizer.mean": np.array([np.nan])}),
        lambda about, arrays: arrays.update({"standardizer.mean": np.array([1.0, 2.0])}),
    ],
)
def test_a_damaged_standardizer_is_refused(tmp_path, damage):
    from minidl.files import archives

    minidl.save(small_model(), tmp_path / "a.npz", minidl.Standardizer(1.0, 2.0))
    metadata, arrays = archives.read_archive(tmp_path / "a.npz")
    damage(metadata["standardizer"], arrays)
    del metadata["arrays"]
    archives.write_archive(tmp_path / "b.npz", metadata, arrays)
    with pytest.raises(ValueError, match=r"b\.npz: "):
        minidl.load_standardizer(tmp_path / "b.npz")


def test_mnist_keeps_its_two_numbers(mnist):
    train_set, test_set = mnist
    assert train_set.standardizer is test_set.standardizer
    assert train_set.standardizer.mean == pytest.approx(0.1307 * 255, rel=1e-3)
    assert train_set.standardizer.std == pytest.approx(0.3081 * 255, rel=1e-3)


# Training without a test set.


def test_without_a_test_set_its_columns_stay_empty(capsys):
    history = train((X, LABELS), epochs=3, progress=True)
    assert len(history) == len(history.train_accuracy) == 3
    assert history.test_loss == history.test_accuracy == history.generalization_gap == []
    with_test = train((X, LABELS), (X, LABELS), epochs=3)
    assert history.train_loss == with_test.train_loss
    assert "test" not in capsys.readouterr().err


def test_early_stopping_needs_a_test_set():
    stopping = minidl.EarlyStopping(3, column="test_accuracy")
    message = "^early_stopping: it watches test_accuracy, but there is no test set; pass one, for validation"
    refused(ValueError, message, lambda model, rng: train((X, LABELS), None, model, seed=rng, early_stopping=stopping))


class CrashError(Exception):
    pass


def test_a_run_without_a_test_set_resumes_to_the_same_bits(tmp_path):
    def run(crash_after=None, **options):
        def stop(_model, history):
            if len(history) == crash_after:
                raise CrashError

        model = small_model()
        return numbers(train((X, LABELS), None, model, epochs=4, after_epoch=stop, **options)), model.params.tobytes()

    options = {"checkpoint": tmp_path / "run.npz", "resume": True, "checkpoint_every": 2}
    with pytest.raises(CrashError):
        run(crash_after=2, **options)
    assert run(**options) == run()
    with pytest.raises(ValueError, match="test: the checkpoint was made with 'left out', got 'given'"):
        train((X, LABELS), (X, LABELS), epochs=4, **options)


# Point 3: folders of IDX files.

PIXELS = RNG.integers(0, 256, (30, 4, 3), dtype="uint8")
DIGITS = RNG.integers(0, 5, 30, dtype="uint8")


def write_files(folder, names, first_label=0, transpose=False):
    """Write a data set under four names: images and labels for training, then for testing."""
    folder.mkdir(exist_ok=True)
    images = PIXELS.swapaxes(1, 2) if transpose else PIXELS
    parts = images[:20], DIGITS[:20] + first_label, images[20:], DIGITS[20:] + first_label
    for name, array in zip(names, parts, strict=True):
        data = idx_bytes(np.ascontiguousarray(array))
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


MNIST = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip
NAMES = {
    "MNIST": MNIST,
    "gzipped": tuple(f"{name}.gz" for name in MNIST),
    "dotted": tuple(name.replace("-idx", ".idx") for name in MNIST),
    "dotted and gzipped": tuple(name.replace("-idx", ".idx") + ".gz" for name in MNIST),
    "EMNIST": tuple(f"emnist-letters-{name.replace('t10k', 'test')}.gz" for name in MNIST),
    "EMNIST, unpacked and dotted": tuple(
        f"emnist-mnist-{n.replace('t10k', 'test').replace('-idx', '.idx')}" for n in MNIST
    ),
    "test in place of t10k": tuple(name.replace("t10k", "test") for name in MNIST),
    "capitals": tuple(name.capitalize() for name in MNIST),
    "some gzipped": (*MNIST[:2], *(f"{name}.gz" for name in MNIST[2:])),
    "without the type": tuple(name.removesuffix("-ubyte") for name in MNIST),
    "with spaces in its name": tuple(f"my own set-{name}" for name in MNIST),
}


@pytest.fixture
def expected(tmp_path):
    write_files(tmp_path / "plain", MNIST)
    return minidl.load_idx(tmp_path / "plain")


def assert_equal(sets, expected):
    for one, other in zip(sets, expected, strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_any_folder_of_idx_files_loads(tmp_path, expected, names):
    write_files(tmp_path / "set", names)
    assert_equal(minidl.load_idx(tmp_path / "set"), expected)
    minidl.convert_idx(tmp_path / "set", tmp_path / "npy")
    assert_equal(minidl.load_npy(tmp_path / "npy"), expected)


def test_labels_from_1_and_images_on_their_side(tmp_path, expected):
    write_files(tmp_path / "set", NAMES["EMNIST"], first_label=1, transpose=True)
    assert_equal(minidl.load_idx(tmp_path / "set", first_label=1, transpose=True), expected)
    raw, _ = minidl.load_idx(tmp_path / "set")
    np.testing.assert_array_equal(raw.labels, expected[0].labels + 1)
    assert not np.array_equal(raw.x, expected[0].x)
    with pytest.raises(ValueError, match=r"expected train labels from 0, got -1; see first_label"):
        minidl.load_idx(tmp_path / "set", first_label=2)


def test_checksums_go_by_the_names_of_mnist(tmp_path, expected):
    import hashlib

    write_files(tmp_path / "set", NAMES["EMNIST, unpacked and dotted"])
    data = (tmp_path / "set" / NAMES["EMNIST, unpacked and dotted"][3]).read_bytes()
    assert_equal(minidl.load_idx(tmp_path / "set", sha256={"t10k-labels": hashlib.sha256(data).hexdigest()}), expected)
    with pytest.raises(ValueError, match="damaged: expected SHA-256 0000"):
        minidl.load_idx(tmp_path / "set", sha256={"t10k-labels": "0" * 64})


def test_a_folder_with_several_sets(tmp_path, expected):
    write_files(tmp_path / "set", NAMES["EMNIST"])
    write_files(tmp_path / "set", [name.replace("letters", "digits") for name in NAMES["EMNIST"]], first_label=3)
    message = "^name: expected one of the sets in .*, emnist-digits, emnist-letters; got none"
    with pytest.raises(ValueError, match=message):
        minidl.load_idx(tmp_path / "set")
    assert_equal(minidl.load_idx(tmp_path / "set", name="emnist-letters"), expected)
    assert minidl.load_idx(tmp_path / "set", name="emnist-digits")[0].labels.min() == 3
    with pytest.raises(
        FileNotFoundError, match=r"expected emnist-byclass-train-images-idx3-ubyte or .*gz in .*, got emnist-"
    ):
        minidl.load_idx(tmp_path / "set", name="emnist-byclass")
    write_files(tmp_path / "set", MNIST, first_label=1)  # one without a name is what a call without a name means
    assert minidl.load_idx(tmp_path / "set")[0].labels.min() == 1


def test_what_lies_beside_a_set_does_not_matter(tmp_path, expected):
    write_files(tmp_path / "set", MNIST)
    write_files(tmp_path / "set", NAMES["dotted"], first_label=1)  # the same again, as one archive has it
    for name in (
        "._emnist-letters-train-images-idx3-ubyte",
        "train-images.txt",
        "train-images-idx3-ubyte (1)",
        "README",
    ):
        (tmp_path / "set" / name).write_bytes(b"x")
    (tmp_path / "set" / "other-train-images-idx3-ubyte").mkdir()
    assert_equal(minidl.load_idx(tmp_path / "set"), expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"first_label": "1"}, TypeError, "first_label: expected a whole number, got '1'"),
        ({"first_label": True}, TypeError, "first_label: expected a whole number"),
        ({"transpose": 1}, TypeError, "transpose: expected True or False, got 1"),
    ],
)
def test_options_that_cannot_be(tmp_path, expected, options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        minidl.load_idx(tmp_path / "plain", **options)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^folder: there is no folder .*nowhere"):
        minidl.load_idx(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"^folder: expected train-images-idx3-ubyte or .*, which is empty"):
        minidl.load_idx(tmp_path)
    write_files(tmp_path / "set", MNIST)
    (tmp_path / "set" / MNIST[3]).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"^folder: expected t10k-labels-idx1-ubyte or .* got t10k-images-idx3-ubyte, tr"
    ):
        minidl.load_idx(tmp_path / "set")
    (tmp_path / "flat").mkdir()
    write_files(tmp_path / "flat", MNIST)
    (tmp_path / "flat" / MNIST[0]).write_bytes(idx_bytes(PIXELS[:20].reshape(20, 12)))
    with pytest.raises(ValueError, match=r"^transpose: expected images of rows and columns, got shape \(20, 12\)"):
        minidl.load_idx(tmp_path / "flat", transpose=True)
