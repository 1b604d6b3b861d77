"""The metrics document of a run: public key names first, in SI or in readable units, ours beside them.

Every number comes from the score dictionaries or from the arrays of the one prediction pass; the clock is added where
the run folder is written, so that equal runs give equal documents.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.contracts.units import MM_PER_M
from tasks.subsidence.products.diagnostics import TARGET_COVERAGE, Units, physics_diagnostics
from tasks.subsidence.products.export_inputs import ExportInputs
from tasks.subsidence.products.inspection import near_bound_shares
from tasks.subsidence.products.payload import residual_share
from tasks.subsidence.scoring.cell_sums import rounded

SCHEMA = "stagegate-metrics-1"
EPSILONS = ("epsilon_prior", "epsilon_cons", "epsilon_gw", "epsilon_cons_raw", "epsilon_gw_raw")


def metrics_document(inputs: ExportInputs, units: Units) -> dict[str, Any]:
    """Content of `geoprior_eval_phys_*.json` without its timestamp."""
    judged, earlier = inputs.judged, inputs.earlier
    physics = _physics(inputs, units)
    return {
        "schema_version": SCHEMA,
        "city": inputs.sem.city,
        "model": inputs.model,
        "tf_version": earlier.versions.get("tensorflow"),
        "numpy_version": earlier.versions.get("numpy", np.__version__),
        "quantiles": list(inputs.evaluation.raw.levels),
        "horizon": inputs.sem.horizon,
        "batch_size": earlier.config.get("BATCH_SIZE"),
        "metrics_evaluate": _evaluate(judged.before, physics, inputs, units),
        "physics_diagnostics": physics,
        "interval_calibration": _intervals(inputs, units),
        "censor_stratified": _censoring(judged.best, units),
        "point_metrics": _points(judged.best["overall"], units),
        "per_horizon": _per_horizon(judged.best["per_horizon"], units),
        "units": units.document(inputs.sem),
        "scores": {"uncalibrated": judged.before, "calibrated": judged.after},
        "baselines": inputs.baselines["baselines"],
        "skill": judged.skill,
        "protocol": inputs.protocol,
        "temporal_holdout": temporal_holdout(inputs),
        "reload_check": inputs.reload_check,
    }


def _physics(inputs: ExportInputs, units: Units) -> dict[str, Any]:
    share = None
    if inputs.physics and "s_phys" in inputs.physics:
        cells = residual_share(inputs.evaluation, inputs.physics["s_phys"].ravel())
        share = rounded(float(np.median(cells)))
    return physics_diagnostics(
        inputs.physics,
        inputs.scalars,
        inputs.sem,
        inputs.judged.skill,
        units,
        median_residual_share=share,
        share_near_bound=near_bound_shares(inputs),
    )


def temporal_holdout(inputs: ExportInputs) -> dict[str, Any]:
    """Scores of years after training, or why there are none."""
    if inputs.judged_future is None:
        reason = "no truth panel holds the forecast years" if inputs.future else "the handoff holds no future inputs"
        return {"available": False, "reason": reason}
    judged = inputs.judged_future
    known = np.isfinite(inputs.future.truth_m)
    years = sorted(set(inputs.future.years[known].tolist()))
    scores = {"uncalibrated": judged.before, "calibrated": judged.after}
    return {"available": True, "years": years, "rows": int(known.sum()), "scores": scores, "skill": judged.skill}


def flat_metrics(inputs: ExportInputs) -> dict[str, float | None]:
    """`test.mae_mm`, `future.coverage80`, `baselines.ridge.test.mae_mm`, ... of the calibrated forecast.

    Coverage and width before calibration stand under `<split>.raw_coverage80`, `<split>.raw_width80_mm`.
    """
    from tasks.subsidence.metrics import flat

    named: dict[str, float | None] = {}
    for split, judged in _judged_splits(inputs):
        named |= flat(judged.best, split)
        raw = judged.before["overall"]
        named |= {f"{split}.raw_{key}": raw[key] for key in ("coverage80", "width80_mm") if key in raw}
    for name, row in inputs.baselines["baselines"].items():
        for split, scores in row["scores"].items():
            named |= flat(scores, f"baselines.{name}.{split}")
    return named | {"reload_max_abs_difference_m": inputs.reload_check["max_abs_difference_m"]}


def _judged_splits(inputs: ExportInputs) -> list[tuple]:
    splits = [(inputs.evaluation.split.name, inputs.judged)]
    return splits if inputs.judged_future is None else [*splits, ("future", inputs.judged_future)]


def _evaluate(raw: Mapping[str, Any], physics: Mapping[str, Any], inputs: ExportInputs, units: Units) -> dict[str, Any]:
    """Scores of the model as it was trained, before calibration."""
    subsidence, head = raw["overall"], raw.get("head", {}).get("overall", {})
    length = units.length[0] / MM_PER_M
    named = {
        "subs_pred_mae_q50": _scaled(subsidence["mae_mm"], length),
        "subs_pred_mse_q50": _square(_scaled(subsidence["rmse_mm"], length)),
        "subs_pred_rmse_q50": _scaled(subsidence["rmse_mm"], length),
        "subs_pred_coverage80": subsidence.get("coverage80"),
        "subs_pred_sharpness80": _scaled(subsidence.get("width80_mm"), length),
        "gwl_pred_mae_q50": head.get("mae_m"),
        "gwl_pred_mse_q50": _square(head.get("rmse_m")),
        "gwl_pred_rmse_q50": head.get("rmse_m"),
    }
    epsilons = {name: physics.get(name) for name in EPSILONS}
    gates = {} if inputs.scalars is None else {"lambda_offset": inputs.scalars.lambda_offset}
    return named | epsilons | gates


def _intervals(inputs: ExportInputs, units: Units) -> dict[str, Any]:
    raw, best = inputs.judged.before["overall"], inputs.judged.best["overall"]
    length = units.length[0] / MM_PER_M
    document: dict[str, Any] = {
        "target": inputs.earlier.calibration_stats.get("target", TARGET_COVERAGE),
        "factors_per_horizon": None if inputs.factors is None else [float(f) for f in inputs.factors],
        "factors_per_horizon_from_cal_stats": inputs.earlier.calibration_stats,
    }
    for label, overall in (("uncalibrated", raw), ("calibrated", best if inputs.judged.after is not None else {})):
        document[f"coverage80_{label}"] = document[f"coverage80_{label}_phys"] = overall.get("coverage80")
        document[f"sharpness80_{label}"] = _scaled(overall.get("width80_mm"), 1.0 / MM_PER_M)
        document[f"sharpness80_{label}_phys"] = _scaled(overall.get("width80_mm"), length)
    return document


def _censoring(scores: Mapping[str, Any], units: Units) -> dict[str, Any] | None:
    if "censored" not in scores:
        return None
    length = units.length[0] / MM_PER_M
    maes = {f"mae_{name}": _scaled(scores[name]["mae_mm"], length) for name in ("censored", "uncensored")}
    return {"flag_name": "soil_thickness_censored", "threshold": 0.5, **maes}


def _points(overall: Mapping[str, Any], units: Units) -> dict[str, float | None]:
    length = units.length[0] / MM_PER_M
    rmse = _scaled(overall["rmse_mm"], length)
    return {"mae": _scaled(overall["mae_mm"], length), "mse": _square(rmse), "rmse": rmse, "r2": overall["r2"]}


def _per_horizon(steps: Mapping[str, Any], units: Units) -> dict[str, dict[str, float | None]]:
    rows = {f"H{step}": _points(scores, units) for step, scores in steps.items()}
    return {name: {step: row[name] for step, row in rows.items()} for name in ("mae", "rmse", "r2")}


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else rounded(value * factor)


def _square(value: float | None) -> float | None:
    return None if value is None else rounded(value**2)
