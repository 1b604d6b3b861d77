"""Small GeoTIFF scenes for the tests of this folder."""

import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

NAMES = ("B02", "B03", "B04", "B08")
PLACE = from_origin(600_000, 5_100_000, 10, 10)


def digital_numbers(height=70, width=90, seed=5):
    """(4, H, W) uint16, smooth with texture, 500 to 4500, no nodata."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = 2500 + 1500 * np.sin(x / 17 + np.arange(4)[:, None, None]) * np.cos(y / 23)
    return (waves + rng.integers(-500, 500, (4, height, width))).astype(np.uint16)


def write_scene(path: Path, values: np.ndarray, names=NAMES, *, mask=None, tags=None, **profile) -> Path:
    """A tiled GeoTIFF of (C, H, W) with band descriptions; `tags` are scale and offset of all bands."""
    kept = {"crs": "EPSG:32632", "transform": PLACE, "tiled": True, "blockxsize": 64, "blockysize": 64, **profile}
    shape = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", "GTiff", **shape, **kept) as file:
            file.write(values)
            if names:
                file.descriptions = names
            if mask is not None:
                file.write_mask(mask)
            if tags is not None:
                file.scales, file.offsets = (tags[0],) * len(values), (tags[1],) * len(values)
    return path


def read_scene(path: Path):
    """(values, profile, descriptions, overviews of the first band)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            structure = file.tags(ns="IMAGE_STRUCTURE")
            return (
                file.read(),
                {**file.profile, "layout": structure.get("LAYOUT")},
                file.descriptions,
                file.overviews(1),
            )
