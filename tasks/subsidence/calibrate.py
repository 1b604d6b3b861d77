"""Interval factors from validation places that model selection did not use: split conformal, one factor per step.

scaled    score max((q50 - y) / (q50 - q10), (y - q50) / (q90 - q50)); the interval is q50 +- factor * half-width
additive  score max(q10 - y, y - q90) (Romano, Patterson, Candes 2019); the interval is moved by the factor, in metres
none      the forecasts stay as they are

A factor is the k-th smallest score, k = ceil((n + 1)(1 - alpha)); it may shrink or widen and is never capped.
"""

from typing import Literal

import numpy as np

from tasks.contracts.base import Frozen
from tasks.contracts.errors import CalibrationError, ConfigError
from tasks.subsidence.arrays import Prediction, Split
from tasks.subsidence.handoff.groups import digest, location_keys
from tasks.subsidence.scoring.calibration_stats import chance, diagnostics, numbered, target_block
from tasks.subsidence.scoring.conformal import quantile, rank
from tasks.subsidence.scoring.scores import interval_levels

MIN_ROWS_TO_CUT = 100
MIN_HALF_WIDTH_M = 1e-6
ALPHA = 0.2
TOLERANCE = 0.02  # distance from the target coverage that outside readers of the stats file call reached
METHODS = ("scaled", "additive", "none")

Method = Literal["scaled", "additive", "none"]


class Factors(Frozen):
    """Interval factors per horizon step; `scaled`: dimensionless, `additive`: shifts in m, `none`: absent."""

    method: Method
    alpha: float
    n: int
    k: int | None
    subsidence: tuple[float, ...] | None
    head: tuple[float, ...] | None
    skipped: str | None = None

    def as_array(self) -> np.ndarray | None:
        """(H,) float32 factors of subsidence; every factor is a float32 number, so that both files agree."""
        return None if self.subsidence is None else np.asarray(self.subsidence, dtype=np.float32)


