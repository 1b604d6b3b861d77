"""Scalers, categories and fills, on numbers small enough to check by eye."""

import numpy as np

from tasks.subsidence.stage1.encode import fill_gaps, fit_categories, fit_minmax, hold_last, one_hot

NAN = np.nan


def test_minmax_maps_train_to_the_unit_interval():
    scaler = fit_minmax({"rain": np.array([[10.0, 30.0], [NAN, 20.0]])})
    np.testing.assert_allclose(scaler.encode(np.array([10.0, 25.0, 50.0]), "rain"), [0.0, 0.75, 2.0])
    assert scaler.as_json() == {"kind": "minmax", "feature_names": ["rain"], "min": [10.0], "scale": [20.0]}


def test_constant_column_is_stored_as_zero():
    assert fit_minmax({"flat": np.full(3, 7.0)}).encode(np.array(7.0), "flat") == 0.0


def test_unknown_and_missing_categories_are_zero_rows():
    categories = fit_categories(np.array(["Sand", "Clay", "", "Sand"], dtype=object))
    columns, unknown = one_hot(np.array(["Clay", "Peat", ""], dtype=object), categories)
    assert categories == ("Clay", "Sand") and unknown == ["", "Peat"]
    np.testing.assert_array_equal(columns, [[1, 0], [0, 0], [0, 0]])


def test_gap_takes_the_train_median_of_its_year():
    values = np.array([[1.0, 10.0], [3.0, 20.0], [NAN, 99.0]])
    filled, count = fill_gaps(values, np.array([0, 1]))
    np.testing.assert_array_equal(filled, [[1, 10], [3, 20], [2, 99]])
    assert count == 1


def test_year_without_train_values_takes_the_overall_median():
    filled, count = fill_gaps(np.array([[1.0, NAN], [5.0, NAN]]), np.array([0, 1]))
    np.testing.assert_array_equal(filled[:, 1], [3, 3])
    assert count == 2


def test_only_gaps_after_the_last_year_are_held():
    values, held = hold_last(np.array([[1.0, 2.0, NAN, 4.0], [1.0, 2.0, 3.0, NAN]]), last=1)
    np.testing.assert_array_equal(values, [[1, 2, 2, 4], [1, 2, 3, 3]])
    np.testing.assert_array_equal(held, [[False, False, True, False], [False, False, False, True]])
