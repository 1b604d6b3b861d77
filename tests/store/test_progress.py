"""A retry starts from the newest progress that is complete and intact."""

from pathlib import Path

import pytest

from tasks.contracts.errors import StoreError, UnsafePathError
from tasks.store.progress import Progress


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(tmp_path, "train-0123")


def generations(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "progress" / "train-0123").iterdir())


def test_nothing_saved_is_none(progress, tmp_path):
    assert progress.load() is None
    assert list(tmp_path.iterdir()) == []


def test_saved_files_come_back_in_another_process(progress, tmp_path):
    progress.save({"weights.h5": b"w", "state.json": b"{}"})
    assert Progress(tmp_path, "train-0123").load() == {"weights.h5": b"w", "state.json": b"{}"}
    assert Progress(tmp_path, "train-9999").load() is None


def test_newest_wins_and_older_ones_go(progress, tmp_path):
    for epoch in range(12):
        progress.save({"epoch": b"%d" % epoch})
    assert progress.load() == {"epoch": b"11"}
    assert [path.name.partition("-")[0] for path in generations(tmp_path)] == ["00000012"]


def test_generation_without_marker_is_passed_over(progress, tmp_path):
    progress.save({"epoch": b"1"})
    newer = tmp_path / "progress" / "train-0123" / "00000002-aaaaaaaa"
    newer.mkdir()
    (newer / "epoch").write_bytes(b"2")
    assert progress.load() == {"epoch": b"1"}
    progress.save({"epoch": b"3"})
    assert progress.load() == {"epoch": b"3"}
    assert len(generations(tmp_path)) == 1


@pytest.mark.parametrize("name", ["epoch", "complete.json"])
@pytest.mark.parametrize("damage", [b"", b"X", b"[1]", b'{"../../x": "0"}', None])
def test_damaged_generation_is_passed_over(progress, tmp_path, name, damage):
    progress.save({"epoch": b"1"})
    kept = generations(tmp_path)[0]
    copy = kept.parent / "00000009-bbbbbbbb"
    copy.mkdir()
    for file in kept.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / name).unlink()
    if damage is not None:
        (copy / name).write_bytes(damage)
    assert progress.load() == {"epoch": b"1"}


def test_drop_leaves_nothing(progress, tmp_path):
    progress.save({"epoch": b"1"})
    progress.drop()
    progress.drop()
    assert progress.load() is None
    assert list((tmp_path / "progress").iterdir()) == []


def test_two_writers_with_the_same_number_do_not_mix(progress, tmp_path, monkeypatch):
    other = Progress(tmp_path, "train-0123")
    monkeypatch.setattr(other, "_generations", lambda: [])
    progress.save({"a": b"1", "b": b"1"})
    other.save({"a": b"2", "b": b"2"})
    assert len(generations(tmp_path)) == 2
    assert progress.load() in ({"a": b"1", "b": b"1"}, {"a": b"2", "b": b"2"})


@pytest.mark.parametrize("name", ["complete.json", "a/b"])
def test_names_that_would_hide_the_marker_are_refused(progress, name):
    with pytest.raises(StoreError, match="cannot name a file of saved progress"):
        progress.save({name: b""})


def test_key_stays_inside_the_store(tmp_path):
    with pytest.raises(UnsafePathError):
        Progress(tmp_path, "../outside")
