"""From files to what the model takes: bytes checked against the plan, sidecar understood, gaps filled."""

import hashlib
import time
from pathlib import Path

from tasks.contracts.tile_errors import InputChangedError, SidecarError, TileError, TileReadError
from tasks.tiles.batches import Failed, Loaded
from tasks.tiles.job import Job
from tasks.tiles.metadata import model_inputs, read_sidecar
from tasks.tiles.plan import Header
from tasks.tiles.reader import read_tile
from tasks.tiles.values import filled


def load(header: Header, job: Job) -> Loaded | Failed:
    """A tile of the plan, or why there is none."""
    try:
        return _loaded(header, job)
    except TileError as error:
        return Failed(header, error)
    except Exception as error:  # a fault that no check foresaw spoils this tile, not the run
        return Failed(header, TileReadError("cannot be read", found=f"{type(error).__name__}: {error}"))


def _loaded(header: Header, job: Job) -> Loaded:
    start = time.perf_counter()
    beside = header.sidecar
    sidecar = None if beside is None else _same_bytes(beside, header.sidecar_sha256, SidecarError)
    meta = read_sidecar(sidecar, header.id)
    data = _same_bytes(header.file, header.input_sha256, TileReadError)
    tile = read_tile(data, header.id, meta, job.config, job.num_frames)
    return Loaded(
        header, meta, filled(tile), tile.valid, model_inputs(meta, job.config.missing_metadata),
        tile.layout, tile.clipped_fraction, tile.valid_fraction, tile.warnings, 1000 * (time.perf_counter() - start),
    )  # fmt: skip


def _same_bytes(path: str, digest: str | None, unreadable: type[TileError]) -> bytes:
    name = Path(path).name
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        remedy = "It was there when the run was planned; run again when nobody moves the inputs."
        raise unreadable("cannot be read", where=name, found=error.strerror or error, remedy=remedy) from error
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        remedy = "Run again when nobody writes the inputs."
        what = "changed since the run was planned"
        raise InputChangedError(what, where=name, expected=f"sha256 {digest}", found=found, remedy=remedy)
    return data
