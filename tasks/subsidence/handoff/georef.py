"""From stored coordinates to years and metres: ranges, minima and where they are known from, and the year shift.

stored = (value - minimum) / range, column by column; minima come from the first source that has them, never from an
archive of Python objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.subsidence.handoff.manifest_model import ScalingKwargs, Stage1Manifest

AXES = ("t", "x", "y")
STEP_TOLERANCE = 1e-3  # time units
EDGE_TOLERANCE = 1e-6  # stored units: how near 0 and 1 the train extremes must be
SPAN_TOLERANCE_M = 1.0
WGS84 = 4326


@dataclass(frozen=True)
class Georeference:
    """What one stored coordinate unit is, and where zero lies; axes t, x, y.

    `span` is None where no source gives it; `minimum` is None where zero is unknown (x and y: `georeference none`).
    """

    span: np.ndarray | None  # (3,) time units, m or degrees
    minimum: np.ndarray | None  # (3,)
    t_minimum: float | None  # known from the last train year even where x and y are not
    source: str  # scalers.json, stage1_scaling_audit.json, holdout CSV, not normalized, none
    columns: tuple[int, int, int]  # where t, x and y stand in the stored array

    def ordered(self, coords: np.ndarray) -> np.ndarray:
        """Stored coordinates in the order t, x, y, float64."""
        return np.asarray(coords, dtype=np.float64)[..., list(self.columns)]

    def scaled(self, coords: np.ndarray) -> np.ndarray | None:
        """Coordinates times their span, zero unknown: (..., 3) time units and m or degrees."""
        return None if self.span is None else self.ordered(coords) * self.span

    def years(self, coords: np.ndarray) -> np.ndarray | None:
        """Decoded time, (..., ) in time units since year 0."""
        if self.span is None or self.t_minimum is None:
            return None
        return self.ordered(coords)[..., 0] * self.span[0] + self.t_minimum

    def places(self, coords: np.ndarray) -> np.ndarray | None:
        """Decoded x and y, (..., 2) m or degrees."""
        if self.span is None or self.minimum is None:
            return None
        return self.ordered(coords)[..., 1:] * self.span[1:] + self.minimum[1:]


@dataclass(frozen=True)
class MinMax:
    """Minimum and span of the three axes, as one source states them."""

    minimum: np.ndarray
    span: np.ndarray
    source: str


def georeference(
    manifest: Stage1Manifest,
    train_coords: np.ndarray | None,
    sources: Mapping[str, Any],
    train_lonlat: np.ndarray | None = None,
) -> Georeference:
    """The georeference of a handoff.

    train_coords: (N, H, 3) as stored. sources: contents of `scalers` and `stage1_scaling_audit`, where they exist.
    train_lonlat: (G, 2) degrees of the train groups. A source that contradicts the recorded ranges by more than 1e-3
    is passed over (the audit reports it).
    """
    scaling = manifest.scaling
    columns = axis_columns(scaling)
    if scaling.coords_normalized is False:
        zero = _axes(scaling.coord_shift_mins)
        zero = np.zeros(3) if zero is None else zero
        return Georeference(np.ones(3), zero, float(zero[0]), "not normalized", columns)
    recorded = recorded_span(scaling)
    stated = next((found for found in stated_minmax(sources) if _agrees(found.span, recorded)), None)
    span = recorded if recorded is not None else (stated.span if stated else None)
    last = None if train_coords is None or span is None else _last_time(train_coords, columns, span)
    end = manifest.window_end("train")
    by_rule = None if last is None or end is None else end - last
    if stated is None and span is not None:
        stated = _from_holdout(manifest, train_coords, train_lonlat, span, columns, by_rule)
    if stated is None:
        return Georeference(span, None, by_rule, "none", columns)
    return Georeference(span, stated.minimum, float(stated.minimum[0]), stated.source, columns)


def axis_columns(scaling: ScalingKwargs) -> tuple[int, int, int]:
    """Where t, x, y stand in the stored array; the documented order where coord_order is no permutation of them."""
    order = tuple(scaling.coord_order or AXES)
    return tuple(order.index(axis) for axis in AXES) if sorted(order) == sorted(AXES) else (0, 1, 2)


def recorded_span(scaling: ScalingKwargs) -> np.ndarray | None:
    """coord_ranges as (3,), None unless all three are finite and positive."""
    return _positive(_axes(scaling.coord_ranges))


def stated_minmax(sources: Mapping[str, Any]) -> list[MinMax]:
    """Minima and spans as scalers.json and stage1_scaling_audit.json state them, in this order of trust."""
    found = [_from_scalers(sources.get("scalers")), _from_audit(sources.get("stage1_scaling_audit"))]
    return [minmax for minmax in found if minmax is not None]


def scaler_of(scalers: Any, feature: str) -> tuple[float, float] | None:
    """Minimum and span of one feature in scalers.json (or in converter output), None where it is not listed."""
    for block in _minmax_blocks(scalers):
        names = _names(block)
        if feature in names:
            row = names.index(feature)
            return float(block["min"][row]), float(block["scale"][row])
    return None


def project(lonlat: np.ndarray, epsg: int) -> np.ndarray:
    """(G, 2) longitude, latitude in degrees to (G, 2) metres in a projected system; not finite where undefined."""
    from pyproj import Transformer

    return np.stack(Transformer.from_crs(WGS84, epsg, always_xy=True).transform(*np.asarray(lonlat).T), axis=1)


def try_project(lonlat: np.ndarray, epsg: int) -> np.ndarray | None:
    """project(), or None for a code that no coordinate system has (the audit reports it)."""
    return project(lonlat, epsg) if is_known_system(epsg) else None


def is_known_system(epsg: int) -> bool:
    """Whether the projection library knows this EPSG code."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_epsg(epsg) is not None
    except CRSError:
        return False


