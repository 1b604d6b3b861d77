"""A GeoTIFF read in rows: reflectance of four bands, and which pixels are valid."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tasks.contracts.errors import DependencyError, StagegateError
from tasks.contracts.tile_errors import TileReadError, TileShapeError, TileTooLargeError
from tasks.tiles.bands import Units, select_bands, select_units

MAX_SIDE = 200_000  # px; rows of this width and a window's height still fit in memory
# The file's own bytes decide alone: no .aux.xml, .ovr or .msk beside it, no other driver, a small block cache.
_GDAL = {"GDAL_CACHEMAX": 64 << 20, "GDAL_PAM_ENABLED": "NO", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}


@dataclass(frozen=True)
class Scene:
    """An open scene; `nodata` has one value or None for each of the four bands, as numbers of the file."""

    dataset: Any
    name: str
    bands: tuple[int, ...]
    units: Units
    nodata: tuple[float | None, ...]
    masked: bool  # by a mask band of its own

    @property
    def height(self) -> int:
        """Pixels."""
        return self.dataset.height

    @property
    def width(self) -> int:
        """Pixels."""
        return self.dataset.width

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers in the file."""
        return np.dtype(self.dataset.dtypes[self.bands[0] - 1])

    def read(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(1, 4, count, W) float32 reflectance, NaN where its band is invalid, and (count, W) pixels valid in all."""
        return self.read_window(first, 0, count, self.width)

    def read_window(self, row: int, column: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """As `read`, for a part of the rows. Raises TileReadError where the file does not hold what it claims."""
        dn, seen = self._numbers(row, column, height, width)
        invalid = ~np.isfinite(dn) if dn.dtype.kind == "f" else np.zeros(dn.shape, bool)
        for band, nodata in enumerate(self.nodata):
            if nodata is not None:
                invalid[band] |= dn[band] == nodata
        if seen is not None:
            invalid |= seen == 0
        values = self.units.reflectance(dn)
        values[invalid] = np.nan
        return values[None], ~invalid.any(axis=0)

    def _numbers(self, row: int, column: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray | None]:
        window = ((row, row + height), (column, column + width))
        with gdal_faults(self._unreadable):
            dn = self.dataset.read(self.bands, window=window)
            return dn, self.dataset.read_masks(self.bands, window=window) if self.masked else None

    def _unreadable(self, error: Exception) -> TileReadError:
        remedy = "The file is damaged or truncated; get it again."
        return TileReadError("cannot be read", where=self.name, found=error, remedy=remedy)


def rasterio() -> ModuleType:
    """The package, where it is installed; DependencyError elsewhere."""
    try:
        import rasterio
        import rasterio.errors
        import rasterio.shutil
    except ImportError as error:
        raise _not_installed() from error
    return rasterio


def check_installed() -> None:
    """Raise DependencyError where scenes cannot be read; the package is not loaded."""
    if find_spec("rasterio") is None:
        raise _not_installed()


def _not_installed() -> DependencyError:
    remedy = 'Install the extra "geo" (pip install "stagegate[geo]") to work on scenes.'
    return DependencyError("is not installed", where="package rasterio", remedy=remedy)


@contextmanager
def gdal_faults(translate: Callable[[Exception], StagegateError]) -> Iterator[None]:
    """Turn whatever GDAL raises in the body into a typed error; it has more classes than rasterio makes public."""
    try:
        yield
    except (MemoryError, StagegateError):
        raise
    except Exception as error:
        raise translate(error) from error


def open_dataset(path: Path, *mode: str, **options: Any) -> Any:
    """`rasterio.open` that keeps quiet about images without a place on the globe; callers say it once."""
    rio = rasterio()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rio.errors.NotGeoreferencedWarning)
        return rio.open(path, *mode, **options)


@contextmanager
def open_scene(
    source: Path,
    *,
    bands: Sequence[int] | None = None,
    scale: float | None = None,
    offset: float = 0.0,
    nodata: float | None = None,
) -> Iterator[Scene]:
    """A GeoTIFF or COG. `nodata` (DN) is that of its sidecar and counts where the file has none.

    Raises TileReadError, TileShapeError, TileTooLargeError, BandSelectionError or AmbiguousUnitsError.
    """
    rio = rasterio()
    with _quiet(), rio.Env(**_GDAL), _opened(source) as dataset:
        _check_size(dataset, source.name)
        numbers = select_bands(dataset.descriptions, bands, source.name)
        yield _scene(rio, dataset, source.name, numbers, (scale, offset), nodata)


def _scene(
    rio: ModuleType, dataset: Any, name: str, bands: tuple[int, ...], given: tuple, nodata: float | None
) -> Scene:
    types = {dataset.dtypes[number - 1] for number in bands}
    if len(types) > 1 or np.dtype(next(iter(types))).kind not in "uif":
        raise TileShapeError("has bands of unlike types", where=name, expected="one real type", found=sorted(types))
    tags = {(dataset.scales[number - 1], dataset.offsets[number - 1]) for number in bands}
    if len(tags) > 1 and given[0] is None:
        raise TileShapeError("states another scale for each band", where=name, remedy="Give one with --scale.")
    units = select_units(np.dtype(types.pop()), *given, name, next(iter(tags)))
    own = tuple(dataset.nodatavals[number - 1] for number in bands)
    flags = {flag for number in bands for flag in dataset.mask_flag_enums[number - 1]}
    masked = bool(flags & {rio.enums.MaskFlags.per_dataset, rio.enums.MaskFlags.alpha})
    return Scene(dataset, name, bands, units, tuple(nodata if value is None else value for value in own), masked)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without GDAL's warnings: photometric tags of five-band files are no news."""
    logger = logging.getLogger("rasterio")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _opened(source: Path) -> Iterator[Any]:
    if not source.is_file():
        raise TileReadError("does not exist", where=str(source), remedy="Check the path.")
    with gdal_faults(lambda error: _no_scene(source.name, error)):
        dataset = open_dataset(source, driver="GTiff")
    with dataset:
        yield dataset


def _no_scene(name: str, error: Exception) -> TileReadError:
    remedy = "Scenes are GeoTIFF files; convert others first."
    return TileReadError("is no readable GeoTIFF", where=name, found=error, remedy=remedy)


def _check_size(dataset: Any, name: str) -> None:
    found = f"{dataset.height} x {dataset.width} px"
    if min(dataset.height, dataset.width) < 2:
        raise TileShapeError("is too small", where=name, expected="at least 2 px a side", found=found)
    if max(dataset.height, dataset.width) > MAX_SIDE:
        raise TileTooLargeError("is too large", where=name, expected=f"at most {MAX_SIDE} px a side", found=found)
