"""The same code on NumPy and CuPy, checked without a GPU; tests marked ``gpu`` need one, and compare them for real."""

import ast
import json
import sys
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest
from test_groups import OPTIMIZERS, deep_model

import minidl
from minidl.testing import StrictArray, check_layer, strict_backend

standin = sys.modules["minidl.testing.strict_backend"]
CUPY = json.loads((Path(__file__).parent / "data" / "cupy_api.json").read_text())
FOLDER = Path(minidl.__file__).parent
MODULES = sorted(path for path in FOLDER.rglob("*.py") if "testing" not in path.parts)
ENGINE = ("layers", "normalization", "dropout", "losses", "optimizers", "weight_decay", "blocks", "arrays")


def is_array_module(node):
    """Tell whether an expression is ``xp`` or ``array_module(…)``."""
    called = node.func if isinstance(node, ast.Call) else None
    return (isinstance(node, ast.Name) and node.id == "xp") or (
        isinstance(called, ast.Name) and called.id == "array_module"
    )


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node, node.func


def test_every_function_of_xp_exists_in_cupy_with_its_keywords():
    used = set()
    for path in MODULES:
        for call, function in calls(path):
            if is_array_module(function.value):
                assert function.attr in CUPY["functions"], f"{path.name}: CuPy has no {function.attr}"
                for keyword in call.keywords:
                    assert keyword.arg in CUPY["functions"][function.attr], f"{path.name}: {ast.unparse(call)}"
                used.add(function.attr)
    assert {"matmul", "maximum", "exp", "log", "sqrt", "zeros_like", "asarray"} <= used  # so the search finds something


def test_every_method_of_an_array_exists_in_cupy_with_its_keywords():
    used = set()
    for path in MODULES:
        if path.stem in ENGINE:
            for call, method in calls(path):
                if hasattr(np.ndarray, method.attr) and not is_array_module(method.value):
                    assert method.attr in CUPY["methods"], f"{path.name}: CuPy's arrays have no {method.attr}"
                    for keyword in call.keywords:
                        assert keyword.arg in CUPY["methods"][method.attr], f"{path.name}: {ast.unparse(call)}"
                    used.add(method.attr)
    assert {"sum", "mean", "max", "min"} <= used


def test_the_recording_is_of_the_installed_cupy():
    cupy = pytest.importorskip("cupy")
    for name in ("matmul", "take", "zeros_like"):
        assert hasattr(cupy, name)


def test_all_that_the_stand_in_offers_exists_in_cupy():
    missing = standin.NOT_IN_CUPY.split()
    functions = {n for n in np.__all__ if n[0] != "_" and isinstance(getattr(np, n), np.ufunc | FunctionType)}
    assert functions - set(missing) <= set(CUPY["functions"])
    assert not set(missing) & set(CUPY["functions"])
    assert set(standin.METHODS.split()) <= set(CUPY["methods"])


def test_the_stand_in_takes_what_cupy_takes(xp):
    x = xp.asarray(np.array([[3.0, 1.0, 2.0]]))
    order = xp.argsort(x, axis=1)
    assert xp.take_along_axis(x, order, axis=1)._host.tolist() == xp.sort(x, axis=1)._host.tolist() == [[1, 2, 3]]
    assert x.cumsum(axis=1)._host.tolist() == [[3, 4, 6]]
    assert [part.shape for part in xp.split(x, 3, axis=1)] == 3 * [(1, 1)]
    assert isinstance(xp.linalg.norm(x), StrictArray)
    total = xp.zeros(2)
    xp.add.at(total, xp.asarray(np.array([1, 1])), 2.0)
    assert total._host.tolist() == [0, 4]
    with pytest.raises(AttributeError, match="CuPy has no vecdot"):
        xp.vecdot(x, x)
    with pytest.raises(AttributeError, match="no attribute 'softmax'"):
        xp.softmax(x)


@pytest.fixture
def xp():
    with strict_backend() as module:
        yield module


def train(model, optimizer, data, **options):
    options = {"epochs": 2, "batch_size": 7, "seed": 0} | options
    return minidl.fit(model, optimizer, data, data, **options).to_dict() | {"seconds": None}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_training_run_is_the_same_on_the_strict_backend(xp, small_data, make):
    here, there = deep_model(), deep_model().to("cupy")
    assert isinstance(there.params, StrictArray)
    options = {
        "lr": minidl.triangular(0.01, 0.05, 1),
        "augment": lambda x, rng: minidl.backend.convert(minidl.to_numpy(x) + rng.normal(size=x.shape), like=x),
        "early_stopping": minidl.EarlyStopping(5),
    }
    expected = train(here, make(weight_decay=0.01), small_data, **options)
    got = train(there, make(weight_decay=0.01), small_data, **options)
    assert got == expected
    np.testing.assert_array_equal(minidl.to_numpy(there.params), here.params)
    np.testing.assert_array_equal(minidl.to_numpy(there.layers[1].moving_var), here.layers[1].moving_var)


def test_a_model_can_be_made_there_and_brought_back(xp, small_data):
    made = minidl.Sequential(minidl.Dense(5, 2), minidl.BatchNorm(2), seed=0, backend="cupy")
    assert isinstance(made.layers[0].W, StrictArray)
    assert isinstance(made.layers[1].moving_mean, StrictArray)
    back = made.to("numpy")
    assert type(back.params) is np.ndarray
    assert type(back.layers[1].moving_mean) is np.ndarray
    np.testing.assert_array_equal(
        back.params, minidl.Sequential(minidl.Dense(5, 2), minidl.BatchNorm(2), seed=0).params
    )


