"""The tiles of an input folder as a plan needs them: digests and sizes, without reading pixels into arrays."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tasks.contracts.tile_errors import SidecarError, TileError, TileReadError
from tasks.contracts.tiles import TileRecord
from tasks.tiles.listing import InputFile
from tasks.tiles.naming import check_length
from tasks.tiles.plan import Header
from tasks.tiles.reader import read_shape

# A file that cannot be read has no bytes that could be named.
NO_BYTES = hashlib.sha256(b"").hexdigest()


def survey(inputs: Iterable[InputFile], num_frames: int = 1) -> tuple[list[Header], list[TileRecord]]:
    """Headers of the tiles that can be planned, and records of those whose files already fail."""
    headers: list[Header] = []
    failed: list[TileRecord] = []
    for found in inputs:
        digests: list[str] = []
        try:
            headers.append(_header(found, num_frames, digests))
        except TileError as error:
            failed.append(_failed(found, error, digests))
    return headers, failed


def _header(found: InputFile, num_frames: int, digests: list[str]) -> Header:
    digests.append(_digest(found.path, TileReadError))
    check_length(found.id)
    if found.sidecar is not None:
        digests.append(_digest(found.sidecar, SidecarError))
    height, width = read_shape(found.path, found.id, num_frames)
    sidecar = None if found.sidecar is None else str(found.sidecar)
    return Header(found.id, height, width, str(found.path), sidecar, *digests)


def _digest(path: Path, unreadable: type[TileError]) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        remedy = "It vanished, or this user may not read it."
        raise unreadable("cannot be read", where=path.name, found=error.strerror, remedy=remedy) from error


def _failed(found: InputFile, error: TileError, digests: list[str]) -> TileRecord:
    return TileRecord(
        id=found.id,
        status="failed",
        input_sha256=digests[0] if digests else NO_BYTES,
        sidecar_sha256=digests[1] if len(digests) > 1 else None,
        error=type(error).__name__,
        message=str(error),
        phase=error.phase,
    )
