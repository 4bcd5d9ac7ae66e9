import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.testing import StrictArray, strict_backend


def batch_norm(features=3, dtype="float64", **options):
    layer = minidl.BatchNorm(features, **options)
    return minidl.Sequential(layer, dtype=dtype, seed=0), layer


@given(st.integers(2, 20), st.integers(0, 2**32 - 1))
def test_training_output_has_mean_0_and_variance_1(batch, seed):
    model, _ = batch_norm(eps=1e-12)
    x = np.random.default_rng(seed).normal(5, 3, size=(batch, 3))
    y = model.forward(x, training=True)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(y.var(axis=0), 1, rtol=1e-5)


def test_scale_and_shift():
    model, layer = batch_norm(features=2)
    layer.gamma[...], layer.beta[...] = [2, 3], [10, 20]
    y = model.forward(np.array([[0.0, 4.0], [2.0, 0.0]]), training=True)
    np.testing.assert_allclose(y, [[8, 23], [12, 17]], rtol=1e-5)
    layer.moving_mean[...], layer.moving_var[...] = [1, 2], [1, 4]
    np.testing.assert_allclose(model.forward(np.array([[0.0, 4.0], [2.0, 0.0]])), [[8, 23], [12, 17]], rtol=1e-5)


def test_moving_averages_by_hand():
    model, layer = batch_norm(features=1, decay=0.75)
    np.testing.assert_array_equal([layer.moving_mean, layer.moving_var], [[0], [1]])
    model.forward(np.array([[1.0], [3.0], [5.0]]), training=True)  # mean 3, unbiased variance 4
    np.testing.assert_allclose([layer.moving_mean, layer.moving_var], [[0.75], [0.75 + 1]])
    model.forward(np.array([[4.0], [4.0]]), training=True)
    np.testing.assert_allclose([layer.moving_mean, layer.moving_var], [[0.5625 + 1], [0.75 * 1.75]])


def test_evaluation_uses_the_moving_averages_and_leaves_them():
    model, layer = batch_norm(features=1, eps=1e-9)
    layer.moving_mean[...], layer.moving_var[...] = 2, 4
    x = np.array([[2.0], [6.0], [-2.0]])
    np.testing.assert_allclose(model.forward(x), [[0], [2], [-2]], rtol=1e-8)
    np.testing.assert_allclose(model.forward(x[1:2]), [[2]], rtol=1e-8)  # a sample alone gets the same
    np.testing.assert_array_equal([layer.moving_mean, layer.moving_var], [[2], [4]])


def test_epsilon_counts_in_training_and_evaluation():
    model, layer = batch_norm(features=1, eps=3.0)
    layer.moving_mean[...], layer.moving_var[...] = 0, 1
    np.testing.assert_allclose(model.forward(np.array([[4.0]])), [[2]])
    np.testing.assert_allclose(model.forward(np.array([[1.0], [-1.0]]), training=True), [[0.5], [-0.5]])


def test_a_decay_of_zero_keeps_the_last_batch_only():
    model, layer = batch_norm(decay=0.0)
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.normal(size=(7, 3))
        model.forward(x, training=True)
        np.testing.assert_allclose(layer.moving_mean, x.mean(axis=0))
        np.testing.assert_allclose(layer.moving_var, x.var(axis=0, ddof=1))


def test_ghosts_are_batches_of_their_own():
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(11, 3)), rng.normal(size=(11, 3))
    model, layer = batch_norm(ghost_size=4)
    alone, single = batch_norm()
    for network in (model, alone):
        network.params[...] = np.arange(1.0, 7.0)
    y = model.forward(x, training=True)
    dx = layer.backward(dy)
    dparams = np.zeros(6)
    for part in (slice(0, 4), slice(4, 8), slice(8, 11)):
        np.testing.assert_allclose(y[part], alone.forward(x[part], training=True))
        np.testing.assert_allclose(dx[part], single.backward(dy[part]))
        dparams += alone.grads
    np.testing.assert_allclose(model.grads, dparams)
    np.testing.assert_allclose(layer.moving_mean, single.moving_mean)
    np.testing.assert_allclose(layer.moving_var, single.moving_var)


@pytest.mark.parametrize(("ghost_size", "samples"), [(None, 1), (4, 9), (4, 1)])
def test_a_single_sample_cannot_be_normalised(ghost_size, samples):
    model, layer = batch_norm(ghost_size=ghost_size)
    message = rf"cannot normalise a single sample, and a batch of {samples} leaves one; choose .* a remainder of 1$"
    with pytest.raises(ValueError, match=message):
        model.forward(np.ones((samples, 3)), training=True)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))
    assert model.forward(np.ones((1, 3))).shape == (1, 3)


def test_wrong_input_is_refused():
    model, _ = batch_norm()
    for x in (np.ones((4, 2)), np.ones(3)):
        with pytest.raises(ValueError, match=r"x: BatchNorm\(3, decay=0.9\) expects shape \(batch size, 3\)"):
            model.forward(x)
    with pytest.raises(TypeError, match="computes in float64, got float32"):
        model.forward(np.ones((4, 3), "float32"))


def test_float32_stays_float32():
    model, layer = batch_norm(dtype="float32")
    y = model.forward(np.random.default_rng(0).normal(size=(4, 3)).astype("float32"), training=True)
    dx = layer.backward(y)
    for array in (y, dx, layer.moving_mean, layer.moving_var, model.forward(y)):
        assert array.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"features": 0}, ValueError, "features: "),
        ({"features": 2.5}, TypeError, "features: "),
        ({"features": 2, "decay": 1}, ValueError, "decay: expected a number from 0 up to but not including 1"),
        ({"features": 2, "decay": -0.1}, ValueError, "decay: "),
        ({"features": 2, "eps": 0}, ValueError, "eps: "),
        ({"features": 2, "ghost_size": 0}, ValueError, "ghost_size: "),
        ({"features": 2, "ghost_size": 1}, ValueError, "ghost_size: expected at least 2"),
    ],
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        minidl.BatchNorm(**options)


def test_repr():
    assert repr(minidl.BatchNorm(3)) == "BatchNorm(3, decay=0.9)"
    assert repr(minidl.BatchNorm(3, 0.99, ghost_size=16)) == "BatchNorm(3, decay=0.99, ghost_size=16)"


def test_on_a_gpu_nothing_waits_for_a_sum(monkeypatch):
    with strict_backend() as xp:
        model = minidl.Sequential(minidl.BatchNorm(3), seed=0, backend="cupy")
        x = xp.asarray(np.random.default_rng(0).normal(size=(8, 3)).astype("float32"))
        monkeypatch.setattr(StrictArray, "__bool__", lambda array: pytest.fail("waits for the GPU"))
        model.forward(x, training=True)
