"""Calls to the system that fail, one after the other: a typed error each time, and all that is visible is whole."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.contracts.errors import StagegateError, StorageFullError, StoreError
from tasks.contracts.refs import ArtifactRef
from tasks.store.blobs import BLOB_FOLDER, Store
from tasks.store.places import is_temporary
from tasks.store.progress import Progress
from tasks.store.refs import NamedRefs
from tasks.store.telemetry import load_telemetry, save_telemetry

CALLS = ["open", "write", "fsync", "fchmod", "close", "mkdir", "rename", "link", "unlink"]
BIG = bytes(range(256)) * (12 << 10)  # 3 MiB: several writes


class Failing:
    """Lets `n - 1` calls of a function of `os` pass, fails the n-th and, if asked to, all that follow."""

    def __init__(self, name: str, n: int, code: int, for_good: bool):
        self.call, self.n, self.code, self.for_good, self.seen = getattr(os, name), n, code, for_good, 0

    def __call__(self, *args, **kwargs):
        self.seen += 1
        if self.seen == self.n or (self.for_good and self.seen > self.n):
            raise OSError(self.code, os.strerror(self.code))
        return self.call(*args, **kwargs)

    @property
    def failed(self) -> bool:
        return self.seen >= self.n


def put(root: Path) -> Callable[[], object]:
    return lambda: Store(root).put_bytes(BIG, name="x")


def put_file(root: Path) -> Callable[[], object]:
    source = root.parent / "weights.h5"
    source.write_bytes(BIG)
    return lambda: Store(root).put_file(source)


def create_name(root: Path) -> Callable[[], object]:
    return lambda: NamedRefs(root).create("models/a", BIG)


def save_progress(root: Path) -> Callable[[], object]:
    Progress(root, "train").save({"epoch": b"1", "weights": BIG})
    return lambda: Progress(root, "train").save({"epoch": b"2", "weights": BIG[:-1]})


def record_telemetry(root: Path) -> Callable[[], object]:
    save_telemetry(Store(root), "train", {"wall_s": 1})
    return lambda: save_telemetry(Store(root), "train", {"wall_s": 2})


def fetch(root: Path) -> Callable[[], object]:
    ref = Store(root).put_bytes(BIG, name="x")
    return lambda: Store(root).fetch(ref, root.parent / "out")


def assert_all_visible_is_whole(root: Path, done: bool) -> None:
    store = Store(root)
    for path in (path for path in root.rglob("*") if path.is_file() and not is_temporary(path.as_posix())):
        folder, *rest = path.relative_to(root).parts
        if folder == BLOB_FOLDER:
            digest = "".join(rest)
            assert store.get_bytes(ArtifactRef(digest=digest, size=len(BIG), media_type="x", name="x")) == BIG
    for name in NamedRefs(root).list():
        assert NamedRefs(root).get(name) == BIG
    assert Progress(root, "train").load() in allowed(
        {"epoch": b"1", "weights": BIG}, {"epoch": b"2", "weights": BIG[:-1]}, done
    )
    assert load_telemetry(store, "train") in allowed({"wall_s": 1}, {"wall_s": 2}, done) + [{}]
    copy = root.parent / "out" / "x"
    assert not copy.exists() or copy.read_bytes() == BIG


def allowed(before: object, after: object, done: bool) -> list:
    """What may be read: the new state once a call has returned, either one after a failure, None where not used."""
    return [None, after] if done else [None, before, after]


@pytest.mark.parametrize(("code", "for_good"), [(errno.EIO, False), (errno.ENOSPC, True)], ids=["once", "for good"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("work", [put, put_file, create_name, save_progress, record_telemetry, fetch])
def test_every_call_may_fail(tmp_path, work, call, code, for_good):
    for n in range(1, 200):
        root = tmp_path / str(n) / "store"
        root.parent.mkdir()
        act, failing = work(root), Failing(call, n, code, for_good)
        done = False
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, call, failing)
            try:
                act()
                done = True
            except StagegateError as error:
                assert isinstance(error, StorageFullError if code == errno.ENOSPC else StoreError), error
                assert str(root.parent) in str(error) and os.strerror(code) in str(error)
        assert done or failing.failed
        assert_all_visible_is_whole(root, done)
        act()
        assert_all_visible_is_whole(root, done=True)
        if not failing.failed:
            return
    pytest.fail("the work never ends")


def test_a_failed_write_removes_its_temporary_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", Failing("fsync", 3, errno.EIO, for_good=True))
    with pytest.raises(StoreError, match=r"sha256/.*could not write it: found Input/output error\. Check the disk"):
        Store(tmp_path).put_bytes(b"abc", name="x")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_exceeded_quota_is_a_full_storage(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", Failing("write", 1, errno.EDQUOT, for_good=True))
    with pytest.raises(StorageFullError, match=r"no space left to write it.*Free some space or raise the quota"):
        Store(tmp_path).put_bytes(b"abc", name="x")


def test_writes_that_take_only_a_part_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    store = Store(tmp_path)
    assert store.get_bytes(store.put_bytes(bytes(range(100)), name="x")) == bytes(range(100))


def test_reading_that_fails_is_typed_and_keeps_the_blob(tmp_path, monkeypatch):
    store = Store(tmp_path)
    ref = store.put_bytes(b"abc", name="x")

    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", fail)
        with pytest.raises(StoreError, match="could not read it: found Input/output error"):
            store.get_bytes(ref)
    assert store.get_bytes(ref) == b"abc"


def test_root_that_is_a_file(tmp_path):
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StoreError, match="could not write it: found Not a directory"):
        Store(tmp_path / "store").put_bytes(b"abc", name="x")
    assert (tmp_path / "store").read_text() == "not a folder"


def test_folder_of_somebody_else(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "mkdir", Failing("mkdir", 1, errno.EACCES, for_good=True))
    with pytest.raises(StoreError, match="Give this user access"):
        Store(tmp_path / "store").put_bytes(b"abc", name="x")
