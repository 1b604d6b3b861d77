"""Errors of one tile carry its id, and files named after it have names that a file system takes."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.contracts.tile_errors import TileError, TileReadError

MAX_ID_BYTES = 240  # of the last part: a suffix and `.stale` still fit behind it
_MAX_NAME_BYTES = 255


@contextmanager
def naming(tile_id: str) -> Iterator[None]:
    """Write the id into a TileError of the body that has none yet."""
    try:
        yield
    except TileError as error:
        error.tile_id = error.tile_id or tile_id
        raise


def check_length(tile_id: str) -> None:
    """Raise TileReadError for an id after which no sidecar can be named."""
    last = tile_id.rpartition("/")[2]
    if (size := len(os.fsencode(last))) > MAX_ID_BYTES:
        raise TileReadError(
            "has too long a name for the files of its output",
            where=f"{last[:40]}...",
            expected=f"at most {MAX_ID_BYTES} bytes before the suffix",
            found=size,
            remedy="Rename it, and its sidecar with it.",
        )


def fitting(path: str) -> str:
    """The path, with a digest in the place of a last part that is too long for a file system."""
    folder, slash, last = path.rpartition("/")
    name = os.fsencode(last)
    if len(name) <= _MAX_NAME_BYTES:
        return path
    return f"{folder}{slash}{hashlib.sha256(name).hexdigest()[:16]}{os.path.splitext(last)[1]}"
