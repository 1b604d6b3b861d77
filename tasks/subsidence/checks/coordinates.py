"""Checks of the coordinates: ranges, steps, years, places."""

import math
from collections.abc import Iterator

import numpy as np

from tasks.subsidence.checks.evidence import Evidence
from tasks.subsidence.checks.places import nearest, places_m, projected_groups
from tasks.subsidence.checks.registry import REBUILD, Finding, Note, Outcome, Skip, check
from tasks.subsidence.checks.views import View
from tasks.subsidence.handoff.georef import (
    AXES,
    EDGE_TOLERANCE,
    STEP_TOLERANCE,
    WGS84,
    epsg_code,
    future_time_shift,
    is_known_system,
    recorded_span,
    stated_minmax,
)

METRES_PER_DEGREE = 111_132.0
DEGREE_TOLERANCE_M = 1_200.0
COSINE_TOLERANCE = 0.01
STILL = 1e-6  # stored units, or relative to the largest of them
SPAN_FAIL, SPAN_WARN = 1e-3, 1e-6
EAST_M, NORTH_M = (100e3, 900e3), (0.0, 10_000e3)
EXTENT_M = (100.0, 500e3)
MATCH_M = 1.0
YEAR_UNITS = frozenset({"year", "years", "yr"})
DEGREE_MODES = frozenset({"degrees", "lonlat", "geographic"})
SPLITS_ALL = "train val test future oos_time"


@check("C-01", "fail", pub="r", reads=SPLITS_ALL)
def inside_unit_cube(e: Evidence) -> Iterator[Outcome]:
    """Normalized coordinates are within [0, 1]: train must, other splits may leave it."""
    if not e.manifest.scaling.coords_normalized:
        yield Note("coordinates are not normalized")
        return
    for view in e.each():
        for axis, values in _axis_values(e, view):
            low, high = float(values.min()), float(values.max())
            if low < -EDGE_TOLERANCE or high > 1 + EDGE_TOLERANCE:
                train = view.name == "train"
                yield Finding(
                    f"{view.file} 'coords' {axis}",
                    f"spans {low:.7g}..{high:.7g}, expected [0, 1]",
                    "[0, 1]",
                    f"{view.name} {axis} {low:.7g}..{high:.7g}",
                    REBUILD if train else "The model extrapolates there.",
                    "fail" if train else "warn",
                )


def _axis_values(e: Evidence, view: View) -> Iterator[tuple[str, np.ndarray]]:
    ordered = e.georef.ordered(view.split.coords)
    yield from ((axis, ordered[..., column]) for column, axis in enumerate(AXES))


@check("C-02", "fail", pub="y")
def ranges_known(e: Evidence) -> Iterator[Outcome]:
    """Coordinate ranges are finite and positive, or can be recovered."""
    scaling = e.manifest.scaling
    if scaling.coords_normalized is False:
        yield Note("coordinates are not normalized")
        return
    given = {axis: getattr(scaling.coord_ranges, axis, None) for axis in AXES}
    bad = {axis: value for axis, value in given.items() if value is not None and not (0 < value < math.inf)}
    where = "manifest.json config.scaling_kwargs.coord_ranges"
    if bad:
        listed = ", ".join(f"{axis}={value!r}" for axis, value in bad.items())
        yield Finding(where, f"has {listed}", "finite and positive", listed)
    elif recorded_span(scaling) is None and e.georef.span is None:
        absent = ", ".join(axis for axis, value in given.items() if value is None)
        yield Finding(
            where,
            f"lacks {absent}, and neither scalers.json nor stage1_scaling_audit.json gives the span",
            "t, x and y",
            "absent",
        )
    elif recorded_span(scaling) is None:
        yield Note(f"coord_ranges recovered from {e.georef.source}")


