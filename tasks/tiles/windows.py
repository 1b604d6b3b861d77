"""A large image refined window by window: the overlapping results become one image again."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from tasks.contracts.tile_errors import NonFiniteOutputError, TileShapeError
from tasks.tiles.window_grid import Axis, Grid, window_grid

LARGEST_TILE_SIDE = 1024  # px; above it the windows are used

# (N, T, 4, h, w) reflectance with every pixel filled and (N, h, w) validity -> (N, 4, h, w) refined, in 0..1
Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]
# first row, number of rows -> (T, 4, rows, W) reflectance, NaN where invalid, and (rows, W) validity
ReadRows = Callable[[int, int], tuple[np.ndarray, np.ndarray]]


class Rows(NamedTuple):
    """Finished rows of the refined image."""

    first: int
    values: np.ndarray  # (4, rows, W) reflectance, NaN where the input is NaN
    valid: np.ndarray  # (rows, W)
    change: np.ndarray  # (4, rows, W) of the input by the model, blended


class Accumulator:
    """Weighted sums of the windows in the current rows of the image; memory grows with width x window only.

    Windows are added row of windows by row of windows; windows left out count as zero.
    """

    def __init__(self, grid: Grid, channels: int = 4):
        self._grid = grid
        self._sums = np.zeros((channels, grid.rows.size, grid.columns.length), np.float32)

    def add(self, row: int, column: int, values: np.ndarray) -> None:
        """Add the (C, h, w) result of a window, named by its place in the grid."""
        weights = np.outer(self._grid.rows.weights[row], self._grid.columns.weights[column])
        start = self._grid.columns.starts[column]
        self._sums[:, :, start : start + self._grid.columns.size] += weights * values

    def finished(self, row: int) -> np.ndarray:
        """(C, rows, W) mean of the rows that no later row of windows touches; they leave the memory."""
        rows = self._grid.rows
        first = rows.starts[row]
        count = rows.starts[row + 1] - first if row + 1 < len(rows.starts) else rows.size
        done = self._sums[:, :count] / np.outer(rows.totals[first : first + count], self._grid.columns.totals)
        self._sums[:, : rows.size - count] = self._sums[:, count:]
        self._sums[:, rows.size - count :] = 0
        return done


def refined_rows(read: ReadRows, grid: Grid, predict: Predict, batch_size: int = 4) -> Iterator[Rows]:
    """The refined image from top to bottom, in pieces of at most a window's height.

    The change that the model makes is blended, not its result: where nothing changes, the input returns bit for bit.
    """
    blend = Accumulator(grid)
    for row, first in enumerate(grid.rows.starts):
        values, valid = read(first, grid.rows.size)
        for column, change in _changes(values, valid, grid.columns, predict, batch_size):
            blend.add(row, column, change)
        change = blend.finished(row)
        count = change.shape[1]
        refined = values[-1, :, :count] + change
        yield Rows(first, np.clip(refined, 0, 1, out=refined), valid[:count], change)


def refine_large(
    values: np.ndarray,
    valid: np.ndarray,
    predict: Predict,
    *,
    patch: int,
    window: int = 224,
    overlap: int = 64,
    batch_size: int = 4,
) -> np.ndarray:
    """(4, H, W) refined reflectance of a tile too large for one pass; values (T, 4, H, W) in 0..1, valid (H, W)."""
    grid = window_grid(*valid.shape, window=window, overlap=overlap, patch=patch)
    refined = np.empty(values.shape[1:], np.float32)

    def read(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        return values[:, :, first : first + count], valid[first : first + count]

    for rows in refined_rows(read, grid, predict, batch_size):
        refined[:, rows.first : rows.first + rows.values.shape[1]] = rows.values
    return refined


def fill_invalid(values: np.ndarray) -> np.ndarray:
    """(..., h, w) with NaN replaced by the median of the other pixels of its band."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    filled = values.copy()
    for band in np.ndindex(values.shape[:-2]):
        if missing[band].any():
            filled[band][missing[band]] = np.median(values[band][~missing[band]])
    return filled


def _changes(
    values: np.ndarray, valid: np.ndarray, columns: Axis, predict: Predict, batch_size: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Column and (4, h, w) change of each window in one row of windows that has a valid pixel."""
    places = [slice(start, start + columns.size) for start in columns.starts]
    seen = [column for column, place in enumerate(places) if valid[:, place].any()]
    for first in range(0, len(seen), batch_size):
        batch = seen[first : first + batch_size]
        inputs = np.stack([fill_invalid(values[..., places[column]]) for column in batch])
        validity = np.stack([valid[:, places[column]] for column in batch])
        changes = _checked(predict(inputs, validity), inputs) - inputs[:, -1]
        yield from zip(batch, changes, strict=True)


def _checked(outputs: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    if outputs.shape != inputs[:, -1].shape:
        raise TileShapeError("has the wrong shape", where="model", expected=inputs[:, -1].shape, found=outputs.shape)
    if not np.isfinite(outputs).all():
        raise NonFiniteOutputError("gives values that are not finite", where="model", remedy="Check the checkpoint.")
    return outputs
