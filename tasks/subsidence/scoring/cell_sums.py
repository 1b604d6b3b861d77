"""Scores as functions of sums over cells: one pass over the cells then serves every subset and every bootstrap draw.

A cell is one window at one step. Names of scores carry their unit (subsidence mm, head m); a score that is undefined on
a subset is null.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tasks.contracts.errors import BenchmarkContractError
from tasks.contracts.units import MM_PER_M
from tasks.subsidence.scoring.scores import crps, inside, interval_levels, interval_score, pinball

BAND = 0.95
SIGNIFICANT_DIGITS = 10
NEGLIGIBLE = 1e-12  # share of the squares of a truth below which its variance is rounding


class Target(NamedTuple):
    """A quantity that is scored: the unit in the names, and how many of these units make a metre."""

    unit: str
    per_m: float


SUBSIDENCE = Target("mm", MM_PER_M)
HEAD = Target("m", 1.0)


@dataclass(frozen=True)
class Cells:
    """Additive contributions of every cell in metres (squares in m2), zero where the truth is unknown."""

    target: Target
    levels: tuple[float, ...]
    alpha: float
    names: tuple[str, ...]
    values: np.ndarray  # (N, H, K)

    def over(self, mask: np.ndarray) -> dict:
        """Scores over a (N,) or (N, H) mask."""
        picked = self.values[mask]
        return self.scores(picked.reshape(-1, len(self.names)).sum(axis=0))

    def scores(self, sums: np.ndarray) -> dict:
        """Named scores from sums (K,); from many draws (B, K) the bands of these scores."""
        return _plain(measures(self, sums))


def contributions(
    levels: tuple[float, ...],
    values: np.ndarray,
    truth: np.ndarray,
    target: Target,
    *,
    last: np.ndarray | None = None,
    alpha: float = 0.2,
) -> Cells:
    """What each cell adds to the sums behind the scores: values (N, H, Q) and truth (N, H) in m, truth NaN if unknown.

    With `last` (N,), the last observed value, increments are scored too. BenchmarkContractError: a forecast of a cell
    with known truth is not finite.
    """
    values, truth = values.astype(float), truth.astype(float)
    _check_finite(values, truth)
    median = values[:, :, levels.index(0.5)]
    columns = _moments("", median, truth) | _quantile_columns(levels, values, truth, alpha)
    if last is not None:
        columns |= _moments("increment_", _steps(median, last), _steps(truth, last))
    table = np.stack([np.where(np.isfinite(column), column, 0.0) for column in columns.values()], axis=-1)
    return Cells(target, levels, alpha, tuple(columns), table)


def measures(cells: Cells, sums: np.ndarray) -> dict:
    """Named scores from sums (..., K) as arrays; NaN where a subset is empty or its truth does not vary."""
    s = dict(zip(cells.names, np.moveaxis(np.asarray(sums, dtype=float), -1, 0), strict=True))
    unit, per_m = cells.target
    with np.errstate(divide="ignore", invalid="ignore"):
        result = _errors(s, "", cells.target)
        if "increment_n" in s:
            result |= _errors(s, "increment_", cells.target)
        per_level = {f"{q:g}": per_m * s[f"pinball:{q:g}"] / s["n"] for q in cells.levels}
        result[f"crps_{unit}"] = per_m * s["crps"] / s["n"]
        result[f"pinball_{unit}"] = sum(per_level.values()) / len(per_level)
        result[f"pinball_by_level_{unit}"] = per_level
        if "inside" in s:
            share = f"{100 * (1 - cells.alpha):g}"
            result[f"coverage{share}"] = s["inside"] / s["n"]
            result[f"width{share}_{unit}"] = per_m * s["width"] / s["n"]
            result[f"interval_score{share}_{unit}"] = per_m * s["interval_score"] / s["n"]
    return result


def rounded(value: float) -> float | None:
    """Ten significant digits, so that the last bits of a sum do not tell two files apart; null if not finite."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if np.isfinite(value) else None


def _check_finite(values: np.ndarray, truth: np.ndarray) -> None:
    gaps = int(np.count_nonzero(~np.isfinite(values[np.isfinite(truth)])))
    if gaps:
        raise BenchmarkContractError("a forecast is not finite", expected="no gap", found=f"{gaps} gaps")


def _moments(prefix: str, median: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    known = np.isfinite(truth)
    error = np.where(known, median - truth, np.nan)
    centred = truth - (truth[known].mean() if known.any() else 0.0)  # R2 from sums would lose digits otherwise
    return {
        f"{prefix}n": known.astype(float),
        f"{prefix}abs": np.abs(error),
        f"{prefix}error": error,
        f"{prefix}square": error**2,
        f"{prefix}truth": centred,
        f"{prefix}truth_square": centred**2,
    }


def _quantile_columns(
    levels: tuple[float, ...], values: np.ndarray, truth: np.ndarray, alpha: float
) -> dict[str, np.ndarray]:
    loss = pinball(values, truth, levels)
    columns = {f"pinball:{q:g}": loss[:, :, i] for i, q in enumerate(levels)}
    columns["crps"] = crps(values, truth, levels)
    pair = interval_levels(levels, alpha)
    if pair is None:
        return columns
    lower, upper = values[:, :, pair[0]], values[:, :, pair[1]]
    columns["inside"] = inside(lower, upper, truth).astype(float)
    columns["width"] = np.where(np.isfinite(truth), upper - lower, np.nan)
    columns["interval_score"] = interval_score(lower, upper, truth, alpha)
    return columns


def _steps(cumulative: np.ndarray, last: np.ndarray) -> np.ndarray:
    return np.diff(np.concatenate([last[:, None].astype(float), cumulative], axis=1), axis=1)


def _errors(s: dict[str, np.ndarray], prefix: str, target: Target) -> dict[str, np.ndarray]:
    n = s[f"{prefix}n"]
    spread = s[f"{prefix}truth_square"] - s[f"{prefix}truth"] ** 2 / n
    varies = spread > NEGLIGIBLE * s[f"{prefix}truth_square"]
    return {
        f"{prefix}mae_{target.unit}": target.per_m * s[f"{prefix}abs"] / n,
        f"{prefix}rmse_{target.unit}": target.per_m * np.sqrt(s[f"{prefix}square"] / n),
        f"{prefix}r2": np.where(varies, 1.0 - s[f"{prefix}square"] / np.where(varies, spread, 1.0), np.nan),
        f"{prefix}bias_{target.unit}": target.per_m * s[f"{prefix}error"] / n,
    }


def _plain(named: dict) -> dict:
    return {key: _plain(value) if isinstance(value, dict) else _number(value) for key, value in named.items()}


def _number(value: np.ndarray) -> float | list[float | None] | None:
    """One score as a finite number or null; many draws of it as their central 95 % band."""
    drawn = np.asarray(value, dtype=float)
    if drawn.ndim == 0:
        return rounded(float(drawn))
    tail = (1.0 - BAND) / 2.0
    drawn = drawn[np.isfinite(drawn)]
    return [rounded(float(q)) for q in np.quantile(drawn, [tail, 1.0 - tail])] if drawn.size else None