@check("C-03", "fail", pub="r")
def ranges_match_scaler(e: Evidence) -> Iterator[Outcome]:
    """Recorded ranges equal the span of the coordinate scaler."""
    recorded = recorded_span(e.manifest.scaling)
    stated = stated_minmax(e.sources)
    if recorded is None or not stated:
        yield Skip("no recorded ranges (C-02)" if recorded is None else "no file states the span of the scaler")
        return
    for minmax in stated:
        relative = np.abs(recorded - minmax.span) / np.maximum(np.abs(minmax.span), 1e-12)
        for axis, off, range_, span in zip(AXES, relative, recorded, minmax.span, strict=True):
            if off > SPAN_WARN:
                yield Finding(
                    f"manifest.json coord_ranges.{axis}",
                    f"is {range_:.9g}, {minmax.source} spans {span:.9g} (relative difference {off:.3g})",
                    f"{span:.9g}",
                    f"{range_:.9g}",
                    severity="fail" if off > SPAN_FAIL else "warn",
                )


@check("C-04", "fail", pub="presence only")
def degree_factors(e: Evidence) -> Iterator[Outcome]:
    """Degrees come with metres per degree that fit the latitude."""
    scaling = e.manifest.scaling
    if not scaling.coords_in_degrees:
        return
    where = "manifest.json config.scaling_kwargs"
    absent = [name for name in ("deg_to_m_lat", "deg_to_m_lon") if getattr(scaling, name) is None]
    if absent:
        yield Finding(
            where, f"lacks {', '.join(absent)} although coords_in_degrees is true", "metres per degree", "absent"
        )
        return
    if not abs(scaling.deg_to_m_lat - METRES_PER_DEGREE) <= DEGREE_TOLERANCE_M:
        yield Finding(
            f"{where}.deg_to_m_lat",
            f"is {scaling.deg_to_m_lat:.6g} m, a degree of latitude has "
            f"{METRES_PER_DEGREE:.0f} ± {DEGREE_TOLERANCE_M:.0f} m",
            f"{METRES_PER_DEGREE:.0f}",
            f"{scaling.deg_to_m_lat:.6g}",
        )
    latitude = _latitude(e)
    if latitude is None:
        yield Skip("no latitude to compare with: no lat_ref_deg, and coordinates do not decode")
    elif not abs(latitude) <= 90:
        yield Finding(
            "decoded y",
            f"has mean {latitude:.4g} degrees, which is no latitude",
            "-90..90",
            f"{latitude:.4g}",
            "Longitude and latitude look swapped; check coord_order. " + REBUILD,
        )
    else:
        wanted = scaling.deg_to_m_lat * math.cos(math.radians(latitude))
        if not abs(scaling.deg_to_m_lon - wanted) <= COSINE_TOLERANCE * wanted:
            yield Finding(
                f"{where}.deg_to_m_lon",
                f"is {scaling.deg_to_m_lon:.6g} m, at latitude {latitude:.4f} it is {wanted:.6g} m ± 1 %",
                f"{wanted:.6g}",
                f"{scaling.deg_to_m_lon:.6g}",
            )


def _latitude(e: Evidence) -> float | None:
    view = e.view("train")
    places = e.georef.places(view.split.coords) if view else None
    if places is not None:
        return float(places[..., 1].mean())
    latitude = e.manifest.scaling.lat_ref_deg
    return latitude if latitude is not None and math.isfinite(latitude) else None


@check("C-05", "fail", pub="-", reads=SPLITS_ALL)
def one_step_apart(e: Evidence) -> Iterator[Outcome]:
    """Target times are H steps of one time unit; places do not move over the horizon."""
    if e.georef.span is None:
        yield Skip("ranges are unknown (C-02)")
        return
    for view in e.each():
        where = f"{view.file} 'coords'"
        scaled = e.georef.scaled(view.split.coords)
        times = np.unique(np.round(scaled[..., 0] / STEP_TOLERANCE).astype(np.int64)) * STEP_TOLERANCE
        distinct = _clusters(times)
        horizon = scaled.shape[1]
        if len(distinct) != horizon:
            yield Finding(
                f"{where} t",
                f"takes {len(distinct)} values, the horizon has {horizon}",
                str(horizon),
                str(len(distinct)),
            )
        steps = np.diff(scaled[..., 0], axis=1)
        if steps.size and np.abs(steps - 1).max() > STEP_TOLERANCE:
            worst = float(steps.flat[np.abs(steps - 1).argmax()])
            yield Finding(
                f"{where} t", f"advances by {worst:.6g} time units from step to step, expected 1", "1", f"{worst:.6g}"
            )
        stored = e.georef.ordered(view.split.coords)[..., 1:]
        drift = np.ptp(stored, axis=1).max(axis=1)
        moving = int((drift > STILL * max(1.0, float(np.abs(stored).max()))).sum())
        if moving:
            yield Finding(
                where, f"x or y changes over the horizon in {moving} windows", "constant", f"{moving} windows"
            )