def test_range_test_predict_and_copies(xp, small_data):
    model = deep_model().to("cupy")
    result = minidl.lr_range_test(model, minidl.Adam(), small_data, updates=20, batch_size=10)
    assert result.lr
    features = minidl.predict(model[:3], xp.asarray(small_data.x))
    assert isinstance(features, StrictArray)
    other = deep_model(seed=1)
    other.copy_from(model)
    np.testing.assert_array_equal(other.params, minidl.to_numpy(model.params))


def test_divergence_there_is_noticed_too(xp, small_data):
    with pytest.raises(minidl.DivergedError, match="in epoch 1, at update 9"):  # read after the epoch
        train(deep_model().to("cupy"), minidl.SGD(1e30), small_data)


def test_labels_that_would_wrap_on_a_gpu_are_refused(xp, small_data):
    bad = minidl.Dataset(small_data.x, small_data.labels - 1)
    with pytest.raises(ValueError, match="train: expected labels from 0 to 1, got -1 to 0"):
        train(deep_model().to("cupy"), minidl.SGD(), bad)


def test_a_loss_there_does_not_wait_for_its_labels_to_be_looked_at(xp):
    log_p, labels = xp.asarray(np.zeros((2, 3))), xp.asarray(np.array([0, -1]))
    minidl.NLLLoss().forward(log_p, labels)  # fit has looked at all of them before


def test_blocks_are_for_the_cpu(xp):
    sizes = []

    class Spy(minidl.SGD):
        def update(self, w, g, lr):
            sizes.append(len(w))

    n = minidl.parameters.blocks.BLOCK + 5
    Spy().step(np.zeros(n), np.zeros(n))
    Spy().step(xp.zeros(n), xp.zeros(n))
    assert sizes == [n - 5, 5, n]


def test_the_stand_in_is_strict(xp):
    x, host = xp.asarray(np.ones(3)), np.ones(3)
    with pytest.raises(TypeError, match="implicit conversion"):
        np.asarray(x)
    for mixed in (lambda: x + host, lambda: host + x, lambda: x * np.float64(2), lambda: x[np.arange(2)]):
        with pytest.raises(TypeError):
            mixed()
    for function in (lambda: np.exp(x), lambda: np.concatenate([x, x]), lambda: xp.exp(host)):
        with pytest.raises(TypeError):
            function()
    with pytest.raises(TypeError, match="unsupported type"):
        x[...] = host
    for lax in (lambda: x * [1, 2, 3], lambda: x.sum(initial=0.0), lambda: x.max(where=x > 0)):
        with pytest.raises(TypeError, match="CuPy's"):
            lax()
    with pytest.raises(AttributeError, match=r"StrictArray, .* has no getfield"):
        x.getfield(float)
    assert isinstance(x.sum(), StrictArray)
    assert x.sum().shape == ()
    assert float(x.sum()) == 3.0


def test_the_stand_in_goes_away():
    with strict_backend():
        assert minidl.get_backend("auto").__name__ == "cupy"
    with strict_backend() as outer, strict_backend() as inner:
        assert outer is not inner


@pytest.mark.gpu
@pytest.mark.parametrize(
    "make",
    [
        lambda: minidl.Dense(4, 3),
        minidl.ReLU,
        minidl.LogSoftmax,
        lambda: minidl.BatchNorm(3),
        lambda: minidl.Dropout(0.4),
    ],
)
def test_layers_on_a_gpu(make):
    check_layer(make)  # its rule "backends" uses the GPU where there is one


@pytest.mark.gpu
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_training_run_on_a_gpu(small_data, make):
    data = minidl.Dataset(small_data.x.astype("float64"), small_data.labels)
    here, there = deep_model(dtype="float64"), deep_model(dtype="float64").to("cupy")
    expected, got = train(here, make(lr=0.01), data), train(there, make(lr=0.01), data)
    for model in (here, there):  # batch normalisation after it takes b away again: its gradient is rounding noise,
        model.layers[0].b = np.zeros(8)  # out of which an optimiser that divides by the gradient's size makes steps
    np.testing.assert_allclose(minidl.to_numpy(there.params), here.params, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(got["train_loss"], expected["train_loss"], rtol=1e-8)
    assert got["test_accuracy"] == expected["test_accuracy"]


@pytest.mark.gpu
def test_chapter_37_on_a_gpu(mnist):
    train_set, test_set = mnist
    histories = []
    for backend in ("numpy", "cupy"):
        model = minidl.Sequential(
            minidl.Dense(784, 1024), minidl.ReLU(), minidl.Dense(1024, 10), minidl.LogSoftmax(), seed=0, backend=backend
        )
        histories.append(minidl.fit(model, minidl.SGD(), train_set, test_set, epochs=1, batch_size=64, seed=0))
    np.testing.assert_allclose(histories[1].train_loss, histories[0].train_loss, rtol=1e-3)
    np.testing.assert_allclose(histories[1].test_accuracy, histories[0].test_accuracy, atol=2e-3)
