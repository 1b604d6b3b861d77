"""What a temporal hold-out measures depends on how many years lie between training and test."""

import pytest

from tasks.subsidence.scoring.protocol import protocol


def temporal(train: int, *, val: int = 2022, test: int = 2022, horizon: int = 3) -> dict:
    ends = {"train": train, "val": val, "test": test}
    return protocol("temporal", split="test", horizon=horizon, window_end_years=ends)


def test_a_shift_of_the_whole_horizon_is_a_forecast():
    assert temporal(2019)["measures"] == "forecast"


def test_a_smaller_shift_shares_years_with_training():
    found = temporal(2021)
    assert found["measures"] == "partly forecast"
    assert "Only the last 1 of 3 test years follow the training years, 2 are shared" in found["sentence"]


def test_validation_windows_of_the_test_years_are_told_and_earlier_ones_are_not():
    assert "interval factors use observations of the test years" in temporal(2019)["sentence"]
    assert "interval factors" not in temporal(2019, val=2019)["sentence"]


def test_a_temporal_hold_out_that_is_not_later_is_no_forecast():
    assert temporal(2022)["measures"] == "spatial interpolation"


@pytest.mark.parametrize("given", [{}, {"window_end_years": {"train": "x", "test": True}}, {"window_end_years": 3}])
def test_an_unrecorded_shift_is_not_called_a_forecast(given):
    assert protocol("temporal", split="test", horizon=3, **given)["measures"] == "unknown"


def test_the_shift_alone_is_enough():
    assert protocol("temporal", split="test", horizon=3, temporal_shift=3)["measures"] == "forecast"
    assert protocol("temporal", split="test", horizon=3, temporal_shift=2)["measures"] == "partly forecast"


def test_years_are_mapped_with_and_without_neighbours():
    assert all(protocol("random", split="test", neighbour_context=k)["year_map"] is True for k in (0, 4))