def _clusters(times: np.ndarray) -> np.ndarray:
    """Ascending values with neighbours nearer than two tolerances merged: float32 noise makes no new time."""
    return times[np.concatenate([[True], np.diff(times) > 2 * STEP_TOLERANCE])] if times.size else times


@check("C-06", "fail", pub="-", reads="train val test")
def train_years(e: Evidence) -> Iterator[Outcome]:
    """Decoded target years end in the last train year."""
    reason = _undecodable(e)
    if reason or e.manifest.config.TRAIN_END_YEAR is None:
        yield Skip(reason or "TRAIN_END_YEAR is unknown (M-02)")
        return
    for view in e.each("train", "val", "test"):
        years, end = e.georef.years(view.split.coords), e.manifest.window_end(view.name)
        wanted = end - years.shape[1] + 1 + np.arange(years.shape[1])
        if np.abs(years - wanted).max() > STEP_TOLERANCE:
            found = ", ".join(f"{year:.2f}" for year in np.median(years, axis=0))
            yield Finding(
                f"{view.file} 'coords' t",
                f"decodes to {found}, TRAIN_END_YEAR "
                f"{e.manifest.config.TRAIN_END_YEAR} asks for {wanted[0]}..{wanted[-1]}",
                f"{wanted[0]}..{wanted[-1]}",
                found,
            )


@check("C-07", "warn", pub="-", reads="future")
def future_years(e: Evidence) -> Iterator[Outcome]:
    """Decoded future years start in the forecast start year."""
    start, view = e.manifest.config.FORECAST_START_YEAR, e.view("future")
    if view is None:
        return
    reason = _undecodable(e)
    if reason or start is None:
        yield Skip(reason or "FORECAST_START_YEAR is unknown (M-02)")
        return
    years = e.georef.years(view.split.coords)
    shift = future_time_shift(years, start)
    span = f"{np.median(years[:, 0]):.2f}..{np.median(years[:, -1]):.2f}"
    wanted = f"{start}..{start + years.shape[1] - 1}"
    if shift is None:
        yield Finding(
            "future_inputs.npz 'coords' t",
            f"decodes to {span}, FORECAST_START_YEAR asks for {wanted}, and no shift by whole steps mends it",
            wanted,
            span,
            severity="fail",
        )
    elif shift:
        yield Finding(
            "future_inputs.npz 'coords' t",
            f"decodes to {span}, FORECAST_START_YEAR asks for {wanted}: corrected in memory by {shift:+g} steps",
            wanted,
            span,
            "Nothing to do; forecasts carry the corrected years.",
        )


def _undecodable(e: Evidence) -> str | None:
    units = (e.manifest.config.conventions.time_units or "year").strip().lower()
    if units not in YEAR_UNITS:
        return f"time is in {units}, not in years"
    return None if e.georef.span is not None and e.georef.t_minimum is not None else "time does not decode (C-02)"


@check("C-08", "warn", pub="-", reads=SPLITS_ALL)
def places_plausible(e: Evidence) -> Iterator[Outcome]:
    """Decoded places lie in the projected zone and on the locations of their split."""
    if e.georef.span is None or e.georef.minimum is None:
        yield Skip("places do not decode: no file states the minima of the coordinates")
        return
    for view in e.each():
        yield from _in_zone(e, view)
        yield from _on_group(e, view)


