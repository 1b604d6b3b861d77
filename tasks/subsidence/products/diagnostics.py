"""What the numbers of a run say: evaluation per year, physics residuals with their units, the metrics document.

Everything is a pure function of arrays and of score dictionaries made elsewhere; nothing is scored twice in two ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.contracts.units import MM_PER_M, SECONDS_PER_YEAR
from tasks.subsidence.arrays import Prediction
from tasks.subsidence.forecast import Forecast
from tasks.subsidence.products.payload import PhysicsScalars
from tasks.subsidence.scoring.cell_sums import rounded
from tasks.subsidence.scoring.scores import inside, interval_levels
from tasks.subsidence.semantics import Semantics

TARGET_COVERAGE = 0.8
MAX_RESIDUAL_SHARE = 0.5
MAX_SHARE_NEAR_BOUND = 0.2
USELESS = "a model without skill can have any residual: these numbers are no evidence of physics"


def eval_diagnostics(forecast: Forecast, prediction: Prediction, *, alpha: float = 0.2) -> dict[str, dict]:
    """One block per calendar year ("2020") and `__overall__`, in mm; for windows whose truth is known."""
    years = forecast.years
    blocks = {str(year): _block(forecast, prediction, years == year, alpha) for year in np.unique(years)}
    return blocks | {"__overall__": _block(forecast, prediction, np.ones(years.shape, bool), alpha)}


def _block(forecast: Forecast, prediction: Prediction, mask: np.ndarray, alpha: float) -> dict[str, Any]:
    truth = forecast.truth_m.astype(float) * MM_PER_M
    median = prediction.median().astype(float) * MM_PER_M
    mask = mask & np.isfinite(truth)
    steps = {str(h + 1): point_scores(truth[:, h][mask[:, h]], median[:, h][mask[:, h]]) for h in range(truth.shape[1])}
    steps = {h: scores for h, scores in steps.items() if scores["mae"] is not None}
    overall = {f"overall_{name}": value for name, value in point_scores(truth[mask], median[mask]).items()}
    per_step = {f"per_horizon_{name}": {h: s[name] for h, s in steps.items()} for name in ("mae", "mse", "rmse", "r2")}
    stability = _stability(forecast, median, mask)
    return {**overall, **_interval(prediction, truth, mask, alpha), **per_step, "pss": stability}


def point_scores(truth: np.ndarray, median: np.ndarray) -> dict[str, float | None]:
    """MAE, MSE, RMSE and R2 of flat arrays; None where undefined (no rows, or truth that does not vary)."""
    if truth.size == 0:
        return {"mae": None, "mse": None, "rmse": None, "r2": None}
    error = median - truth
    mse, spread = float(np.mean(error**2)), float(np.mean((truth - truth.mean()) ** 2))
    r2 = 1.0 - mse / spread if spread > 1e-12 * float(np.mean(truth**2)) else None
    return {
        "mae": rounded(float(np.mean(np.abs(error)))),
        "mse": rounded(mse),
        "rmse": rounded(float(np.sqrt(mse))),
        "r2": None if r2 is None else rounded(r2),
    }


def _interval(prediction: Prediction, truth_mm: np.ndarray, mask: np.ndarray, alpha: float) -> dict[str, float | None]:
    pair = interval_levels(prediction.levels, alpha)
    if pair is None or not mask.any():
        return {"coverage80": None, "sharpness80": None}
    lower, upper = (prediction.subsidence[:, :, i].astype(float)[mask] * MM_PER_M for i in pair)
    return {
        "coverage80": rounded(float(inside(lower, upper, truth_mm[mask]).mean())),
        "sharpness80": rounded(float((upper - lower).mean())),
    }


def _stability(forecast: Forecast, median_mm: np.ndarray, mask: np.ndarray) -> float | None:
    """Mean absolute step of the median within a window, mm; the first step starts at the last observation."""
    steps = np.abs(np.diff(np.column_stack([forecast.last_m * MM_PER_M, median_mm]), axis=1))[mask]
    return rounded(float(steps.mean())) if steps.size else None


@dataclass(frozen=True)
class Units:
    """Units of one metrics document: SI, or those that people read; scope `subs` leaves residuals in SI."""

    mode: str = "si"
    scope: str = "all"

    @property
    def length(self) -> tuple[float, str]:
        """Factor from m, and the name."""
        return (MM_PER_M, "mm") if self.mode == "interpretable" else (1.0, "m")

    @property
    def residuals_readable(self) -> bool:
        """Whether residuals are given per year instead of per second."""
        return self.mode == "interpretable" and self.scope == "all"

    def document(self, sem: Semantics) -> dict[str, Any]:
        """The `units` block."""
        factor, name = self.length
        return {
            "subs_unit_to_si": 1.0 / factor,
            "subs_factor_si_to_real": factor,
            "subs_metrics_unit": name,
            "gwl_metrics_unit": "m",
            "time_units": sem.time_units,
            "seconds_per_time_unit": sem.seconds_per_time_unit,
            "epsilon_cons_raw_unit": "mm/yr" if self.residuals_readable else "m/s",
            "epsilon_gw_raw_unit": "1/yr" if self.residuals_readable else "1/s",
            "mode": self.mode,
            "scope": self.scope,
        }


def physics_diagnostics(
    fields: Mapping[str, np.ndarray] | None,
    scalars: PhysicsScalars | None,
    sem: Semantics,
    skill: Mapping[str, Any] | None,
    units: Units = Units(),
    *,
    median_residual_share: float | None = None,
    share_near_bound: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """RMS of the non-dimensional residuals, their raw companions, the scales used, and how far they may be believed.

    median_residual_share: part of the forecast settlement that is data-driven, 0 to 1, median of the cells;
    share_near_bound: field -> share of the windows near a bound. None: not measured.
    """
    near = {name: rounded(float(value)) for name, value in (share_near_bound or {}).items()}
    reading = {"read_with": "skill", **_evidence(skill, median_residual_share, near)}
    if not fields or scalars is None:
        reason = "this model has no physics fields"
        return {"epsilon_prior": None, "epsilon_cons": None, "epsilon_gw": None, "inactive": reason, **reading}
    per_year = SECONDS_PER_YEAR if units.residuals_readable else 1.0
    length = MM_PER_M if units.residuals_readable else 1.0
    active = {"cons": scalars.consolidation, "gw": scalars.gw_flow}
    scaled, raw = (
        {name: _rms(fields, f"{name}_res_{kind}") if on else None for name, on in active.items()}
        for kind in ("scaled", "vals")
    )
    return {
        "epsilon_prior": _closure_deviation(fields) if scalars.consolidation else None,
        "epsilon_cons": scaled["cons"],
        "epsilon_gw": scaled["gw"],
        "epsilon_cons_raw": _times(raw["cons"], per_year * length),
        "epsilon_gw_raw": _times(raw["gw"], per_year),
        "epsilon_cons_raw_mm_per_year": _times(raw["cons"], SECONDS_PER_YEAR * MM_PER_M),
        "epsilon_gw_raw_per_year": _times(raw["gw"], SECONDS_PER_YEAR),
        "cons_zero_by_construction": scalars.residual_gate == 0.0,
        "scales": sem.residual_scales.model_dump(),
        "kappa": scalars.kappa,
        "kappa_terzaghi": rounded(scalars.kappa_terzaghi),
        "share_near_bound": near,
        **({} if median_residual_share is None else {"median_residual_share": median_residual_share}),
        **reading,
    }


def _evidence(skill: Mapping[str, Any] | None, residual: float | None, near: Mapping[str, float]) -> dict[str, Any]:
    """Residuals count only when the forecast beats persistence on the same rows, mostly by physics, inside bounds."""
    rows = (skill or {}).get("against", {})
    lost = sorted(name for name in ("last_value", "mean_rate") if (rows.get(name, {}).get("skill") or 0.0) <= 0.0)
    if not rows:
        return {"evidence": "none", "evidence_reason": "no baseline was scored on the same rows"}
    failed = [f"no skill against {', '.join(lost)}; {USELESS}"] if lost else []
    if residual is not None and residual >= MAX_RESIDUAL_SHARE:
        failed.append(f"{100 * residual:.0f} % of the forecast settlement (median) is data-driven, not physics")
    stuck = [f"{name} {100 * value:.0f} %" for name, value in near.items() if value >= MAX_SHARE_NEAR_BOUND]
    if stuck:
        failed.append(f"parameters lie near their bounds: {', '.join(stuck)} of the windows")
    if failed:
        return {"evidence": "none", "evidence_reason": "; ".join(failed)}
    passed = "the forecast beats last value and mean rate on the same rows"
    if residual is not None:
        passed += ", most of its settlement is physics"
    return {"evidence": "usable", "evidence_reason": f"{passed}, no parameter crowds at a bound" if near else passed}


def _closure_deviation(fields: Mapping[str, np.ndarray]) -> float | None:
    """RMS of ln tau - ln closure time."""
    ratio = np.asarray(fields["tau"], float) / np.asarray(fields["tau_prior"], float)
    return rounded(float(np.sqrt(np.mean(np.log(ratio) ** 2))))


def _rms(fields: Mapping[str, np.ndarray], name: str) -> float:
    return rounded(float(np.sqrt(np.mean(np.square(np.asarray(fields[name], float))))))


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else rounded(value * factor)


def pit_line(histogram: Mapping[str, Any]) -> str:
    """One line that says whether a PIT histogram looks flat."""
    if not histogram.get("n"):
        return "no observation to compare with"
    return f"chi-square {histogram['chi_square']:.1f}, p = {histogram['p_value']:.2g}, {histogram['n']} cells"
