"""What the NPY headers of a tile say: which layout, which size; all refused that is no tile, before arrays are made."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np

from tasks.contracts.errors import HandshakeError, MissingInputError, StoreError, UnsafeArchiveError
from tasks.contracts.tile_errors import TileReadError, TileShapeError, TileTooLargeError
from tasks.contracts.tiles import BANDS
from tasks.store.npy import NpyHeader
from tasks.store.npy import read_header as read_npy_header
from tasks.store.npz import NpzLimits, read_headers

KEY = "opt_v1"
BAND_KEYS = ("s2_b2", "s2_b3", "s2_b4", "s2_b8")
MIN_SIDE = 2
MAX_PIXELS = 64_000_000
# Tiles of one value (all nodata) pack as tightly as bombs do: up to this size they are taken for what they are.
LIMITS = NpzLimits(ratio_free_bytes=64 << 20)
_FLOATS = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))
_ANY_CLAIM = 1 << 200

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TileHeader:
    """A tile as its headers describe it."""

    layout: Literal["opt_v1", "s2_bands"]
    height: int
    width: int
    dtypes: tuple[np.dtype, ...]
    both: bool  # the other layout is complete too


def tile_header(source: bytes | Path, where: str, num_frames: int) -> TileHeader:
    """Raises TileReadError, TileShapeError, TileTooLargeError."""
    with reading(where):
        try:
            headers = read_headers(source, name=where, limits=LIMITS)
        except UnsafeArchiveError:
            _check_claims(source, where)
            raise
    header = _layout(headers, where, num_frames)
    _check_size(header.height, header.width, where)
    _check_dtypes(header.dtypes, where)
    return header


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Whatever keeps a file from being read, as TileReadError."""
    try:
        yield
    except MissingInputError as error:
        remedy = "It vanished, or is no regular file; run again when the folder is complete."
        raise TileReadError("cannot be read: there is no such file", where=where, remedy=remedy) from error
    except UnsafeArchiveError as error:
        remedy = "Make the tile again with numpy.savez from plain float arrays."
        place = error.where if error.where.startswith(where) else where
        raise TileReadError(
            f"cannot be read: {error.what}", where=place, expected=error.expected, found=error.found, remedy=remedy
        ) from error
    except StoreError as error:
        remedy = "Check the disk and the rights, then run again."
        raise TileReadError("cannot be read", where=where, found=error.found or error.what, remedy=remedy) from error


def _layout(headers: Mapping[str, NpyHeader], where: str, num_frames: int) -> TileHeader:
    bands_complete = all(key in headers for key in BAND_KEYS)
    if KEY in headers:
        height, width = _tile_sides(headers[KEY].shape, where, num_frames)
        used = (KEY, *BAND_KEYS) if bands_complete else (KEY,)
        return TileHeader("opt_v1", height, width, _dtypes(headers, used), bands_complete)
    if not bands_complete:
        missing = [key for key in BAND_KEYS if key not in headers]
        expected = f"'{KEY}', or all of {', '.join(BAND_KEYS)}"
        missed = f"; {', '.join(missing)} missing" if len(missing) < len(BAND_KEYS) else ""
        remedy = "Save the tile under one of the two layouts; no band is made up."
        raise TileShapeError(
            "holds no complete tile", where=where, expected=expected, found=f"{_listed(headers)}{missed}", remedy=remedy
        )
    height, width = _band_sides(headers, where, num_frames)
    return TileHeader("s2_bands", height, width, _dtypes(headers, BAND_KEYS), False)


def _tile_sides(shape: Shape, where: str, num_frames: int) -> tuple[int, int]:
    wanted = (len(BANDS),) if num_frames == 1 else (num_frames, len(BANDS))
    if len(shape) == len(wanted) + 2 and shape[:-2] == wanted:
        return shape[-2], shape[-1]
    expected = f"({', '.join(map(str, wanted))}, H, W) with the bands {', '.join(BANDS)}"
    raise TileShapeError(
        "has the wrong shape",
        where=f"{where} '{KEY}'",
        expected=expected,
        found=shape,
        remedy=_advice(shape, num_frames),
    )


