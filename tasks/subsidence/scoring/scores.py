"""Scores of quantile forecasts: pure functions over arrays. Levels lie on the last axis, units are those given."""

import numpy as np


def find_level(levels: tuple[float, ...], level: float) -> int | None:
    """Index of a level in the list, or None; levels are compared to nine decimals."""
    hits = np.flatnonzero(np.abs(np.asarray(levels) - level) < 1e-9)
    return int(hits[0]) if hits.size else None


def interval_levels(levels: tuple[float, ...], alpha: float) -> tuple[int, int] | None:
    """Indices of the levels alpha/2 and 1 - alpha/2, or None when the list lacks one of them."""
    low, high = find_level(levels, alpha / 2), find_level(levels, 1 - alpha / 2)
    return None if low is None or high is None else (low, high)


def pinball(values: np.ndarray, truth: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """Quantile loss of every level: values (..., Q), truth (...) -> (..., Q)."""
    error = truth[..., None] - values
    level = np.asarray(levels)
    return np.maximum(level * error, (level - 1.0) * error)


def crps_weights(levels: tuple[float, ...]) -> np.ndarray:
    """(Q,) trapezoid weights of the levels on [0, 1], the pinball loss held flat beyond the outermost levels; sum 1."""
    level = np.asarray(levels, dtype=float)
    edges = np.concatenate([[0.0], (level[1:] + level[:-1]) / 2.0, [1.0]])
    return np.diff(edges)


def crps(values: np.ndarray, truth: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """Continuous ranked probability score as twice the integral of the pinball loss (Laio and Tamea 2007).

    values (..., Q), truth (...) -> (...). With the single level 0.5 this is the absolute error.
    """
    return 2.0 * pinball(values, truth, levels) @ crps_weights(levels)


def inside(lower: np.ndarray, upper: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """True where the truth lies in the closed interval."""
    return (lower <= truth) & (truth <= upper)


def interval_score(lower: np.ndarray, upper: np.ndarray, truth: np.ndarray, alpha: float) -> np.ndarray:
    """Width plus 2/alpha times the overshoot (Gneiting and Raftery 2007, equation 43)."""
    overshoot = np.maximum(lower - truth, 0.0) + np.maximum(truth - upper, 0.0)
    return upper - lower + 2.0 / alpha * overshoot
