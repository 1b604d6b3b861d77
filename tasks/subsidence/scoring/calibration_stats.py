"""What calibration did to one set of rows: coverage and width before and after, and whether chance explains it."""

import numpy as np

from tasks.contracts.units import MM_PER_M
from tasks.subsidence.arrays import Prediction
from tasks.subsidence.scoring.cell_sums import rounded
from tasks.subsidence.scoring.conformal import coverage_band, coverage_standard_error
from tasks.subsidence.scoring.reliability import isotonic_map, pit_histogram, reliability_table
from tasks.subsidence.scoring.scores import inside, interval_levels

BAND_LEVEL = 0.99


def interval_summary(
    values: np.ndarray, truth: np.ndarray, levels: tuple[float, ...], alpha: float, per_m: float
) -> dict:
    """Coverage and mean width of the 1 - alpha interval, overall and per step; per_m converts the width from metres.

    values (N, H, Q), truth (N, H), NaN where unknown. Empty when the interval was not forecast.
    """
    pair = interval_levels(levels, alpha)
    if pair is None:
        return {"coverage": None, "sharpness": None, "per_horizon": {}}
    lower, upper = (values[:, :, i].astype(float) for i in pair)
    known = np.isfinite(truth)
    covered, width = inside(lower, upper, truth), per_m * (upper - lower)
    steps = [_coverage_and_width(*columns) for columns in zip(covered.T, width.T, known.T, strict=True)]
    overall = _coverage_and_width(covered, width, known)
    return {**overall, "per_horizon": {str(h + 1): step for h, step in enumerate(steps)}}


def chance(summary: dict, truth: np.ndarray, n_calib: int | None, alpha: float, *, judged: bool) -> dict:
    """Beta-binomial standard error of the coverage of one step and, where rows are judged, the 99 % band of every step.

    n_calib is None when nothing was calibrated: then there is no law to compare with.
    """
    if n_calib is None:
        return {"coverage_standard_error": None, "coverage_band": None}
    band = _band(summary, truth, n_calib, alpha) if judged else None
    return {"coverage_standard_error": _standard_error(truth, n_calib, alpha), "coverage_band": band}


def diagnostics(pred: Prediction, truth: np.ndarray, *, with_map: bool, seed: int) -> dict:
    """Reliability table and PIT histogram of subsidence; the isotonic map belongs to calibration rows only."""
    table = reliability_table(pred.subsidence, truth, pred.levels)
    found = {"reliability": table, "pit": pit_histogram(pred.subsidence, truth, pred.levels, seed=seed)}
    return found | {"isotonic_map": isotonic_map(table)} if with_map else found


def target_block(
    before: np.ndarray, after: np.ndarray, truth: np.ndarray, levels: tuple[float, ...], alpha: float, unit: str
) -> dict:
    """eval_before and eval_after of one quantity, widths in `unit` (mm or m)."""
    per_m = MM_PER_M if unit == "mm" else 1.0
    return {
        "eval_before": interval_summary(before, truth, levels, alpha, per_m),
        "eval_after": interval_summary(after, truth, levels, alpha, per_m),
        "unit": unit,
    }


def numbered(factors: tuple[float, ...] | None) -> dict[str, float]:
    """Factors under their step numbers "1".."H"."""
    return {str(step): factor for step, factor in enumerate(factors or (), start=1)}


def _band(summary: dict, truth: np.ndarray, n_calib: int, alpha: float) -> dict:
    """`warning` is a sentence for people, or null."""
    rows = np.isfinite(truth).sum(axis=0)
    steps = {}
    for (step, found), n in zip(summary["per_horizon"].items(), rows.tolist(), strict=True):
        if n:
            low, high = coverage_band(n_calib, n, alpha, BAND_LEVEL)
            error = rounded(coverage_standard_error(n_calib, n, alpha))
            steps[step] = {
                "rows": n,
                "low": low,
                "high": high,
                "standard_error": error,
                "inside": bool(low <= found["coverage"] <= high),
            }
    outside = [step for step, row in steps.items() if not row["inside"]]
    return {"level": BAND_LEVEL, "per_horizon": steps, "outside": outside, "warning": _warning(summary, steps, outside)}


def _standard_error(truth: np.ndarray, n_calib: int, alpha: float) -> float | None:
    rows = int(np.isfinite(truth).any(axis=1).sum())
    return rounded(coverage_standard_error(n_calib, rows, alpha)) if rows else None


def _coverage_and_width(covered: np.ndarray, width: np.ndarray, known: np.ndarray) -> dict:
    if not known.any():
        return {"coverage": None, "sharpness": None}
    return {"coverage": rounded(float(covered[known].mean())), "sharpness": rounded(float(width[known].mean()))}


def _warning(summary: dict, steps: dict, outside: list[str]) -> str | None:
    if not outside:
        return None
    parts = [
        f"step {step}: coverage {summary['per_horizon'][step]['coverage']:.3f} outside "
        f"[{steps[step]['low']:.3f}, {steps[step]['high']:.3f}]"
        for step in outside
    ]
    return "; ".join(parts) + ". These rows differ from the calibration rows; the factors stay as they are."
