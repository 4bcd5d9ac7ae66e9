"""What the strategies draw: batches, networks of one's own layers, and never a kink by accident."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import minidl
from minidl import BatchNorm, Dense, Dropout, Layer, LogSoftmax, ReLU, Sequential
from minidl.testing import check_gradients
from minidl.testing.strategies import NUDGE, batches, is_smooth, labelled_batches, networks


class Tanh(Layer):
    def forward(self, x, training=False):
        y = minidl.array_module(x).tanh(x)
        if training:
            self.remember(y, y)
        return y

    def backward(self, dy):
        y = self.recall(dy)
        return dy * (1 - y * y)


class HardTanh(Layer):
    """Has kinks at −1 and 1."""

    def forward(self, x, training=False):
        y = minidl.array_module(x).clip(x, -1, 1)
        if training:
            self.remember(y, abs(x) < 1)
        return y

    def backward(self, dy):
        return dy * self.recall(dy)


@given(labelled_batches(classes=5, samples=st.integers(2, 3), features=4, largest=0.5))
def test_sizes_of_labelled_batches(batch):
    x, labels = batch
    assert x.shape[0] in (2, 3)
    assert x.shape[1] == 4
    assert abs(x).max() <= 0.5
    assert labels.shape == (len(x),)
    assert 0 <= labels.min() <= labels.max() <= 4


def dense_tanh(n, m):
    return [Dense(n, m), Tanh()]


def dense_hard_tanh(n, m):
    return [Dense(n, m), HardTanh(), Dropout(0.2)]


@given(st.data())
def test_networks_of_own_layers_and_heads(data):
    model = data.draw(
        networks(3, 2, hidden=[dense_tanh, dense_hard_tanh], head=lambda n, m: [Dense(n, m)], depth=2, widths=4)
    )
    kinds = [type(layer) for layer in model.layers]
    assert kinds[-1] is Dense
    assert kinds.count(Dense) <= 3
    assert set(kinds) <= {Dense, Tanh, HardTanh, Dropout}
    assert {layer.out_features for layer in model.layers[:-1]} <= {4, None}
    assert model.forward(np.ones((5, 3))).shape == (5, 2)


def test_all_that_can_be_drawn_is_drawn():
    made = networks(3, hidden=[dense_tanh, dense_hard_tanh], depth=2)
    kinds = {Tanh, HardTanh}
    assert find(made, lambda model: kinds <= set(map(type, model.layers)))
    smallest = find(made, lambda _: True)
    assert repr(smallest) == "Sequential(Dense(3, 3), LogSoftmax())"


def test_hidden_layers_and_batch_norm_exclude_each_other():
    with pytest.raises(ValueError, match="batch_norm: expected False where hidden is given"):
        networks(3, batch_norm=True, hidden=dense_tanh)


@pytest.mark.parametrize(("x", "dtype"), [(np.ones((2, 3), "float32"), "float64"), (np.ones((2, 3)), "float32")])
def test_a_batch_is_for_a_network_of_float64(x, dtype):
    with pytest.raises(ValueError, match="in_features: expected a batch and a network of float64, got"):
        networks(x, dtype=dtype)


@pytest.mark.parametrize("method", ["complex", "differences"])
@pytest.mark.parametrize("row", [[1.5, 1.5], [-0.1, 4.0]])
@given(data=st.data())
@settings(max_examples=20)
def test_a_constant_batch_meets_no_kink(method, row, data):
    x = np.tile(row, (3, 1))
    check_gradients(data.draw(networks(2, batch_norm=True)), x, method=method)


@pytest.mark.parametrize("hidden", [None, dense_tanh, dense_hard_tanh])
@given(x=batches(), data=st.data())
@settings(max_examples=20)
def test_a_network_for_a_batch_is_right_there(hidden, x, data):
    check_gradients(data.draw(networks(x, hidden=hidden, depth=2)), x, method="differences")


@given(x=batches(samples=st.integers(2, 4)), data=st.data())
@settings(max_examples=20)
def test_a_normalised_network_for_a_batch_is_right_there(x, data):
    check_gradients(data.draw(networks(x, batch_norm=True)), x)


@pytest.mark.parametrize(
    ("layer", "at", "smooth"),
    [
        (ReLU, 0.0, False),
        (ReLU, NUDGE / 2, False),
        (ReLU, 100 * NUDGE, True),
        (HardTanh, 0.0, True),
        (HardTanh, -1.0, False),
        (Tanh, 0.0, True),
        (lambda: Dropout(0.5), 0.0, True),
        (lambda: BatchNorm(1), 2.0, True),
    ],
)
def test_kinks_are_seen(layer, at, smooth):
    model = Sequential(layer(), seed=0, dtype="float64")
    x = np.array([[1.7], [at], [0.4]])
    before = x.copy()
    assert is_smooth(model, x) == smooth
    np.testing.assert_array_equal(x, before)


def test_looking_for_kinks_changes_nothing():
    model = Sequential(Dense(2, 3), BatchNorm(3), Dropout(0.5), LogSoftmax(), seed=0, dtype="float64")
    twin = Sequential(Dense(2, 3), BatchNorm(3), Dropout(0.5), LogSoftmax(), seed=0, dtype="float64")
    x = np.random.default_rng(0).normal(size=(4, 2))
    is_smooth(model, x)
    np.testing.assert_array_equal(model.forward(x, training=True), twin.forward(x, training=True))
    np.testing.assert_array_equal(model.layers[1].moving_var, twin.layers[1].moving_var)


def test_kinks_of_parameters_are_seen():
    model = Sequential(Dense(1, 1), ReLU(), seed=0, dtype="float64")
    model.layers[0].W[...], model.layers[0].b[...] = 1.0, -1.0 + NUDGE / 10
    assert not is_smooth(model, np.ones((1, 1)))
    model.layers[0].W[...], model.layers[0].b[...] = 0.0, NUDGE / 10
    assert not is_smooth(model, np.ones((1, 1)))


def test_the_profile_has_no_deadline():
    profile = settings.get_profile("minidl")
    assert profile.deadline is None

    @settings(profile, max_examples=1)
    @given(st.none())
    def slow(_):
        import time

        time.sleep(0.3)

    slow()


def test_without_hypothesis_the_extra_is_named():
    code = "import sys; sys.modules['hypothesis'] = None; import minidl.testing; import minidl.testing.strategies"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("needs Hypothesis: pip install 'minidl[hypothesis]'")
