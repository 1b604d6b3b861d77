"""What ridge and boosting see of a window: the same columns, nothing from after the origin but known drivers."""

from dataclasses import dataclass

import numpy as np

from tasks.subsidence.arrays import Split
from tasks.subsidence.scaling import last_subsidence
from tasks.subsidence.semantics import Semantics


@dataclass(frozen=True)
class Columns:
    """Flat history, static, thickness, drivers of the target steps, x and y normalized by the train extent."""

    low: np.ndarray  # (2,) least x and y of train, as stored
    span: np.ndarray  # (2,)

    def __call__(self, split: Split) -> np.ndarray:
        """(N, T*D + S + 1 + H*F + 2) float64."""
        n = len(split)
        drivers = split.future[:, -split.coords.shape[1] :]  # the horizon is the end of either layout
        place = (split.coords[:, 0, 1:] - self.low) / self.span
        parts = [split.dynamic.reshape(n, -1), split.static, split.thickness[:, 0], drivers.reshape(n, -1), place]
        return np.hstack([part.astype(float) for part in parts])


def columns_of(train: Split) -> Columns:
    """Columns whose x and y are scaled by the extent of the train windows."""
    place = train.coords[:, 0, 1:].astype(float)
    span = np.ptp(place, axis=0)
    return Columns(place.min(axis=0), np.where(span > 0, span, 1.0))


def past_increments(split: Split, sem: Semantics) -> np.ndarray:
    """(N, T-1) increments of the history, m per time step."""
    return np.diff(split.dynamic[:, :, sem.subsidence_index].astype(float), axis=1)


def increments(split: Split, sem: Semantics) -> np.ndarray:
    """(N, H) increments of the targets, m per time step, the first one from the last observation."""
    return np.diff(np.column_stack([last_subsidence(split, sem), split.subsidence[:, :, 0]]).astype(float), axis=1)


def accumulate(increments_m: np.ndarray, split: Split, sem: Semantics) -> np.ndarray:
    """(N, H) cumulative subsidence, m, from increments (N, H) and the last observation."""
    return last_subsidence(split, sem)[:, None].astype(float) + np.cumsum(increments_m, axis=1)
