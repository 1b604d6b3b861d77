"""The store keeps bytes under their digest and vouches for every read."""

import hashlib
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import (
    BlobMissingError,
    DigestMismatchError,
    MissingInputError,
    StoreError,
    UnsafePathError,
)
from tasks.contracts.refs import ArtifactRef
from tasks.store import blobs, local
from tasks.store.blobs import Store, blob_key


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def blob_path(store: Store, ref: ArtifactRef) -> Path:
    return Path(store.root) / blob_key(ref.digest)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_constructor_makes_nothing_on_disk(tmp_path):
    Store(tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def test_put_names_bytes_by_digest_size_and_suffix(store):
    ref = store.put_bytes(b"abc", name="factors.npy")
    assert ref.digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (ref.size, ref.media_type, ref.name) == (3, "application/x-npy", "factors.npy")


def test_blob_lies_under_two_hex_digits_and_is_read_only(store):
    ref = store.put_bytes(b"abc", name="x")
    path = Path(store.root) / "sha256" / "ba" / "7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert path.read_bytes() == b"abc"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert files_below(Path(store.root)) == [path] == [blob_path(store, ref)]


def test_read_only_mode_does_not_depend_on_the_umask(store):
    before = os.umask(0o077)
    try:
        ref = store.put_bytes(b"abc", name="x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(blob_path(store, ref).stat().st_mode) == 0o444


@given(data=st.binary(max_size=2000))
@settings(max_examples=50, deadline=None)
def test_bytes_come_back(tmp_path_factory, data):
    store = Store(tmp_path_factory.mktemp("store"))
    ref = store.put_bytes(data, name="data")
    assert store.get_bytes(ref) == data
    assert ref.digest == hashlib.sha256(data).hexdigest()


def test_put_again_leaves_the_file_alone(store):
    ref = store.put_bytes(b"abc", name="first")
    before = blob_path(store, ref).stat()
    again = store.put_bytes(b"abc", name="second")
    after = blob_path(store, ref).stat()
    assert again.digest == ref.digest
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_put_of_an_old_blob_makes_it_young(store):
    ref = store.put_bytes(b"abc", name="x")
    os.utime(blob_path(store, ref), (1_000_000_000, 1_000_000_000))
    store.put_bytes(b"abc", name="x")
    assert blob_path(store, ref).stat().st_mtime > 1_700_000_000


def test_put_heals_a_damaged_blob_and_keeps_the_evidence(store):
    ref = store.put_bytes(b"abc", name="x")
    tamper(blob_path(store, ref), b"abX")
    assert store.put_bytes(b"abc", name="x") == ref
    assert store.get_bytes(ref) == b"abc"
    assert [path.read_bytes() for path in files_below(Path(store.root) / "quarantine")] == [b"abX"]


@pytest.mark.parametrize("size", [0, 10, (1 << 20) + 1])
def test_file_is_stored_as_its_bytes(store, tmp_path, size):
    path = tmp_path / "weights.h5"
    path.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    ref = store.put_file(path)
    assert (ref.name, ref.size, ref.media_type) == ("weights.h5", size, "application/x-hdf5")
    assert store.get_bytes(ref) == path.read_bytes()


def test_many_files_keep_their_order(store, tmp_path):
    paths = [tmp_path / f"{i}.csv" for i in range(20)]
    for i, path in enumerate(paths):
        path.write_text(f"row {i}")
    refs = store.put_files(paths)
    assert [ref.name for ref in refs] == [path.name for path in paths]
    assert store.get_bytes(refs[7]) == b"row 7"


def test_missing_file_is_named(store, tmp_path):
    with pytest.raises(MissingInputError, match=r"gone\.csv does not exist"):
        store.put_file(tmp_path / "gone.csv")


def test_file_that_changes_while_it_is_stored_is_refused(store, tmp_path, monkeypatch):
    path = tmp_path / "growing.bin"
    path.write_bytes(bytes(2 << 20))
    first_pass = blobs._digest_of

    def grow_after_first_pass(chunks):
        found = first_pass(chunks)
        path.write_bytes(bytes(3 << 20))
        return found

    monkeypatch.setattr(blobs, "_digest_of", grow_after_first_pass)
    with pytest.raises(StoreError, match=r"growing\.bin changed while it was being stored"):
        store.put_file(path)
    assert files_below(Path(store.root)) == []


def test_missing_blob_names_artifact_and_digest(store):
    ref = ArtifactRef(digest="0" * 64, size=1, media_type="text/csv", name="panel.csv")
    with pytest.raises(BlobMissingError, match=r"panel\.csv \(0{64}\) is not in the store\. Run the step"):
        store.get_bytes(ref)
    assert not store.holds(ref)


def test_reference_with_a_wrong_size_does_not_harm_the_blob(store):
    ref = store.put_bytes(b"abc", name="x")
    wrong = ref.model_copy(update={"size": 2})
    assert not store.holds(wrong)
    with pytest.raises(DigestMismatchError, match="the reference is wrong"):
        store.get_bytes(wrong)
    assert store.get_bytes(ref) == b"abc"


def test_fetch_writes_a_read_only_copy_under_the_name_of_the_reference(store, tmp_path):
    ref = store.put_bytes(b"abc", name="plots/maps.png")
    path = store.fetch(ref, tmp_path / "out")
    assert path == tmp_path / "out" / "plots" / "maps.png"
    assert path.read_bytes() == b"abc"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert store.fetch(ref, tmp_path / "out") == path


def test_fetch_of_damaged_bytes_leaves_nothing_behind(store, tmp_path):
    ref = store.put_bytes(b"abc", name="x")
    tamper(blob_path(store, ref), b"abX")
    with pytest.raises(DigestMismatchError):
        store.fetch(ref, tmp_path / "out")
    assert files_below(tmp_path / "out") == []


def test_fetch_refuses_a_name_that_leaves_the_folder(store, tmp_path):
    ref = store.put_bytes(b"abc", name="../outside")
    with pytest.raises(UnsafePathError):
        store.fetch(ref, tmp_path / "out")
    assert not (tmp_path / "outside").exists()


def test_digest_of_an_unchanged_file_is_computed_once(store, monkeypatch):
    ref = store.put_bytes(b"abc", name="x")
    monkeypatch.setattr(local, "_CLOCK_TICK_S", 0)
    reads = []
    compute = blobs._digest_of
    monkeypatch.setattr(blobs, "_digest_of", lambda chunks: reads.append(1) or compute(chunks))
    assert store.holds(ref) and store.holds(ref) and Store(store.root).holds(ref)
    assert len(reads) == 1
    os.utime(blob_path(store, ref), (1, 1))
    assert store.holds(ref)
    assert len(reads) == 2


def test_digest_of_a_file_that_was_just_written_is_never_remembered(store, monkeypatch):
    """Two writes within one tick of the clock of files leave the same size and times."""
    ref = store.put_bytes(b"abc", name="x")
    same = store.place.stamp(blob_key(ref.digest))
    monkeypatch.setattr(type(store.place), "stamp", lambda *_: same)
    assert store.holds(ref)
    tamper(blob_path(store, ref), b"abX")
    assert not store.holds(ref)


def test_json_is_canonical(store):
    ref = store.put_json({"b": 1, "a": [0.5, None]}, name="stats.json")
    assert store.get_bytes(ref) == b'{\n  "a": [\n    0.5,\n    null\n  ],\n  "b": 1\n}\n'
    assert store.put_json({"a": [0.5, None], "b": 1}, name="other.json").digest == ref.digest
    assert store.get_json(ref) == {"a": [0.5, None], "b": 1}
    assert ref.media_type == "application/json"


def test_npz_keeps_arrays_and_ignores_their_order(store):
    one, two = np.arange(3, dtype=np.float32), np.zeros((2, 0))
    ref = store.put_npz({"one": one, "two": two}, name="payload.npz")
    assert store.put_npz({"two": two, "one": one}, name="payload.npz") == ref
    arrays = store.get_npz(ref)
    assert sorted(arrays) == ["one", "two"] and arrays["two"].shape == (2, 0)
    np.testing.assert_array_equal(arrays["one"], one)


def test_relative_root_survives_a_change_of_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("store")
    monkeypatch.chdir("/")
    ref = store.put_bytes(b"abc", name="x")
    assert (tmp_path / "store" / blob_key(ref.digest)).is_file()


def tamper(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)
