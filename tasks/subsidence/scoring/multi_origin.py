"""Ridge that learns the next increment from several origins per window, so that it knows steps, not calendar years."""

from dataclasses import dataclass

import numpy as np

from tasks.subsidence.arrays import Split
from tasks.subsidence.scoring.baseline_columns import increments, past_increments
from tasks.subsidence.scoring.baseline_ridge import Linear, ridge_path
from tasks.subsidence.semantics import Semantics

PENALTY = 1e-2


@dataclass(frozen=True)
class MultiOrigin:
    """One linear rule for every origin, applied step by step to its own forecasts."""

    rule: Linear
    sem: Semantics

    def __call__(self, split: Split) -> np.ndarray:
        """(N, H) increments, m; reads history only."""
        window = past_increments(split, self.sem)
        rest = still_columns(split, self.sem)
        steps = []
        for _ in range(split.coords.shape[1]):
            steps.append(self.rule(np.hstack([window, rest]))[:, 0])
            window = np.column_stack([window[:, 1:], steps[-1]])
        return np.stack(steps, axis=1)


def fit_multi_origin(train: Split, sem: Semantics) -> MultiOrigin:
    """Fit on every origin of the train windows whose next increment is a target."""
    series = np.hstack([past_increments(train, sem), increments(train, sem)])
    moving, following = origin_rows(series, sem.time_steps - 1)
    still = np.tile(still_columns(train, sem), (series.shape[1] - sem.time_steps + 1, 1))
    (rule,) = ridge_path(np.hstack([moving, still]), following[:, None], [PENALTY])
    return MultiOrigin(rule, sem)


def origin_rows(series: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Every run of `width` increments with the one after it: series (N, L) -> (M, width) and (M,), origin by origin."""
    origins = range(width, series.shape[1])
    before = [series[:, origin - width : origin] for origin in origins]
    return np.vstack(before), np.concatenate([series[:, origin] for origin in origins])


def still_columns(split: Split, sem: Semantics) -> np.ndarray:
    """(N, C + 1) one-hot classes and thickness: what does not change between origins."""
    hot = sorted({column for block in sem.one_hot_blocks.values() for column in block})
    return np.hstack([split.static[:, hot], split.thickness[:, 0]]).astype(float)
