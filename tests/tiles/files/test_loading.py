"""What is said of a tile that cannot be read: of the user's files the tile fails, of the store's bytes the step."""

import hashlib
from dataclasses import replace

import pytest

from tasks.contracts.errors import BlobMissingError, DigestMismatchError, StoreError
from tasks.contracts.tiles import TilesConfig
from tasks.tiles import loading
from tasks.tiles.batches import Loaded
from tasks.tiles.job import Job
from tasks.tiles.plan import Header
from tests.tiles.engine.cases import tile, write_tile
from tests.tiles.engine.test_workers import FACTS

FILES, STORED = Job(FACTS, TilesConfig()), Job(FACTS, TilesConfig(), stored=True)


@pytest.fixture
def header(tmp_path):
    """A tile whose bytes lie under a name that says nothing."""
    write_tile(tmp_path, "a1b2", tile())
    path = tmp_path / "a1b2.npz"
    return Header("sub/t", 32, 32, str(path), None, hashlib.sha256(path.read_bytes()).hexdigest())


def damage(header: Header) -> None:
    with open(header.file, "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")


def test_bytes_of_the_store_load_like_files(header):
    assert isinstance(loading.load(header, FILES), Loaded)
    assert isinstance(loading.load(header, STORED), Loaded)


def test_damaged_or_absent_bytes_of_the_store_are_no_fault_of_the_tile(header, tmp_path):
    damage(header)
    with pytest.raises(DigestMismatchError, match=r"^sub/t.npz is damaged in the store"):
        loading.load(header, STORED)
    (tmp_path / "a1b2.npz").unlink()
    with pytest.raises(BlobMissingError, match=r"^sub/t.npz is not in the store"):
        loading.load(header, STORED)
    (tmp_path / "a1b2.npz").mkdir()
    with pytest.raises(StoreError, match=r"^sub/t.npz could not read it"):
        loading.load(header, STORED)


def test_a_damaged_or_absent_file_fails_its_tile_under_the_name_of_the_tile(header, tmp_path):
    damage(header)
    failed = loading.load(header, FILES)
    assert (type(failed.error).__name__, failed.error.where) == ("InputChangedError", "sub/t.npz")
    (tmp_path / "a1b2.npz").unlink()
    failed = loading.load(header, FILES)
    assert (type(failed.error).__name__, failed.error.where) == ("TileReadError", "sub/t.npz")


def test_memory_that_runs_out_while_reading_is_named_and_passes(header, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(loading, "read_tile", full)
    failed = loading.load(header, STORED)
    assert (type(failed.error).__name__, failed.error.phase) == ("TileOutOfMemoryError", "model")
    assert str(failed.error).startswith("sub/t.npz cannot be read: there is no memory left")


def test_what_the_bytes_prove_fails_the_tile_in_the_store_too(header):
    with open(header.file, "wb") as file:
        file.write(b"no array")
    proven = replace(header, input_sha256=hashlib.sha256(b"no array").hexdigest())
    assert type(loading.load(proven, STORED).error).__name__ == "TileReadError"
