"""One pass over a scene before anything is computed: how much is valid, and whether it is reflectance."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tasks.contracts.tile_errors import TileEmptyError, ValueRangeError
from tasks.tiles.values import INTEGERS_ABOVE, MAX_SHARE_OUTSIDE, PLAUSIBLE_HIGH, PLAUSIBLE_LOW


@dataclass(frozen=True)
class Survey:
    """Counts over the pixels that are valid in all four bands."""

    pixels: int = 0
    valid_pixels: int = 0
    clipped_pixels: int = 0  # with at least one band outside 0..1
    clipped_samples: int = 0
    lowest: float = np.inf
    highest: float = -np.inf

    @property
    def valid_fraction(self) -> float:
        """Of the pixels."""
        return self.valid_pixels / max(self.pixels, 1)

    @property
    def clipped_fraction(self) -> float:
        """Of the valid samples."""
        return self.clipped_samples / max(4 * self.valid_pixels, 1)

    def with_rows(self, values: np.ndarray, valid: np.ndarray) -> "Survey":
        """Count more rows: values (4, n, W) reflectance, valid (n, W)."""
        seen = values[:, valid]
        outside = (seen < 0) | (seen > 1)
        return Survey(
            self.pixels + valid.size,
            self.valid_pixels + seen.shape[1],
            self.clipped_pixels + int(outside.any(axis=0).sum()),
            self.clipped_samples + int(outside.sum()),
            min(self.lowest, float(seen.min(initial=np.inf))),
            max(self.highest, float(seen.max(initial=-np.inf))),
        )


def survey(rows: Iterable[tuple[np.ndarray, np.ndarray]]) -> Survey:
    """Count all rows of a scene, each values (1, 4, n, W) and valid (n, W)."""
    total = Survey()
    for values, valid in rows:
        total = total.with_rows(values[0], valid)
    return total


def check_survey(counted: Survey, policy: str, where: str) -> None:
    """Raise TileEmptyError without a valid pixel, ValueRangeError for what the policy does not let pass."""
    if not counted.valid_pixels:
        raise TileEmptyError("has no valid pixel", where=where, remedy="Check its nodata value.")
    if policy == "clip" or not counted.clipped_samples:
        return
    within = counted.lowest >= PLAUSIBLE_LOW and counted.highest <= PLAUSIBLE_HIGH
    plausible = within and counted.clipped_fraction <= MAX_SHARE_OUTSIDE
    if policy == "strict" or not plausible:
        found = f"{counted.lowest:g} to {counted.highest:g}, {counted.clipped_fraction:.1%} outside 0..1"
        remedy = _likely_cause(counted)
        raise ValueRangeError("is no reflectance", where=where, expected="0 to 1", found=found, remedy=remedy)


def _likely_cause(counted: Survey) -> str:
    if counted.highest > INTEGERS_ABOVE:
        return "It looks like integer reflectance, use --scale."
    if counted.lowest < PLAUSIBLE_LOW or counted.clipped_fraction > MAX_SHARE_OUTSIDE:
        return "It looks like standardised values."
    return "Use --range_policy clip to clip them."
