from math import cos, inf, nan, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import (
    constant,
    cosine_restarts,
    exp_range,
    exponential_decay,
    linear,
    one_cycle,
    piecewise,
    step_decay,
    triangular,
    triangular2,
)

RATES = st.floats(1e-6, 10)
LENGTHS = st.floats(0.1, 20)


def values(schedule, *times):
    return [schedule(t) for t in times]


def test_constant():
    assert values(constant(0.3), 0, 1.5, 100) == [0.3] * 3


def test_piecewise_changes_at_its_starts():
    schedule = piecewise({30: 64, 0: 1024, 40.5: 32})
    assert values(schedule, 0, 29.999, 30, 40.49, 40.5, 1e6) == [1024, 1024, 64, 64, 32, 32]


def test_a_stretch_has_its_own_time():
    schedule = piecewise({0: linear(0.001, 0.1, length=2), 2: cosine_restarts(0.1, cycle_length=4)})
    assert values(schedule, 0, 2, 6, 10) == [0.001, 0.1, 0.1, 0.1]
    assert schedule(1) == pytest.approx(0.0505)
    assert schedule(4) == pytest.approx(0.05)


@given(RATES, RATES, LENGTHS)
def test_linear(start, end, length):
    schedule = linear(start, end, length)
    assert values(schedule, 0, length, 2 * length) == [start, end, end]
    assert schedule(length / 2) == pytest.approx((start + end) / 2)


def test_step_decay():
    assert values(step_decay(0.8, 0.5, every=10), 0, 9.99, 10, 29, 30) == [0.8, 0.8, 0.4, 0.2, 0.1]
    assert values(step_decay(64, 4, every=5), 0, 5, 10) == [64, 256, 1024]
    assert [step_decay(1, 0.5, every=0.1)(i * 0.1) for i in range(8)] == [0.5**i for i in range(8)]


def test_exponential_decay():
    assert values(exponential_decay(0.8, 0.5), 0, 1, 2) == [0.8, 0.4, 0.2]
    assert exponential_decay(0.8, 0.25)(0.5) == pytest.approx(0.4)


@given(RATES, st.floats(1, 100), LENGTHS)
def test_cyclical_rates_at_their_turning_points(base, factor, step):
    peak = base * factor
    for cycle in range(3):
        bottom, top = 2 * cycle * step, (2 * cycle + 1) * step
        assert triangular(base, peak, step)(bottom) == pytest.approx(base, rel=1e-9)
        assert triangular(base, peak, step)(top) == pytest.approx(peak, rel=1e-9)
        assert triangular2(base, peak, step)(top) == pytest.approx(base + (peak - base) / 2**cycle, rel=1e-9)
        assert exp_range(base, peak, step, 0.9)(top) == pytest.approx(base + (peak - base) * 0.9**top, rel=1e-9)
    for schedule in (triangular(base, peak, step), triangular2(base, peak, step), exp_range(base, peak, step, 0.9)):
        assert schedule(0) == base
        assert schedule(2 * step) == pytest.approx(base, rel=1e-9)
    assert triangular(base, peak, step)(step) == peak
    assert triangular2(base, peak, step)(step) == peak


def test_triangular_between():
    assert triangular(1.0, 3.0, 2)(0.5) == 1.5
    assert triangular(1.0, 3.0, 2)(3.5) == 1.5
    assert triangular2(1.0, 3.0, 2)(4.5) == 1.25


def test_one_period_of_sgdr():
    schedule = cosine_restarts(0.05, 0.01, cycle_length=10)
    assert schedule(0) == 0.05
    assert schedule(5) == pytest.approx(0.03)
    assert schedule(2.5) == pytest.approx(0.01 + 0.02 * (1 + cos(pi / 4)))
    assert schedule(9.9999) == pytest.approx(0.01, abs=1e-6)
    assert schedule(10) == 0.05
    assert cosine_restarts(0.1)(0.5) == pytest.approx(0.05)  # by default a cycle is one epoch, and falls to zero


def test_sgdr_with_growing_cycles():
    # T_0 = 10 and T_mult = 2, one of the paper's settings: restarts after 10, 30, 70 and 150 epochs.
    schedule = cosine_restarts(0.05, cycle_length=10, cycle_mult=2)
    for restart in (0, 10, 30, 70, 150):
        assert schedule(restart) == 0.05
        if restart:
            assert 0 < schedule(restart - 0.01) < 1e-6
    assert schedule(50) == pytest.approx(0.025)


@given(LENGTHS, st.floats(1, 3), RATES)
def test_every_restart_is_exact(length, mult, peak):
    start = 0.0
    for cycle in range(6):
        schedule = cosine_restarts(peak, cycle_length=length, cycle_mult=mult)
        assert schedule(start) == pytest.approx(peak, rel=1e-12)
        start += length * mult**cycle


def test_restarts_are_found_despite_rounding():
    assert [cosine_restarts(1, cycle_length=0.1)(i * 0.1) for i in range(50)] == [1] * 50


