"""Scores of a split: subsets, bands, names and units."""

import json

import numpy as np
import pytest

from tasks.contracts.errors import BenchmarkContractError
from tasks.subsidence.arrays import Prediction
from tasks.subsidence.handoff.strata import Strata, strata
from tasks.subsidence.metrics import flat, resampled, score
from tasks.subsidence.scoring.skill import Reference, references, skill
from tests.subsidence.scored import LEVELS, semantics, toy_heads, windows

TRUTH = np.array([[0.010, 0.020], [0.030, 0.060]])
MEDIAN = np.array([[0.012, 0.020], [0.030, 0.050]])
LAST = np.array([0.0, 0.02])


def labels(n: int, steps: int) -> Strata:
    years = np.tile(2020 + np.arange(steps), (n, 1))
    classes = {"lithology": np.array(["Clay", "Sand"] * n, dtype=object)[:n]}
    return Strata(np.arange(n), years, classes, np.arange(n) % 2 == 1)


def forecast(median: np.ndarray, half_width: float = 0.005) -> Prediction:
    values = median[:, :, None] + half_width * np.array([-1.0, 0.0, 1.0])
    return Prediction(LEVELS, values, values * 0 + 1.0)


def scored(truth=TRUTH, **options) -> dict:
    return score(forecast(MEDIAN), truth, labels(2, 2), last=LAST, draws=options.pop("draws", 0), **options)


def test_overall_scores_by_hand():
    overall = scored()["overall"]
    assert overall["mae_mm"] == pytest.approx((2 + 0 + 0 + 10) / 4)
    assert overall["rmse_mm"] == pytest.approx(np.sqrt((4 + 100) / 4))
    assert overall["bias_mm"] == pytest.approx((2 - 10) / 4)
    assert overall["coverage80"] == pytest.approx(3 / 4)
    assert overall["width80_mm"] == pytest.approx(10.0)
    assert overall["interval_score80_mm"] == pytest.approx(10 + 10 * 5 / 4)
    spread = ((TRUTH - TRUTH.mean()) ** 2).sum()
    assert overall["r2"] == pytest.approx(1 - (0.002**2 + 0.01**2) / spread)
    assert overall["pinball_by_level_mm"]["0.5"] == pytest.approx(overall["mae_mm"] / 2)
    assert overall["pinball_mm"] == pytest.approx(np.mean(list(overall["pinball_by_level_mm"].values())))


def test_increments_start_at_the_last_observation():
    overall = scored()["overall"]
    # true 10, 10 | 10, 30; forecast 12, 8 | 10, 20
    assert overall["increment_mae_mm"] == pytest.approx((2 + 2 + 0 + 10) / 4)
    assert overall["increment_bias_mm"] == pytest.approx((2 - 2 + 0 - 10) / 4)
    assert overall["increment_r2"] == pytest.approx(1 - 108 / 300)


def test_r2_is_scikit_learns():
    from sklearn.metrics import r2_score

    truth = np.random.default_rng(0).normal(0.1, 0.001, (40, 3))
    pred = toy_heads(truth, half_width_m=0.01, noise_m=0.001)
    found = score(pred, truth, labels(40, 3), last=truth[:, 0], draws=0)["overall"]["r2"]
    assert found == pytest.approx(r2_score(truth.ravel(), pred.median().ravel()), abs=1e-9)


def test_every_subset_counts_its_own_cells():
    found = scored()
    assert found["per_horizon"]["1"]["mae_mm"] == pytest.approx(1.0)
    assert found["per_horizon"]["2"]["mae_mm"] == pytest.approx(5.0)
    assert found["per_year"]["2021"] == found["per_horizon"]["2"]
    assert found["per_class"]["lithology"]["Clay"]["mae_mm"] == pytest.approx(1.0)
    assert found["per_class"]["lithology"]["Sand"]["mae_mm"] == pytest.approx(5.0)
    assert found["censored"] == found["per_class"]["lithology"]["Sand"]
    assert found["uncensored"] == found["per_class"]["lithology"]["Clay"]
    assert (found["rows"], found["places"]) == (4, 2)


def test_unknown_truth_is_left_out_and_an_empty_subset_is_null():
    truth = np.array([[0.010, np.nan], [0.030, np.nan]])
    found = scored(truth)
    assert found["rows"] == 2
    assert found["overall"]["mae_mm"] == pytest.approx(1.0)
    assert found["per_horizon"]["2"]["mae_mm"] is None
    assert found["per_horizon"]["2"]["pinball_by_level_mm"] == {"0.1": None, "0.5": None, "0.9": None}
    json.dumps(found, allow_nan=False)


def test_r2_of_a_constant_truth_is_null():
    assert scored(np.full((2, 2), 0.123))["overall"]["r2"] is None


def test_head_is_scored_in_metres_without_increments():
    found = scored(head=np.array([[1.5, 1.0], [1.0, 0.0]]))
    assert found["head"]["overall"]["mae_m"] == pytest.approx((0.5 + 1.0) / 4)
    assert not [name for name in found["head"]["overall"] if name.startswith("increment")]


def test_flat_names_carry_split_and_unit():
    named = flat(scored(head=np.ones((2, 2))), "baselines.ridge.test")
    assert named["baselines.ridge.test.mae_mm"] == pytest.approx(3.0)
    assert named["baselines.ridge.test.head_mae_m"] == pytest.approx(0.0)
    wanted = {"mae_mm", "rmse_mm", "r2", "coverage80", "width80_mm", "crps_mm", "pinball_mm", "head_mae_m"}
    assert {f"baselines.ridge.test.{name}" for name in wanted} <= set(named)
    assert all(value is None or isinstance(value, float) for value in named.values())


