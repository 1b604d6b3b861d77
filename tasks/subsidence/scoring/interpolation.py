"""Inverse distance weighting over train places: knows what the ground did next door in the target year itself.

This is interpolation, not a forecast: it needs neighbours whose target years have been observed.
"""

from dataclasses import dataclass

import numpy as np

from tasks.subsidence.arrays import Split
from tasks.subsidence.semantics import Semantics

NEIGHBOURS = 4
MIN_DISTANCE_M = 1.0


def metres(split: Split, sem: Semantics) -> np.ndarray:
    """(N, 2) x and y in metres from a common origin."""
    return split.coords[:, 0, 1:].astype(float) * [sem.coord_scale_si.x, sem.coord_scale_si.y]


@dataclass(frozen=True)
class InverseDistance:
    """Weighted mean of the k nearest known values with weights 1 / max(d, 1 m)^2 (Shepard 1968)."""

    places: np.ndarray  # (M, 2) m
    values: np.ndarray  # (M, H)
    neighbours: int = NEIGHBOURS

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """(N, H) values at places (N, 2), m."""
        from scipy.spatial import cKDTree

        count = min(self.neighbours, len(self.places))
        distance, nearest = cKDTree(self.places).query(places, k=[*range(1, count + 1)])
        weights = 1.0 / np.maximum(distance, MIN_DISTANCE_M) ** 2
        weights /= weights.sum(axis=1, keepdims=True)
        return np.einsum("nk,nkh->nh", weights, self.values[nearest])
