import numpy as np
import pytest

from minidl import glorot_uniform, he_normal, uniform_fan_in

FAN_IN, FAN_OUT = 400, 100


@pytest.mark.parametrize(
    ("rule", "variance"),
    [(he_normal, 2 / FAN_IN), (glorot_uniform, 2 / (FAN_IN + FAN_OUT)), (uniform_fan_in, 1 / (3 * FAN_IN))],
)
def test_mean_and_variance(rule, variance):
    W = rule(np.random.default_rng(0), (FAN_IN, FAN_OUT))
    assert W.shape == (FAN_IN, FAN_OUT)
    assert W.dtype == np.float64
    # The estimates' own standard errors over 40,000 draws, times five.
    assert abs(W.mean()) < 5 * (variance / W.size) ** 0.5
    assert W.var() == pytest.approx(variance, rel=5 * (2 / W.size) ** 0.5)


@pytest.mark.parametrize(
    ("rule", "limit"), [(glorot_uniform, (6 / (FAN_IN + FAN_OUT)) ** 0.5), (uniform_fan_in, 1 / FAN_IN**0.5)]
)
def test_uniform_rules_fill_their_interval(rule, limit):
    W = rule(np.random.default_rng(0), (FAN_IN, FAN_OUT))
    assert 0.999 * limit < abs(W).max() <= limit


def test_he_normal_is_normal():
    W = he_normal(np.random.default_rng(0), (FAN_IN, FAN_OUT))
    fourth_moment = (W**4).mean() / W.var() ** 2
    assert fourth_moment == pytest.approx(3, abs=0.15)  # a uniform distribution has 1.8
