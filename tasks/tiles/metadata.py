"""The sidecar of a tile: what it says about month, biome, place and date, and everything else as it was.

Missing month or biome is no error: `defaults_used` names them, and `model_inputs` says what the model sees instead.
"""

import math
from calendar import isleap
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from tasks.contracts.errors import HandshakeError
from tasks.contracts.tile_errors import SidecarError
from tasks.contracts.tiles import TileMeta
from tasks.store.jsons import read_json
from tasks.tiles import sidecar_fields as fields
from tasks.tiles.naming import naming

PUBLISHED_MONTH, PUBLISHED_BIOME = 6, 0
UNKNOWN_MONTH, UNKNOWN_BIOME = 0, 16
_MID_MONTH = 15


@dataclass(frozen=True)
class ModelInputs:
    """What the model sees of a sidecar; NaN where nothing is known."""

    month: int  # 1..12, 0 = unknown
    biome: int  # 0..15, 16 = unknown
    year: float
    day_of_year: float  # 1-based
    lat: float
    lon: float


def read_sidecar(data: bytes | None, tile_id: str) -> TileMeta:
    """What a sidecar says; an empty TileMeta where there is none. NaN and Infinity are accepted and marked.

    Raises SidecarError, InvalidMonthError, InvalidBiomeError.
    """
    if data is None:
        return TileMeta()
    where = f"{tile_id}.json"
    with naming(tile_id):
        return _meta(_document(data, where), where)


def published(meta: TileMeta) -> tuple[int, int]:
    """Month and biome code as output sidecars show them: June and 0 where they are missing."""
    month = PUBLISHED_MONTH if meta.month is None else meta.month
    return month, PUBLISHED_BIOME if meta.biome_code is None else meta.biome_code


def model_inputs(meta: TileMeta, missing: Literal["published", "unknown"]) -> ModelInputs:
    """What the model sees: the published defaults or the unknown classes where the sidecar is silent.

    A month without a date counts as its day 15; without a year the day of the year is not known either.
    """
    month, biome = published(meta)
    if missing == "unknown":
        month = UNKNOWN_MONTH if meta.month is None else month
        biome = UNKNOWN_BIOME if meta.biome_code is None else biome
    year, day = _time(meta, month)
    lat, lon = (math.nan, math.nan) if meta.lat is None or meta.lon is None else (meta.lat, meta.lon)
    return ModelInputs(month, biome, year, day, lat, lon)


def _time(meta: TileMeta, month: int) -> tuple[float, float]:
    if meta.year is None or (meta.day_of_year is None and month == UNKNOWN_MONTH):
        return math.nan, math.nan
    return float(meta.year), float(meta.day_of_year or _day_of_year(meta.year, month))


def _day_of_year(year: int, month: int) -> int:
    reference = 2000 if isleap(year) else 2001
    return date(reference, month, _MID_MONTH).timetuple().tm_yday


def _document(data: bytes, where: str) -> dict[str, Any]:
    try:
        document = read_json(data, name=where)
    except HandshakeError as error:
        remedy = "Write the sidecar again as a JSON object in UTF-8, or remove it to use the defaults."
        raise SidecarError(
            "cannot be read as JSON", where=where, found=error.found or error.what, remedy=remedy
        ) from error
    if not isinstance(document, dict):
        remedy = 'Write an object, for example {"month": 6, "biome_code": 3}.'
        raise SidecarError(
            "is no JSON object", where=where, expected="an object", found=fields.kind(document), remedy=remedy
        )
    for key in document:
        _check_text(key, where)
    return document


def _meta(document: dict[str, Any], where: str) -> TileMeta:
    value = document.get
    month, day = fields.month(value("month"), where), fields.day(value("date"), where)
    year = fields.year(value("year"), where)
    return TileMeta(
        month=month,
        biome_code=fields.biome_code(value("biome_code"), where),
        year=day.year if year is None and day else year,
        day_of_year=day.day_of_year if day else None,
        lat=fields.degrees(value("lat"), "lat", where, 90),
        lon=fields.degrees(value("lon"), "lon", where, 180),
        nodata=fields.number(value("nodata"), "nodata", where),
        input_month=None if month is None or type(value("month")) is int else str(value("month")),
        nonfinite=_holds_nonfinite(document),
        extra=document,
    )


def _holds_nonfinite(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_nonfinite, value.values()))
    if isinstance(value, list):
        return any(map(_holds_nonfinite, value))
    return isinstance(value, float) and not math.isfinite(value)


def _check_text(key: str, where: str) -> None:
    try:
        key.encode()
    except UnicodeEncodeError as error:
        remedy = "Write it as valid Unicode."
        raise SidecarError(
            "has a key that is not Unicode text", where=where, found=ascii(key), remedy=remedy
        ) from error