def test_point_forecasts_have_no_interval_scores_and_a_crps_that_is_their_mae():
    point = Prediction((0.5,), MEDIAN[:, :, None], MEDIAN[:, :, None])
    overall = score(point, TRUTH, labels(2, 2), last=LAST, draws=0)["overall"]
    assert not [name for name in overall if "80" in name]
    assert overall["crps_mm"] == overall["mae_mm"]


def test_a_forecast_that_is_not_finite_is_refused():
    broken = MEDIAN.copy()
    broken[0, 0] = np.nan
    with pytest.raises(BenchmarkContractError, match="not finite: expected no gap, found 3 gaps"):
        score(forecast(broken), TRUTH, labels(2, 2), last=LAST)


def test_bands_hold_the_score_and_narrow_with_more_places():
    widths = []
    for n in (50, 800):
        truth = np.random.default_rng(n).normal(0.1, 0.03, (n, 2))
        pred = toy_heads(truth, half_width_m=0.01, noise_m=0.01)
        found = score(pred, truth, labels(n, 2), last=truth[:, 0], draws=200)
        low, high = found["band95"]["overall"]["mae_mm"]
        assert low < found["overall"]["mae_mm"] < high
        low, high = found["band95"]["per_horizon"]["2"]["coverage80"]
        assert low < found["per_horizon"]["2"]["coverage80"] < high
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.3)


def test_places_are_drawn_whole():
    values = np.random.default_rng(0).normal(size=(30, 2, 3))
    once = resampled(values, np.arange(30), 50, seed=1)
    twice = resampled(np.repeat(values, 2, axis=0), np.repeat(np.arange(30), 2), 50, seed=1)
    assert np.allclose(twice, 2 * once)


def test_bootstrap_is_drawn_from_its_seed():
    values = np.random.default_rng(0).normal(size=(30, 2, 3))
    assert np.array_equal(resampled(values, np.arange(30), 40, 1), resampled(values, np.arange(30), 40, 1))
    assert not np.array_equal(resampled(values, np.arange(30), 40, 1), resampled(values, np.arange(30), 40, 2))


def test_strata_come_from_coordinates_classes_and_the_censor_flag():
    split, sem = windows("test", 40), semantics()
    found = strata(split, sem)
    assert np.unique(found.years).tolist() == [2020, 2021, 2022]
    assert set(found.classes["lithology"]) == {"Clay", "Sand"}
    assert np.array_equal(found.classes["lithology"] == "Clay", split.static[:, 0] > 0)
    assert np.array_equal(found.censored, split.thickness[:, 0, 0] >= 30)
    split.static[0, :2] = 0.0
    assert strata(split, sem).classes["lithology"][0] == "unseen"
    unflagged = semantics(dynamic_names=("depth_m", "subsidence_cum_m", "other"))
    assert np.array_equal(strata(split, unflagged).censored, found.censored)
    assert strata(split, semantics(dynamic_names=("a", "b", "c"), thickness_cap_m=None)).censored is None


def test_scores_are_plain_json_and_equal_inputs_give_equal_text():
    truth = np.random.default_rng(3).normal(0.1, 0.03, (60, 2))
    pred = toy_heads(truth, half_width_m=0.01, noise_m=0.01)
    texts = [json.dumps(score(pred, truth, labels(60, 2), last=LAST.repeat(30)), allow_nan=False) for _ in range(2)]
    assert texts[0] == texts[1]


# --- skill -------------------------------------------------------------------------------------------------------

MODEL = {"crps_mm": 2.0, "mae_mm": 3.0, "coverage80": 0.8}
TABLE = {
    "last_value": Reference({"crps_mm": 8.0, "mae_mm": 10.0}, True),
    "ridge": Reference({"crps_mm": 2.5, "mae_mm": 2.0}, True),
    "inverse_distance": Reference({"crps_mm": 1.0, "mae_mm": 1.5}, False),
}


def test_skill_is_one_minus_the_ratio_to_each_reference():
    found = skill(MODEL, TABLE)
    assert found["measure"] == "crps_mm"
    assert found["against"]["last_value"]["skill"] == pytest.approx(0.75)
    assert found["against"]["ridge"]["skill_mae"] == pytest.approx(-0.5)
    assert (found["best_forecast_baseline"], found["beats_best_forecast_baseline"]) == ("ridge", True)
    assert (found["best_any"], found["beats_best_any"]) == ("inverse_distance", False)


def test_a_point_model_is_held_to_mae():
    found = skill({"crps_mm": 3.0, "mae_mm": 3.0}, TABLE)
    assert found["measure"] == "mae_mm"
    assert found["against"]["last_value"]["skill"] == pytest.approx(0.7)
    assert found["beats_best_forecast_baseline"] is False


def test_without_references_nothing_is_beaten():
    found = skill(MODEL, {})
    assert (found["best_any"], found["beats_best_any"], found["beats_best_forecast_baseline"]) == (None, None, None)


def test_a_model_that_equals_the_best_does_not_beat_it():
    assert skill(MODEL, {"twin": Reference(MODEL, True)})["beats_best_any"] is False


def test_references_are_the_baselines_scored_on_the_split():
    rows = {
        "a": {"scores": {"test": {"overall": {"crps_mm": 1.0}}}, "is_forecast": True},
        "b": {"scores": {}, "is_forecast": True},
    }
    assert references({"baselines": rows}, "test") == {"a": Reference({"crps_mm": 1.0}, True)}
