"""Where windows lie over a large image, and how much each one weighs at each pixel."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tasks.contracts.errors import ConfigError


@dataclass(frozen=True)
class Axis:
    """Windows along one side of an image, px; the last one is shifted inward."""

    length: int
    window: int
    overlap: int

    @property
    def size(self) -> int:
        """Of each window: a side shorter than a window is one window."""
        return min(self.window, self.length)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First pixel of each window."""
        last = self.length - self.size
        return (*range(0, last, self.window - self.overlap), last)

    @cached_property
    def weights(self) -> np.ndarray:
        """(n, size) float32: sin² up and cos² down over the overlap, 1 elsewhere and towards the image border."""
        weights = np.ones((len(self.starts), self.size), np.float32)
        if len(self.starts) > 1 and self.overlap:
            rising = np.sin(np.pi / 2 * (np.arange(self.overlap) + 0.5) / self.overlap) ** 2
            weights[1:, : self.overlap] *= rising
            weights[:-1, -self.overlap :] *= rising[::-1]
        return weights

    @cached_property
    def totals(self) -> np.ndarray:
        """(length,) float32 sum of the weights at each pixel."""
        totals = np.zeros(self.length, np.float32)
        for start, weights in zip(self.starts, self.weights, strict=True):
            totals[start : start + self.size] += weights
        return totals


@dataclass(frozen=True)
class Grid:
    """All windows of an image: every row of windows with every column of windows."""

    rows: Axis
    columns: Axis

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.rows.starts) * len(self.columns.starts)


def window_grid(height: int, width: int, *, window: int, overlap: int, patch: int = 1) -> Grid:
    """The grid over height x width px. Raises ConfigError where no grid can be made of window and overlap."""
    if window < 1 or window % patch:
        remedy = f"Use a multiple of {patch}, the patch of the checkpoint."
        raise ConfigError("cannot be cut into patches", where="window", found=window, remedy=remedy)
    if not 0 <= overlap < window:
        raise ConfigError("does not fit the window", where="overlap", expected=f"0 to {window - 1}", found=overlap)
    return Grid(Axis(height, window, overlap), Axis(width, window, overlap))
