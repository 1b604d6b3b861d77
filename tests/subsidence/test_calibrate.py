"""Interval factors: where they come from, what they do, and what they must not see."""

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.contracts.errors import CalibrationError, ConfigError
from tasks.subsidence import calibrate
from tasks.subsidence.arrays import Prediction
from tasks.subsidence.calibrate import Factors, apply, apply_counted, fit, split_validation, stats
from tasks.subsidence.handoff.groups import groups_sha256, location_keys, take
from tests.subsidence.scored import LEVELS, toy_heads, windows

FIVE_LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95)
KEYS = {"groups_sha256": "0" * 64, "shared": False}


def truth_of(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.1, 0.03, (n, 3))


# --- the cut of validation ---------------------------------------------------------------------------------------


def test_validation_is_cut_in_half_without_parting_a_place():
    val = windows("val", 401)
    select, calib, shared = split_validation(val)
    keys = location_keys(val)
    assert not shared
    assert (select.size, calib.size) == (201, 200)
    assert sorted([*select, *calib]) == list(range(401))
    assert not set(keys[select]) & set(keys[calib])


def test_rows_of_one_place_stay_together():
    val = windows("val", 120)
    twice = take(val, np.repeat(np.arange(120), 2))
    select, calib, _ = split_validation(twice)
    assert not set(select // 2) & set(calib // 2)


def test_the_cut_follows_the_places_and_not_the_rows():
    val = windows("val", 200)
    order = np.random.default_rng(1).permutation(200)
    _, calib, _ = split_validation(val)
    _, calib_shuffled, _ = split_validation(take(val, order))
    assert set(order[calib_shuffled]) == set(calib)
    assert groups_sha256(val, calib) == groups_sha256(take(val, order), calib_shuffled)


def test_a_small_validation_split_is_shared_and_says_so():
    select, calib, shared = split_validation(windows("val", 99))
    assert shared
    assert np.array_equal(select, np.arange(99)) and np.array_equal(calib, select)


# --- the factor -----------------------------------------------------------------------------------------------------


def test_scaled_factor_is_the_kth_smallest_score():
    truth = np.arange(1.0, 10.0)[:, None] * 0.001  # residuals 1..9 mm around a median of 0
    flat = np.tile([-0.002, 0.0, 0.004], (9, 1, 1))
    factors = fit(Prediction(LEVELS, flat, flat), truth)
    assert (factors.n, factors.k) == (9, 8)
    assert factors.subsidence[0] == pytest.approx(8 / 4)  # eighth residual over the upper half-width
    low = fit(Prediction(LEVELS, flat, flat), -truth)
    assert low.subsidence[0] == pytest.approx(8 / 2)


def test_additive_factor_is_a_shift_that_may_be_negative():
    truth = np.arange(1.0, 10.0)[:, None] * 0.001
    wide = np.tile([-0.02, 0.0, 0.02], (9, 1, 1))
    factors = fit(Prediction(LEVELS, wide, wide), truth, method="additive")
    assert factors.subsidence[0] == pytest.approx(0.008 - 0.020)


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 60), st.integers(0, 10_000), st.sampled_from(["scaled", "additive"]))
def test_at_least_k_calibration_rows_are_covered(n, seed, method):
    truth = truth_of(n, seed)
    raw = toy_heads(truth, half_width_m=0.01, noise_m=0.02, seed=seed)
    factors = fit(raw, truth, method=method)
    low, _, high = np.moveaxis(apply(raw, factors).subsidence, -1, 0)
    covered = ((low <= truth + 1e-12) & (truth <= high + 1e-12)).sum(axis=0)
    assert (covered >= factors.k).all()


# --- independent checks ------------------------------------------------------------------------------------------


class Column:
    """A fitted regressor that returns one column of X."""

    is_fitted = True  # what MAPIE takes as the mark of a fitted model

    def __init__(self, index: int):
        self.index = index

    def fit(self, X, y=None):  # MAPIE asks for it and must not call it
        raise AssertionError("prefit models are not fitted")

    def predict(self, X):
        return np.asarray(X)[:, self.index]


def regressor(index: int):
    from sklearn.base import BaseEstimator, RegressorMixin

    class Fitted(Column, RegressorMixin, BaseEstimator):
        pass

    return Fitted(index)


