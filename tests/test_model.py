import copy
import pickle

import numpy as np
import pytest
from conftest import small_model

import minidl
from minidl.testing import complex_step_gradient


def assert_views(model):
    """Assert that what is written into the vectors shows in the layers, and that these cover the vectors."""
    model.params[...] = np.arange(model.params.size)
    model.grads[...] = -np.arange(model.grads.size)
    seen, dseen = [], []
    for layer in model.layers:
        for name in layer.param_shapes():
            value, gradient = getattr(layer, name), getattr(layer, "d" + name)
            assert np.shares_memory(value, model.params)
            assert np.shares_memory(gradient, model.grads)
            seen.append(value.ravel())
            dseen.append(gradient.ravel())
    np.testing.assert_array_equal(np.concatenate(seen), model.params)
    np.testing.assert_array_equal(np.concatenate(dseen), model.grads)


OPERATIONS = {
    "made": lambda model: model,
    "copied": copy.copy,
    "deep copied": copy.deepcopy,
    "pickled": lambda model: pickle.loads(pickle.dumps(model)),
    "moved": lambda model: model.to("numpy"),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_layers_hold_views(operation):
    assert_views(operation(small_model()))


@pytest.mark.parametrize("name", ["deep copied", "pickled"])
def test_a_copy_computes_the_same_and_is_independent(name):
    model = small_model()
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    model.forward(x, training=True)
    other = OPERATIONS[name](model)
    np.testing.assert_array_equal(other.forward(x), model.forward(x))
    before = model.params.copy()
    other.params[...] = 0
    np.testing.assert_array_equal(model.params, before)
    np.testing.assert_array_equal(model.layers[0].W.ravel(), before[:40])
    with pytest.raises(RuntimeError, match="call forward"):  # the memory of the forward pass is not copied
        other.backward(np.zeros((3, 2), "float32"))


def test_a_copy_holds_parameters_and_gradients_once():
    model = minidl.Sequential(minidl.Dense(100, 100), minidl.ReLU(), minidl.Dense(100, 100))
    x = np.ones((1000, 100), "float32")
    model.forward(x, training=True)
    assert len(pickle.dumps(model)) < 1.1 * (model.params.nbytes + model.grads.nbytes)


def loss_of(model, x, labels):
    return minidl.NLLLoss().forward(model.forward(x), labels)


def test_gradients_of_the_whole_network():
    rng = np.random.default_rng(1)
    model = small_model(dtype="float64")
    x, labels = rng.normal(size=(4, 5)), np.array([0, 1, 1, 0])
    loss = minidl.NLLLoss()
    loss.forward(model.forward(x, training=True), labels)
    dx = model.backward_to_input(loss.backward())
    grads = model.grads.copy()

    def at(params):
        other = copy.deepcopy(model)
        other._bind(params, np.empty_like(params))
        return loss_of(other, x.astype(params.dtype), labels)

    def at_x(x):
        other = copy.deepcopy(model)
        other._bind(model.params.astype(x.dtype), np.empty(model.params.size, x.dtype))
        return loss_of(other, x, labels)

    np.testing.assert_allclose(grads, complex_step_gradient(at, model.params), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(dx, complex_step_gradient(at_x, x), rtol=1e-12, atol=1e-14)

    model.grads[...] = np.nan
    loss.forward(model.forward(x, training=True), labels)
    model.backward(loss.backward())
    np.testing.assert_array_equal(model.grads, grads)


def test_a_duplicated_batch_has_the_same_gradient():
    rng = np.random.default_rng(2)
    model, loss = small_model(dtype="float64"), minidl.NLLLoss()
    x, labels = rng.normal(size=(4, 5)), np.array([0, 1, 1, 0])
    gradients = []
    for copies in (1, 2):
        loss.forward(model.forward(np.tile(x, (copies, 1)), training=True), np.tile(labels, copies))
        model.backward(loss.backward())
        gradients.append(model.grads.copy())
    np.testing.assert_allclose(*gradients, rtol=1e-12)


def test_the_first_layer_is_not_asked_for_dx():
    class Spy(minidl.Dense):
        def backward(self, dy):
            raise AssertionError("nobody needs this dx")

    model = minidl.Sequential(minidl.ReLU(), Spy(3, 4), minidl.ReLU(), minidl.Dense(4, 2))
    model.forward(np.ones((2, 3), "float32"), training=True)
    model.backward(np.ones((2, 2), "float32"))


def test_a_network_without_parameters():
    model = minidl.Sequential(minidl.ReLU(), minidl.LogSoftmax())
    model.forward(np.ones((2, 3), "float32"), training=True)
    model.backward(np.ones((2, 3), "float32"))
    assert model.params.size == 0


def test_seeds():
    assert (small_model(seed=1).params == small_model(seed=1).params).all()
    assert (small_model(seed=1).params != small_model(seed=2).params).any()
    assert (small_model(seed=None).params != small_model(seed=None).params).any()
    drawn = minidl.Sequential(minidl.Dense(5, 8), seed=np.random.default_rng(1)).params
    np.testing.assert_array_equal(drawn, minidl.Sequential(minidl.Dense(5, 8), seed=1).params)


def test_precision_does_not_change_the_draw():
    np.testing.assert_array_equal(small_model(dtype="float64").params.astype("float32"), small_model().params)


def test_everything_is_float32():
    model, loss, optimizer = small_model(), minidl.NLLLoss(), minidl.SGD(lr=np.float64(0.1))
    x = np.ones((3, 5), "float32")
    activations = [x]
    for layer in model.layers:
        activations.append(layer.forward(activations[-1], training=True))
    gradients = [loss.forward(activations[-1], np.array([0, 1, 1])), loss.backward()]
    for layer in reversed(model.layers):
        gradients.append(layer.backward(gradients[-1]))
    optimizer.step(model.params, model.grads)
    for array in [*activations, *gradients, model.params, model.grads, model.layers[0].W, model.layers[0].dW]:
        assert array.dtype == np.float32


def test_summary(capsys):
    minidl.Sequential(minidl.Dense(784, 1024), minidl.ReLU(), minidl.Dense(1024, 10), minidl.LogSoftmax()).summary()
    assert capsys.readouterr().out == (
        "name         layer             output     parameters\n"
        "dense0       Dense(784, 1024)  (B, 1024)  803,840\n"
        "relu1        ReLU()            (B, 1024)  0\n"
        "dense2       Dense(1024, 10)   (B, 10)    10,250\n"
        "logsoftmax3  LogSoftmax()      (B, 10)    0\n"
        "total                                     814,090\n"
    )


def test_chapter_37_has_1863690_parameters():
    model = minidl.Sequential(
        minidl.Dense(784, 1024), minidl.ReLU(), minidl.Dense(1024, 1024), minidl.ReLU(), minidl.Dense(1024, 10)
    )
    assert model.params.size == 1_863_690
    assert repr(model) == "Sequential(Dense(784, 1024), ReLU(), Dense(1024, 1024), ReLU(), Dense(1024, 10))"


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ((), ValueError, "layers: expected at least one"),
        ((minidl.Dense(2, 3), "relu"), TypeError, "instances of Layer, got 'relu' at position 1"),
        ((minidl.Dense(2, 3), minidl.ReLU(), minidl.Dense(4, 2)), ValueError, "position 2 expects 4 .* receives 3"),
    ],
)
def test_layers_that_do_not_fit(layers, error, message):
    with pytest.raises(error, match=message):
        minidl.Sequential(*layers)


def test_a_layer_cannot_stand_in_two_places():
    layer = minidl.ReLU()
    with pytest.raises(ValueError, match="already in the chain"):
        minidl.Sequential(layer, minidl.Dense(2, 2), layer)


@pytest.mark.parametrize("dtype", ["float16", "int32", "complex128", "nonsense", None, np.int64])
def test_unknown_dtype(dtype):
    with pytest.raises(ValueError, match="dtype: expected 'float32' or 'float64'"):
        minidl.Sequential(minidl.ReLU(), dtype=dtype)


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("float64")])
def test_dtypes(dtype):
    assert minidl.Sequential(minidl.Dense(2, 2), dtype=dtype).params.dtype == np.float64


def test_a_refused_model_leaves_layers_as_they_were():
    layer = minidl.Dense(2, 2)
    with pytest.raises(ValueError, match="backend"):
        minidl.Sequential(layer, backend="torch")
    assert not hasattr(layer, "W")
