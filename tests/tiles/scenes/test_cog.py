"""A COG appears complete or not at all, whatever the disk does."""

import resource
import shutil
from collections import namedtuple

import numpy as np
import pytest
import rasterio

from tasks.contracts.errors import StorageFullError, StoreError
from tasks.tiles import cog
from tasks.tiles.cog import Layout, cog_writer
from tests.tiles.scenes.images import PLACE, digital_numbers, read_scene

LAYOUT = Layout(300, 280, "uint16", 0.0, "EPSG:32632", PLACE)


def write(folder, numbers, target="o.tif"):
    (folder / "scratch").mkdir(exist_ok=True)
    with cog_writer(folder / target, LAYOUT, folder / "scratch") as writer:
        for first in range(0, 300, 70):
            writer.write(numbers[:, first : first + 70])


def left(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_rows_become_a_cog_with_overviews(tmp_path):
    numbers = digital_numbers(300, 280)
    write(tmp_path, numbers)
    values, profile, names, overviews = read_scene(tmp_path / "o.tif")
    np.testing.assert_array_equal(values, numbers)
    assert (profile["layout"], profile["blockxsize"], profile["nodata"]) == ("COG", 256, 0)
    assert (names, overviews, left(tmp_path)) == (("B02", "B03", "B04", "B08"), [2], ["o.tif"])


def test_four_bands_of_bytes_are_no_picture_with_alpha(tmp_path):
    (tmp_path / "scratch").mkdir()
    layout = Layout(20, 20, "uint8", None, None, PLACE)
    with cog_writer(tmp_path / "o.tif", layout, tmp_path / "scratch") as writer:
        writer.write(np.full((4, 20, 20), 9, np.uint8))
    with rasterio.open(tmp_path / "o.tif") as image:
        assert [kind.name for kind in image.colorinterp] == ["gray", "undefined", "undefined", "undefined"]


def test_equal_rows_give_equal_bytes(tmp_path):
    numbers = digital_numbers(300, 280)
    write(tmp_path, numbers, "a.tif")
    write(tmp_path, numbers, "b.tif")
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_long_names_and_signs_are_no_trouble(tmp_path):
    name = f"-{'ä' * 110}[1]%20*.tif"
    write(tmp_path, digital_numbers(300, 280), name)
    assert left(tmp_path) == [name]


def test_an_error_in_the_block_leaves_the_older_file(tmp_path):
    (tmp_path / "o.tif").write_bytes(b"older")
    (tmp_path / "scratch").mkdir()
    with pytest.raises(ZeroDivisionError), cog_writer(tmp_path / "o.tif", LAYOUT, tmp_path / "scratch") as writer:
        writer.write(digital_numbers(70, 280))
        raise ZeroDivisionError
    assert (left(tmp_path), (tmp_path / "o.tif").read_bytes()) == (["o.tif"], b"older")


def test_missing_rows_are_not_published(tmp_path):
    with pytest.raises(StoreError, match="does not hold"):
        write(tmp_path, digital_numbers(290, 280))
    assert left(tmp_path) == []


@pytest.mark.parametrize("limit", [50_000, 650_000, 673_000, 700_000, 760_000])
def test_a_disk_that_takes_no_more_is_a_store_error(tmp_path, limit):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(StoreError):
            write(tmp_path, np.random.default_rng(0).integers(0, 65_535, (4, 300, 280), np.uint16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left(tmp_path) == []


def test_a_disk_without_room_is_told_before_the_work(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 600_000))
    with pytest.raises(StorageFullError, match="672000 bytes free"):
        write(tmp_path, digital_numbers(300, 280))


def test_a_write_that_fails_on_a_full_disk_says_so(tmp_path, monkeypatch):
    free = iter([10_000_000, 100])
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, next(free)))
    monkeypatch.setattr(cog, "_pack", lambda *files: 1 / 0)
    with pytest.raises(StorageFullError):
        write(tmp_path, digital_numbers(300, 280))
    assert left(tmp_path) == []
