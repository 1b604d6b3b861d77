"""Evaluation per year, physics residuals with units, the metrics document, inspection and the run documents."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tasks.subsidence.arrays import Prediction
from tasks.subsidence.products.diagnostics import Units, eval_diagnostics, physics_diagnostics
from tasks.subsidence.products.inspection import inspect
from tasks.subsidence.products.metrics_document import flat_metrics, metrics_document
from tasks.subsidence.products.payload import json_bytes
from tasks.subsidence.products.run_documents import run_manifest, training_summary
from tests.subsidence.sample_run import (
    LEVELS,
    export_inputs,
    fields,
    forecasts,
    physics_scalars,
    predict,
    semantics,
    split,
)

BLOCK = {"overall_mae", "overall_mse", "overall_rmse", "overall_r2", "coverage80", "sharpness80", "per_horizon_mae",
         "per_horizon_mse", "per_horizon_rmse", "per_horizon_r2", "pss"}  # fmt: skip
PUBLIC = {"tf_version", "numpy_version", "quantiles", "horizon", "batch_size", "metrics_evaluate",
          "physics_diagnostics",
          "interval_calibration", "censor_stratified", "point_metrics", "per_horizon", "units"}  # fmt: skip
OURS = {"scores", "baselines", "skill", "protocol", "temporal_holdout", "reload_check"}
GOOD = {"against": {"last_value": {"skill": 0.5}, "mean_rate": {"skill": 0.1}}}
USELESS = {"against": {"last_value": {"skill": 0.5}, "mean_rate": {"skill": -0.1}}}


@pytest.fixture(scope="module")
def inputs():
    return export_inputs(n=20, known_years=1)


def exact(error_m: float):
    """A forecast that misses the truth by the same amount everywhere, with a 20 mm interval."""
    evaluation = forecasts(6)[0]
    truth = np.asarray(evaluation.truth_m, float)[:, :, None]
    values = truth + error_m + np.array([-0.01, 0.0, 0.01])
    return evaluation, Prediction(LEVELS, values, evaluation.raw.head)


def test_eval_blocks_are_named_by_integer_years():
    blocks = eval_diagnostics(*exact(0.002))
    assert list(blocks) == ["2020", "2021", "2022", "__overall__"]
    assert all(set(block) == BLOCK for block in blocks.values())


def test_eval_block_values_of_a_constant_error():
    block = eval_diagnostics(*exact(0.002))["__overall__"]
    assert block["overall_mae"] == pytest.approx(2.0)
    assert block["overall_rmse"] == pytest.approx(2.0)
    assert block["coverage80"] == 1.0
    assert block["sharpness80"] == pytest.approx(20.0)
    assert list(block["per_horizon_mae"]) == ["1", "2", "3"]


def test_an_error_beyond_the_interval_is_not_covered():
    assert eval_diagnostics(*exact(0.011))["__overall__"]["coverage80"] == 0.0


def test_diagnostics_agree_with_the_scores_in_the_metrics_document(inputs):
    block = eval_diagnostics(inputs.evaluation, inputs.evaluation.best)["__overall__"]
    overall = inputs.judged.best["overall"]
    assert block["overall_mae"] == pytest.approx(overall["mae_mm"], abs=1e-6)
    assert block["sharpness80"] == pytest.approx(overall["width80_mm"], abs=1e-6)


def test_metrics_document_has_public_and_own_keys_and_no_clock(inputs):
    document = metrics_document(inputs, Units())
    assert set(document) >= PUBLIC | OURS
    assert "timestamp" not in document
    json.loads(json_bytes(document))


def test_interpretable_document_is_the_same_in_millimetres_and_years(inputs):
    si, readable = metrics_document(inputs, Units("si")), metrics_document(inputs, Units("interpretable"))
    assert readable["point_metrics"]["mae"] == pytest.approx(1000 * si["point_metrics"]["mae"])
    assert readable["point_metrics"]["mse"] == pytest.approx(1e6 * si["point_metrics"]["mse"])
    assert readable["point_metrics"]["r2"] == si["point_metrics"]["r2"]
    assert readable["metrics_evaluate"]["gwl_pred_mae_q50"] == si["metrics_evaluate"]["gwl_pred_mae_q50"]
    raw = [document["physics_diagnostics"]["epsilon_cons_raw"] for document in (readable, si)]
    assert raw[0] == pytest.approx(raw[1] * 31_556_952 * 1000)
    assert readable["units"]["epsilon_cons_raw_unit"] == "mm/yr" and si["units"]["epsilon_cons_raw_unit"] == "m/s"


def test_scope_subs_leaves_residuals_in_si(inputs):
    document = metrics_document(inputs, Units("interpretable", "subs"))
    assert document["units"]["epsilon_gw_raw_unit"] == "1/s"
    assert document["units"]["subs_metrics_unit"] == "mm"


def test_metrics_keep_both_intervals_and_every_baseline(inputs):
    document = metrics_document(inputs, Units())
    intervals = document["interval_calibration"]
    assert intervals["sharpness80_uncalibrated"] != intervals["sharpness80_calibrated"]
    assert {"coverage80_uncalibrated", "coverage80_calibrated_phys", "factors_per_horizon"} <= set(intervals)
    assert set(document["baselines"]) == {"last_value", "mean_rate", "inverse_distance", "gradient_boosting"}
    assert document["baselines"]["gradient_boosting"]["reason"].startswith("not available")


def test_later_years_are_scored_beside_the_random_split(inputs):
    later = metrics_document(inputs, Units())["temporal_holdout"]
    assert later["available"] and later["years"] == [2023] and later["rows"] == 20


@pytest.mark.parametrize("future, reason", [(True, "no truth panel"), (False, "no future inputs")])
def test_absent_later_years_say_why(future, reason):
    later = metrics_document(export_inputs(n=8, future=future), Units())["temporal_holdout"]
    assert not later["available"] and reason in later["reason"]


def test_flat_metrics_name_split_and_unit(inputs):
    named = flat_metrics(inputs)
    assert {"test.mae_mm", "test.raw_coverage80", "future.mae_mm", "baselines.mean_rate.test.mae_mm"} <= set(named)


def test_residuals_of_a_model_without_skill_are_flagged():
    evaluation = forecasts(6)[0]
    args = (fields(evaluation), physics_scalars(), semantics())
    assert physics_diagnostics(*args, GOOD)["evidence"] == "usable"
    found = physics_diagnostics(*args, USELESS)
    assert found["read_with"] == "skill" and found["evidence"] == "none"
    assert "no skill against mean_rate" in found["evidence_reason"]
    assert physics_diagnostics(*args, None)["evidence"] == "none"


@pytest.mark.parametrize("measured, said", [
    ({"median_residual_share": 0.5}, "50 % of the forecast settlement (median) is data-driven"),
    ({"share_near_bound": {"K": 0.1, "Sa": 0.2}}, "parameters lie near their bounds: Sa 20 % of the windows"),
])  # fmt: skip
def test_skill_alone_makes_no_evidence_of_physics(measured, said):
    args = (fields(forecasts(6)[0]), physics_scalars(), semantics())
    found = physics_diagnostics(*args, GOOD, **measured)
    assert found["evidence"] == "none" and said in found["evidence_reason"]
    fine = physics_diagnostics(*args, GOOD, median_residual_share=0.49, share_near_bound={"K": 0.19})
    assert fine["evidence"] == "usable"


def test_metrics_judge_physics_by_residual_share_and_bounds(inputs):
    stuck = dict(inputs.physics) | {"S_aquifer": np.full_like(inputs.physics["S_aquifer"], 1.01e-6)}
    found = metrics_document(replace(inputs, physics=stuck), Units())["physics_diagnostics"]
    assert found["share_near_bound"]["Sa"] == 1.0 and "Sa 100 %" in found["evidence_reason"]
    assert 0 < found["median_residual_share"] < 1


def test_inactive_equations_have_no_epsilon():
    evaluation = forecasts(6)[0]
    scalars = physics_scalars(pde_modes=("consolidation",), residual_gate=0.0)
    found = physics_diagnostics(fields(evaluation), scalars, semantics(), GOOD)
    assert found["epsilon_gw"] is None and found["epsilon_cons"] > 0
    assert found["cons_zero_by_construction"] is True
    assert physics_diagnostics({}, None, semantics(), GOOD)["epsilon_cons"] is None


def answers(inputs, written=("eval_calibrated", "future_calibrated", "payload")) -> dict[str, dict]:
    return {row["key"]: row for row in inspect(inputs, dict.fromkeys(written, "x"))}


def test_inspection_answers_every_question_with_evidence(inputs):
    found = answers(inputs)
    assert list(found) == ["intended_manifest", "feature_dimensions", "best_epoch", "calibrated_forecasts", "plausible",
                           "payload"]  # fmt: skip
    assert all(row["answer"] == "yes" and row["evidence"] for row in found.values())


def test_inspection_says_no_where_something_is_wrong(inputs):
    found = answers(inputs, written=("eval_calibrated",))
    assert found["calibrated_forecasts"]["answer"] == "no" and found["payload"]["answer"] == "no"
    at_limit = replace(inputs, earlier=replace(inputs.earlier, training={"best_epoch": 11, "epochs_run": 12}))
    assert answers(at_limit)["best_epoch"]["answer"] == "no"
    assert answers(at_limit)["best_epoch"]["evidence"].startswith("at the limit: best epoch 12 of 12")
    other = replace(inputs, earlier=replace(inputs.earlier, audit={"manifest": {"sha256": "0" * 64}}))
    assert answers(other)["intended_manifest"]["answer"] == "no"
    wide = replace(inputs, earlier=replace(inputs.earlier, init_manifest={"dims": {"static_input_dim": 4}}))
    assert answers(wide)["feature_dimensions"]["answer"] == "no"


def test_parameters_at_their_bounds_are_not_plausible(inputs):
    stuck = dict(inputs.physics) | {"K": np.full_like(inputs.physics["K"], 1.01e-12)}
    row = answers(replace(inputs, physics=stuck))["plausible"]
    assert row["answer"] == "no" and row["evidence"] == "K near a bound 100 %"


def test_run_manifest_is_found_by_outside_readers(inputs):
    document = run_manifest(inputs, files={"eval": "a.csv"}, missing={"pit": "no"}, not_applicable={}, complete=True)
    assert document["stage"] == "stage-2-train"
    assert document["config"]["TIME_STEPS"] == 5 and document["config"]["scaling_kwargs"]["gwl_kind"] == "depth_bgs"
    assert document["artifacts"]["training_summary_json"] == "samplecity_GeoPriorSubsNet_training_summary.json"
    assert document["artifacts"]["train_log_csv"] == "samplecity_GeoPriorSubsNet_train_log.csv"
    assert document["missing"] == [{"name": "pit", "reason": "no"}] and document["complete"] is True
    assert set(document["paths"]) == {"run_dir", "weights_h5", "arch_json", "csv_log", "best_keras", "best_weights",
                                      "model_init_manifest", "final_keras"}  # fmt: skip


def test_a_path_is_named_only_where_the_file_exists(inputs):
    fewer = {name: ref for name, ref in inputs.earlier.files.items() if not name.endswith("_best.keras")}
    slim = replace(inputs, earlier=replace(inputs.earlier, files=fewer))
    assert "best_keras" not in run_manifest(slim, files={}, missing={}, not_applicable={}, complete=True)["paths"]


def test_training_summary_joins_the_core_with_what_is_known_at_the_end(inputs):
    document = training_summary(inputs, [{"key": "a"}])
    assert {"city", "model", "horizon", "best_epoch", "metrics_at_best", "final_epoch_metrics", "compile", "hp_init",
            "paths", "seeds", "stop_reason", "sha256", "versions", "reload_check", "identifiability",
            "inspection"} <= set(document)  # fmt: skip
    assert document["reload_check"] == {"max_abs_difference_m": 0.0, "limit_m": 1e-6, "passed": True}
    block = document["identifiability"]
    assert (
        set(block["share_near_bound"]) == {"K", "Ss", "tau", "Ka", "Sa"}
        and "2.5 times Terzaghi" in block["kappa_hd_degeneracy"]
    )


def test_calibrated_quantiles_of_a_point_forecast_do_not_exist():
    windows = split("test", 5)
    evaluation = replace(forecasts(5)[0], split=windows, raw=predict(windows, levels=(0.5,)), calibrated=None)
    block = eval_diagnostics(evaluation, evaluation.raw)["__overall__"]
    assert block["coverage80"] is None and block["overall_mae"] > 0
