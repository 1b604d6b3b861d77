"""Ridge regression for a whole list of penalties from one singular value decomposition."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Linear:
    """y = (x - centre) @ weights + offset."""

    centre: np.ndarray  # (C,)
    weights: np.ndarray  # (C, H)
    offset: np.ndarray  # (H,)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, H) for x (N, C)."""
        return (x - self.centre) @ self.weights + self.offset


def ridge_path(x: np.ndarray, y: np.ndarray, penalties: Sequence[float]) -> list[Linear]:
    """One fit per penalty, minimising |y - Xw|^2 + penalty |w|^2; x (N, C), y (N, H).

    Columns are centred (the intercept is free) but not scaled: the penalty is in the units of the columns.
    """
    centre, offset = x.mean(axis=0), y.mean(axis=0)
    left, singular, right = np.linalg.svd(x - centre, full_matrices=False)
    projected = left.T @ (y - offset)
    shrunk = [singular / (singular**2 + penalty) for penalty in penalties]
    return [Linear(centre, right.T @ (factor[:, None] * projected), offset) for factor in shrunk]
