import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import optimizers


@given(st.lists(st.floats(1e-4, 10), min_size=10, max_size=15), st.integers(0, 2**32 - 1))
def test_sgd_against_its_definition(rates, seed):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=4)
    expected = list(w)
    optimizer = minidl.SGD(lr=1.0)
    for rate in rates:
        g = rng.normal(size=4)
        optimizer.lr = rate
        optimizer.step(w, g)
        expected = [e - rate * d for e, d in zip(expected, g, strict=True)]
    np.testing.assert_array_equal(w, expected)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 40])
def test_blocks_change_nothing(monkeypatch, size):
    rng = np.random.default_rng(0)
    w, g = rng.normal(size=size), rng.normal(size=size)
    whole, blocks = w.copy(), w.copy()
    minidl.SGD(0.3).step(whole, g)
    monkeypatch.setattr(optimizers, "BLOCK", 8)
    minidl.SGD(0.3).step(blocks, g)
    np.testing.assert_array_equal(blocks, whole)
    assert (whole != w).all()


def test_a_rate_of_zero_changes_nothing():
    w = np.ones(3)
    optimizer = minidl.SGD(0.1)
    optimizer.lr = 0.0
    optimizer.step(w, np.ones(3))
    np.testing.assert_array_equal(w, np.ones(3))


@pytest.mark.parametrize("lr", [0, -0.1, float("nan"), float("inf")])
def test_rates_out_of_range(lr):
    with pytest.raises(ValueError, match="lr: expected a finite number above 0"):
        minidl.SGD(lr)


@pytest.mark.parametrize("lr", ["0.1", None, [0.1]])
def test_rates_that_are_no_numbers(lr):
    with pytest.raises(TypeError, match="lr: expected a number"):
        minidl.SGD(lr)


@pytest.mark.parametrize(
    "grads", [np.ones(2), np.ones((3, 1)), np.ones(3, "float32")], ids=["length", "dimensions", "dtype"]
)
def test_arrays_that_do_not_fit(grads):
    params = np.ones(3)
    with pytest.raises(ValueError, match="params, grads: expected two vectors of equal length and dtype"):
        minidl.SGD().step(params, grads)
    np.testing.assert_array_equal(params, np.ones(3))


def test_matrices_are_refused():
    with pytest.raises(ValueError, match="two vectors"):
        minidl.SGD().step(np.ones((2, 2)), np.ones((2, 2)))


def test_no_parameters_is_no_step():
    minidl.SGD().step(np.ones(0), np.ones(0))
