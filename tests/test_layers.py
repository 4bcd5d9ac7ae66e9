import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.testing import complex_step_gradient, numerical_gradient

SIZES = st.integers(1, 5)
SEEDS = st.integers(0, 2**32 - 1)
LAYERS = {
    "Dense": lambda features, out: minidl.Dense(features, out),
    "ReLU": lambda features, out: minidl.ReLU(),
    "LogSoftmax": lambda features, out: minidl.LogSoftmax(),
    "BatchNorm": lambda features, out: minidl.BatchNorm(features, eps=0.1),
    "BatchNorm, ghosts": lambda features, out: minidl.BatchNorm(features, eps=0.1, ghost_size=2),
    "Dropout": lambda features, out: minidl.Dropout(0.4),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def bound(layer, params):
    """Return ``layer`` with its parameters in ``params``, and the random numbers that every layer here has."""
    layer.bind(params, np.full_like(params, np.nan))  # a gradient that is not written stays visible
    if isinstance(layer, minidl.Dropout):
        layer.rng = np.random.default_rng(1)
    return layer


def setup(make, batch, features, out, seed):
    """Return a layer, its random parameters, an input away from ReLU's kink, and a random upstream gradient."""
    batch *= 2  # batch normalisation takes at least two samples, and ghosts of two
    rng = np.random.default_rng(seed)
    layer = make(features, out)
    params = rng.normal(size=sum(np.prod(shape, dtype=int) for shape in layer.param_shapes().values()))
    x = rng.uniform(0.1, 2.0, (batch, features)) * rng.choice([-1, 1], (batch, features))
    dy = rng.normal(size=(batch, layer.out_features or features))
    return bound(layer, params), params, x, dy


@every_layer
@given(batch=SIZES, features=SIZES, out=SIZES, seed=SEEDS)
def test_gradients(make, batch, features, out, seed):
    layer, params, x, dy = setup(make, batch, features, out, seed)

    def of_x(x):
        return (dy * bound(make(features, out), params.astype(x.dtype)).forward(x, training=True)).sum()

    def of_params(params):
        return (dy * bound(make(features, out), params).forward(x.astype(params.dtype), training=True)).sum()

    layer.forward(x, training=True)
    dx = layer.backward(dy)
    grads = [layer.__dict__["d" + name].ravel() for name in layer.param_shapes()]
    dparams = np.concatenate(grads) if grads else np.empty(0)
    for measure, tolerance in ((complex_step_gradient, 1e-12), (numerical_gradient, 1e-7)):
        np.testing.assert_allclose(dx, measure(of_x, x), rtol=tolerance, atol=tolerance * 10)
        np.testing.assert_allclose(dparams, measure(of_params, params), rtol=tolerance, atol=tolerance * 10)


@every_layer
@given(batch=SIZES, features=SIZES, out=SIZES, seed=SEEDS)
def test_backward_params_writes_what_backward_writes(make, batch, features, out, seed):
    layer, params, x, dy = setup(make, batch, features, out, seed)
    layer.forward(x, training=True)
    layer.backward(dy)
    expected = {name: layer.__dict__["d" + name].copy() for name in layer.param_shapes()}
    bound(layer, params)
    layer.forward(x, training=True)
    layer.backward_params(dy)
    for name, gradient in expected.items():
        np.testing.assert_array_equal(layer.__dict__["d" + name], gradient)


@every_layer
@given(batch=SIZES, features=SIZES, out=SIZES, seed=SEEDS)
def test_arrays_given_are_not_changed(make, batch, features, out, seed):
    layer, params, x, dy = setup(make, batch, features, out, seed)
    copies = params.copy(), x.copy(), dy.copy()
    layer.forward(x, training=True)
    layer.backward(dy)
    for array, copy in zip((params, x, dy), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@every_layer
def test_evaluation_remembers_nothing(make):
    layer, _, x, dy = setup(make, 3, 4, 2, seed=0)
    layer.forward(x)
    with pytest.raises(RuntimeError, match=r"call forward\(x, training=True\) first"):
        layer.backward(dy)
    y = layer.forward(x, training=True)
    layer.forward(x[:1])  # an evaluation between forward and backward does no harm
    assert layer.backward(np.ones_like(y)).shape == x.shape


@every_layer
def test_backward_uses_up_its_memory(make):
    layer, _, x, dy = setup(make, 3, 4, 2, seed=0)
    layer.forward(x, training=True)
    layer.backward(dy)
    message = rf"^{type(layer).__name__}\.backward: call forward\(x, training=True\) first, once for each backward$"
    with pytest.raises(RuntimeError, match=message):
        layer.backward(dy)


@every_layer
def test_wrong_dy_is_refused_and_the_right_one_still_works(make):
    layer, _, x, dy = setup(make, 3, 4, 2, seed=0)
    y = layer.forward(x, training=True)
    with pytest.raises(ValueError, match="dy has the wrong shape"):
        layer.backward(dy[:1])
    assert layer.backward(np.ones_like(y)).shape == x.shape


@every_layer
def test_dy_of_other_columns_or_precision_is_refused(make):
    layer, _, x, _ = setup(make, 3, 4, 2, seed=0)
    y = layer.forward(x, training=True)
    with pytest.raises(ValueError, match="dy has the wrong shape"):
        layer.backward(np.ones((len(y), y.shape[1] + 1)))
    with pytest.raises(TypeError, match="backward: expected dy to be float64, as y is, got float32"):
        layer.backward(np.ones_like(y, "float32"))


@every_layer
def test_float32_stays_float32(make):
    layer, params, x, dy = setup(make, 3, 4, 2, seed=0)
    layer = bound(layer, params.astype("float32"))
    assert layer.forward(x.astype("float32"), training=True).dtype == np.float32
    assert layer.backward(dy.astype("float32")).dtype == np.float32


def test_dense_by_hand():
    layer = bound(minidl.Dense(2, 3), np.array([1.0, 2, 3, 4, 5, 6, 10, 20, 30]))
    np.testing.assert_array_equal(layer.forward(np.array([[1.0, -1.0]]), training=True), [[7, 17, 27]])
    np.testing.assert_array_equal(layer.backward(np.array([[1.0, 0, 2]])), [[7, 16]])
    np.testing.assert_array_equal(layer.dW, [[1, 0, 2], [-1, 0, -2]])
    np.testing.assert_array_equal(layer.db, [1, 0, 2])


def test_dense_starts_from_its_rule_and_zero_biases():
    layer = minidl.Dense(50, 40, init=minidl.glorot_uniform)
    model = minidl.Sequential(layer, seed=3, dtype="float64")
    np.testing.assert_array_equal(layer.W, minidl.glorot_uniform(np.random.default_rng(3), (50, 40)))
    np.testing.assert_array_equal(layer.b, np.zeros(40))
    assert model.params.size == 50 * 40 + 40


@pytest.mark.parametrize(("sizes", "error"), [((0, 3), ValueError), ((3, -1), ValueError), ((3.0, 2), TypeError)])
def test_dense_refuses_bad_sizes(sizes, error):
    with pytest.raises(error, match="_features: expected"):
        minidl.Dense(*sizes)


def test_dense_refuses_bad_input():
    with pytest.raises(RuntimeError, match=r"Dense\(4, 2\) has no parameters yet"):
        minidl.Dense(4, 2).forward(np.zeros((1, 4)))
    layer = minidl.Dense(4, 2)
    minidl.Sequential(layer)
    with pytest.raises(ValueError, match=r"x: Dense\(4, 2\) expects shape \(batch size, 4\), got \(1, 5\)"):
        layer.forward(np.zeros((1, 5), "float32"))
    with pytest.raises(ValueError, match=r"got \(4,\)"):
        layer.forward(np.zeros(4, "float32"))
    with pytest.raises(TypeError, match="computes in float32, got float64"):
        layer.forward(np.zeros((1, 4)))
    with pytest.raises(TypeError, match="got uint8"):
        layer.forward(np.zeros((1, 4), "uint8"))


def test_relu_by_hand():
    x = np.array([[-2.0, -0.0, 0.0, 3.0, np.nan]])
    layer = minidl.ReLU()
    np.testing.assert_array_equal(layer.forward(x, training=True), [[0, 0, 0, 3, np.nan]])
    # The derivative at the kink is 0, whichever sign the zero has.
    np.testing.assert_array_equal(layer.backward(np.full((1, 5), 7.0))[0, :4], [0, 0, 0, 7])


def test_log_softmax_by_hand():
    y = minidl.LogSoftmax().forward(np.log([[1.0, 2.0, 5.0]]))
    np.testing.assert_allclose(np.exp(y), [[0.125, 0.25, 0.625]], rtol=1e-15)


@given(seed=SEEDS, shift=st.floats(-1e4, 1e4))
def test_log_softmax_is_a_distribution_and_ignores_shifts(seed, shift):
    x = np.random.default_rng(seed).normal(size=(3, 4))
    y = minidl.LogSoftmax().forward(x)
    np.testing.assert_allclose(np.exp(y).sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(minidl.LogSoftmax().forward(x + shift), y, atol=1e-11)


def test_log_softmax_at_extreme_logits():
    y = minidl.LogSoftmax().forward(np.array([[1e4, -1e4, 0.0]], "float32"))
    np.testing.assert_array_equal(y, np.array([[0, -2e4, -1e4]], "float32"))


def test_each_row_has_its_own_maximum():
    y = minidl.LogSoftmax().forward(np.array([[0.0, 0.0], [2000.0, 0.0]]))
    np.testing.assert_allclose(y, [[-np.log(2), -np.log(2)], [0, -2000]])


def test_weights_of_a_wrong_shape_are_refused_and_the_layer_is_free():
    layer = minidl.Dense(3, 2, init=lambda rng, shape: np.zeros((1, 1)))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"init: expected weights of shape \(3, 2\), got \(1, 1\)"):
            minidl.Sequential(layer)


def test_log_softmax_gradient_is_orthogonal_to_shifts():
    # A shift of the logits changes nothing, so dx adds up to zero in each row; and dy = 1 gives p-weighted zeros only
    # for the softmax itself, which is why gradients are tested with random dy.
    rng = np.random.default_rng(0)
    layer = minidl.LogSoftmax()
    layer.forward(rng.normal(size=(3, 4)), training=True)
    np.testing.assert_allclose(layer.backward(rng.normal(size=(3, 4))).sum(axis=1), 0, atol=1e-14)


def test_a_layer_without_methods_says_so():
    with pytest.raises(NotImplementedError, match="Layer has no forward"):
        minidl.Layer().forward(np.zeros((1, 1)))
    with pytest.raises(NotImplementedError, match="Layer has no backward"):
        minidl.Layer().backward(np.zeros((1, 1)))
