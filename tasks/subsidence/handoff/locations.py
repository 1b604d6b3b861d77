"""Joins by place: forecasts, panels and known truth name the same points by coordinates, never by row number."""

import numpy as np

TOLERANCE_M = 1.0


def match(xy: np.ndarray, reference_xy: np.ndarray, tolerance_m: float = TOLERANCE_M) -> tuple[np.ndarray, np.ndarray]:
    """Nearest reference row of each point: (N,) index and (N,) bool within the tolerance; xy (N, 2) m."""
    from scipy.spatial import cKDTree

    distance, index = cKDTree(reference_xy).query(xy)
    return index, distance <= tolerance_m


def unique_places(x: np.ndarray, y: np.ndarray, step_m: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Row of the first window at each place, and the place number of every window."""
    keys = np.rint(np.column_stack([x, y]) / step_m).astype(np.int64)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.ravel()]
