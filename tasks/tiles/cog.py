"""A cloud-optimised GeoTIFF written row by row: complete and checked before it appears under its name."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contracts.errors import StorageFullError, StoreError
from tasks.contracts.tiles import BANDS
from tasks.store.failures import store_error
from tasks.tiles.scene_reader import gdal_faults, open_dataset, rasterio

_FULL_BYTES = 1 << 20
_COG = {
    "driver": "COG",
    "COMPRESS": "DEFLATE",
    "BLOCKSIZE": "256",
    "OVERVIEWS": "IGNORE_EXISTING",
    "OVERVIEW_RESAMPLING": "AVERAGE",
    "BIGTIFF": "IF_SAFER",
    "STATISTICS": "NO",
}


@dataclass(frozen=True)
class Layout:
    """What the image is, beside its pixels."""

    height: int
    width: int
    dtype: str
    nodata: float | None
    crs: Any
    transform: Any
    scale_tag: float = 1.0
    offset_tag: float = 0.0


@dataclass
class RowWriter:
    """Takes the rows of the image from top to bottom."""

    _dataset: Any
    _faults: Callable[[Exception], StoreError]
    _digest: Any = field(default_factory=hashlib.sha256)
    _counts: list[int] = field(default_factory=list)

    def write(self, values: np.ndarray) -> None:
        """Append (4, n, W) numbers in the layout's type."""
        first, width = sum(self._counts), self._dataset.width
        with gdal_faults(self._faults):
            self._dataset.write(values, window=((first, first + values.shape[1]), (0, width)))
        self._digest.update(np.ascontiguousarray(values).data)
        self._counts.append(values.shape[1])

    def holds(self, dataset: Any) -> bool:
        """Whether an image has exactly the rows that were written."""
        digest, first = hashlib.sha256(), 0
        for count in self._counts:
            window = ((first, first + count), (0, dataset.width))
            digest.update(np.ascontiguousarray(dataset.read(window=window)).data)
            first += count
        return first == dataset.height and digest.digest() == self._digest.digest()


@contextmanager
def cog_writer(target: Path, layout: Layout, scratch: Path) -> Iterator[RowWriter]:
    """Rows for a COG at `target`, which appears, replacing an older one, when the block ends without an error.

    `scratch` is an existing folder on the same file system with room for the unpacked image and the packed one. Raises
    StoreError or StorageFullError where the image cannot be written; nothing is left behind then.
    """
    prefix = f"{hashlib.sha256(os.fsencode(target)).hexdigest()[:16]}.{os.getpid()}."  # short, whatever the name
    rows, packed = scratch / f"{prefix}rows.tmp", scratch / f"{prefix}cog.tmp"
    faults = partial(_unwritten, target=target, scratch=scratch)
    with ExitStack() as stack:
        stack.callback(_clear, scratch, prefix)
        with gdal_faults(faults):
            _check_space(layout, target, scratch)
            dataset = _plain_image(rows, layout)
        stack.callback(_abandon, dataset)
        writer = RowWriter(dataset, faults)
        yield writer
        with gdal_faults(faults):
            dataset.close()
            _pack(rows, packed, writer)
            os.replace(packed, target)


def _plain_image(path: Path, layout: Layout) -> Any:
    """A new image in strips, which take rows of any number without reading back."""
    dataset = open_dataset(
        path,
        "w",
        driver="GTiff",
        height=layout.height,
        width=layout.width,
        count=len(BANDS),
        dtype=layout.dtype,
        nodata=layout.nodata,
        crs=layout.crs,
        transform=layout.transform,
        photometric="MINISBLACK",
        alpha="unspecified",
        interleave="band",
        bigtiff="IF_SAFER",
    )
    dataset.descriptions = BANDS
    dataset.scales = (layout.scale_tag,) * len(BANDS)
    dataset.offsets = (layout.offset_tag,) * len(BANDS)
    return dataset


def _pack(rows: Path, packed: Path, writer: RowWriter) -> None:
    # The COG driver copies a finished image only. A full disk may show at no call, so what was packed is read again.
    rasterio().shutil.copy(rows, packed, **_COG)
    with open_dataset(packed, driver="GTiff") as dataset:
        if not writer.holds(dataset):
            raise StoreError("does not hold what was written", where=str(packed), remedy="Check the disk, run again.")
    with packed.open("rb") as file:
        os.fsync(file.fileno())


def _check_space(layout: Layout, target: Path, scratch: Path) -> None:
    needed = len(BANDS) * layout.height * layout.width * np.dtype(layout.dtype).itemsize
    if (free := shutil.disk_usage(scratch).free) < needed:
        expected, found = f"{needed} bytes free", f"{free} bytes"
        remedy = "Free some space or raise the quota, then run again."
        raise StorageFullError("has no room", where=str(target), expected=expected, found=found, remedy=remedy)


def _unwritten(error: Exception, target: Path, scratch: Path) -> StoreError:
    if shutil.disk_usage(scratch).free < _FULL_BYTES:  # GDAL does not say why it could not write
        error = OSError(errno.ENOSPC, str(error))
    return store_error(error, "write", str(target))


def _abandon(dataset: Any) -> None:
    with suppress(Exception):  # the error that brought us here says more
        dataset.close()


def _clear(scratch: Path, prefix: str) -> None:
    for left in [path for path in scratch.iterdir() if path.name.startswith(prefix)]:  # GDAL adds names of its own
        left.unlink(missing_ok=True)
