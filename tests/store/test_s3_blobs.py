"""On a real S3 server bytes come back whole or not at all, whoever else writes."""

import tracemalloc

import pytest

from tasks.contracts.errors import BlobMissingError, DigestMismatchError, MissingInputError
from tasks.store.blobs import Store, blob_key
from tasks.store.remote import PART_BYTES
from tests.engines import clients


def test_bytes_come_back_from_the_documented_key(s3_root, objects):
    ref = Store(s3_root).put_bytes(b"abc", name="x")
    assert objects.cat_file(f"{s3_root}/{blob_key(ref.digest)}") == b"abc"
    assert Store(s3_root).get_bytes(ref) == b"abc"


def test_nothing_is_made_before_the_first_put(s3_root, objects):
    Store(s3_root)
    assert objects.find(s3_root) == []


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES])
def test_every_size_around_a_part_comes_back(s3_root, size):
    store = Store(s3_root)
    ref = store.put_bytes(b"x" * size, name="x")
    assert (ref.size, store.get_bytes(ref), store.holds(ref)) == (size, b"x" * size, True)


def test_large_file_goes_up_in_parts_and_comes_down_within_bounded_memory(s3_root, objects, tmp_path):
    source = tmp_path / "large.bin"
    with source.open("wb") as file:
        for i in range(120):
            file.write(bytes([i]) * 1_000_000)
    store = Store(s3_root)
    store.holds(store.put_bytes(b"", name="connects"))
    tracemalloc.start()
    ref = store.put_file(source)
    up = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    copy = store.fetch(ref, tmp_path / "copy")
    down = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert objects.info(f"{s3_root}/{blob_key(ref.digest)}")["ETag"].strip('"').endswith("-15")
    assert copy.read_bytes() == source.read_bytes()
    assert max(up, down) < 9 * PART_BYTES


def test_put_again_writes_nothing(s3_root, objects):
    store = Store(s3_root)
    ref = store.put_bytes(b"abc", name="x")
    before = objects.info(f"{s3_root}/{blob_key(ref.digest)}")["LastModified"]
    Store(s3_root).put_bytes(b"abc", name="y")
    assert objects.info(f"{s3_root}/{blob_key(ref.digest)}")["LastModified"] == before


def test_many_files_at_once(s3_root, tmp_path):
    paths = [tmp_path / f"{i}.txt" for i in range(40)]
    for path in paths:
        path.write_text(path.name)
    store = Store(s3_root)
    assert [store.get_bytes(ref).decode() for ref in store.put_files(paths)] == [path.name for path in paths]


@pytest.mark.parametrize("damage", [b"abX", b"ab", b"", b"abcd"], ids=["flipped", "truncated", "empty", "longer"])
def test_damaged_object_is_refused_quarantined_and_put_again(s3_root, objects, damage):
    store = Store(s3_root)
    ref = store.put_bytes(b"abc", name="x")
    objects.pipe_file(f"{s3_root}/{blob_key(ref.digest)}", damage)
    with pytest.raises(DigestMismatchError, match=r"quarantine/"):
        store.get_bytes(ref)
    assert not store.holds(ref)
    (kept,) = objects.find(f"{s3_root}/quarantine")
    assert objects.cat_file(kept) == damage
    assert store.get_bytes(store.put_bytes(b"abc", name="x")) == b"abc"


def test_flipped_byte_in_a_late_part_leaves_no_file_behind(s3_root, objects, tmp_path):
    store, data = Store(s3_root), bytearray(3 * PART_BYTES)
    ref = store.put_bytes(bytes(data), name="x")
    data[-5] ^= 1
    objects.pipe_file(f"{s3_root}/{blob_key(ref.digest)}", bytes(data))
    with pytest.raises(DigestMismatchError):
        store.fetch(ref, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_damage_is_seen_by_a_process_that_has_already_checked_the_bytes(s3_root, objects):
    store = Store(s3_root)
    ref = store.put_bytes(b"abc", name="x")
    assert store.holds(ref)
    objects.pipe_file(f"{s3_root}/{blob_key(ref.digest)}", b"abX")
    assert not store.holds(ref)


def test_missing_blob(s3_root, objects):
    store = Store(s3_root)
    ref = store.put_bytes(b"abc", name="x")
    objects.rm_file(f"{s3_root}/{blob_key(ref.digest)}")
    assert not store.holds(ref)
    with pytest.raises(BlobMissingError, match=r"x .* is not in the store"):
        store.get_bytes(ref)


def test_refused_source_uploads_nothing(s3_root, objects, tmp_path):
    with pytest.raises(MissingInputError):
        Store(s3_root).put_file(tmp_path / "none")
    assert objects.find(s3_root) == []


def test_four_processes_put_the_same_large_blob(s3, s3_root):
    size = 2 * PART_BYTES + 5
    writers = clients.start(s3.environment(), *[("put_same", s3_root, size)] * 4)
    clients.go(*writers)
    assert len(set(clients.answers(*writers))) == 1
    store = Store(s3_root)
    assert store.get_bytes(store.put_bytes(b"s" * size, name="same.bin")) == b"s" * size
    assert [key.partition("/")[0] for key, _ in store.place.listing("")] == ["sha256"]


def test_four_processes_put_blobs_of_their_own(s3, s3_root):
    writers = clients.start(s3.environment(), *[("put_own", s3_root, name, 40) for name in "abcd"])
    clients.go(*writers)
    digests = {digest for answer in clients.answers(*writers) for digest in answer}
    keys = [key for key, _ in Store(s3_root).place.listing("sha256")]
    assert len(digests) == 160 and keys == sorted(map(blob_key, digests))


def test_four_processes_that_find_the_same_damage_end_with_good_bytes(s3, s3_root, objects):
    store = Store(s3_root)
    ref = store.put_bytes(b"right", name="x")
    objects.pipe_file(f"{s3_root}/{blob_key(ref.digest)}", b"wrong")
    readers = clients.start(s3.environment(), *[("heal", s3_root, "right")] * 4)
    clients.go(*readers)
    assert clients.answers(*readers) == [True] * 4
    store.put_bytes(b"right", name="x")
    assert store.get_bytes(ref) == b"right"
