"""The manifest of a run records what the bytes of a tile prove, and nothing that may pass."""

import shutil
from pathlib import Path

import pytest

from tasks.contracts.errors import BlobMissingError, StoreError
from tasks.contracts.tiles import TileInput
from tasks.store.blobs import Store
from tasks.store.progress import Progress
from tasks.store.workspace import Workspace
from tasks.tiles.flow import listed
from tasks.tiles.flow.shards import INPUTS, put
from tasks.tiles.headers import reading
from tests.tiles.engine.cases import tile, write_tile

LONG = "n" * 241


@pytest.fixture
def here(tmp_path):
    store = Store(str(tmp_path / "store"))
    return Workspace(store, tmp_path, Progress(tmp_path / "store", "test"), lambda *_: None, lambda: False, "cpu", {})


@pytest.fixture
def good(here, tmp_path):
    write_tile(tmp_path, "a", tile())
    return TileInput(id="sub/a", file=here.store.put_file(tmp_path / "a.npz"))


def listing(here, *given):
    return listed.list_tiles(put(INPUTS, given, "tiles.json", here.store), 1, here)


def test_bytes_that_are_no_tile_are_recorded_for_good(here, good):
    bad = TileInput(id="b", file=here.store.put_bytes(b"no array", name="b.npz"))
    result = listing(here, good, bad)
    assert [(record.id, record.error) for record in result.failed] == [("b", "TileReadError")]
    assert (result.count, result.passing) == (2, False)


def test_a_damaged_blob_is_no_fault_of_its_tile(here, good):
    path = Path(here.store.local_path(good.file))
    path.chmod(0o600)
    path.write_bytes(b"of another")
    with pytest.raises(BlobMissingError, match=r"^sub/a\.npz is not in the store, or was damaged"):
        listing(here, good)


def test_an_absent_blob_is_no_fault_of_its_tile(here, good):
    shutil.rmtree(Path(here.store.local_path(good.file)).parent)
    with pytest.raises(BlobMissingError, match=r"^sub/a\.npz"):
        listing(here, good)


def test_a_disk_that_fails_for_a_moment_is_no_fault_of_the_tile(here, good, monkeypatch):
    def failing(*_):
        with reading("sub/a.npz"):
            raise StoreError("could not read it", found="Input/output error")

    monkeypatch.setattr(listed, "read_shape", failing)
    with pytest.raises(StoreError, match=r"^sub/a\.npz cannot be read from the store: found Input/output error"):
        listing(here, good)


def test_a_tile_that_found_no_memory_is_not_remembered(here, good, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(listed, "read_shape", full)
    result = listing(here, good)
    assert [record.error for record in result.failed] == ["TileOutOfMemoryError"]
    assert result.passing


def test_a_name_that_leaves_no_room_for_a_sidecar_fails_its_tile(here, good):
    result = listing(here, good, *(good.model_copy(update={"id": f"sub/{name}"}) for name in (LONG, LONG[1:])))
    (record,) = result.failed
    assert (record.id, record.error) == (f"sub/{LONG}", "TileReadError")
    assert "at most 240 bytes" in record.message and "Rename it" in record.message