def test_one_cycle():
    schedule = one_cycle(1.0, length=10)
    assert values(schedule, 0, 4.5, 10, 99) == [0.1, 1.0, 0.001, 0.001]
    assert schedule(9) == pytest.approx(0.1)
    assert schedule(2.25) == pytest.approx(0.55)
    assert schedule(9.5) == pytest.approx(0.0505)
    slower = one_cycle(0.5, length=20)
    assert values(slower, 0, 9, 20) == pytest.approx([0.05, 0.5, 0.0005])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: constant(-1), "value: expected a finite number of at least 0, got -1"),
        (lambda: piecewise({}), "stretches: expected one that starts at 0"),
        (lambda: piecewise({1: 0.1}), "stretches: expected one that starts at 0"),
        (lambda: piecewise({-1: 0.1, 0: 0.2}), r"stretches\[-1\]: start: "),
        (lambda: piecewise({0: 0.1, inf: 0.2}), r"stretches\[inf\]: start: "),
        (lambda: piecewise({0: 0.1, nan: 0.2}), r"stretches\[nan\]: start: "),
        (lambda: piecewise({0: 0.1, 3: -0.2}), r"stretches\[3\]: expected a finite number of at least 0, got -0.2"),
        (lambda: linear(-1, 1, 1), "start: "),
        (lambda: linear(1, nan, 1), "end: "),
        (lambda: linear(1, 1, 0), "length: "),
        (lambda: step_decay(0, 0.5, 1), "initial: "),
        (lambda: step_decay(1, 0, 1), "factor: "),
        (lambda: step_decay(1, 0.5, 0), "every: "),
        (lambda: exponential_decay(-1, 0.5), "initial: "),
        (lambda: exponential_decay(1, -0.5), "factor: "),
        (lambda: triangular(-1, 1, 1), "base_lr: "),
        (lambda: triangular(1, inf, 1), "max_lr: "),
        (lambda: triangular(2, 1, 1), "base_lr: expected at most max_lr, 1.0, got 2.0"),
        (lambda: triangular2(1, 2, 0), "step_size: "),
        (lambda: exp_range(1, 2, 1, 0), "gamma: "),
        (lambda: exp_range(1, 2, 1, 1.1), "gamma: expected a number above 0 and at most 1, got 1.1"),
        (lambda: cosine_restarts(0), "max_lr: "),
        (lambda: cosine_restarts(1, -0.1), "min_lr: expected a finite number of at least 0"),
        (lambda: cosine_restarts(1, 2), "min_lr: expected at most max_lr"),
        (lambda: cosine_restarts(1, cycle_length=0), "cycle_length: "),
        (lambda: cosine_restarts(1, cycle_mult=0.99), "cycle_mult: expected a finite number of at least 1, got 0.99"),
        (lambda: one_cycle(0, 1), "max_lr: "),
        (lambda: one_cycle(1, 0), "length: "),
        (lambda: one_cycle(1, 1, base_factor=1.1), "base_factor: expected a number above 0 and at most 1"),
        (lambda: one_cycle(1, 1, final_factor=-1), "final_factor: expected a finite number of at least 0"),
        (lambda: one_cycle(1, 1, update=1), "update: expected less than length, 1.0 epochs, got 1"),
        (lambda: one_cycle(1, 1, update=-1), "update: expected a finite number of at least 0"),
        (lambda: one_cycle(1, 1, 0.1, 0.2), "final_factor: expected at most base_factor, 0.1, got 0.2"),
        (lambda: linear(1, 10**400, 1), "end: "),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


@pytest.mark.parametrize("make", [lambda: constant(True), lambda: constant("1"), lambda: piecewise({"0": 1})])
def test_arguments_that_are_no_numbers_are_refused(make):
    with pytest.raises(TypeError, match="expected a number"):
        make()


def test_a_stretch_starts_in_time_despite_rounding():
    assert 1 + 0.36 < 1.36
    assert piecewise({0: 1, 1.36: 2})(1 + 0.36) == 2


def test_a_step_comes_in_time_despite_rounding():
    assert 3 * 0.1 / 0.3 >= 1  # in floats; and 0.7 / 0.1 is below 7
    assert step_decay(1, 0.5, every=0.1)(0.7) == pytest.approx(0.5**7)


def test_many_restarts_cost_no_more_than_one():
    assert cosine_restarts(1, cycle_length=1e-9)(1e6) > 0
    assert cosine_restarts(1, cycle_length=1e-6, cycle_mult=1 + 1e-9)(1.0) > 0


@given(st.floats(0, 100), LENGTHS, st.sampled_from([1, 1.5, 2, 3]))
def test_a_restarting_rate_never_reaches_zero(t, length, mult):
    assert 0 < cosine_restarts(1, cycle_length=length, cycle_mult=mult)(t) <= 1
    assert cosine_restarts(1)(1 - 3e-9) > 0


@given(RATES, LENGTHS, st.floats(0, 30))
def test_equal_ends_make_a_constant(rate, length, t):
    assert linear(rate, rate, length)(t) == rate
    assert cosine_restarts(rate, rate, length)(t) == rate
    assert triangular(rate, rate, length)(t) == rate


def test_a_schedule_is_a_plain_float():
    for name in ("triangular", "triangular2"):
        assert type(getattr(minidl, name)(0.1, 1, 1)(0.3)) is float
    assert type(cosine_restarts(1)(0.3)) is float
