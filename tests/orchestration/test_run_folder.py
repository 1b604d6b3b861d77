"""Files of a run folder appear whole or not at all, and two runs never share a folder."""

import errno
import os
import subprocess

import pytest

from tasks.contracts.errors import StorageFullError, StoreError
from tasks.orchestration.run_folder import RunFolder


def test_same_name_in_the_same_second_gives_another_folder(tmp_path):
    first, second = RunFolder.new(tmp_path, "train_x"), RunFolder.new(tmp_path, "train_x")
    assert (first.path.name, second.path.name) == ("train_x", "train_x-2")


def test_a_failing_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.put("a.json", b"good")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(StorageFullError, match=r"no space left for a.json.*run the same command again"):
        folder.put("a.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"good"


def test_folder_that_cannot_be_written_is_a_typed_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StoreError, match="--out"):
        RunFolder.new(blocked, "train_x")


@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if made.returncode != 0:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_keeps_what_was_there(tiny_disk):
    folder = RunFolder.new(tiny_disk, "run")
    folder.put("small.json", b"good")
    with pytest.raises(StorageFullError):
        folder.put("large.bin", os.urandom(2 * 2**20))
    assert [path.name for path in folder.path.iterdir()] == ["small.json"]
    assert (folder.path / "small.json").read_bytes() == b"good"


def test_dangling_link_is_a_typed_error_and_no_endless_loop(tmp_path):
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "disk")
    with pytest.raises(StoreError, match="--out"):
        RunFolder.new(tmp_path / "dangling", "train_x")
