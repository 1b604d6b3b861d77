"""From files to what the model takes: bytes checked against the plan, sidecar understood, gaps filled."""

import hashlib
import time
from pathlib import Path

from tasks.contracts.errors import DigestMismatchError, StoreError
from tasks.contracts.tile_errors import (
    InputChangedError,
    SidecarError,
    TileError,
    TileOutOfMemoryError,
    TileReadError,
)
from tasks.store.failures import typed
from tasks.tiles.batches import Failed, Loaded
from tasks.tiles.job import Job
from tasks.tiles.metadata import model_inputs, read_sidecar
from tasks.tiles.plan import Header
from tasks.tiles.reader import read_tile
from tasks.tiles.values import filled


def load(header: Header, job: Job) -> Loaded | Failed:
    """A tile of the plan, or why there is none. Raises StoreError where bytes of the store are gone or damaged."""
    try:
        return _loaded(header, job)
    except TileError as error:
        return Failed(header, error)
    except MemoryError:
        return Failed(header, no_memory(f"{header.id}.npz"))
    except Exception as error:  # a fault that no check foresaw spoils this tile, not the run
        if job.stored and isinstance(error, StoreError | OSError):
            raise
        return Failed(header, TileReadError("cannot be read", found=f"{type(error).__name__}: {error}"))


def no_memory(where: str) -> TileOutOfMemoryError:
    """There was none left to read a tile."""
    remedy = "Run again with fewer workers, or on a machine with more memory."
    return TileOutOfMemoryError("cannot be read: there is no memory left", where=where, remedy=remedy)


def _loaded(header: Header, job: Job) -> Loaded:
    start = time.perf_counter()
    beside, taken = header.sidecar, _stored_bytes if job.stored else _same_bytes
    sidecar = None if beside is None else taken(beside, header.sidecar_sha256, f"{header.id}.json", SidecarError)
    meta = read_sidecar(sidecar, header.id)
    data = taken(header.file, header.input_sha256, f"{header.id}.npz", TileReadError)
    tile = read_tile(data, header.id, meta, job.config, job.num_frames)
    return Loaded(
        header, meta, filled(tile), tile.valid, model_inputs(meta, job.config.missing_metadata),
        tile.layout, tile.clipped_fraction, tile.valid_fraction, tile.warnings, 1000 * (time.perf_counter() - start),
    )  # fmt: skip


def _same_bytes(path: str, digest: str | None, name: str, unreadable: type[TileError]) -> bytes:
    """Of a file of the user: what is wrong with it is wrong with the tile."""
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


def _stored_bytes(path: str, digest: str | None, name: str, _: type[TileError]) -> bytes:
    """Of the store: another look may find them, so that nothing is said about the tile."""
    with typed("read", name):
        data = Path(path).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        remedy = "Run again; the input is put into the store anew."
        what = "is damaged in the store"
        raise DigestMismatchError(what, where=name, expected=f"sha256 {digest}", found=found, remedy=remedy)
    return data
