"""Tiles cut from scenes and stacks hold the same pixels, say where and when they are, and leave judging to `refine`."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray

from tasks.contracts.errors import ConfigError, DependencyError
from tasks.contracts.tile_errors import (
    AmbiguousUnitsError,
    BandSelectionError,
    InvalidMonthError,
    TileEmptyError,
    TileReadError,
    TileShapeError,
)
from tasks.contracts.tiles import TilesConfig
from tasks.tiles.cut import cut_scene
from tasks.tiles.cut_stack import cut_stack
from tasks.tiles.metadata import read_sidecar
from tasks.tiles.reader import read_tile
from tests.tiles.scenes.images import digital_numbers, write_scene

SHARED = Path(__file__).parents[4] / "shared" / "data" / "tiles"
SCENE = SHARED / "openeo_S2_L2A_sample.tif"
STACK = SHARED / "worldcereal_cls_monthly_12x100x100.nc"
needs_scene = pytest.mark.skipif(not SCENE.is_file(), reason=f"{SCENE.name} is not beside this checkout")
needs_stack = pytest.mark.skipif(not STACK.is_file(), reason=f"{STACK.name} is not beside this checkout")


def load(folder, tile_id):
    with np.load(folder / f"{tile_id}.npz") as arrays:
        return dict(arrays), json.loads((folder / f"{tile_id}.json").read_text())


def write_stack(path, times, numbers=None, **attributes):
    """A stack (t, y, x) of the four bands as int16 that stand for uint16."""
    numbers = digital_numbers(20, 30) if numbers is None else numbers
    coords = {
        "t": np.array(times, "datetime64[ns]"),
        "y": 5_100_000.0 - 10 * np.arange(20),
        "x": 6e5 + 10.0 * np.arange(30),
    }
    attrs = {"_Unsigned": "true", **attributes}
    bands = {
        f"S2-L2A-{name}": (("t", "y", "x"), np.stack([band + step for step in range(len(times))]).view(np.int16), attrs)
        for name, band in zip(("B02", "B03", "B04", "B08"), numbers, strict=True)
    }
    xarray.Dataset(bands, coords).to_netcdf(path, engine="h5netcdf")
    return path


def test_tiles_hold_the_pixels_of_the_scene_and_say_where_they_are(tmp_path):
    numbers = digital_numbers()
    numbers[1, 33, 2], numbers[3, 34, 2] = 0, 12_000
    source = write_scene(tmp_path / "alp.tif", numbers, nodata=0)
    cut = cut_scene(source, tmp_path / "tiles", 32, metadata={"month": "May", "site": "Ötztal"})
    assert cut == (("alp_000_000", "alp_000_001", "alp_001_000", "alp_001_001"), 6, 26)
    arrays, sidecar = load(tmp_path / "tiles", "alp_001_000")
    assert list(arrays) == ["opt_v1"] and arrays["opt_v1"].dtype == np.float32
    expected = numbers[:, 32:64, :32].astype(np.float32) / np.float32(10_000)
    expected[1, 1, 2] = np.nan
    np.testing.assert_array_equal(arrays["opt_v1"], expected)
    assert (sidecar["source"], sidecar["row"], sidecar["column"]) == ("alp.tif", 32, 0)
    assert (sidecar["month"], sidecar["site"], sidecar["crs"]) == ("May", "Ötztal", "EPSG:32632")
    assert sidecar["transform"] == [10, 0, 600_000, 0, -10, 5_100_000 - 320]
    assert (sidecar["lat"], sidecar["lon"]) == pytest.approx((46.04, 10.29), abs=0.02)


def test_a_scene_without_crs_gives_tiles_without_place_on_the_globe(tmp_path):
    cut = cut_scene(write_scene(tmp_path / "s.tif", digital_numbers(), crs=None), tmp_path / "tiles", 64)
    _, sidecar = load(tmp_path / "tiles", cut.ids[0])
    assert sidecar["crs"] is None and "lat" not in sidecar


def test_a_tile_larger_than_the_scene_is_refused(tmp_path):
    with pytest.raises(ConfigError):
        cut_scene(write_scene(tmp_path / "s.tif", digital_numbers()), tmp_path / "tiles", 71)


def test_metadata_that_refine_would_refuse_are_refused_before_anything_is_written(tmp_path):
    source = write_scene(tmp_path / "s.tif", digital_numbers())
    with pytest.raises(InvalidMonthError):
        cut_scene(source, tmp_path / "tiles", 32, metadata={"month": 13})
    assert not (tmp_path / "tiles").exists()


def test_a_monthly_stack_names_its_months_and_fill_becomes_invalid(tmp_path):
    numbers = digital_numbers(20, 30)
    numbers[2, 3, 4] = 65_535
    source = write_stack(tmp_path / "year.nc", ["2020-12-01", "2021-01-01"], numbers)
    assert cut_stack(source, tmp_path / "tiles").ids == ("year_2020-12", "year_2021-01")
    arrays, sidecar = load(tmp_path / "tiles", "year_2020-12")
    assert (sidecar["month"], sidecar["year"], "date" in sidecar) == (12, 2020, False)
    assert np.argwhere(np.isnan(arrays["opt_v1"])).tolist() == [[2, 3, 4]]
    np.testing.assert_array_equal(arrays["opt_v1"][0], numbers[0].astype(np.float32) / np.float32(10_000))


def test_dates_of_one_month_are_told_apart_by_their_days(tmp_path):
    source = write_stack(tmp_path / "may.nc", ["2021-05-03", "2021-05-08"])
    cut = cut_stack(source, tmp_path / "tiles", 16)
    assert cut == (("may_2021-05-03_000_000", "may_2021-05-08_000_000"), 4, 14)
    _, sidecar = load(tmp_path / "tiles", cut.ids[1])
    assert (sidecar["month"], sidecar["date"]) == (5, "2021-05-08")


def test_a_stack_that_states_its_fill_is_believed(tmp_path):
    numbers = digital_numbers(20, 30)
    numbers[0, 0, 0] = 7
    source = write_stack(tmp_path / "s.nc", ["2021-05-03"], numbers, missing_value=np.int16(7))
    arrays, _ = load(tmp_path / "tiles", cut_stack(source, tmp_path / "tiles").ids[0])
    assert np.argwhere(np.isnan(arrays["opt_v1"])).tolist() == [[0, 0, 0]]


def test_stacks_that_are_unclear_are_refused(tmp_path):
    path = write_stack(tmp_path / "s.nc", ["2021-05-03"])
    with xarray.open_dataset(path, mask_and_scale=False) as data:
        data.drop_vars("S2-L2A-B04").to_netcdf(tmp_path / "three.nc")
        data.isel(t=0).to_netcdf(tmp_path / "flat.nc")
        data.astype(np.int32).assign_attrs().to_netcdf(tmp_path / "wide.nc")
    (tmp_path / "text.nc").write_text("no netCDF")
    for name, error in {
        "three": BandSelectionError,
        "flat": TileShapeError,
        "wide": AmbiguousUnitsError,
        "text": TileReadError,
        "absent": TileReadError,
    }.items():
        with pytest.raises(error):
            cut_stack(tmp_path / f"{name}.nc", tmp_path / "tiles")


def test_without_rasterio_the_extra_that_brings_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(DependencyError, match=r"stagegate\[geo\]"):
        cut_scene(tmp_path / "s.tif", tmp_path / "tiles", 32)


def test_without_xarray_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(DependencyError, match="Install xarray"):
        cut_stack(tmp_path / "s.nc", tmp_path / "tiles")


def test_neither_rasterio_nor_xarray_nor_torch_is_imported_before_it_is_needed():
    code = (
        "import sys, tasks.tiles.refine_scenes, tasks.tiles.cut_stack; "
        "print(sorted({'rasterio', 'xarray', 'torch', 'pyproj'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@needs_scene
@pytest.mark.parametrize(("size", "count", "left"), [(120, 35, (105, 95)), (224, 12, (33, 39))])
def test_the_alpine_scene_makes_35_or_12_tiles_that_all_can_be_read(tmp_path, size, count, left):
    cut = cut_scene(SCENE, tmp_path, size, bands=(1, 2, 3, 4))
    assert (len(cut.ids), cut[1:]) == (count, left)
    assert len(list(tmp_path.iterdir())) == 2 * count
    for tile_id in cut.ids:
        meta = read_sidecar((tmp_path / f"{tile_id}.json").read_bytes(), tile_id)
        tile = read_tile(tmp_path / f"{tile_id}.npz", tile_id, meta, TilesConfig())
        assert tile.values.shape == (1, 4, size, size)
        assert (meta.month, 46 < meta.lat < 47, 11 < meta.lon < 12) == (None, True, True)


@needs_stack
def test_the_monthly_stack_makes_ten_good_tiles_and_two_empty_ones(tmp_path):
    cut = cut_stack(STACK, tmp_path)
    empty, months, clipped = [], [], {}
    for tile_id in cut.ids:
        meta = read_sidecar((tmp_path / f"{tile_id}.json").read_bytes(), tile_id)
        months.append(meta.month)
        try:
            tile = read_tile(tmp_path / f"{tile_id}.npz", tile_id, meta, TilesConfig())
            clipped[tile_id[-7:]] = round(tile.clipped_fraction * 4 * 100 * 100)
        except TileEmptyError:
            empty.append(tile_id[-7:])
    assert months == [11, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert empty == ["2020-12", "2021-01"]
    assert {month: count for month, count in clipped.items() if count} == {"2021-05": 11}
