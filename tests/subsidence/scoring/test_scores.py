"""Scores as pure functions, against closed forms and an independent library."""

import numpy as np
import pytest
import scoringrules as sr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from tasks.subsidence.scoring.scores import (
    crps,
    crps_weights,
    find_level,
    inside,
    interval_levels,
    interval_score,
    pinball,
)

NINETY_NINE = tuple(np.arange(1, 100) / 100)


def test_crps_of_ninety_nine_gaussian_levels_is_within_one_percent_of_the_closed_form():
    rng = np.random.default_rng(0)
    mean, spread = rng.normal(0, 1, 200), rng.uniform(0.5, 2.0, 200)
    truth = rng.normal(mean, spread)
    values = norm.ppf(NINETY_NINE, mean[:, None], spread[:, None])
    exact = sr.crps_normal(truth, mean, spread)
    assert crps(values, truth, NINETY_NINE).mean() == pytest.approx(exact.mean(), rel=0.01)
    assert np.abs(crps(values, truth, NINETY_NINE) / exact - 1).max() < 0.03


def test_weights_are_a_trapezoid_with_flat_ends():
    assert crps_weights((0.1, 0.5, 0.9)) == pytest.approx([0.3, 0.4, 0.3])
    assert crps_weights((0.5,)) == pytest.approx([1.0])
    assert crps_weights((0.05, 0.1, 0.5)).sum() == pytest.approx(1.0)


def test_crps_of_a_point_forecast_is_its_absolute_error():
    assert crps(np.array([[3.0], [5.0]]), np.array([4.0, 4.5]), (0.5,)) == pytest.approx([1.0, 0.5])


def test_crps_of_three_levels_by_hand():
    # truth 0, quantiles -1, 1, 2: losses 0.1 * 1, 0.5 * 1, 0.1 * 2
    value = crps(np.array([-1.0, 1.0, 2.0]), np.array(0.0), (0.1, 0.5, 0.9))
    assert value == pytest.approx(2 * (0.3 * 0.1 + 0.4 * 0.5 + 0.3 * 0.2))


@settings(max_examples=50, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.sampled_from([0.05, 0.1, 0.5, 0.9]))
def test_pinball_is_the_librarys_quantile_score(value, truth, level):
    own = pinball(np.array([[value]]), np.array([truth]), (level,))[0, 0]
    assert own == pytest.approx(float(sr.quantile_score(truth, value, level)), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.floats(-3, 3), st.floats(0, 3), st.floats(-6, 6), st.sampled_from([0.1, 0.2, 0.5]))
def test_interval_score_is_the_librarys(low, width, truth, alpha):
    own = interval_score(np.array(low), np.array(low + width), np.array(truth), alpha)
    assert float(own) == pytest.approx(float(sr.interval_score(truth, low, low + width, alpha)), abs=1e-9)


def test_the_edges_of_an_interval_belong_to_it():
    assert inside(np.array([0.0, 0.0]), np.array([1.0, 1.0]), np.array([0.0, 1.0])).all()


def test_levels_are_found_in_spite_of_rounding():
    assert find_level((0.1, 0.5, 1 - 0.1), 0.9) == 2
    assert interval_levels((0.1, 0.5, 0.9), 0.2) == (0, 2)
    assert interval_levels((0.05, 0.5, 0.95), 0.2) is None
