"""The store, names and progress on object storage behave as on a disk."""

import errno
import uuid

import fsspec
import pytest

from tasks.contracts.errors import (
    BlobMissingError,
    ConfigError,
    DigestMismatchError,
    StorageFullError,
    StoreError,
)
from tasks.store.blobs import Store, blob_key
from tasks.store.gc import delete, garbage
from tasks.store.progress import Progress
from tasks.store.refs import NamedRefs
from tasks.store.telemetry import load_telemetry, save_telemetry


@pytest.fixture
def root() -> str:
    return f"memory://{uuid.uuid4().hex}/prefix"


@pytest.fixture
def memory():
    return fsspec.filesystem("memory")


def objects(memory, root: str) -> list[str]:
    return sorted(path.partition("/prefix/")[2] for path in memory.find(root.removeprefix("memory://")))


def test_constructor_makes_no_object(root, memory):
    Store(root)
    assert objects(memory, root) == []


def test_bytes_come_back_from_the_same_keys(root, memory):
    store = Store(root)
    ref = store.put_bytes(b"abc", name="x")
    assert objects(memory, root) == [blob_key(ref.digest)]
    assert Store(root).get_bytes(ref) == b"abc"
    assert store.holds(ref)


def test_put_again_writes_nothing(root, monkeypatch):
    store = Store(root)
    ref = store.put_bytes(b"abc", name="x")
    monkeypatch.setattr(type(store.place), "write", lambda *_: pytest.fail("written again"))
    assert store.put_bytes(b"abc", name="x") == ref


@pytest.mark.parametrize("damage", [b"abX", b"ab", b"", b"abcd"])
def test_damaged_object_is_refused_and_quarantined(root, memory, damage):
    store = Store(root)
    ref = store.put_bytes(b"abc", name="x")
    memory.pipe_file(f"{root}/{blob_key(ref.digest)}", damage)
    with pytest.raises(DigestMismatchError, match=r"quarantine/"):
        store.get_bytes(ref)
    assert [key.partition("/")[0] for key in objects(memory, root)] == ["quarantine"]
    with pytest.raises(BlobMissingError):
        store.get_bytes(ref)


def test_fetch_copies_to_a_folder(root, tmp_path):
    store = Store(root)
    ref = store.put_bytes(b"abc", name="x.csv")
    assert store.fetch(ref, tmp_path).read_bytes() == b"abc"


def test_names_are_bound_once(root):
    refs = NamedRefs(root)
    assert refs.create("models/a", b"one")
    assert not refs.create("models/a", b"one")
    with pytest.raises(StoreError, match="name 'models/a' is taken"):
        refs.create("models/a", b"two")
    assert refs.list("models/") == ["models/a"]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS])
def test_names_work_where_the_server_knows_no_condition(root, monkeypatch, code):
    refs = NamedRefs(root)
    put = refs.place.fs.pipe_file

    def unconditional(path, data, mode="overwrite"):
        if mode == "create":
            raise OSError(code, "A header you provided implies functionality that is not implemented")
        put(path, data)

    monkeypatch.setattr(refs.place.fs, "pipe_file", unconditional)
    assert refs.create("a", b"one")
    with pytest.raises(StoreError, match="is taken"):
        refs.create("a", b"two")


def test_the_later_of_two_unconditional_writers_is_noticed_by_the_first(root, monkeypatch):
    refs = NamedRefs(root)
    put = refs.place.fs.pipe_file

    def overtaken(path, data, mode="overwrite"):
        put(path, data)
        put(path, data.replace(b"one", b"two"))

    monkeypatch.setattr(refs.place.fs, "pipe_file", overtaken)
    with pytest.raises(DigestMismatchError):
        refs.create("a", b"one")


def test_progress_survives_and_goes(root, memory):
    progress = Progress(root, "train-1")
    progress.save({"weights": b"1"})
    progress.save({"weights": b"2"})
    assert Progress(root, "train-1").load() == {"weights": b"2"}
    assert len(objects(memory, root)) == 2
    progress.drop()
    assert progress.load() is None and objects(memory, root) == []


def test_telemetry_is_replaced(root):
    store = Store(root)
    assert load_telemetry(store, "train-1") == {}
    save_telemetry(store, "train-1", {"wall_s": 1.5})
    save_telemetry(store, "train-1", {"wall_s": 2.5})
    assert load_telemetry(store, "train-1") == {"wall_s": 2.5}


def test_unreachable_objects_are_listed_and_deleted(root, memory):
    store = Store(root)
    keep, lose = store.put_bytes(b"keep", name="keep"), store.put_bytes(b"lose", name="lose")
    plan = garbage(store, [keep], min_age_s=0)
    assert [item.digest for item in plan.garbage] == [lose.digest]
    assert delete(store, plan) == 1
    assert objects(memory, root) == [blob_key(keep.digest)]


def test_failures_of_a_client_become_typed_errors(root, monkeypatch):
    store = Store(root)

    class ClientError(Exception):
        """What a storage client raises: no OSError."""

    def fail(*_, **__):
        raise ClientError("no credentials")

    monkeypatch.setattr(store.place.fs, "pipe_file", fail)
    with pytest.raises(StoreError, match=r"memory://.*could not write it: found ClientError no credentials"):
        store.put_bytes(b"abc", name="x")


def test_exceeded_quota_is_a_full_storage(root, monkeypatch):
    store = Store(root)

    def fail(*_, **__):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(store.place.fs, "pipe_file", fail)
    with pytest.raises(StorageFullError, match="Free some space or raise the quota"):
        store.put_bytes(b"abc", name="x")


def test_unknown_protocol_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"nowhere://bucket is not a store.*s3://bucket/prefix"):
        Store("nowhere://bucket")
