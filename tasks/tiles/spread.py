"""Figures of many tiles in a few numbers: over all of them, by month, by biome."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.tiles.quality_verdict import TARGETS, identical_share
from tasks.tiles.tile_quality import PRESERVATION, Figures

SUMMARISED = (*PRESERVATION, "change_rms", "mean_ndvi_change", "minimum", "maximum")
QUANTILES = {"p5": 0.05, "median": 0.5, "p95": 0.95}


def spread(values: Sequence[float | None], target: str = "") -> dict[str, Any]:
    """Median, 5 % and 95 % of the known values, how many are not, and the share that meets the target of that name."""
    known = [value for value in values if value is not None]
    found: dict[str, Any] = {key: float(np.quantile(known, q)) if known else None for key, q in QUANTILES.items()}
    if target in TARGETS:
        found["share_meeting_target"] = sum(map(TARGETS[target].met, known)) / len(known) if known else None
    return found | {"undefined": len(values) - len(known)}


def summary(tiles: Sequence[Figures]) -> dict[str, Any]:
    """Spread of every figure that needs no reference."""
    return {name: spread([tile[name] for tile in tiles], name) for name in SUMMARISED}


def grouped(tiles: Sequence[Figures], key: str) -> dict[str, Any]:
    """Summary per value of a key; `defaulted` counts the tiles whose sidecar did not give it."""
    values = sorted({tile[key] for tile in tiles})
    return {str(value): _group([tile for tile in tiles if tile[key] == value], key) for value in values}


def _group(members: Sequence[Figures], key: str) -> dict[str, Any]:
    return {
        "tiles": len(members),
        "defaulted": sum(key in tile["defaults_used"] for tile in members),
        "share_bit_identical": identical_share(members),
        "summary": summary(members),
    }