@pytest.mark.parametrize("n", [13, 50, 200])
def test_scaled_interval_of_unit_heads_is_mapies_absolute_conformal_interval(n):
    from mapie.regression import SplitConformalRegressor

    rng = np.random.default_rng(n)
    median, truth = rng.normal(size=n), rng.normal(size=n)
    other = SplitConformalRegressor(regressor(0), confidence_level=0.8, prefit=True)
    other.conformalize(median[:, None], truth)
    _, interval = other.predict_interval(np.zeros((1, 1)))
    heads = (median[:, None] + np.array([-1.0, 0.0, 1.0]))[:, None, :]
    factors = fit(Prediction(LEVELS, heads, heads), truth[:, None])
    assert factors.subsidence[0] == pytest.approx(float(interval[0, 1, 0]), rel=1e-6)


@pytest.mark.parametrize("n", [13, 50, 200])
def test_additive_interval_is_mapies_conformalized_quantile_interval(n):
    from mapie.regression import ConformalizedQuantileRegressor

    rng = np.random.default_rng(n)
    median, truth = rng.normal(size=n), rng.normal(size=n)
    heads = median[:, None] + np.array([-0.7, 0.0, 0.4])
    models = [regressor(0), regressor(2), regressor(1)]  # lower, upper, median
    other = ConformalizedQuantileRegressor(models, confidence_level=0.8, prefit=True)
    other.conformalize(heads, truth)
    _, interval = other.predict_interval(heads[:1], symmetric_correction=True)
    raw = Prediction(LEVELS, heads[:, None], heads[:, None])
    calibrated = apply(raw, fit(raw, truth[:, None], method="additive"))
    assert calibrated.subsidence[0, 0, 0] == pytest.approx(float(interval[0, 0, 0]), abs=1e-6)
    assert calibrated.subsidence[0, 0, 2] == pytest.approx(float(interval[0, 1, 0]), abs=1e-6)


# --- what factors do ---------------------------------------------------------------------------------------------


def test_over_wide_heads_give_factors_below_one():
    truth = truth_of(200)
    raw = toy_heads(truth, half_width_m=0.1, noise_m=0.005)
    factors = fit(raw, truth)
    assert max(factors.subsidence) < 0.2
    before, after = (p.subsidence[..., 2] - p.subsidence[..., 0] for p in (raw, apply(raw, factors)))
    assert (after < 0.2 * before).all()


def test_too_narrow_heads_are_widened_without_a_cap():
    truth = truth_of(200)
    raw = toy_heads(truth, half_width_m=0.0005, noise_m=0.02)
    assert min(fit(raw, truth).subsidence) > 20


@pytest.mark.parametrize("method", ["scaled", "additive"])
def test_calibrated_differs_from_raw_in_its_intervals_only(method):
    truth = truth_of(150)
    raw = toy_heads(truth, half_width_m=0.03, noise_m=0.01)
    untouched = raw.subsidence.copy()
    calibrated = apply(raw, fit(raw, truth, truth, method=method))
    assert np.array_equal(raw.subsidence, untouched)
    assert np.array_equal(calibrated.median(), raw.median())
    assert np.array_equal(calibrated.head[..., 1], raw.head[..., 1])
    assert (calibrated.subsidence[..., [0, 2]] != raw.subsidence[..., [0, 2]]).all()


def test_every_level_is_scaled_by_the_same_factor_and_none_is_dropped():
    truth = truth_of(100)
    half = 0.01 * np.array([-1.5, -1.0, 0.0, 1.0, 1.7])
    values = truth[:, :, None] * 0 + 0.1 + half
    calibrated = apply(Prediction(FIVE_LEVELS, values, values), fit(Prediction(FIVE_LEVELS, values, values), truth))
    factor = (calibrated.subsidence - 0.1)[..., [0, 1, 3, 4]] / half[[0, 1, 3, 4]]
    assert calibrated.levels == FIVE_LEVELS
    assert np.allclose(factor, factor[:1, :, :1])


def test_head_gets_its_own_factors():
    truth = truth_of(100)
    raw = toy_heads(truth, half_width_m=0.01, noise_m=0.01)
    factors = fit(raw, truth, head=truth * 3)
    assert min(factors.head) > 2 * max(factors.subsidence)
    without = fit(raw, truth)
    assert without.head is None
    assert np.array_equal(apply(raw, without).head, raw.head)


def test_factors_are_float32_numbers_so_that_both_files_agree():
    truth = truth_of(100)
    factors = fit(toy_heads(truth, half_width_m=0.01, noise_m=0.01), truth)
    assert factors.as_array().dtype == np.float32
    assert factors.as_array().astype(float).tolist() == list(factors.subsidence)


levels_and_values = arrays(float, (6, 2, 5), elements=st.floats(-1, 1, width=32))


