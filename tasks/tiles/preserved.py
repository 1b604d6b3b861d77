"""NDVI RMSE and edge correlation of images that come in rows: the figures of `metrics` from running sums."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tasks.tiles.filters import sobel_magnitude, surrounded
from tasks.tiles.metrics import NIR, ROUNDING, ndvi


class Seen(NamedTuple):
    """What is compared of rows with their neighbours."""

    ndvi: np.ndarray  # (n, W)
    edges: np.ndarray  # (n, W) Sobel magnitude of B08

    @classmethod
    def of(cls, values: np.ndarray, valid: np.ndarray) -> "Seen":
        """Of (4, n, W) reflectance; pixels that are not `valid` count as black."""
        filled = np.where(valid, values, 0).astype(float)
        return cls(ndvi(filled), sobel_magnitude(filled[NIR]))


@dataclass
class Preserved:
    """Sums over the rows of two images."""

    pixels: int = 0
    change: float = 0.0
    squares: float = 0.0
    inner: int = 0  # pixels without an invalid neighbour
    sums: tuple[float, ...] = (0.0,) * 5  # of the edges a, b, a², b², ab
    lowest: tuple[float, float] = (math.inf, math.inf)
    highest: tuple[float, float] = (-math.inf, -math.inf)

    def add(self, first: Seen, second: Seen, valid: np.ndarray, rows: slice) -> None:
        """Count these `rows` of a part that holds at least one more on every side where the image has one."""
        change = (second.ndvi - first.ndvi)[rows][valid[rows]]
        self.pixels += change.size
        self.change += float(change.sum())
        self.squares += float(change @ change)
        inside = surrounded(valid)[rows]
        if inside.any():
            a, b = first.edges[rows][inside], second.edges[rows][inside]
            self.inner += a.size
            self.sums = tuple(map(sum, zip(self.sums, (a.sum(), b.sum(), a @ a, b @ b, a @ b), strict=True)))
            self.lowest = min(self.lowest[0], float(a.min())), min(self.lowest[1], float(b.min()))
            self.highest = max(self.highest[0], float(a.max())), max(self.highest[1], float(b.max()))

    def figures(self) -> dict[str, float | None]:
        """By the names that tiles have; None where one is not defined."""
        rmse = math.sqrt(self.squares / self.pixels) if self.pixels else None
        return {"ndvi_rmse": rmse, "edge_correlation": self._correlation()}

    @property
    def mean_ndvi_change(self) -> float | None:
        """Of the second less that of the first."""
        return self.change / self.pixels if self.pixels else None

    def _correlation(self) -> float | None:
        if not self.inner or min(high - low for high, low in zip(self.highest, self.lowest, strict=True)) <= ROUNDING:
            return None
        a, b, aa, bb, ab = (float(total) / self.inner for total in self.sums)
        spread = math.sqrt((aa - a * a) * (bb - b * b))
        return min(1.0, max(-1.0, (ab - a * b) / spread))
