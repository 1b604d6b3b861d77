"""Outputs: deterministic bytes, NPZ before JSON, nothing half-written, nothing left behind."""

import errno
import hashlib
import io
import os
import time
import zipfile

import numpy as np
import pytest

from tasks.contracts.errors import StorageFullError, StoreError
from tasks.contracts.tile_errors import NonFiniteOutputError
from tasks.store.npz import read_npz
from tasks.tiles import writer
from tasks.tiles.writer import commit, output_bytes, output_ref, remove_leftovers, settle
from tests.tiles.files.made import said, tile

VALID = np.ones((3, 4), bool)


def files_below(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("compression", ["none", "zlib1", "zlib6"])
def test_output_is_one_float32_array_that_all_readers_read(compression):
    values = np.random.default_rng(0).random((4, 30, 20), np.float32)
    data = output_bytes(values, np.ones((30, 20), bool), compression)
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        assert archive.files == ["opt_v2"] and archive["opt_v2"].dtype == np.float32
        assert archive["opt_v2"].tobytes() == values.tobytes()
    assert read_npz(data)["opt_v2"].tobytes() == values.tobytes()
    assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None


def test_compression_makes_smooth_tiles_smaller():
    sizes = {
        form: len(output_bytes(tile(60, 60), np.ones((60, 60), bool), form)) for form in ("none", "zlib1", "zlib6")
    }
    assert sizes["zlib6"] < sizes["zlib1"] < sizes["none"] / 10


def test_bytes_do_not_depend_on_the_day_or_the_layout_of_the_array(monkeypatch):
    first = output_bytes(tile(), VALID)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    turned = np.asfortranarray(tile().astype(np.float64).astype(">f4"))
    assert output_bytes(turned, VALID) == first
    dates = {member.date_time for member in zipfile.ZipFile(io.BytesIO(first)).infolist()}
    assert dates == {(1980, 1, 1, 0, 0, 0)}


def test_digest_of_a_known_tile_never_changes():
    digest = hashlib.sha256(output_bytes(tile(), VALID)).hexdigest()
    assert digest == "7bd39e14991a13759280515a48610f2df3043e7867c91a003a3e32e8d7ae2f8b"


def test_invalid_pixels_are_nan_in_all_bands_and_no_others():
    values, valid = tile(), VALID.copy()
    valid[1, 2] = False
    values[2, 1, 2] = np.nan
    before = values.copy()
    array = read_npz(output_bytes(values, valid))["opt_v2"]
    np.testing.assert_array_equal(np.isnan(array), np.broadcast_to(~valid, array.shape))
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.001, 1.001])
def test_valid_pixels_outside_the_range_are_never_written(bad):
    values = tile()
    values[3, 2, 1] = bad
    with pytest.raises(NonFiniteOutputError) as caught:
        output_bytes(values, VALID)
    parts = said(caught.value)
    assert parts["where"] == "'opt_v2'" and parts["expected"] == "0 to 1" and "fp32" in parts["remedy"]


def test_other_shapes_are_never_written():
    with pytest.raises(StoreError, match=r"expected \(4, 3, 4\), found \(4, 3, 3\)"):
        output_bytes(tile(3, 3), VALID)


def test_reference_names_the_bytes():
    ref = output_ref(b"abc", "a/t")
    assert (ref.digest, ref.size, ref.name) == (hashlib.sha256(b"abc").hexdigest(), 3, "a/t.npz")


@pytest.mark.parametrize("name", ["t", "a/b/t", "-x y", "ünï 雪", "x" * 250, "a.b.npz"])
def test_both_files_lie_under_the_name_of_the_tile(tmp_path, name):
    commit(tmp_path, name, b"npz", {"month": 6})
    assert files_below(tmp_path) == [f"{name}.json", f"{name}.npz"]
    assert (tmp_path / f"{name}.npz").read_bytes() == b"npz"


def test_file_of_a_store_is_copied(tmp_path):
    blob = tmp_path / "blob"
    blob.write_bytes(b"npz")
    commit(tmp_path / "out", "t", blob, {})
    assert blob.read_bytes() == (tmp_path / "out/t.npz").read_bytes() == b"npz"


def test_json_comes_after_the_npz_and_both_by_rename(tmp_path, monkeypatch):
    seen = []
    replace = os.replace

    def watched(source, target):
        seen.append((os.path.relpath(source, tmp_path), os.path.basename(target)))
        replace(source, target)

    monkeypatch.setattr(writer.os, "replace", watched)
    commit(tmp_path, "t", b"npz", {})
    temp = f".stagegate/tmp/t.{{}}.{os.getpid()}.tmp"
    assert seen == [(temp.format("npz"), "t.npz"), (temp.format("json"), "t.json")]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_leaves_no_temporary_file_and_the_old_output(tmp_path, monkeypatch, code):
    commit(tmp_path, "t", b"old", {})

    def full(path, content):
        path.write_bytes(content[:2])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(writer, "_write_file", full)
    with pytest.raises(StorageFullError) as caught:
        commit(tmp_path, "t", b"new", {})
    parts = said(caught.value)
    assert parts["where"] == str(tmp_path / "t.npz") and parts["found"] == os.strerror(code)
    assert "Free some space" in parts["remedy"] and caught.value.exit_code == 4
    assert files_below(tmp_path) == ["t.json", "t.npz"] and (tmp_path / "t.npz").read_bytes() == b"old"


def test_json_that_cannot_be_made_leaves_no_npz(tmp_path):
    with pytest.raises(TypeError):
        commit(tmp_path, "t", b"npz", {"x": object()})
    assert files_below(tmp_path) == []


def test_leftovers_of_killed_runs_are_removed(tmp_path):
    commit(tmp_path, "t", b"npz", {})
    for name in ("a.npz.1.tmp", "b.json.22.tmp"):
        (tmp_path / ".stagegate/tmp" / name).write_bytes(b"half")
    assert remove_leftovers(tmp_path) == 2 and remove_leftovers(tmp_path) == 0
    assert files_below(tmp_path) == ["t.json", "t.npz"]
    assert remove_leftovers(tmp_path / "absent") == 0


def test_settle_waits_for_the_file_system_and_reports_its_faults(tmp_path, monkeypatch):
    commit(tmp_path, "t", b"npz", {})
    settle(tmp_path)

    def broken(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(writer, "_sync_file_system", broken)
    with pytest.raises(StoreError, match="could not sync it"):
        settle(tmp_path)
