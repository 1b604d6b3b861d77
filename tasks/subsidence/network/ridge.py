"""Least squares with leave-one-out choice of the penalty: where the linear part of a network starts from."""

from dataclasses import dataclass

import numpy as np

PENALTIES = 10.0 ** np.arange(-7.0, 1.5, 0.5)  # per row
MAX_ROWS = 20_000  # for the choice of penalty and length scale


@dataclass(frozen=True)
class RidgeFit:
    """weights (P, K) and bias (K,) of K targets, with the residual each row has when it is left out."""

    weights: np.ndarray
    bias: np.ndarray
    left_out: np.ndarray  # (N, K)
    penalty: float

    @property
    def score(self) -> float:
        """Mean absolute left-out residual."""
        return float(np.abs(self.left_out).mean())

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N, P) -> (N, K)"""
        return features @ self.weights + self.bias


def ridge(features: np.ndarray, targets: np.ndarray, penalties: np.ndarray = PENALTIES) -> RidgeFit:
    """Ridge of targets (N, K) on features (N, P), free intercept, penalty by mean absolute left-out residual.

    Left-out residuals are e_i / (1 - h_ii) with h the diagonal of the hat matrix (Allen 1974).
    """
    features, targets = features.astype(np.float64), targets.astype(np.float64)
    n, centre, level = len(features), features.mean(axis=0), targets.mean(axis=0)
    centred, wanted = features - centre, targets - level
    solve = _solver(centred, wanted) if len(penalties) > 1 else _single
    best = None
    for penalty in penalties:
        weights, leverage = solve(centred, wanted, penalty * n)
        left_out = (wanted - centred @ weights) / np.clip(1.0 - leverage - 1.0 / n, 1e-6, None)[:, None]
        score = np.abs(left_out).mean()
        if best is None or score < best[0]:
            best = (score, penalty, weights, left_out)
    _, penalty, weights, left_out = best
    return RidgeFit(weights, level - centre @ weights, left_out, float(penalty))


def _single(centred: np.ndarray, wanted: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (P, K) and leverages (N,) for one penalty."""
    from scipy.linalg import cho_factor, cho_solve

    factor = cho_factor(centred.T @ centred + penalty * np.eye(centred.shape[1]))
    return cho_solve(factor, centred.T @ wanted), np.einsum("np,pn->n", centred, cho_solve(factor, centred.T))


def _solver(centred: np.ndarray, wanted: np.ndarray):
    """The same for many penalties, from one decomposition."""
    if centred.shape[0] < centred.shape[1]:
        _, singular, across = np.linalg.svd(centred, full_matrices=False)
        values, vectors = np.square(singular), across.T
    else:
        values, vectors = np.linalg.eigh(centred.T @ centred)
    values, rotated = np.clip(values, 0.0, None), centred @ vectors
    projected, squares = rotated.T @ wanted, np.square(rotated)

    def solve(_, __, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        shrink = 1.0 / (values + penalty)
        return vectors @ (shrink[:, None] * projected), squares @ shrink

    return solve


def space_frequencies(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (2, count) per unit length scale and phases (count,): a Matern 3/2 kernel in expectation."""
    rng = np.random.default_rng([seed, 77])
    heavy = np.sqrt(rng.chisquare(3, count) / 3.0)
    return rng.standard_normal((2, count)) / heavy, rng.uniform(0.0, 2.0 * np.pi, count)