@settings(max_examples=80, deadline=None)
@given(levels_and_values, arrays(float, (6, 2), elements=st.floats(-1, 1, width=32)), st.booleans())
def test_calibrated_levels_are_always_in_order(values, truth, scaled):
    ordered = np.sort(values, axis=-1)
    raw = Prediction(FIVE_LEVELS, ordered, ordered)
    calibrated, repaired = apply_counted(raw, fit(raw, truth, method="scaled" if scaled else "additive"))
    assert (np.diff(calibrated.subsidence, axis=-1) >= 0).all()
    assert np.array_equal(calibrated.median(), raw.median())
    assert repaired == 0 or not scaled


def test_repair_counts_the_cells_it_moves():
    values, moved = calibrate.repair(np.array([[0.3, 0.2, 0.5, 0.4, 0.6], [0.1, 0.2, 0.3, 0.4, 0.5]]), 2)
    assert values.tolist() == [[0.2, 0.2, 0.5, 0.5, 0.6], [0.1, 0.2, 0.3, 0.4, 0.5]]
    assert moved == 2


# --- what is refused ---------------------------------------------------------------------------------------------


def test_isotonic_is_refused_by_name():
    truth = truth_of(10)
    with pytest.raises(ConfigError, match=r"'isotonic' is not in this version: expected scaled \| additive \| none"):
        fit(toy_heads(truth, half_width_m=1, noise_m=1), truth, method="isotonic")
    with pytest.raises(ConfigError, match="unknown calibration method"):
        fit(toy_heads(truth, half_width_m=1, noise_m=1), truth, method="platt")


def test_an_interval_that_was_not_forecast_is_refused():
    truth = truth_of(50)
    raw = replace(toy_heads(truth, half_width_m=1, noise_m=1), levels=(0.05, 0.5, 0.95))
    with pytest.raises(CalibrationError, match=r"expected levels 0.1 and 0.9, found \[0.05, 0.5, 0.95\]"):
        fit(raw, truth)


def test_a_gap_in_the_truth_is_refused():
    truth = truth_of(50)
    raw = toy_heads(truth, half_width_m=1, noise_m=1)
    truth[3, 1] = np.nan
    with pytest.raises(CalibrationError, match=r"subsidence truth is not finite: .* found 1 gaps"):
        fit(raw, truth)
    with pytest.raises(CalibrationError, match=r"expected \(50, 3\), found \(49, 3\)"):
        fit(raw, truth[:49])


def test_point_forecasts_and_method_none_are_left_alone():
    truth = truth_of(10)
    point = Prediction((0.5,), truth[:, :, None], truth[:, :, None])
    factors = fit(point, truth)
    assert (factors.method, factors.skipped) == ("none", "point forecasts have no interval")
    assert apply(point, factors).subsidence is point.subsidence
    off = fit(toy_heads(truth, half_width_m=1, noise_m=1), truth, method="none")
    assert off.as_array() is None and off.skipped == "calibration switched off"


# --- what must stay unreachable ----------------------------------------------------------------------------------


def test_factors_depend_on_calibration_rows_and_on_nothing_else():
    val, test = windows("val", 200), windows("test", 80, seed=1)
    rng = np.random.default_rng(0)

    def factors(val, test):
        select, calib, _ = split_validation(val)
        raw = toy_heads(val.subsidence[:, :, 0].astype(float) * 0 + 0.15, half_width_m=0.02, noise_m=0.01)
        rows = Prediction(LEVELS, raw.subsidence[calib], raw.head[calib])
        fitted = fit(rows, val.subsidence[calib])
        held_out = toy_heads(test.subsidence[:, :, 0].astype(float), half_width_m=0.02, noise_m=0.01)
        apply(held_out, fitted)
        return fitted, select, calib

    clean, select, calib = factors(val, test)
    noisy_test = replace(test, subsidence=rng.normal(size=test.subsidence.shape))
    assert factors(val, noisy_test)[0] == clean
    noisy = val.subsidence.copy()
    noisy[select] = rng.normal(size=noisy[select].shape)
    assert factors(replace(val, subsidence=noisy), test)[0] == clean
    noisy[calib] = rng.normal(size=noisy[calib].shape)
    assert factors(replace(val, subsidence=noisy), test)[0] != clean
    assert list(inspect.signature(fit).parameters) == ["pred", "subsidence", "head", "alpha", "method"]


# --- the stats file ----------------------------------------------------------------------------------------------


