"""The order of calls that makes a local write whole and lasting."""

import os
from pathlib import Path

import pytest

from tasks.store.local import LocalPlace


@pytest.fixture
def calls(monkeypatch) -> list[tuple]:
    """What was asked of the system, with paths instead of descriptors."""
    log: list[tuple] = []

    def record(name: str):
        call = getattr(os, name)

        def recorded(first, *rest, **options):
            shown = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else first
            log.append((name, Path(shown).name, *(Path(path).name for path in rest if isinstance(path, str))))
            return call(first, *rest, **options)

        monkeypatch.setattr(os, name, recorded)

    for name in ("mkdir", "write", "fchmod", "fsync", "rename", "link", "unlink"):
        record(name)
    return log


def test_bytes_are_on_disk_before_they_get_their_name_and_the_name_before_the_return(tmp_path, calls):
    (tmp_path / "ab").mkdir()
    calls.clear()
    LocalPlace(str(tmp_path)).write("ab/blob", (b"one", b"two"))
    temp = calls[0][1]
    assert temp.startswith(".tmp-")
    assert calls == [
        ("write", temp),
        ("write", temp),
        ("fchmod", temp),
        ("fsync", temp),
        ("rename", temp, "blob"),
        ("fsync", "ab"),
    ]


def test_new_folders_are_on_disk_too(tmp_path, calls):
    LocalPlace(str(tmp_path / "store")).write("sha256/ab/blob", (b"",))
    top = [("mkdir", "store"), ("fsync", tmp_path.name), ("mkdir", "sha256"), ("fsync", "store")]
    assert calls[:6] == [*top, ("mkdir", "ab"), ("fsync", "sha256")]


def test_a_created_name_links_to_a_finished_file(tmp_path, calls):
    assert LocalPlace(str(tmp_path)).create("name", b"one")
    temp = calls[0][1]
    expected = [("write", temp), ("fchmod", temp), ("fsync", temp), ("link", temp, "name"), ("unlink", temp)]
    assert calls == [*expected, ("fsync", tmp_path.name)]


def test_copies_that_can_be_made_again_wait_for_no_disk(tmp_path, calls):
    LocalPlace(str(tmp_path / "scratch"), durable=False).write("copy", (b"one",))
    assert "fsync" not in [call[0] for call in calls]


def test_listing_is_sorted_and_holds_files_only(tmp_path):
    place = LocalPlace(str(tmp_path))
    for key in ("b/2", "a", "b/1"):
        place.write(key, (b"xy",))
    (tmp_path / "link").symlink_to("a")
    assert [(key, stamp.size) for key, stamp in place.listing("")] == [("a", 2), ("b/1", 2), ("b/2", 2)]
    assert [key for key, _ in place.listing("b")] == ["b/1", "b/2"]
    assert list(place.listing("none")) == []


def test_nothing_lies_below_a_file(tmp_path):
    place = LocalPlace(str(tmp_path))
    place.write("a", (b"",))
    assert place.stamp("a/b") is None
