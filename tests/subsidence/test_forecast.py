"""Forecast tables: public columns, units, years, twins, and that the future is never the past relabelled."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from tasks.contracts.errors import HandshakeError, IncompleteRunError
from tasks.subsidence.forecast import (
    collect,
    csv_bytes,
    file_stem,
    future_table,
    increments_m,
    integer_years,
    level_name,
    table,
)
from tests.subsidence.sample_run import TRAIN_END, H, forecasts, later_truth, predict, semantics, split

PUBLIC = ["sample_idx", "forecast_step", "coord_t", "subsidence_actual", "subsidence_q10", "subsidence_q50",
          "subsidence_q90", "coord_x", "coord_y", "subsidence_unit"]  # fmt: skip
CALIBRATION = ["calibration_factor", "is_calibrated"]
OURS = ["city", "model", "longitude", "latitude", "subsidence_increment_q50", "gwl_q10", "gwl_q50", "gwl_q90",
        "gwl_actual", "censored", "split", "origin_year"]  # fmt: skip


@pytest.fixture(scope="module")
def made():
    return forecasts(12)


def rows(columns) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_bytes(columns).decode())))


def numbers(columns, name: str) -> np.ndarray:
    return np.asarray([float(row[name]) for row in rows(columns)])


def test_eval_table_has_public_columns_first_and_one_row_per_window_and_step(made):
    columns = table(made[0], semantics(), model="M")
    assert [column.name for column in columns] == PUBLIC + OURS
    assert len(rows(columns)) == 12 * H
    assert [row["forecast_step"] for row in rows(columns)[:4]] == ["1", "2", "3", "1"]


def test_calibrated_twin_always_carries_factor_and_flag(made):
    columns = table(made[0], semantics(), model="M", factors=np.ones(H))
    assert [column.name for column in columns] == PUBLIC + CALIBRATION + OURS
    assert {row["is_calibrated"] for row in rows(columns)} == {"True"}
    assert {row["calibration_factor"] for row in rows(columns)} == {"1"}


def test_twins_differ_in_intervals_and_agree_in_the_median(made):
    evaluation, _, factors = made
    plain = table(evaluation, semantics(), model="M")
    calibrated = table(evaluation, semantics(), model="M", factors=factors.as_array())
    assert abs(factors.as_array() - 1).max() > 0.01
    assert np.array_equal(numbers(plain, "subsidence_q50"), numbers(calibrated, "subsidence_q50"))
    moved = np.abs(numbers(plain, "subsidence_q90") - numbers(calibrated, "subsidence_q90"))
    assert moved.max() > 0.01


def test_future_is_predicted_for_later_years_not_relabelled(made):
    evaluation, future, _ = made
    early, late = table(evaluation, semantics(), model="M"), future_table(future, semantics(), model="M")
    assert np.abs(numbers(early, "subsidence_q50") - numbers(late, "subsidence_q50")).max() > 0
    assert {row["coord_t"] for row in rows(late)} == {"2023", "2024", "2025"}
    assert {row["origin_year"] for row in rows(late)} == {str(TRAIN_END)}
    assert {row["origin_year"] for row in rows(early)} == {str(TRAIN_END - H)}


def test_evaluation_windows_cannot_become_a_future_table(made):
    with pytest.raises(
        HandshakeError, match=r"expected origin year 2022, found origin years \[2019\].*never relabelled"
    ):
        future_table(made[0], semantics(), model="M")


def test_years_are_integers_without_a_decimal_point(made):
    assert {row["coord_t"] for row in rows(table(made[0], semantics(), model="M"))} == {"2020", "2021", "2022"}


def test_a_time_that_is_no_year_is_refused():
    with pytest.raises(HandshakeError, match=r"test coords decoded times are not whole years.*found 2020.5000"):
        integer_years(np.array([[2020.0, 2020.5]]), "test")


def test_subsidence_is_in_millimetres_and_head_in_metres():
    sem, windows = semantics(), split("test", 4)
    windows = replace(windows, subsidence=np.full((4, H, 1), 0.25), head=np.full((4, H, 1), 3.5))
    columns = table(collect(windows, predict(windows), None, sem), sem, model="M")
    assert set(numbers(columns, "subsidence_actual")) == {250.0}
    assert set(numbers(columns, "gwl_actual")) == {3.5}
    assert {row["subsidence_unit"] for row in rows(columns)} == {"mm"}


def test_increments_start_at_the_last_observation(made):
    steps = increments_m(made[0], made[0].raw)
    last = made[0].split.dynamic[:, -1, 1]
    assert np.allclose(last + steps.sum(axis=1), made[0].raw.median()[:, -1])


def test_future_truth_appears_only_where_a_panel_holds_the_year(made):
    sem, windows = semantics(), split("future", 5)
    without = collect(windows, predict(windows), None, sem)
    assert "subsidence_actual" not in [column.name for column in future_table(without, sem, model="M")]
    with_truth = collect(windows, predict(windows), None, sem, truth=later_truth(windows, years=1))
    cells = [row["subsidence_actual"] for row in rows(future_table(with_truth, sem, model="M"))]
    assert all(cells[0::H]) and not any(cells[1::H]) and not any(cells[2::H])


def test_unknown_georeference_gives_stored_coordinates_under_their_own_name():
    sem = semantics(georeference="none", coord_min=None, public={"coord_min_t": 2015.0})
    windows = split("test", 3)
    columns = table(collect(windows, predict(windows), None, sem), sem, model="M")
    names = [column.name for column in columns]
    assert "coord_x" not in names and names[7:9] == ["coord_norm_x", "coord_norm_y"]
    assert np.allclose(numbers(columns, "coord_norm_x")[::H], windows.coords[:, 0, 1])
    assert {row["longitude"] for row in rows(columns)} == {""}


def test_every_level_has_a_column():
    levels = (0.025, 0.5, 0.975)
    windows = split("test", 3)
    columns = table(collect(windows, predict(windows, levels=levels), None, semantics()), semantics(), model="M")
    assert [c.name for c in columns if c.name.startswith("subsidence_q")] == [
        "subsidence_q2.5", "subsidence_q50", "subsidence_q97.5",
    ]  # fmt: skip
    assert level_name(0.29) == "q29"


def test_a_median_moved_by_calibration_is_refused(made):
    broken = replace(made[0], calibrated=replace(made[0].raw, subsidence=made[0].raw.subsidence + 0.001))
    with pytest.raises(IncompleteRunError, match=r"calibration moved the median.*max difference 0.001 m"):
        table(broken, semantics(), model="M", factors=np.ones(H))


def test_factors_without_a_calibrated_forecast_are_refused(made):
    with pytest.raises(IncompleteRunError, match="interval factors exist but calibrated forecasts do not"):
        table(replace(made[0], calibrated=None), semantics(), model="M", factors=np.ones(H))


def test_equal_inputs_give_equal_bytes():
    first, second = (csv_bytes(table(forecasts(6)[0], semantics(), model="M")) for _ in range(2))
    assert first == second


def test_coordinates_and_degrees_are_decoded(made):
    columns = table(made[0], semantics(), model="M")
    assert 721_000 <= numbers(columns, "coord_x").min() <= numbers(columns, "coord_x").max() <= 741_000
    assert 112.9 < numbers(columns, "longitude").min() < numbers(columns, "longitude").max() < 113.6


@pytest.mark.parametrize(
    "name, stem", [("../etc/x", "_etc_x"), (".hidden", "hidden"), ("中山", "中山"), ("a b/c", "a_b_c"), ("", "unnamed")]
)
def test_a_city_name_never_becomes_a_path(name, stem):
    assert file_stem(name) == stem
