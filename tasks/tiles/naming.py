"""Errors of one tile carry its id, wherever below they were raised."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.contracts.tile_errors import TileError


@contextmanager
def naming(tile_id: str) -> Iterator[None]:
    """Write the id into a TileError of the body that has none yet."""
    try:
        yield
    except TileError as error:
        error.tile_id = error.tile_id or tile_id
        raise
