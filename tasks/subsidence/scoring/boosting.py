"""Gradient boosted trees, one model per step (scikit-learn HistGradientBoostingRegressor)."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

ITERATIONS = 300
LEARNING_RATE = 0.05
ROWS_WORTH_THREADS = 20_000


@dataclass(frozen=True)
class Boosted:
    """One regressor per step."""

    steps: tuple

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, H) for x (N, C)."""
        with _threads(len(x)):
            return np.stack([step.predict(x) for step in self.steps], axis=1)


def fit_boosted(x: np.ndarray, y: np.ndarray, *, early_stopping: bool) -> Boosted:
    """Fit x (N, C) to every column of y (N, H).

    With early stopping a tenth of the rows (fixed seed) decides when to end before 300 iterations; without it all run.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    def fitted(target: np.ndarray) -> HistGradientBoostingRegressor:
        model = HistGradientBoostingRegressor(
            max_iter=ITERATIONS, learning_rate=LEARNING_RATE, early_stopping=early_stopping, random_state=0
        )
        return model.fit(x, target)

    with _threads(len(x)):
        return Boosted(tuple(fitted(target) for target in y.T))


def _threads(rows: int) -> AbstractContextManager:
    """One thread for few rows: there the threads mostly wait for each other, minutes on a busy machine."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1 if rows < ROWS_WORTH_THREADS else None, user_api="openmp")