def _in_zone(e: Evidence, view: View) -> Iterator[Outcome]:
    places = e.georef.places(view.split.coords)[:, 0]
    degrees = bool(e.manifest.scaling.coords_in_degrees)
    limits = ((-180.0, 180.0), (-90.0, 90.0)) if degrees else (EAST_M, NORTH_M)
    unit = "degrees" if degrees else "m"
    for axis, values, (low, high) in zip("xy", places.T, limits, strict=True):
        if values.min() < low or values.max() > high:
            yield Finding(
                f"{view.file} decoded {axis}",
                f"spans {values.min():.7g}..{values.max():.7g} {unit}, expected within {low:.7g}..{high:.7g}",
                f"{low:.7g}..{high:.7g}",
                f"{values.min():.7g}..{values.max():.7g}",
                "Check coord_order and the projection.",
            )
    extent = np.ptp(places_m(e, places), axis=0).max()
    if len(places) > 1 and not EXTENT_M[0] <= extent <= EXTENT_M[1]:
        yield Finding(
            f"{view.file} decoded places",
            f"extend over {extent:.6g} m",
            "0.1..500 km",
            f"{extent:.6g} m",
            "Check coord_ranges.",
        )


def _on_group(e: Evidence, view: View) -> Iterator[Outcome]:
    groups = projected_groups(e, view.name)
    if groups is None or not len(groups):
        return
    distance, _ = nearest(places_m(e, groups), places_m(e, e.georef.places(view.split.coords)[:, 0]))
    off = int((distance > MATCH_M).sum())
    if off:
        yield Finding(
            f"{view.file} decoded places",
            f"{off} of {len(distance)} lie more than {MATCH_M:g} m from every "
            f"group of the split (worst {distance.max():.4g} m)",
            f"<= {MATCH_M:g} m",
            f"{distance.max():.4g} m",
            "Check the minima, the projection, and that the CSV belongs to this handoff.",
        )
    else:
        yield Note(f"{view.name} places within {distance.max():.2g} m of their groups")


@check("C-09", "fail", pub="-")
def one_system(e: Evidence) -> Iterator[Outcome]:
    """EPSG codes, axis order and coordinate mode agree."""
    scaling = e.manifest.scaling
    where = "manifest.json config.scaling_kwargs"
    order = scaling.coord_order
    if order is not None and sorted(order) != sorted(AXES):
        yield Finding(
            f"{where}.coord_order", f"is {list(order)}, no permutation of t, x, y", "t, x, y", str(list(order))
        )
    used, target, source = (
        epsg_code(getattr(scaling, f"coord_{name}")) for name in ("epsg_used", "target_epsg", "src_epsg")
    )
    mode = (scaling.coord_mode or "").strip().lower()
    if scaling.coords_in_degrees and used not in (None, WGS84, source):
        yield Finding(
            f"{where}.coord_epsg_used", f"is {used} although coords_in_degrees is true", str(WGS84), str(used)
        )
    if scaling.coords_in_degrees is False:
        if used is not None and used == source and mode in DEGREE_MODES:
            yield Finding(
                f"{where}.coord_epsg_used",
                f"is {used}, the source system of coord_mode {mode!r}, although coords_in_degrees is false",
                str(target),
                str(used),
            )
        elif mode in DEGREE_MODES and None not in (used, target) and used != target:
            yield Finding(
                f"{where}.coord_epsg_used", f"is {used}, coord_target_epsg is {target}", str(target), str(used)
            )
    if used is not None and not is_known_system(used):
        yield Finding(
            f"{where}.coord_epsg_used", f"is {used}, which no coordinate system has", "an EPSG code", str(used)
        )
    blocked = epsg_code(e.manifest.config.holdout.coord_cols_for_blocking.get("epsg_used"))
    if None not in (blocked, used) and blocked != used:
        yield Finding(
            "manifest.json config.holdout.coord_cols_for_blocking.epsg_used",
            f"is {blocked}, coord_epsg_used is {used}",
            str(used),
            str(blocked),
        )
