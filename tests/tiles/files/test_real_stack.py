"""The monthly stack of real composites, cut into tiles and read as a user would hand them over."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.tile_errors import AmbiguousUnitsError, TileEmptyError
from tasks.contracts.tiles import TilesConfig
from tasks.tiles.metadata import read_sidecar
from tasks.tiles.reader import Tile, read_tile
from tests.tiles.files.made import npz

STACK = Path(__file__).resolve().parents[3].parent / "shared/data/tiles/worldcereal_cls_monthly_12x100x100.nc"
needs_real = pytest.mark.skipif(not STACK.exists(), reason=f"{STACK.name} is not beside this checkout")
BANDS = ("B02", "B03", "B04", "B08")


def months() -> dict[str, tuple[bytes, bytes]]:
    """NPZ and sidecar of each month, DN as uint16, fill as nodata, month from the time axis."""
    xarray = pytest.importorskip("xarray", reason="xarray with h5netcdf is not installed beside this checkout")
    with xarray.open_dataset(STACK, engine="h5netcdf") as stack:
        bands = [stack[f"S2-L2A-{band}"].values for band in BANDS]
        times = stack["t"].values.astype("datetime64[M]").astype(str)
    cube = np.stack(bands, axis=1).astype(np.uint16)
    return {
        str(time): (
            npz(opt_v1=tile),
            json.dumps({"month": int(time[5:]), "year": int(time[:4]), "nodata": 65535}).encode(),
        )
        for time, tile in zip(times, cube)
    }


@pytest.fixture(scope="module")
def read_months() -> dict[str, Tile | TileEmptyError]:
    found: dict[str, Tile | TileEmptyError] = {}
    for name, (data, sidecar) in months().items():
        try:
            found[name] = read_tile(data, name, read_sidecar(sidecar, name), TilesConfig(scale=10_000.0))
        except TileEmptyError as error:
            found[name] = error
    return found


@needs_real
def test_two_months_are_empty_and_ten_are_whole(read_months):
    empty = {name for name, found in read_months.items() if isinstance(found, TileEmptyError)}
    assert len(read_months) == 12 and empty == {"2020-12", "2021-01"}
    whole = [found for found in read_months.values() if isinstance(found, Tile)]
    assert all(tile.values.shape == (1, 4, 100, 100) and tile.valid.all() for tile in whole)


@needs_real
def test_only_may_holds_clipped_samples(read_months):
    clipped = {
        name: round(found.clipped_fraction * found.values.size)
        for name, found in read_months.items()
        if isinstance(found, Tile) and found.clipped_fraction
    }
    assert clipped == {"2021-05": 11}


@needs_real
def test_season_shows_in_the_vegetation_index(read_months):
    means = {}
    for name in ("2021-02", "2021-06"):
        red, infrared = read_months[name].values[0, 2:]
        means[name] = float(np.mean((infrared - red) / (infrared + red)))
    assert means == pytest.approx({"2021-02": 0.409, "2021-06": 0.655}, abs=2e-3)


@needs_real
def test_stack_without_a_scale_has_no_units():
    data, sidecar = months()["2021-05"]
    with pytest.raises(AmbiguousUnitsError, match="--scale 10000"):
        read_tile(data, "2021-05", read_sidecar(sidecar, "2021-05"), TilesConfig())
