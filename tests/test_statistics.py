"""What the examples conclude from several seeds: intervals, regions, Holm's correction, and three verdicts."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import minidl

sys.path.insert(0, str(Path(minidl.__file__).parent.parent / "examples"))

from lab.claims import (
    BY_DEFINITION,
    NOT_REPRODUCED,
    NOT_TESTED,
    REPRODUCED,
    UNDECIDED,
    Definition,
    Fact,
    Missing,
    claim,
    verdict,
)
from lab.formats import NBSP
from lab.statistics import Comparison, about, above, better, decide, deviation_ratio, effect

ONE, OTHER = np.array([0.9795, 0.9806, 0.9794, 0.9773, 0.9800]), np.array([0.9723, 0.9731, 0.9728, 0.9727, 0.9749])


def test_the_interval_is_that_of_a_paired_t_test():
    found, expected = effect(ONE - OTHER), stats.ttest_rel(ONE, OTHER).confidence_interval(0.95)
    np.testing.assert_allclose(found, ((ONE - OTHER).mean(), expected.low, expected.high))
    assert effect(ONE[:1])[1:] == (-np.inf, np.inf)


@pytest.mark.parametrize("border", [0.0, 0.004, 0.0058, 0.009])
def test_the_p_value_is_that_of_a_paired_t_test_against_the_border(border):
    expected = stats.ttest_1samp(ONE - OTHER, border).pvalue
    assert above("", ONE, OTHER, by=border).p() == pytest.approx(expected)


def test_the_interval_just_touches_the_border_at_the_p_value():
    comparison = above("", ONE, OTHER, by=0.004)
    low = stats.ttest_rel(ONE, OTHER).confidence_interval(1 - comparison.p()).low
    assert low == pytest.approx(0.004)


def test_in_as_many_experiments_as_it_says_the_interval_holds_the_true_mean():
    rng, held = np.random.default_rng(0), 0
    for values in rng.normal(7.0, 2.0, size=(4000, 3)):
        _, low, high = effect(values)
        held += low < 7 < high
    assert abs(held / 4000 - 0.95) < 0.012


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.955, 0.9551, 0.9549, 0.9552, 0.9548], UNDECIDED),  # at the border
        ([0.957, 0.9571, 0.9569, 0.9572, 0.9568], REPRODUCED),
        ([0.9546, 0.9547, 0.9545, 0.9548, 0.9544], NOT_REPRODUCED),
        ([0.966, 0.9661, 0.9659, 0.9662, 0.9658], NOT_REPRODUCED),
        ([0.957, 0.9571], UNDECIDED),  # two seeds
        ([0.98, 0.98], UNDECIDED),
        ([0.95, 0.97, 0.96], UNDECIDED),  # too wide for the region
        ([0.96, 0.96, 0.96], REPRODUCED),
        ([0.96, np.nan, 0.96], NOT_REPRODUCED),  # a run diverged
    ],
)
def test_a_figure_in_whole_per_cents(values, expected):
    assert verdict([about("batch 1024", np.array(values), 0.96)]) == expected


def test_equal_values_are_on_the_border():
    assert verdict([above("", ONE, ONE)]) == UNDECIDED
    assert verdict([better("", ONE, ONE, by=-0.005)]) == REPRODUCED


def with_p(p, mean=1.0):
    """Return three values whose mean is above 0 at this p-value."""
    reach = stats.t.isf(p / 2, 2)
    return Comparison("", mean + mean / reach * np.sqrt(3) * np.array([-1.0, 0.0, 1.0]), low=0.0)


@pytest.mark.parametrize(
    ("p", "decided"),
    [
        ([0.049], [True]),
        ([0.051], [None]),
        ([0.024, 0.049], [True, True]),
        ([0.026, 0.026], [None, None]),
        ([0.049, 0.024, 0.016], [True, True, True]),
        ([0.049, 0.026, 0.016], [None, None, True]),
        ([0.001, 0.001, 0.017, 0.20], [True, True, True, None]),
    ],
)
def test_several_comparisons_are_corrected_for(p, decided):
    assert [with_p(value).p() for value in p] == pytest.approx(p)
    assert decide([with_p(value) for value in p]) == decided


def test_holms_correction_keeps_its_promise():
    rng, false = np.random.default_rng(1), 0
    for values in rng.normal(size=(1000, 4, 5)):  # all four means are at their borders
        false += any(held is not None for held in decide([Comparison("", row, low=0.0) for row in values]))
    assert false / 1000 < 0.06


def test_verdicts_of_parts():
    yes, no, open_ = with_p(0.001), with_p(0.001, -1.0), with_p(0.3)
    assert verdict([yes, yes]) == REPRODUCED
    assert verdict([yes, no]) == NOT_REPRODUCED
    assert verdict([yes, open_]) == UNDECIDED
    assert verdict([no, open_]) == NOT_REPRODUCED
    assert verdict([yes, Missing("a finer grid")]) == UNDECIDED
    assert verdict([no, Missing("a finer grid")]) == UNDECIDED
    assert verdict([Missing("all")]) == NOT_TESTED
    assert verdict([Definition(True)]) == BY_DEFINITION
    assert verdict([Definition(True), yes]) == REPRODUCED
    assert verdict([Definition(False), yes]) == NOT_REPRODUCED
    assert verdict([Fact("5 of 5", True, 5)]) == REPRODUCED
    assert verdict([Fact("4 of 5", False, 5)]) == NOT_REPRODUCED
    assert verdict([Fact("2 of 2", True, 2)]) == UNDECIDED
    assert verdict([Fact("counted", True)]) == REPRODUCED


def test_effects_as_text():
    parts = [better("64 − 256", ONE, OTHER), about("64", ONE, 0.98), above("loss", ONE, OTHER), Fact("all", True, 5)]
    row = claim("A3", "", "", parts, REPRODUCED)
    assert row["effect"].replace(NBSP, " ") == (
        "64 − 256: +0.62 points [+0.46, +0.78]; "
        "64: 97.94 % [97.78, 98.09], within the test set's noise of 0.28 from 98%; "
        "loss: 0.0062 [0.0046, 0.0078]; all"
    )
    assert str(Comparison("ratio", np.log([1.1, 1.2, 1.3]), unit="times")).replace(NBSP, " ") == (
        "ratio: 1.2 × [0.973, 1.47]"
    )
    assert "diverged with 1 of 2" in str(above("", np.array([1.0, np.nan]), np.zeros(2)))


def test_a_difference_below_the_noise_of_the_test_set_is_called_so():
    small = better("64 − faster", np.array([0.9802, 0.9804, 0.9803]), np.array([0.9788, 0.9787, 0.9789]))
    assert verdict([small]) == REPRODUCED
    assert "less than the test set's noise of 0.28" in str(small)
    assert small.noise == pytest.approx(1.96 * np.sqrt(0.9788 * 0.0212 / 10_000), rel=1e-3)
    assert "noise" not in str(better("", np.array([0.9802, 0.9804, 0.9803]), np.array([0.9748, 0.9747, 0.9749])))


def test_the_interval_of_a_ratio_of_deviations_holds_the_true_one_as_often_as_it_says():
    rng, held = np.random.default_rng(2), 0
    for one, other in zip(rng.normal(0, 3, size=(3000, 5)), rng.normal(0, 1, size=(3000, 5)), strict=True):
        ratio, low, high = deviation_ratio(one, other)
        held += low < 3 < high
        assert low < ratio < high
    assert abs(held / 3000 - 0.95) < 0.015
    assert deviation_ratio(ONE[:2], OTHER[:2])[1:] == (0.0, np.inf)
