"""Whether one sees where windows met: how much the change jumps there, compared with elsewhere."""

import numpy as np

from tasks.tiles.window_grid import Axis


class SeamMeter:
    """Mean absolute horizontal difference of the change across window borders over that elsewhere, row by row."""

    def __init__(self, columns: Axis):
        self._sums, self._counts = np.zeros(columns.length - 1), np.zeros(columns.length - 1)
        self._seams = np.zeros(columns.length - 1, bool)
        for start in columns.starts:
            for border in (start, start + columns.size):
                if 0 < border < columns.length:
                    self._seams[border - 1] = True

    def add(self, change: np.ndarray, valid: np.ndarray) -> None:
        """Count more rows: change (C, n, W) between output and input, valid (n, W)."""
        both = valid[:, 1:] & valid[:, :-1]
        jumps = np.abs(np.diff(change, axis=-1)).sum(axis=0)
        self._sums += np.where(both, jumps, 0).sum(axis=0)
        self._counts += len(change) * both.sum(axis=0)

    @property
    def ratio(self) -> float | None:
        """1 where window borders are like any other place; None without borders or without change."""
        across, elsewhere = self._mean(self._seams), self._mean(~self._seams)
        return across / elsewhere if across is not None and elsewhere else None

    def _mean(self, columns: np.ndarray) -> float | None:
        count = self._counts[columns].sum()
        return float(self._sums[columns].sum() / count) if count else None
