"""Tiles of the generator and of the real scene, as the tests of the figures need them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tasks.tiles.degrade import degrade
from tasks.tiles.sample import sample_tiles
from tasks.tiles.tile_quality import Pair

SCENE = Path(__file__).resolve().parents[4] / "shared" / "data" / "tiles" / "openeo_S2_L2A_sample.tif"
needs_scene = pytest.mark.skipif(not SCENE.is_file(), reason=f"{SCENE.name} is not beside this checkout")
SIDE = 48


def two_versions(count: int = 20) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Clean and degraded tiles (4, 48, 48) of the generator."""
    return ((tile.clean, tile.opt_v1) for tile in sample_tiles(count, (SIDE,), seed=5))


def scene_tile(row: int = 240, column: int = 300, side: int = 120) -> np.ndarray:
    """(4, side, side) float32 reflectance of the Alpine scene, NaN where a band is nodata."""
    import rasterio

    window = rasterio.windows.Window(column, row, side, side)
    with rasterio.open(SCENE) as scene:
        stored = scene.read([1, 2, 3, 4], window=window).astype(np.float32)
    return np.clip(np.where((stored == 0).any(axis=0), np.nan, stored / 10_000), 0, 1).astype(np.float32)


def scene_versions() -> tuple[np.ndarray, np.ndarray]:
    """A tile of the scene and a degraded one."""
    tile = scene_tile()
    return tile, degrade(tile, np.random.default_rng(0))


def pair(tile_id: str = "a", change: float = 0.01, month: int = 6, **options) -> Pair:
    """A tile with texture and its refinement, which moves NIR by a constant."""
    v1 = np.random.default_rng(3).uniform(0.2, 0.6, (4, 24, 24)).astype(np.float32)
    v2 = v1.copy()
    v2[3] += np.float32(change)
    return Pair(tile_id, v1, options.pop("v2", v2), month, options.pop("biome_code", 0), **options)
