"""A tile of the first stage: its NPZ, checked by header, and its values as reflectance.

Two layouts: `opt_v1` (4,H,W), or (T,4,H,W) for a checkpoint of T frames; or the four bands `s2_b2`, `s2_b3`, `s2_b4`,
`s2_b8`, each (H,W) or (1,H,W). Nothing is transposed, filled in or guessed.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from tasks.contracts.tile_errors import AmbiguousInputError, AmbiguousUnitsError, TileEmptyError
from tasks.contracts.tiles import TileMeta, TilesConfig
from tasks.store.npz import read_npz
from tasks.tiles.headers import BAND_KEYS, KEY, LIMITS, TileHeader, reading, tile_header
from tasks.tiles.naming import naming
from tasks.tiles.values import in_range, reflectance, unusable_nodata

SAME = 1e-6


@dataclass(frozen=True)
class Tile:
    """Reflectance of a tile, before the model."""

    id: str
    values: np.ndarray  # (T,4,H,W) float32 in 0..1, NaN where a band is invalid
    valid: np.ndarray  # (H,W) bool: every band of the last frame is there
    layout: Literal["opt_v1", "s2_bands"]
    clipped_fraction: float  # of the samples at valid pixels
    valid_fraction: float  # of the pixels
    warnings: tuple[str, ...] = field(default=())


def read_shape(source: bytes | Path, tile_id: str = "", num_frames: int = 1) -> tuple[int, int]:
    """Height and width, from the headers alone. Raises what `read_tile` raises for keys, shapes and sizes."""
    header = read_header(source, tile_id, num_frames)
    return header.height, header.width


def read_header(source: bytes | Path, tile_id: str = "", num_frames: int = 1) -> TileHeader:
    """Layout, size and dtype, from the headers alone.

    Raises TileReadError, TileShapeError, TileTooLargeError.
    """
    with naming(tile_id):
        return tile_header(source, _label(source, tile_id), num_frames)


def read_tile(source: bytes | Path, tile_id: str, meta: TileMeta, config: TilesConfig, num_frames: int = 1) -> Tile:
    """Read, check and convert a tile.

    Raises TileReadError, TileShapeError, TileTooLargeError, AmbiguousInputError, AmbiguousUnitsError, ValueRangeError,
    TileEmptyError.
    """
    where = _label(source, tile_id)
    with naming(tile_id):
        header = tile_header(source, where, num_frames)
        _check_units(header, config, where)
        raw = _raw(source, header, where)
        values = reflectance(raw, meta.nodata, config.scale, config.offset)
        present = np.isfinite(values).all(axis=1)
        if not present[-1].any():
            found = f"{raw.shape[-2]}x{raw.shape[-1]} pixels, each without a value in some band"
            remedy = "Check 'nodata' in the sidecar; --allow_empty accepts such tiles."
            raise TileEmptyError("has no valid pixel", where=where, expected="at least 1", found=found, remedy=remedy)
        values, clipped = in_range(values, present, config, where)
        warnings = _warnings(raw, meta, config, clipped)
        valid = present[-1]
        return Tile(tile_id, values, valid, header.layout, clipped, float(valid.mean()), warnings)


def _label(source: bytes | Path, tile_id: str) -> str:
    if tile_id:
        return f"{tile_id}.npz"
    return source.name if isinstance(source, Path) else "tile"


def _check_units(header: TileHeader, config: TilesConfig, where: str) -> None:
    integers = [dtype for dtype in header.dtypes if dtype.kind in "iu"]
    if integers and config.scale is None:
        remedy = "Say the scale, for example --scale 10000: reflectance = (DN + offset) / scale."
        found = f"{integers[0]} and no --scale"
        raise AmbiguousUnitsError(
            "has no units", where=where, expected="reflectance as float", found=found, remedy=remedy
        )


def _raw(source: bytes | Path, header: TileHeader, where: str) -> np.ndarray:
    """(T,4,H,W) as stored."""
    with reading(where):
        arrays = read_npz(source, name=where, limits=LIMITS)
    if header.layout == "s2_bands":
        return _stacked(arrays, header)[None]
    raw = arrays[KEY].reshape(-1, *arrays[KEY].shape[-3:])
    if header.both:
        _check_same(raw[-1], [arrays[key] for key in BAND_KEYS], where)
    return raw


def _stacked(arrays: dict[str, np.ndarray], header: TileHeader) -> np.ndarray:
    return np.stack([arrays[key].reshape(header.height, header.width) for key in BAND_KEYS])


def _check_same(tile: np.ndarray, bands: list[np.ndarray], where: str) -> None:
    for key, one, other in zip(BAND_KEYS, tile, bands):
        same_grid = other.shape[-2:] == one.shape and other.size == one.size
        if same_grid and np.allclose(one, other.reshape(one.shape), rtol=0, atol=SAME, equal_nan=True):
            continue
        remedy = f"Keep one layout: remove '{KEY}' or the four band keys."
        found = f"another '{key}'"
        raise AmbiguousInputError(
            f"holds '{KEY}' and band keys that differ",
            where=where,
            expected=f"equal within {SAME:g}",
            found=found,
            remedy=remedy,
        )


def _warnings(raw: np.ndarray, meta: TileMeta, config: TilesConfig, clipped: float) -> tuple[str, ...]:
    lines = []
    if unusable_nodata(raw.dtype, meta.nodata):
        lines.append(f"nodata {meta.nodata:g} cannot occur in {raw.dtype} values")
    if config.range_policy == "clip" and clipped:
        lines.append(f"{clipped:.2%} of the values were clipped to 0..1 as --range_policy clip asks")
    if meta.nonfinite:
        lines.append("the sidecar holds NaN or Infinity, which is no JSON for other readers")
    return tuple(lines)
