"""The table a person reads in the terminal."""

from tasks.subsidence.scoring.score_table import score_rows

METRICS = {
    "test.mae_mm": 4.0, "test.coverage80": 0.8, "baselines.ridge.test.mae_mm": 12.34,
    "baselines.inverse_distance.test.mae_mm": 2.0, "baselines.ridge.future.mae_mm": 9.0,
}  # fmt: skip


def test_best_method_comes_first_and_interpolation_is_marked():
    (rows,) = score_rows(METRICS).values()
    assert [row["method"] for row in rows] == ["inverse distance (not a forecast)", "this model", "ridge"]
    assert rows[2]["MAE mm"] == "12.3"
    assert rows[2]["coverage"] == "-"


def test_split_that_the_model_was_not_scored_on_has_no_table():
    assert len(score_rows(METRICS)) == 1
