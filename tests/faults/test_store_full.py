"""A file system without space: a typed error, everything stored before intact, and work goes on once there is space."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.contracts.errors import StorageFullError
from tasks.store.blobs import Store
from tasks.store.gc import delete, garbage
from tasks.store.progress import Progress
from tasks.store.refs import NamedRefs


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this user may not mount a tmpfs: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(store: Store) -> list:
    refs = []
    with pytest.raises(StorageFullError, match=r"tiny/sha256/.*no space left to write it.*Free some space"):
        for i in range(100):
            refs.append(store.put_bytes(bytes([i]) * 50_000, name=f"{i}.bin"))
    return refs


def test_full_disk_keeps_what_was_stored_and_shows_nothing_partial(tiny):
    store = Store(tiny)
    refs = fill(store)
    assert 10 < len(refs) < 21
    assert [store.get_bytes(ref) for ref in refs] == [bytes([i]) * 50_000 for i in range(len(refs))]
    assert len([path for path in tiny.rglob("*") if path.is_file()]) == len(refs)


def test_work_goes_on_after_a_clean_up(tiny):
    store = Store(tiny)
    refs = fill(store)
    assert delete(store, garbage(store, refs[:5], min_age_s=0)) == len(refs) - 5
    ref = store.put_bytes(b"\xff" * 50_000, name="next.bin")
    assert store.get_bytes(ref) == b"\xff" * 50_000


def test_progress_keeps_the_last_complete_state(tiny):
    progress = Progress(tiny, "train")
    progress.save({"weights": b"1" * 400_000, "state": b"1"})
    with pytest.raises(StorageFullError):
        progress.save({"weights": b"2" * 400_000, "more": b"2" * 400_000})
    assert progress.load() == {"weights": b"1" * 400_000, "state": b"1"}
    progress.save({"weights": b"3"})
    assert progress.load() == {"weights": b"3"}


def test_names_are_whole_or_absent(tiny):
    names = NamedRefs(tiny)
    names.create("a", b"x" * 700_000)
    with pytest.raises(StorageFullError):
        names.create("b", b"x" * 700_000)
    assert names.list() == ["a"]
