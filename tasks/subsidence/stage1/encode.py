"""Numbers for a network: scalers and categories fitted on train points, and nothing but train points."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MinMax:
    """stored = (value - min) / scale; a constant column has scale 1 and is stored as 0."""

    names: tuple[str, ...]
    min: np.ndarray
    scale: np.ndarray

    def encode(self, values: np.ndarray, name: str) -> np.ndarray:
        """Stored form of one column, any shape."""
        at = self.names.index(name)
        return (values - self.min[at]) / self.scale[at]

    def as_json(self) -> dict:
        """The form in which scalers are handed over."""
        return {
            "kind": "minmax",
            "feature_names": list(self.names),
            "min": self.min.tolist(),
            "scale": self.scale.tolist(),
        }


def fit_minmax(columns: dict[str, np.ndarray]) -> MinMax:
    """Minimum and span of each column of train values (any shape, NaN ignored)."""
    low = np.array([np.nanmin(values) for values in columns.values()])
    span = np.array([np.nanmax(values) for values in columns.values()]) - low
    return MinMax(names=tuple(columns), min=low, scale=np.where(span > 0, span, 1.0))


def fit_categories(train: np.ndarray) -> tuple[str, ...]:
    """Categories (sorted) that train points (n,) have; a missing one ('') is no category."""
    return tuple(sorted({str(name) for name in train} - {""}))


def one_hot(names: np.ndarray, categories: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """(n, C) indicator columns, and the names that train did not know: their rows are all zero."""
    texts = np.array([str(name) for name in names], dtype=object)
    columns = [(texts == category) for category in categories]
    encoded = np.stack(columns, axis=1).astype(float) if columns else np.zeros((len(texts), 0))
    return encoded, sorted(set(texts) - set(categories))


def fill_gaps(values: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, int]:
    """A driver (G, Y) without gaps, and how many were filled: by the median of the train points in that year.

    A year that no train point has is filled from the train median of all years.
    """
    gaps = np.isnan(values)
    if not gaps.any():
        return values, 0
    known = values[train]
    overall = np.nanmedian(known)
    present = ~np.isnan(known).all(axis=0)
    yearly = np.full(values.shape[1], overall)
    yearly[present] = np.nanmedian(known[:, present], axis=0)
    return np.where(gaps, yearly, values), int(gaps.sum())


def hold_last(values: np.ndarray, last: int) -> tuple[np.ndarray, np.ndarray]:
    """A driver (G, Y) whose gaps after column `last` repeat the newest value, and the mask of those cells."""
    held = np.zeros(values.shape, dtype=bool)
    filled = values.copy()
    for year in range(last + 1, values.shape[1]):
        held[:, year] = np.isnan(filled[:, year])
        filled[:, year] = np.where(held[:, year], filled[:, year - 1], filled[:, year])
    return filled, held