def _advice(shape: Shape, num_frames: int) -> str:
    if len(shape) == 3 and shape[-1] == len(BANDS) != shape[0]:
        return "The bands look to be the last axis: move them to the front (np.moveaxis(tile, -1, 0)) and save again."
    if len(shape) == 4 or num_frames > 1:
        return f"The checkpoint takes tiles of {num_frames} frame(s); use a checkpoint of that many, or save others."
    return "Save the four bands on the first axis."


def _band_sides(headers: Mapping[str, NpyHeader], where: str, num_frames: int) -> tuple[int, int]:
    shapes = {key: headers[key].shape for key in BAND_KEYS}
    sides = {shape[-2:] for shape in shapes.values()}
    plain = all(len(shape) == 2 or (len(shape) == 3 and shape[0] == 1) for shape in shapes.values())
    if plain and len(sides) == 1 and num_frames == 1:
        return sides.pop()
    expected = "(H, W) or (1, H, W), the same for all four" if num_frames == 1 else f"'{KEY}' with {num_frames} frames"
    remedy = "Save the four bands on one grid."
    raise TileShapeError(
        "has bands of wrong shapes",
        where=where,
        expected=expected,
        found=_listed({k: headers[k] for k in shapes}),
        remedy=remedy,
    )


def _check_size(height: int, width: int, where: str) -> None:
    if height * width > MAX_PIXELS:
        expected = f"at most {MAX_PIXELS} pixels, by its header"
        remedy = "Cut it into tiles, or give it as a GeoTIFF scene."
        raise TileTooLargeError(
            "is too large", where=where, expected=expected, found=f"{height}x{width}", remedy=remedy
        )
    if min(height, width) < MIN_SIDE:
        expected = f"at least {MIN_SIDE} px on each side"
        remedy = "Cut larger tiles."
        raise TileShapeError("is too small", where=where, expected=expected, found=f"{height}x{width}", remedy=remedy)


def _check_dtypes(dtypes: tuple[np.dtype, ...], where: str) -> None:
    for dtype in dtypes:
        if dtype.newbyteorder("=") not in _FLOATS and dtype.kind not in "iu":
            expected = "float16, float32 or float64, or integers with --scale"
            raise TileReadError("holds no reflectance", where=where, expected=expected, found=f"dtype {dtype}")


def _check_claims(source: bytes | Path, where: str) -> None:
    """Refuse by its claimed size an archive that was refused, so that a lying header is named as what it is."""
    for key, shape in _claims(source).items():
        if len(shape) >= 2:
            _check_size(shape[-2], shape[-1], f"{where} '{key}'")


def _claims(source: bytes | Path) -> dict[str, Shape]:
    """Shapes that the headers claim, true or not; only of keys that a tile has."""
    shapes: dict[str, Shape] = {}
    try:
        with zipfile.ZipFile(source if isinstance(source, Path) else BytesIO(source)) as archive:
            for key in (KEY, *BAND_KEYS):
                if f"{key}.npy" in archive.NameToInfo:
                    with archive.open(f"{key}.npy") as stream:
                        shapes[key] = read_npy_header(stream, key, _ANY_CLAIM).shape
    except (HandshakeError, OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zipfile.zlib.error):
        pass  # what is wrong with the archive has been found already; this was only a closer look
    return shapes


def _dtypes(headers: Mapping[str, NpyHeader], keys: tuple[str, ...]) -> tuple[np.dtype, ...]:
    return tuple(headers[key].dtype for key in keys)


def _listed(headers: Mapping[str, NpyHeader]) -> str:
    listed = [f"{key!a} {header.shape}" for key, header in list(headers.items())[:8]]
    return ", ".join(listed) or "no array"
