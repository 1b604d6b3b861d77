"""A scene cut into NPZ tiles with sidecars, as `refine` takes them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tasks.contracts.errors import ConfigError
from tasks.store.failures import typed
from tasks.store.jsons import canonical_json
from tasks.store.npz_writer import write_npz
from tasks.tiles.metadata import read_sidecar
from tasks.tiles.scene_reader import Scene, open_scene


class Cut(NamedTuple):
    """What was cut, and how much of the lower and right border makes no whole tile."""

    ids: tuple[str, ...]
    rows_left: int
    columns_left: int


class Place(NamedTuple):
    """A tile in its image: `index` counts tiles, row and column are its first pixel."""

    index: tuple[int, int]
    row: int
    column: int
    height: int
    width: int


def cut_scene(
    source: Path,
    folder: Path,
    size: int,
    *,
    bands: Sequence[int] | None = None,
    scale: float | None = None,
    offset: float = 0.0,
    nodata: float | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Cut:
    """Write the whole tiles of size x size px of a GeoTIFF as `<stem>_<row>_<column>.npz` with their sidecars.

    Values are reflectance, NaN where nodata, and not clipped. `metadata` (month, biome_code, date ...) goes into each
    sidecar beside source, place, CRS and latitude and longitude of the tile. Raises what reading a scene raises,
    SidecarError for wrong metadata, ConfigError where no whole tile fits.
    """
    shared = checked_metadata(metadata)
    folder.mkdir(parents=True, exist_ok=True)
    ids = []
    with open_scene(source, bands=bands, scale=scale, offset=offset, nodata=nodata) as scene:
        for place in places(scene.height, scene.width, size):
            values, _ = scene.read_window(*place[1:])
            ids.append(f"{source.stem}_{place.index[0]:03d}_{place.index[1]:03d}")
            write_tile(folder, ids[-1], values[0], _sidecar(scene, place, shared))
        return Cut(tuple(ids), scene.height % size, scene.width % size)


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """What goes into every sidecar; SidecarError where a reader would refuse it."""
    shared = dict(metadata or {})
    read_sidecar(canonical_json(shared), "metadata")
    return shared


def places(height: int, width: int, size: int) -> Iterator[Place]:
    """Whole tiles, row by row; ConfigError where none fits."""
    if not 2 <= size <= min(height, width):
        raise ConfigError("fits no whole tile", where="size", expected=f"2 to {min(height, width)} px", found=size)
    for row in range(height // size):
        for column in range(width // size):
            yield Place((row, column), row * size, column * size, size, size)


def write_tile(folder: Path, tile_id: str, values: np.ndarray, sidecar: Mapping[str, Any]) -> None:
    """<id>.npz with `opt_v1` (4, H, W) float32, then <id>.json; each complete or not there."""
    for suffix, data in ((".npz", write_npz({"opt_v1": values})), (".json", canonical_json(dict(sidecar)))):
        path, temp = folder / f"{tile_id}{suffix}", folder / f".{tile_id}{suffix}.{os.getpid()}.tmp"
        with typed("write", str(path)):
            try:
                temp.write_bytes(data)
                os.replace(temp, path)
            finally:
                temp.unlink(missing_ok=True)


def degrees(crs: str | None, x: float, y: float) -> dict[str, float]:
    """Latitude and longitude of a point of a CRS (WKT or authority code); nothing where there is no CRS."""
    if not crs:
        return {}
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    return {"lat": round(lat, 6), "lon": round(lon, 6)} if np.isfinite([lat, lon]).all() else {}


def _sidecar(scene: Scene, place: Place, shared: Mapping[str, Any]) -> dict[str, Any]:
    source = scene.dataset
    x, y = source.xy(place.row + place.height / 2, place.column + place.width / 2, offset="ul")
    crs = source.crs.to_wkt() if source.crs else None
    pixels = ((place.row, place.row + place.height), (place.column, place.column + place.width))
    own = {
        "source": scene.name,
        "row": place.row,
        "column": place.column,
        "crs": source.crs.to_string() if source.crs else None,
        "transform": list(source.window_transform(pixels))[:6],
        "source_scale": scene.units.scale,
        "source_offset": scene.units.offset,
    }
    return {**own, **degrees(crs, x, y), **shared}
