"""Which bands of a file are B02, B03, B04 and B08, and which numbers mean reflectance."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tasks.contracts.tile_errors import AmbiguousUnitsError, BandSelectionError
from tasks.contracts.tiles import BANDS

SCALE = 10_000.0  # DN per reflectance, of 16-bit surface reflectance
_CODES = {"B02": {"b02", "b2"}, "B03": {"b03", "b3"}, "B04": {"b04", "b4"}, "B08": {"b08", "b8"}}
_COLOURS = {"B02": {"blue"}, "B03": {"green"}, "B04": {"red"}, "B08": {"nir", "near infrared", "near-infrared"}}


class Units(NamedTuple):
    """reflectance = (DN + offset) / scale; `source` says who said so."""

    scale: float
    offset: float
    source: str

    def reflectance(self, dn: np.ndarray) -> np.ndarray:
        """float32 reflectance of DN in any type."""
        wide = np.float32 if dn.dtype.itemsize <= 2 or dn.dtype == np.float32 else np.float64
        return ((dn.astype(wide) + wide(self.offset)) / wide(self.scale)).astype(np.float32, copy=False)

    def numbers(self, reflectance: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """DN of reflectance, in integer types rounded to the nearest and kept within the type."""
        dn = reflectance.astype(np.float64) * self.scale - self.offset
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            dn = np.clip(np.rint(dn), limits.min, limits.max)
        return dn.astype(dtype)


def select_bands(descriptions: Sequence[str | None], given: Sequence[int] | None, where: str) -> tuple[int, ...]:
    """Numbers, from 1, of B02, B03, B04 and B08: those given, else by the bands' descriptions.

    A code (B02, B2) anywhere in a description counts, a colour only where it is the whole description ("red edge" is
    not red). Raises BandSelectionError where neither decides.
    """
    if given is not None:
        return _given(tuple(given), len(descriptions), where)
    found = {band: _matches(descriptions, band) for band in BANDS}
    if any(len(numbers) != 1 for numbers in found.values()):
        raise BandSelectionError(
            "does not say which of its bands are which",
            where=where,
            expected=f"one description each for {', '.join(BANDS)}",
            found=", ".join(text or "no name" for text in descriptions),
            remedy="Name them with --bands, for example --bands 1,2,3,4.",
        )
    return tuple(numbers[0] for numbers in found.values())


def select_units(
    dtype: np.dtype, scale: float | None, offset: float, where: str, tags: tuple[float, float] = (1.0, 0.0)
) -> Units:
    """How DN become reflectance: as given, else 16-bit integers as reflectance x 10,000 and floats as they are.

    `tags` are the scale and offset that the file states itself (value = DN x scale + offset). They are no default, but
    where they contradict it somebody has to decide. Raises AmbiguousUnitsError for that, and for other integers.
    """
    if scale is not None:
        return Units(scale, offset, "given")
    remedy = "Say what the numbers mean with --scale and --offset: reflectance = (DN + offset) / scale."
    if np.issubdtype(dtype, np.integer) and dtype not in (np.uint16, np.int16):
        raise AmbiguousUnitsError("holds integers of unknown scale", where=where, found=str(dtype), remedy=remedy)
    is_float = np.issubdtype(dtype, np.floating)
    units = Units(1.0, 0.0, "reflectance") if is_float else Units(SCALE, offset, "16-bit default")
    stated = tags[0] * units.scale, tags[1] * units.scale
    if tags != (1.0, 0.0) and not np.allclose(stated, (1.0, units.offset), rtol=1e-6, atol=1e-9):
        found = f"scale {tags[0]:g} and offset {tags[1]:g} in the file"
        expected = f"reflectance x {units.scale:g} without an offset"
        raise AmbiguousUnitsError("states other units", where=where, expected=expected, found=found, remedy=remedy)
    return units


def _given(numbers: tuple[int, ...], count: int, where: str) -> tuple[int, ...]:
    if len(set(numbers)) == len(numbers) == len(BANDS) and all(1 <= number <= count for number in numbers):
        return numbers
    expected = f"{len(BANDS)} different numbers from 1 to {count}, for {', '.join(BANDS)}"
    raise BandSelectionError("has no such bands", where=where, expected=expected, found=numbers)


def _matches(descriptions: Sequence[str | None], band: str) -> list[int]:
    return [number for number, text in enumerate(descriptions, 1) if text and _is_band(text.strip().casefold(), band)]


def _is_band(text: str, band: str) -> bool:
    return text in _COLOURS[band] or not _CODES[band].isdisjoint(re.findall(r"[a-z0-9]+", text))
