"""One run per output folder, nothing half-written in it, nothing stale at its top."""

import os
import subprocess
import sys

import pytest

from tasks.contracts.tile_errors import OutputBusyError, OutputDirError
from tasks.contracts.tiles import TileRecord
from tasks.tiles.output_folder import OutputFolder, opened


def failed(name: str) -> TileRecord:
    return TileRecord(id=name, status="failed", input_sha256="0" * 64)


def test_second_run_is_refused_and_told_who_is_there(tmp_path):
    with opened(tmp_path / "out", tmp_path / "in"), pytest.raises(OutputBusyError, match=f"process {os.getpid()}"):
        opened(tmp_path / "out", tmp_path / "in").__enter__()


def test_lock_of_a_killed_run_is_free(tmp_path):
    code = (
        "import os, pathlib, sys; from tasks.tiles.output_folder import opened;"
        "opened(pathlib.Path(sys.argv[1]), pathlib.Path('/nowhere')).__enter__(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    with opened(tmp_path, tmp_path / "in") as folder:
        assert folder.path == tmp_path


def test_input_folder_is_never_the_output_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    with pytest.raises(OutputDirError, match="is the input folder"):
        opened(tmp_path / "link", tmp_path / "in").__enter__()
    assert list((tmp_path / "in").iterdir()) == []


def test_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputDirError, match="cannot be written"):
        opened(tmp_path / "file" / "out", tmp_path / "in").__enter__()


def test_temporary_files_of_killed_runs_are_removed(tmp_path):
    temp = tmp_path / ".stagegate" / "tmp"
    temp.mkdir(parents=True)
    (temp / "a.npz.123.tmp").write_bytes(b"half")
    with opened(tmp_path, tmp_path / "in"):
        assert list(temp.iterdir()) == []


def test_old_output_of_a_failed_tile_moves_to_stale_under_a_name_no_reader_looks_for(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("sub/a.npz", "sub/a.json", "b.npz"):
        (tmp_path / name).write_text(name)
    OutputFolder(tmp_path).failed(failed("sub/a"))
    assert (tmp_path / ".stagegate/stale/sub/a.npz.stale").read_text() == "sub/a.npz"
    assert (tmp_path / ".stagegate/stale/sub/a.json.stale").read_text() == "sub/a.json"
    assert [path.name for path in tmp_path.rglob("*.npz")] == ["b.npz"]


def test_orphans_are_listed_and_left_alone(tmp_path):
    for name in ("a.npz", "sub/b.npz", ".stagegate/c.npz", "d.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert OutputFolder(tmp_path).orphans({"a"}) == ["sub/b.npz"]
    assert (tmp_path / "sub/b.npz").exists()


def test_old_outputs_of_long_names_are_set_aside_too(tmp_path):
    name = "n" * 250
    for suffix in (".json", ".npz"):
        (tmp_path / f"{name}{suffix}").write_text(suffix)
    OutputFolder(tmp_path).failed(failed(name))
    stale = {path.name: path.read_text() for path in (tmp_path / ".stagegate/stale").iterdir()}
    assert sorted(stale.values()) == [".json", ".npz"]
    assert all(each.endswith(".stale") for each in stale)
    assert [path.name for path in tmp_path.iterdir()] == [".stagegate"]
