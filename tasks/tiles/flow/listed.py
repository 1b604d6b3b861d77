"""The manifest of a run: digests, headers and sizes of all tiles."""

from pathlib import Path

from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tile_errors import TileError
from tasks.contracts.tiles import TileInput, TileRecord
from tasks.store.workspace import Workspace
from tasks.tiles.flow.shards import INPUTS, ROWS, LocalBytes, TileRow, get, put
from tasks.tiles.flow.types import Listed
from tasks.tiles.reader import read_shape


def list_tiles(inputs: ArtifactRef, num_frames: int, here: Workspace) -> Listed:
    """Read the headers, not the pixels; tiles whose files are no tiles fail here."""
    path = LocalBytes(here.store, here.scratch)
    rows: list[TileRow] = []
    failed: list[TileRecord] = []
    for given in get(INPUTS, inputs, here.store):
        try:
            height, width = read_shape(_path(given, path), given.id, num_frames)
            rows.append(TileRow(input=given, height=height, width=width))
        except TileError as error:
            failed.append(failed_record(given, error))
    headers = put(ROWS, rows, "tile_headers.json", here.store)
    return Listed(headers=headers, failed=tuple(failed), count=len(rows) + len(failed))


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


def _path(given: TileInput, path: LocalBytes) -> Path:
    return Path(path(given.file))
