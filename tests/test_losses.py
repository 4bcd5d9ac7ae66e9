import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.testing import complex_step_gradient, numerical_gradient


def batch(seed, samples, classes):
    rng = np.random.default_rng(seed)
    log_p = minidl.LogSoftmax().forward(rng.normal(size=(samples, classes)))
    return log_p, rng.integers(0, classes, samples)


BATCHES = st.builds(batch, st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 5))


@given(BATCHES)
def test_gradient(drawn):
    log_p, labels = drawn
    loss = minidl.NLLLoss()
    loss.forward(log_p, labels)
    dlog_p = loss.backward()
    for measure, tolerance in ((complex_step_gradient, 1e-14), (numerical_gradient, 1e-8)):
        expected = measure(lambda log_p: minidl.NLLLoss().forward(log_p, labels), log_p)
        np.testing.assert_allclose(dlog_p, expected, atol=tolerance)


@given(BATCHES)
def test_a_batch_twice_has_the_same_loss(drawn):
    log_p, labels = drawn
    once = minidl.NLLLoss().forward(log_p, labels)
    twice = minidl.NLLLoss().forward(np.concatenate([log_p, log_p]), np.concatenate([labels, labels]))
    assert twice == pytest.approx(once, rel=1e-14)


def test_by_hand():
    loss = minidl.NLLLoss()
    log_p = np.log(np.array([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]], "float32"))
    value = loss.forward(log_p, np.array([0, 1], "uint8"))
    assert float(value) == pytest.approx((np.log(2) + np.log(8)) / 2)
    dlog_p = loss.backward()
    np.testing.assert_array_equal(dlog_p, [[-0.5, 0, 0], [0, -0.5, 0]])
    assert value.dtype == dlog_p.dtype == np.float32


def test_backward_needs_a_forward():
    loss = minidl.NLLLoss()
    with pytest.raises(RuntimeError, match=r"call forward\(log_p, labels\) first"):
        loss.backward()
    loss.forward(*batch(0, 2, 3))
    loss.backward()
    with pytest.raises(
        RuntimeError, match=r"^NLLLoss\.backward: call forward\(log_p, labels\) first, once for each backward$"
    ):
        loss.backward()


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.array([0.0, 1.0]), TypeError, "labels: expected integers, got float64"),
        (np.array([True, False]), TypeError, "labels: expected integers, got bool"),
        (np.array([0]), ValueError, r"one for each row of log_p \(2, 3\)"),
        (np.array([[0, 1]]), ValueError, "one for each row"),
        (np.array([0, 3]), ValueError, "labels: expected 0 to 2, got 0 to 3"),
        (np.array([-1, 0]), ValueError, "labels: expected 0 to 2, got -1 to 0"),
    ],
)
def test_bad_labels(labels, error, message):
    loss = minidl.NLLLoss()
    with pytest.raises(error, match=message):
        loss.forward(np.zeros((2, 3)), labels)
    with pytest.raises(RuntimeError):
        loss.backward()


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        minidl.NLLLoss().forward(np.zeros((0, 3)), np.zeros(0, int))