def split_validation(val: Split) -> tuple[np.ndarray, np.ndarray, bool]:
    """Rows for model selection, rows for calibration, and whether they are the same rows.

    Places are ordered by the sha256 of their coordinates and cut in half, so that the cut depends on no seed and no row
    order and never parts a place. Below 100 rows (or with one place) both uses share all rows.
    """
    keys = location_keys(val)
    places = sorted(set(keys), key=digest)
    if len(val) < MIN_ROWS_TO_CUT or len(places) < 2:
        rows = np.arange(len(val))
        return rows, rows, True
    calibrating = set(places[: len(places) // 2])
    chosen = np.array([key in calibrating for key in keys])
    return np.flatnonzero(~chosen), np.flatnonzero(chosen), False


def fit(
    pred: Prediction,
    subsidence: np.ndarray,
    head: np.ndarray | None = None,
    *,
    alpha: float = ALPHA,
    method: str = "scaled",
) -> Factors:
    """Factors from calibration rows: pred of n rows, truth (n, H) or (n, H, 1) in m; nothing else is looked at.

    Raises ConfigError for an unknown method, CalibrationError when n is too small, a truth is not finite, or the levels
    alpha/2 and 1 - alpha/2 were not forecast.
    """
    check_method(method)
    n = pred.subsidence.shape[0]
    if method == "none" or len(pred.levels) == 1:
        reason = "calibration switched off" if method == "none" else "point forecasts have no interval"
        return Factors(method="none", alpha=alpha, n=n, k=None, subsidence=None, head=None, skipped=reason)
    fitted = _fit_target(pred.levels, pred.subsidence, subsidence, alpha, method, "subsidence")
    fitted_head = None if head is None else _fit_target(pred.levels, pred.head, head, alpha, method, "head")
    return Factors(method=method, alpha=alpha, n=n, k=rank(n, alpha), subsidence=fitted, head=fitted_head)


def apply(pred: Prediction, factors: Factors) -> Prediction:
    """Calibrated twin of a forecast: other intervals, the same median, every level kept."""
    return apply_counted(pred, factors)[0]


def apply_counted(pred: Prediction, factors: Factors) -> tuple[Prediction, int]:
    """The calibrated twin, and the number of cells that had to be moved to keep the levels in order."""
    subsidence, moved = _apply_target(pred.levels, pred.subsidence, factors.subsidence, factors.method)
    head, moved_head = _apply_target(pred.levels, pred.head, factors.head, factors.method)
    return Prediction(pred.levels, subsidence, head), moved + moved_head


def stats(
    raw: Prediction,
    subsidence: np.ndarray,
    factors: Factors,
    *,
    head: np.ndarray | None = None,
    groups_sha256: str,
    shared: bool,
    calibration_rows: bool = False,
    seed: int = 0,
) -> dict:
    """What the factors do to the rows of `raw`, under the public key names; plain JSON, widths in mm (head: m).

    subsidence, head: truth (N, H), m, NaN where unknown; groups_sha256: the places behind the factors; shared: these
    places also chose the model; calibration_rows: the rows are the ones the factors come from, so that no band applies.
    """
    calibrated, repaired = apply_counted(raw, factors)
    block = target_block(raw.subsidence, calibrated.subsidence, subsidence, raw.levels, factors.alpha, "mm")
    n_calib = None if factors.k is None else factors.n
    return {
        **_public_keys(factors),
        **block,
        "method": factors.method,
        "n": factors.n,
        "k": factors.k,
        "alpha": factors.alpha,
        "f_min": None if factors.subsidence is None else min(factors.subsidence),
        "f_max": None if factors.subsidence is None else max(factors.subsidence),
        "groups_sha256": groups_sha256,
        "shared_with_selection": shared,
        "repaired_cells": repaired,
        **chance(block["eval_after"], subsidence, n_calib, factors.alpha, judged=not calibration_rows),
        "head": _head_stats(raw, calibrated, head, factors),
        **diagnostics(calibrated, subsidence, with_map=calibration_rows, seed=seed),
    }


def repair(values: np.ndarray, median: int) -> tuple[np.ndarray, int]:
    """Running maximum above and running minimum below the median along the last axis, and the cells it changed."""
    above = np.maximum.accumulate(values[..., median:], axis=-1)
    below = np.minimum.accumulate(values[..., median::-1], axis=-1)[..., ::-1]
    ordered = np.concatenate([below[..., :-1], above], axis=-1)
    return ordered, int(np.count_nonzero(ordered != values))


def check_method(method: str) -> None:
    """ConfigError unless the method is one of this version."""
    if method == "isotonic":
        raise ConfigError("calibration method 'isotonic' is not in this version", expected=" | ".join(METHODS))
    if method not in METHODS:
        raise ConfigError("unknown calibration method", expected=" | ".join(METHODS), found=method)


def truth_table(truth: np.ndarray, shape: tuple[int, int], target: str) -> np.ndarray:
    """Truth as finite (n, H) float64; CalibrationError when it does not fit the forecasts or holds a gap."""
    table = np.asarray(truth, dtype=float)
    table = table[..., 0] if table.ndim == 3 else table
    if table.shape != shape:
        raise CalibrationError(f"{target} truth does not fit the forecasts", expected=shape, found=table.shape)
    if not np.isfinite(table).all():
        gaps = int(np.count_nonzero(~np.isfinite(table)))
        raise CalibrationError(f"{target} truth is not finite", expected="a number in every cell", found=f"{gaps} gaps")
    return table


def _public_keys(factors: Factors) -> dict:
    alpha = factors.alpha
    return {
        "target": round(1 - alpha, 9),
        "interval": [round(alpha / 2, 9), round(1 - alpha / 2, 9)],
        "tol": TOLERANCE,
        "overall_key": "__overall__",
        "factors_source": "validation",
        "factors": numbered(factors.subsidence),
        "skipped": factors.skipped is not None,
        "reason": factors.skipped,
    }


def _head_stats(raw: Prediction, calibrated: Prediction, head: np.ndarray | None, factors: Factors) -> dict | None:
    if head is None:
        return None
    block = target_block(raw.head, calibrated.head, head, raw.levels, factors.alpha, "m")
    return {"factors": numbered(factors.head), **block}


def _fit_target(
    levels: tuple[float, ...], values: np.ndarray, truth: np.ndarray, alpha: float, method: str, target: str
) -> tuple[float, ...]:
    y = truth_table(truth, values.shape[:2], target)
    low, high = _interval(levels, alpha)
    lower, median, upper = (values[:, :, i].astype(float) for i in (low, levels.index(0.5), high))
    if method == "additive":
        scores = np.maximum(lower - y, y - upper)
    else:
        below = (median - y) / np.maximum(median - lower, MIN_HALF_WIDTH_M)
        above = (y - median) / np.maximum(upper - median, MIN_HALF_WIDTH_M)
        scores = np.maximum(below, above)
    return tuple(_float32_upwards(quantile(scores, alpha)).tolist())


def _interval(levels: tuple[float, ...], alpha: float) -> tuple[int, int]:
    found = interval_levels(levels, alpha)
    if found is None:
        raise CalibrationError(
            "the interval to calibrate was not forecast",
            where="quantile levels",
            expected=f"levels {alpha / 2:g} and {1 - alpha / 2:g}",
            found=list(levels),
            remedy="Forecast these levels, or calibrate the interval that was forecast.",
        )
    return found


def _float32_upwards(values: np.ndarray) -> np.ndarray:
    """The smallest float32 numbers that are not below the values: rounding must not lose the k-th row."""
    near = values.astype(np.float32)
    return np.where(near < values, np.nextafter(near, np.float32(np.inf)), near).astype(float)


def _apply_target(
    levels: tuple[float, ...], values: np.ndarray, factors: tuple[float, ...] | None, method: str
) -> tuple[np.ndarray, int]:
    if factors is None:
        return values, 0
    middle = levels.index(0.5)
    factor = np.asarray(factors)[:, None]
    median = values[:, :, middle : middle + 1].astype(float)
    if method == "scaled":
        moved = median + factor * (values - median)
    else:
        moved = values + factor * np.sign(np.asarray(levels) - 0.5)
    moved[:, :, middle] = values[:, :, middle]
    ordered, repaired = repair(moved, middle)
    return ordered.astype(values.dtype), repaired