def test_stats_carry_the_public_keys_and_what_the_factors_changed():
    truth = truth_of(300)
    raw = toy_heads(truth, half_width_m=0.05, noise_m=0.01)
    calib = Prediction(LEVELS, raw.subsidence[:100], raw.head[:100])
    factors = fit(calib, truth[:100], truth[:100])
    held_out = Prediction(LEVELS, raw.subsidence[100:], raw.head[100:])
    found = stats(held_out, truth[100:], factors, head=truth[100:], groups_sha256="ab", shared=True)
    assert found["target"] == 0.8 and found["interval"] == [0.1, 0.9] and found["tol"] == 0.02
    assert found["overall_key"] == "__overall__" and found["factors_source"] == "validation"
    assert found["factors"] == {"1": factors.subsidence[0], "2": factors.subsidence[1], "3": factors.subsidence[2]}
    assert (found["skipped"], found["reason"]) == (False, None)
    assert (found["method"], found["n"], found["k"], found["alpha"]) == ("scaled", 100, 81, 0.2)
    assert found["eval_before"]["sharpness"] == pytest.approx(100.0)  # mm
    assert found["eval_before"]["coverage"] > 0.99
    assert found["eval_after"]["coverage"] == pytest.approx(0.8, abs=0.1)
    assert set(found["eval_after"]["per_horizon"]) == {"1", "2", "3"}
    assert (found["groups_sha256"], found["shared_with_selection"], found["repaired_cells"]) == ("ab", True, 0)
    assert found["head"]["factors"].keys() == found["factors"].keys()
    assert found["coverage_band"]["warning"] is None
    assert found["coverage_standard_error"] == pytest.approx(np.sqrt(0.16 / 200 * (1 + 199 / 102)), rel=0.02)
    json.dumps(found, allow_nan=False)


def test_a_test_coverage_outside_the_band_is_warned_of_and_changes_no_factor():
    truth = truth_of(400)
    raw = toy_heads(truth, half_width_m=0.02, noise_m=0.01)
    factors = fit(Prediction(LEVELS, raw.subsidence[:200], raw.head[:200]), truth[:200])
    shifted = truth[200:] + np.array([0.0, 0.02, 0.0])
    found = stats(Prediction(LEVELS, raw.subsidence[200:], raw.head[200:]), shifted, factors, **KEYS)
    assert found["coverage_band"]["outside"] == ["2"]
    assert "step 2: coverage" in found["coverage_band"]["warning"]
    assert "the factors stay as they are" in found["coverage_band"]["warning"]
    assert found["factors"]["2"] == factors.subsidence[1]


def test_rows_that_made_the_factors_are_not_judged_by_the_band():
    truth = truth_of(100)
    raw = toy_heads(truth, half_width_m=0.02, noise_m=0.01)
    found = stats(raw, truth, fit(raw, truth), **KEYS, calibration_rows=True)
    assert found["coverage_band"] is None
    assert min(step["coverage"] for step in found["eval_after"]["per_horizon"].values()) >= 0.81
    nominal = [point["nominal"] for point in found["isotonic_map"]]
    mapped = [point["calibrated"] for point in found["isotonic_map"]]
    assert nominal == [0.0, 0.1, 0.5, 0.9, 1.0]
    assert mapped == sorted(mapped) and (mapped[0], mapped[-1]) == (0.0, 1.0)


def test_stats_of_skipped_calibration_say_why():
    truth = truth_of(20)
    raw = toy_heads(truth, half_width_m=0.02, noise_m=0.01)
    found = stats(raw, truth, fit(raw, truth, method="none"), **KEYS)
    assert (found["skipped"], found["reason"], found["factors"]) == (True, "calibration switched off", {})
    assert found["eval_before"] == found["eval_after"]


def test_factors_survive_json():
    truth = truth_of(50)
    factors = fit(toy_heads(truth, half_width_m=0.02, noise_m=0.01), truth, truth)
    assert Factors.model_validate_json(json.dumps(factors.model_dump(mode="json"), sort_keys=True)) == factors


def test_unknown_truth_is_left_out_of_the_stats():
    truth = truth_of(200)
    raw = toy_heads(truth, half_width_m=0.02, noise_m=0.01)
    factors = fit(raw, truth)
    known = truth.copy()
    known[:, 1:] = np.nan
    found = stats(raw, known, factors, **KEYS)
    assert found["eval_after"]["per_horizon"]["2"] == {"coverage": None, "sharpness": None}
    assert list(found["coverage_band"]["per_horizon"]) == ["1"]
    assert found["pit"]["n"] == 200
    json.dumps(found, allow_nan=False)
