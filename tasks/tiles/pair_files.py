"""The files that one training pair is made of, read under the rules of refinement."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tasks.contracts.tile_errors import InputChangedError, TileReadError, TileShapeError
from tasks.contracts.tiles import TileMeta, TilesConfig
from tasks.store.npz import read_npz
from tasks.store.npz_writer import write_npz
from tasks.tiles.headers import BAND_KEYS, KEY, reading
from tasks.tiles.metadata import model_inputs, read_sidecar
from tasks.tiles.naming import naming
from tasks.tiles.pair import Pair
from tasks.tiles.reader import Tile, read_tile
from tasks.tiles.references import TARGET_KEYS
from tasks.tiles.values import filled


@dataclass(frozen=True)
class PairFiles:
    """Where a pair lies; without a target it is a clean tile for a synthetic pair."""

    id: str
    tile: Path
    sidecar: Path | None = None
    target: Path | None = None


@dataclass(frozen=True)
class PairBytes:
    """The content of those files."""

    id: str
    tile: bytes
    sidecar: bytes | None
    target: bytes | None

    @property
    def digests(self) -> tuple[str, ...]:
        """sha256 of tile, target and sidecar, as far as they are there."""
        parts = (self.tile, self.target, self.sidecar)
        return tuple(hashlib.sha256(part).hexdigest() for part in parts if part is not None)


def read_files(files: PairFiles, expected: tuple[str, ...] | None = None) -> PairBytes:
    """All bytes. Raises TileReadError, and InputChangedError where they no longer have the expected digests."""
    content = PairBytes(files.id, *(_bytes(path, files.id) for path in (files.tile, files.sidecar, files.target)))
    if expected is not None and content.digests != expected:
        remedy = "Leave the training tiles alone while a training runs, and start it again."
        error = InputChangedError("changed during the training", where=f"pair {files.id}", remedy=remedy)
        error.tile_id = files.id
        raise error
    return content


def read_input(content: PairBytes, config: TilesConfig, num_frames: int) -> tuple[Tile, TileMeta]:
    """Tile and sidecar. Raises what refinement raises for them."""
    meta = read_sidecar(content.sidecar, content.id)
    return read_tile(content.tile, content.id, meta, config, num_frames), meta


def read_target(data: bytes, tile_id: str, meta: TileMeta, config: TilesConfig) -> Tile:
    """A target under the keys `target`, `opt_ref` or the four bands, with the validity rules of a tile.

    A scale applies to integer targets only: floats are reflectance. Raises what `read_tile` raises.
    """
    where = f"target of {tile_id}"
    with naming(tile_id):
        with reading(where):
            arrays = read_npz(data, name=where)
        values = next((arrays[key] for key in TARGET_KEYS if key in arrays), None)
        if values is None and not all(key in arrays for key in BAND_KEYS):
            expected = f"{' or '.join(TARGET_KEYS)}, or all of {', '.join(BAND_KEYS)}"
            found = ", ".join(arrays) or "nothing"
            raise TileShapeError("holds no target", where=where, expected=expected, found=found)
        chosen = {KEY: values} if values is not None else {key: arrays[key] for key in BAND_KEYS}
        whole = all(array.dtype.kind in "iu" for array in chosen.values())
        units = config if whole else config.model_copy(update={"scale": None, "offset": 0.0})
        return read_tile(write_npz(chosen), tile_id, meta, units)


def joined(tile: Tile, target: Tile, meta: TileMeta, config: TilesConfig) -> Pair:
    """The pair of a tile and its target. Raises TileShapeError where they differ in size."""
    if tile.values.shape[-2:] != target.values.shape[-2:]:
        found = " and ".join("x".join(map(str, one.values.shape[-2:])) for one in (tile, target))
        where = f"tile and target of {tile.id}"
        error = TileShapeError("differ in size", where=where, expected="one size", found=found)
        error.tile_id = tile.id
        raise error
    told = model_inputs(meta, config.missing_metadata)
    return Pair(
        id=tile.id,
        tile=filled(tile),
        target=np.nan_to_num(target.values[-1], nan=0.0),
        seen=tile.valid,
        valid=tile.valid & target.valid,
        dated=meta.day_of_year is not None,
        **vars(told),
    )


def with_values(tile: Tile, values: np.ndarray) -> Tile:
    """The same tile with other reflectance (T, 4, H, W)."""
    return replace(tile, values=values)


def _bytes(path: Path | None, tile_id: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as failure:
        error = TileReadError("cannot be read", where=str(path), found=failure.strerror)
        error.tile_id = tile_id
        raise error from failure
