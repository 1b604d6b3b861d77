"""Split conformal ranks and the spread of coverage they leave: exact finite-sample statements, no asymptotics.

Sources: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005); Angelopoulos and Bates,
A Gentle Introduction to Conformal Prediction (2023), section 3.2 for the Beta-binomial law of coverage.
"""

import math

import numpy as np

from tasks.contracts.errors import CalibrationError

ROUNDING = 9  # decimals: 1 - 0.2 times n + 1 must not become 4.000000000000001 before it is rounded up


def rank(n: int, alpha: float) -> int:
    """k = ceil((n + 1)(1 - alpha)), the place of the conformal quantile among n sorted scores.

    Raises CalibrationError when k > n: so few rows bound nothing at this level.
    """
    k = math.ceil(round((n + 1) * (1.0 - alpha), ROUNDING))
    if k > n:
        raise CalibrationError(
            f"too few calibration rows for a {1 - alpha:.0%} interval",
            expected=f"n >= {rows_needed(alpha)}",
            found=f"n = {n}",
            remedy="Give a larger validation split, or ask for a narrower interval.",
        )
    return k


def rows_needed(alpha: float) -> int:
    """The smallest n for which the conformal rank exists."""
    return math.ceil(round((1.0 - alpha) / alpha, ROUNDING))


def quantile(scores: np.ndarray, alpha: float) -> np.ndarray:
    """The k-th smallest score of each column: scores (n, ...) -> (...)."""
    k = rank(scores.shape[0], alpha)
    return np.partition(scores, k - 1, axis=0)[k - 1]


def coverage_standard_error(n_calib: int, n_test: int, alpha: float) -> float:
    """Standard deviation of the coverage of n_test new rows after calibration on n_calib (Beta-binomial)."""
    k = rank(n_calib, alpha)
    p = k / (n_calib + 1)
    return math.sqrt(p * (1 - p) / n_test * (1 + (n_test - 1) / (n_calib + 2)))


def coverage_band(n_calib: int, n_test: int, alpha: float, level: float = 0.99) -> tuple[float, float]:
    """Central band of the coverage of n_test exchangeable rows: outside it, the rows differ from the calibration rows.

    The count covered is Beta-binomial(n_test, k, n_calib + 1 - k) with k the conformal rank.
    """
    from scipy.stats import betabinom

    k = rank(n_calib, alpha)
    law = betabinom(n_test, k, n_calib + 1 - k)
    tail = (1.0 - level) / 2.0
    return float(law.ppf(tail)) / n_test, float(law.ppf(1.0 - tail)) / n_test