def epsg_code(value: Any) -> int | None:
    """An EPSG code from 32649, 32649.0, "32649" or "EPSG:32649"; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip().upper().removeprefix("EPSG:")
        return int(text) if text.isdecimal() else None
    return int(value) if isinstance(value, int | float) and float(value).is_integer() else None


def future_time_shift(years: np.ndarray, first_year: int) -> float | None:
    """Whole steps to add to decoded future times (N, H) so that they start at `first_year`.

    0.0 when they already do; None when no whole shift of at most H steps mends them.
    """
    horizon = years.shape[1]
    wanted = first_year + np.arange(horizon)
    shift = float(np.round(np.median(wanted - np.median(years, axis=0))))
    mends = bool(np.all(np.abs(years + shift - wanted) <= STEP_TOLERANCE))
    return shift + 0.0 if mends and abs(shift) <= horizon else None


def _from_scalers(scalers: Any) -> MinMax | None:
    pairs = [scaler_of(scalers, axis) for axis in AXES]
    if any(pair is None for pair in pairs):
        return None
    return _minmax(np.array(pairs, dtype=float), "scalers.json")


def _from_audit(audit: Any) -> MinMax | None:
    block = audit.get("coord_scaler") if isinstance(audit, Mapping) else None
    if not isinstance(block, Mapping):
        return None
    low, high = (_triple(block.get(f"data_{end}_(t,x,y)")) for end in ("min", "max"))
    if low is None or high is None:
        return None
    return _minmax(np.stack([low, high - low], axis=1), "stage1_scaling_audit.json")


def _minmax(pairs: np.ndarray, source: str) -> MinMax | None:
    span = _positive(pairs[:, 1])
    return MinMax(pairs[:, 0], span, source) if span is not None and np.isfinite(pairs).all() else None


def _minmax_blocks(scalers: Any) -> list[Mapping[str, Any]]:
    """Every well-formed MinMax block: the object itself, or one level below."""
    if not isinstance(scalers, Mapping):
        return []
    return [block for block in (scalers, *scalers.values()) if _well_formed(block)]


def _well_formed(block: Any) -> bool:
    if not isinstance(block, Mapping) or block.get("kind") != "minmax":
        return False
    names, low, span = (block.get(key) for key in ("feature_names", "min", "scale"))
    lists = all(isinstance(part, list | tuple) for part in (names, low, span))
    if not lists or len(low) != len(span) or not all(_number(value) for value in (*low, *span)):
        return False
    return len(_names(block)) == len(low)


def _names(block: Mapping[str, Any]) -> list[Any]:
    """Feature names; a nameless block of three is the coordinate scaler, fitted on bare t, x, y columns."""
    names = list(block["feature_names"])
    return names or (list(AXES) if len(block["min"]) == len(AXES) else [])


def _from_holdout(
    manifest: Stage1Manifest,
    train_coords: np.ndarray | None,
    lonlat: np.ndarray | None,
    span: np.ndarray,
    columns: tuple[int, int, int],
    t_minimum: float | None,
) -> MinMax | None:
    """Minima from the train groups' own places, where the train windows reach 0 and 1 and the extents agree."""
    if train_coords is None or lonlat is None or not len(lonlat) or t_minimum is None:
        return None
    places = _train_places(manifest.scaling, lonlat)
    stored = np.asarray(train_coords, dtype=np.float64).reshape(-1, 3)[:, list(columns[1:])]
    if places is None or not np.isfinite(stored).all() or not len(stored):
        return None
    reaches = max(np.abs(stored.min(axis=0)).max(), np.abs(stored.max(axis=0) - 1).max()) <= EDGE_TOLERANCE
    tolerance = 1e-5 if manifest.scaling.coords_in_degrees else SPAN_TOLERANCE_M
    if not reaches or np.abs(np.ptp(places, axis=0) - span[1:]).max() > tolerance:
        return None
    return MinMax(np.array([t_minimum, *places.min(axis=0)]), span, "holdout CSV")


def _train_places(scaling: ScalingKwargs, lonlat: np.ndarray) -> np.ndarray | None:
    if scaling.coords_in_degrees:
        return lonlat
    epsg = epsg_code(scaling.coord_epsg_used)
    places = None if epsg is None else try_project(lonlat, epsg)
    return places if places is not None and np.isfinite(places).all() else None


def _last_time(coords: np.ndarray, columns: tuple[int, int, int], span: np.ndarray) -> float | None:
    times = np.asarray(coords, dtype=np.float64)[..., columns[0]]
    times = times[np.isfinite(times)]
    return float(times.max() * span[0]) if times.size else None


def _agrees(span: np.ndarray, recorded: np.ndarray | None) -> bool:
    return recorded is None or bool(np.all(np.abs(span - recorded) / recorded <= 1e-3))


def _axes(block: Any) -> np.ndarray | None:
    values = [getattr(block, axis, None) for axis in AXES]
    return None if any(value is None for value in values) else np.array(values, dtype=float)


def _positive(values: np.ndarray | None) -> np.ndarray | None:
    return values if values is not None and np.isfinite(values).all() and (values > 0).all() else None


def _triple(values: Any) -> np.ndarray | None:
    ok = isinstance(values, list | tuple) and len(values) == 3 and all(_number(value) for value in values)
    return np.array(values, dtype=float) if ok else None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
