"""Stored bytes that were changed behind the store's back: always detected, put aside, and healed by writing again."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.contracts.errors import BlobMissingError, DigestMismatchError, StoreError
from tasks.contracts.refs import ArtifactRef
from tasks.store.blobs import Store, blob_key

DATA = bytes(range(64))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def path_of(store: Store, ref: ArtifactRef) -> Path:
    return Path(store.root) / blob_key(ref.digest)


def overwrite(path: Path, data: bytes) -> None:
    """Change the bytes, and hide it as well as a user can: size and times of the file as before where possible."""
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.chmod(0o444)


def quarantined(store: Store) -> list[bytes]:
    return [path.read_bytes() for path in sorted((Path(store.root) / "quarantine").iterdir())]


def by_reading(store: Store, ref: ArtifactRef, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatchError, match=f"x in the store has another digest: expected {ref.digest}"):
        store.get_bytes(ref)


def by_fetching(store: Store, ref: ArtifactRef, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatchError):
        store.fetch(ref, tmp_path / "out")
    assert not (tmp_path / "out" / "x").exists()


def by_asking(store: Store, ref: ArtifactRef, tmp_path: Path) -> None:
    assert not store.holds(ref)


NOTICE = pytest.mark.parametrize("notice", [by_reading, by_fetching, by_asking])


def assert_noticed_and_healed(store: Store, damaged: bytes, notice: Callable, tmp_path: Path) -> None:
    ref = store.put_bytes(DATA, name="x")
    assert store.holds(ref)  # the answer is remembered, and must be forgotten with the change
    overwrite(path_of(store, ref), damaged)
    notice(store, ref, tmp_path)
    assert quarantined(store) == [damaged]
    assert not store.holds(ref)
    with pytest.raises(BlobMissingError):
        store.get_bytes(ref)
    assert store.put_bytes(DATA, name="x") == ref
    assert store.get_bytes(ref) == DATA


@NOTICE
@pytest.mark.parametrize("position", range(len(DATA)))
def test_any_flipped_byte(store, tmp_path, position, notice):
    damaged = bytearray(DATA)
    damaged[position] ^= 1 << (position % 8)
    assert_noticed_and_healed(store, bytes(damaged), notice, tmp_path)


@NOTICE
@pytest.mark.parametrize("damaged", [b"", DATA[:1], DATA[:-1], DATA + b"\0", DATA * 2, bytes(len(DATA))])
def test_truncated_emptied_or_longer(store, tmp_path, damaged, notice):
    assert_noticed_and_healed(store, damaged, notice, tmp_path)


@NOTICE
def test_blob_longer_than_one_read(store, tmp_path, notice):
    assert_noticed_and_healed(store, DATA * (1 << 16), notice, tmp_path)


@pytest.mark.parametrize("notice", ["get", "holds"])
def test_two_swapped_blobs(store, notice):
    one, two = store.put_bytes(b"one", name="one"), store.put_bytes(b"two", name="two")
    paths = path_of(store, one), path_of(store, two)
    os.rename(paths[0], paths[0].with_name("aside"))
    os.rename(paths[1], paths[0])
    os.rename(paths[0].with_name("aside"), paths[1])
    for ref in (one, two):
        if notice == "holds":
            assert not store.holds(ref)
        else:
            with pytest.raises(DigestMismatchError):
                store.get_bytes(ref)
    assert sorted(quarantined(store)) == [b"one", b"two"]


def test_good_bytes_that_came_meanwhile_are_not_put_aside(store, monkeypatch):
    ref = store.put_bytes(DATA, name="x")
    overwrite(path_of(store, ref), bytes(64))
    chunks = store.place.chunks

    def heal_after_reading(key):
        yield from list(chunks(key))
        path_of(store, ref).unlink()
        path_of(store, ref).write_bytes(DATA)

    monkeypatch.setattr(type(store.place), "chunks", lambda _, key: heal_after_reading(key))
    with pytest.raises(DigestMismatchError, match="replaced meanwhile"):
        store.get_bytes(ref)
    monkeypatch.undo()
    assert store.get_bytes(ref) == DATA


def test_mismatch_is_told_even_where_nothing_can_be_moved(store, monkeypatch):
    ref = store.put_bytes(DATA, name="x")
    overwrite(path_of(store, ref), bytes(64))

    def read_only(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "rename", read_only)
    with pytest.raises(DigestMismatchError, match=r"could not be moved away.*Read-only file system"):
        store.get_bytes(ref)
    assert not store.holds(ref)


def test_blob_replaced_by_a_link_to_other_bytes(store, tmp_path):
    ref = store.put_bytes(DATA, name="x")
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    path_of(store, ref).unlink()
    path_of(store, ref).symlink_to(secret)
    with pytest.raises(DigestMismatchError):
        store.get_bytes(ref)
    assert secret.read_bytes() == b"secret" and not path_of(store, ref).is_symlink()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_blob_replaced_by_what_is_no_file(store, make):
    ref = store.put_bytes(DATA, name="x")
    path_of(store, ref).unlink()
    make(path_of(store, ref))
    for use in (store.get_bytes, store.holds):
        with pytest.raises(StoreError, match="is not a regular file"):
            use(ref)
