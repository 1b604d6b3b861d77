"""Arrays are unpacked once into memory maps, and again only when these are damaged."""

import io

import numpy as np
import pytest

from tasks.contracts.errors import MissingInputError, UnsafeArchiveError
from tasks.store.npz_writer import write_npz
from tasks.store.unpack import unpack_npz

ARRAYS = {"x": np.arange(12.0).reshape(3, 4), "empty": np.zeros((3, 0)), "scalar": np.array(2)}


def test_maps_hold_the_arrays_read_only(tmp_path):
    maps = unpack_npz(write_npz(ARRAYS), tmp_path)
    assert sorted(maps) == ["empty", "scalar", "x"]
    for key, array in ARRAYS.items():
        assert isinstance(maps[key], np.memmap) and not maps[key].flags.writeable
        np.testing.assert_array_equal(maps[key], array)


def test_foreign_layouts_become_native(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.asfortranarray(ARRAYS["x"]).astype(">f4"))
    mapped = unpack_npz(buffer.getvalue(), tmp_path)["x"]
    assert mapped.dtype == np.dtype("=f4") and mapped.flags.c_contiguous
    np.testing.assert_array_equal(mapped, ARRAYS["x"])


def test_second_call_uses_what_is_there(tmp_path):
    path = tmp_path / "train.npz"
    path.write_bytes(write_npz(ARRAYS))
    unpack_npz(path, tmp_path / "maps")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "maps").rglob("*.npy")}
    unpack_npz(path, tmp_path / "maps")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "maps").rglob("*.npy")} == before and len(before) == 3


@pytest.mark.parametrize("victim", ["x.npy", "members.json"])
@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b"\x93NUMPY", None])
def test_damaged_leavings_are_made_again(tmp_path, victim, damage):
    unpack_npz(write_npz(ARRAYS), tmp_path)
    path = next(tmp_path.rglob(victim))
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    np.testing.assert_array_equal(unpack_npz(write_npz(ARRAYS), tmp_path)["x"], ARRAYS["x"])


def test_other_archives_do_not_mix(tmp_path):
    first = unpack_npz(write_npz({"x": np.zeros(2)}), tmp_path)["x"]
    second = unpack_npz(write_npz({"x": np.ones(2)}), tmp_path)["x"]
    assert first.tolist() == [0, 0] and second.tolist() == [1, 1]


def test_archive_without_arrays_gives_no_maps(tmp_path):
    assert unpack_npz(write_npz({}), tmp_path) == {}


def test_refused_archive_leaves_no_complete_folder(tmp_path):
    with pytest.raises(UnsafeArchiveError):
        unpack_npz(write_npz(ARRAYS)[:-10], tmp_path)
    assert list(tmp_path.rglob("members.json")) == []


def test_missing_archive(tmp_path):
    with pytest.raises(MissingInputError):
        unpack_npz(tmp_path / "none.npz", tmp_path)
