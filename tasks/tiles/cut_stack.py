"""A netCDF stack of dates cut into NPZ tiles: one date after the other, the month taken from the time axis."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contracts.errors import DependencyError
from tasks.contracts.tile_errors import TileReadError, TileShapeError
from tasks.tiles.bands import select_bands, select_units
from tasks.tiles.cut import Cut, Place, checked_metadata, degrees, places, write_tile

UNSIGNED_16_FILL = 65535  # what 16-bit stacks hold where nothing was seen, often without saying so


def cut_stack(
    source: Path,
    folder: Path,
    size: int | None = None,
    *,
    scale: float | None = None,
    offset: float = 0.0,
    nodata: float | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Cut:
    """Write each date of a netCDF stack as `<stem>_<date>.npz`, or cut into whole tiles of size x size px.

    The four bands are the variables whose names end in their codes. Fill is `nodata`, else what a variable states, else
    65535 for unsigned 16-bit integers. A date without any data becomes a tile without valid pixels. Raises TileError
    where bands, time or units are not clear, DependencyError without xarray.
    """
    shared = checked_metadata(metadata)
    folder.mkdir(parents=True, exist_ok=True)
    with _opened(source) as data:
        names = tuple(data.data_vars)
        bands = [data[names[number - 1]] for number in select_bands(names, None, source.name)]
        time, rows, columns = _axes(bands, source.name)
        height, width = data.sizes[rows], data.sizes[columns]
        cuts = [Place((0, 0), 0, 0, height, width)] if size is None else list(places(height, width, size))
        ids = []
        for step, (label, dated) in enumerate(_dates(data[time].values)):
            layers = [band.isel({time: step}).transpose(rows, columns) for band in bands]
            image = np.stack([_reflectance(layer, scale, offset, nodata, source.name) for layer in layers])
            for place in cuts:
                ids.append(_tile_id(source.stem, label, place, whole=size is None))
                part = image[:, place.row : place.row + place.height, place.column : place.column + place.width]
                own = {"source": source.name, "row": place.row, "column": place.column}
                write_tile(folder, ids[-1], part, {**own, **dated, **_where(data, rows, columns, place), **shared})
    return Cut(tuple(ids), height % (size or height), width % (size or width))


@contextmanager
def _opened(source: Path) -> Iterator[Any]:
    try:
        import xarray
    except ImportError as error:
        remedy = "Install xarray with h5netcdf to cut netCDF stacks."
        raise DependencyError("is not installed", where="package xarray", remedy=remedy) from error
    try:
        data = xarray.open_dataset(source, mask_and_scale=False)
    except (OSError, ValueError) as error:
        raise TileReadError("is no readable netCDF stack", where=str(source), found=error) from error
    with data:
        yield data


def _axes(bands: list[Any], where: str) -> tuple[str, str, str]:
    """Names of the axes time, rows, columns: time is the one whose coordinate holds dates."""
    dims = bands[0].dims
    times = [dim for dim in dims if dim in bands[0].coords and bands[0][dim].dtype.kind == "M"]
    if len(dims) != 3 or len(times) != 1 or any(set(band.dims) != set(dims) for band in bands):
        expected = "four bands over one time axis with dates, rows and columns"
        raise TileShapeError("is no stack of dates", where=where, expected=expected, found=dims)
    rows, columns = (dim for dim in dims if dim != times[0])
    return times[0], rows, columns


def _dates(times: np.ndarray) -> list[tuple[str, dict[str, Any]]]:
    """A label for file names and what sidecars say; months where these tell all dates apart, days elsewhere."""
    months, days = (np.datetime_as_string(times, unit=unit) for unit in "MD")
    monthly = len(set(months)) == len(times)
    labels = months if monthly else days if len(set(days)) == len(times) else np.datetime_as_string(times, unit="s")
    return [
        (str(label).replace(":", ""), _dated(str(day), monthly=monthly))
        for label, day in zip(labels, days, strict=True)
    ]


def _dated(day: str, *, monthly: bool) -> dict[str, Any]:
    # The label of a monthly composite is no acquisition date.
    year, month, _ = map(int, day.split("-"))
    return {"month": month, "year": year, **({} if monthly else {"date": day})}


def _reflectance(layer: Any, scale: float | None, offset: float, nodata: float | None, where: str) -> np.ndarray:
    """(H, W) float32 of one band and date, NaN where fill."""
    dn, attributes = layer.values, layer.attrs
    fill = attributes.get("_FillValue", attributes.get("missing_value"))
    if str(attributes.get("_Unsigned", "")).lower() == "true" and dn.dtype.kind == "i":
        dn = dn.view(f"u{dn.dtype.itemsize}")
        fill = None if fill is None else np.asarray(fill, f"i{dn.dtype.itemsize}").view(dn.dtype)
    if fill is None and dn.dtype == np.uint16:
        fill = UNSIGNED_16_FILL
    fill = fill if nodata is None else nodata
    tags = float(attributes.get("scale_factor", 1.0)), float(attributes.get("add_offset", 0.0))
    values = select_units(dn.dtype, scale, offset, where, tags).reflectance(dn)
    if fill is not None:
        values[dn == fill] = np.nan
    return values


def _where(data: Any, rows: str, columns: str, place: Place) -> dict[str, float]:
    """Latitude and longitude of the middle of a tile, where the stack has a CRS and coordinates."""
    crs = next((wkt for name in data.variables for wkt in [_wkt(data[name].attrs)] if wkt), None)
    if crs is None or rows not in data.coords or columns not in data.coords:
        return {}
    y = data[rows].values[place.row : place.row + place.height]
    x = data[columns].values[place.column : place.column + place.width]
    return degrees(crs, float(x.mean()), float(y.mean()))


def _wkt(attributes: Mapping[str, Any]) -> str | None:
    return attributes.get("crs_wkt") or attributes.get("spatial_ref")


def _tile_id(stem: str, label: str, place: Place, *, whole: bool) -> str:
    return f"{stem}_{label}" if whole else f"{stem}_{label}_{place.index[0]:03d}_{place.index[1]:03d}"
