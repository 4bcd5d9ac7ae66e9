import numpy as np
import pytest

import minidl


def dropout(p, seed=0, dtype="float64"):
    return minidl.Sequential(minidl.Dropout(p), seed=seed, dtype=dtype)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
def test_how_many_are_dropped_and_how_the_rest_grows(p):
    y = dropout(p).forward(np.ones((200, 500)), training=True)
    n = y.size
    assert (y == 0).mean() == pytest.approx(p, abs=5 * (p * (1 - p) / n) ** 0.5)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p))
    assert y.mean() == pytest.approx(1, abs=5 * (p / (1 - p) / n) ** 0.5)


def test_evaluation_is_the_identity():
    x = np.random.default_rng(0).normal(size=(3, 4))
    assert dropout(0.5).forward(x) is x


def test_p_0_is_the_identity_in_training_too():
    x = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_array_equal(dropout(0.0).forward(x, training=True), x)


def test_masks_follow_the_seed_and_change_every_time():
    x = np.ones((5, 40))
    one, same, other = dropout(0.5, seed=1), dropout(0.5, seed=1), dropout(0.5, seed=2)
    first = one.forward(x, training=True)
    np.testing.assert_array_equal(first, same.forward(x, training=True))
    assert (first != other.forward(x, training=True)).any()
    assert (first != one.forward(x, training=True)).any()


def test_masks_are_drawn_in_single_precision_from_a_child_of_the_seed():
    x = np.ones((5, 40))
    (child,) = np.random.default_rng(7).spawn(1)
    expected = (child.random(x.shape, dtype="float32") >= 0.3) / 0.7
    np.testing.assert_allclose(dropout(0.3, seed=7).forward(x, training=True), expected)


def test_a_value_is_dropped_where_the_number_drawn_is_below_p():
    class Drawn:
        def random(self, shape, dtype):
            return np.array([[0.0, 0.25, 0.5, 0.75]])  # of the numbers from 0 to 1, a fraction p is below p

    layer = minidl.Dropout(0.5)
    layer.rng = Drawn()
    np.testing.assert_array_equal(layer.forward(np.ones((1, 4)), training=True), [[0, 0, 2, 2]])


def test_two_layers_have_masks_of_their_own():
    model = minidl.Sequential(minidl.Dropout(0.5), minidl.Dropout(0.5), seed=0)
    x = np.ones((5, 40), "float32")
    first, second = (layer.forward(x, training=True) for layer in model.layers)
    assert (first != second).any()


def test_dropout_does_not_change_the_weights_drawn():
    plain = minidl.Sequential(minidl.Dense(4, 5), minidl.Dense(5, 2), seed=3)
    dropped = minidl.Sequential(minidl.Dense(4, 5), minidl.Dropout(), minidl.Dense(5, 2), seed=3)
    np.testing.assert_array_equal(plain.params, dropped.params)


def test_needs_a_model():
    with pytest.raises(RuntimeError, match=r"Dropout\(0.5\) has no random generator yet"):
        minidl.Dropout().forward(np.ones((2, 2)), training=True)


@pytest.mark.parametrize("p", [1, 1.5, -0.1, float("nan")])
def test_bad_probabilities(p):
    with pytest.raises(ValueError, match=r"^p: expected a number from 0 up to but not including 1"):
        minidl.Dropout(p)
