"""The manifest of a run: digests, headers and sizes of all tiles."""

from pathlib import Path

from tasks.contracts.errors import BlobMissingError, MissingInputError, StoreError
from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tile_errors import TileError, TileOutOfMemoryError
from tasks.contracts.tiles import TileInput, TileRecord
from tasks.store.blobs import Store
from tasks.store.workspace import Workspace
from tasks.tiles.flow.shards import INPUTS, ROWS, LocalBytes, TileRow, get, put
from tasks.tiles.flow.types import Listed
from tasks.tiles.loading import no_memory
from tasks.tiles.naming import check_length
from tasks.tiles.reader import read_shape


def list_tiles(inputs: ArtifactRef, num_frames: int, here: Workspace) -> Listed:
    """Read the headers, not the pixels; tiles whose files are no tiles fail here.

    Raises StoreError where it is not the tile that is at fault.
    """
    path = LocalBytes(here.store, here.scratch)
    rows: list[TileRow] = []
    failed: list[TileRecord] = []
    for given in get(INPUTS, inputs, here.store):
        try:
            rows.append(_row(given, path, num_frames))
        except TileError as error:
            _check_store(given, error, here.store)
            failed.append(failed_record(given, error))
    headers = put(ROWS, rows, "tile_headers.json", here.store)
    passing = any(record.phase == TileOutOfMemoryError.phase for record in failed)
    return Listed(headers=headers, failed=tuple(failed), count=len(rows) + len(failed), passing=passing)


def failed_record(given: TileInput, error: TileError) -> TileRecord:
    """A tile that failed before it was planned."""
    return TileRecord(
        id=given.id,
        status="failed",
        input_sha256=given.file.digest,
        sidecar_sha256=None if given.sidecar is None else given.sidecar.digest,
        error=type(error).__name__,
        message=str(error),
        phase=error.phase,
    )


def _row(given: TileInput, path: LocalBytes, num_frames: int) -> TileRow:
    check_length(given.id)
    try:
        height, width = read_shape(Path(path(given.file)), given.id, num_frames)
    except MemoryError as error:
        raise no_memory(f"{given.id}.npz") from error
    return TileRow(input=given, height=height, width=width)


def _check_store(given: TileInput, error: TileError, store: Store) -> None:
    """Raise StoreError where the bytes that were read are not those of the tile, or could not be read."""
    name, remedy = f"{given.id}.npz", "Run again; it is put into the store anew."
    if not store.holds(given.file):
        raise BlobMissingError("is not in the store, or was damaged", where=name, remedy=remedy) from error
    if isinstance(error.__cause__, StoreError | MissingInputError):
        raise StoreError("cannot be read from the store", where=name, found=error.found, remedy=remedy) from error
