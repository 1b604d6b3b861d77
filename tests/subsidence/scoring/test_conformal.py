"""The rank rule of split conformal intervals, and the spread of coverage it leaves."""

import numpy as np
import pytest

from tasks.contracts.errors import CalibrationError
from tasks.subsidence.arrays import Prediction
from tasks.subsidence.calibrate import apply, fit
from tasks.subsidence.scoring.conformal import coverage_band, coverage_standard_error, quantile, rank, rows_needed
from tests.subsidence.scored import LEVELS


@pytest.mark.parametrize(("n", "alpha", "k"), [(4, 0.2, 4), (9, 0.2, 8), (200, 0.2, 161), (19, 0.1, 18), (9, 0.1, 9)])
def test_rank_is_the_rounded_up_share_of_n_plus_one(n, alpha, k):
    assert rank(n, alpha) == k


def test_rounding_noise_in_alpha_does_not_move_the_rank():
    assert rank(4, 1.0 - (0.9 - 0.1)) == 4


@pytest.mark.parametrize(("alpha", "needed"), [(0.2, 4), (0.1, 9), (0.02, 49)])
def test_too_few_rows_are_an_error_that_names_the_number_needed(alpha, needed):
    assert rows_needed(alpha) == needed
    assert rank(needed, alpha) == needed
    with pytest.raises(CalibrationError, match=f"expected n >= {needed}, found n = {needed - 1}"):
        rank(needed - 1, alpha)


def test_quantile_is_the_kth_smallest_score_of_each_column():
    scores = np.column_stack([np.arange(9.0)[::-1], 10 * np.arange(9.0)])
    assert quantile(scores, 0.2).tolist() == [7.0, 70.0]


def test_band_and_standard_error_agree_with_resplits_of_one_population():
    rng = np.random.default_rng(5)
    n_calib, n_test, alpha, repeats = 200, 201, 0.2, 400
    coverage = np.empty(repeats)
    for i in range(repeats):
        truth = rng.normal(size=(n_calib + n_test, 1))
        heads = np.tile([-0.3, 0.0, 0.3], (n_calib + n_test, 1, 1))
        raw = Prediction(LEVELS, heads, heads)
        factors = fit(Prediction(LEVELS, heads[:n_calib], heads[:n_calib]), truth[:n_calib], alpha=alpha)
        low, _, high = np.moveaxis(apply(raw, factors).subsidence[n_calib:], -1, 0)
        coverage[i] = ((low <= truth[n_calib:]) & (truth[n_calib:] <= high)).mean()
    low, high = coverage_band(n_calib, n_test, alpha)
    assert np.mean((coverage < low) | (coverage > high)) <= 0.03  # 1 % expected
    assert coverage.mean() == pytest.approx(161 / 201, abs=0.008)
    assert coverage.std() == pytest.approx(coverage_standard_error(n_calib, n_test, alpha), rel=0.12)


def test_standard_error_of_two_hundred_rows_is_four_percent():
    assert coverage_standard_error(200, 201, 0.2) == pytest.approx(0.040, abs=5e-4)
    low, high = coverage_band(200, 201, 0.2)
    assert (low, high) == pytest.approx((0.69, 0.90), abs=0.01)
