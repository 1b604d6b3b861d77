"""Checks of kinds and units: what rates, millimetres and factors of ten look like in the numbers."""

import math
import re
from collections.abc import Iterator

import numpy as np

from tasks.subsidence.checks.evidence import Evidence
from tasks.subsidence.checks.heads import ABOVE_GROUND_M, SHARE, TRUE_SPLITS, truths
from tasks.subsidence.checks.registry import Finding, Note, Outcome, Skip, check
from tasks.subsidence.checks.units_panel import power_of_ten_columns
from tasks.subsidence.checks.values import named_columns
from tasks.subsidence.handoff.georef import scaler_of

MAX_SUBSIDENCE_M, MAX_ANNUAL_M = 5.0, 1.0
MEDIAN_ANNUAL_M = (1e-5, 0.5)
THINNEST_M, CAP_TOLERANCE_M, RATE_TOLERANCE = 0.1, 1e-6, 0.02
RAIN_MM, GROUND_M = (50.0, 6_000.0), (-500.0, 9_000.0)
_RAIN = re.compile(r"(?<![a-z])(rain|precip)")
FACTORS = (1.0, 1e-2, 1e-3)
AFFINE = {
    "subs": "subs_unit_to_si_applied_stage1",
    "head": "head_unit_to_si_assumed_stage1",
    "H": "thickness_unit_to_si_applied_stage1",
}
UNIT_REMEDY = "Convert to metres in Stage-1 and export again."


@check("U-04", "fail", pub="-", reads="train val test future oos_time")
def subsidence_in_metres(e: Evidence) -> Iterator[Outcome]:
    """Cumulative subsidence and its annual change have the size of metres, not millimetres."""
    for view in e.each():
        parts = [part for part in (view.cumulative, view.subsidence) if part is not None]
        if not parts:
            yield Skip(f"{view.name}: no subsidence column")
            continue
        series = np.concatenate(parts, axis=1)
        annual = np.abs(np.diff(series, axis=1)) if series.shape[1] > 1 else np.zeros((0, 0))
        yield from _size(f"{view.name} cumulative subsidence", series, annual)


def _size(where: str, series: np.ndarray, annual: np.ndarray) -> Iterator[Outcome]:
    largest = float(np.abs(series).max())
    if largest > MAX_SUBSIDENCE_M:
        yield Finding(
            where,
            f"reaches {largest:.4g} m",
            f"<= {MAX_SUBSIDENCE_M:g} m",
            f"{largest:.4g} m",
            "Looks like millimetres stored as metres. " + UNIT_REMEDY,
        )
    if annual.size and annual.max() > MAX_ANNUAL_M:
        yield Finding(
            where,
            f"changes by {annual.max():.4g} m in a year",
            f"<= {MAX_ANNUAL_M:g} m",
            f"{annual.max():.4g} m",
            UNIT_REMEDY,
        )
    middle = float(np.median(annual)) if annual.size else MEDIAN_ANNUAL_M[0]
    if not MEDIAN_ANNUAL_M[0] <= middle <= MEDIAN_ANNUAL_M[1]:
        yield Finding(
            where, f"changes by {middle:.4g} m in a median year", "1e-5..0.5 m", f"{middle:.4g} m", UNIT_REMEDY
        )


@check("U-05", "fail", pub="-", reads=TRUE_SPLITS, targets=True)
def targets_are_cumulative(e: Evidence) -> Iterator[Outcome]:
    """Targets continue the cumulative history; they are no rates."""
    kind = e.manifest.scaling.subsidence_kind
    if kind is not None and kind.strip().lower() != "cumulative":
        yield Finding(
            "manifest.json config.scaling_kwargs.subsidence_kind",
            f"is {kind!r}",
            "cumulative",
            repr(kind),
            "Export cumulative subsidence since the first panel year.",
        )
    for view in truths(e):
        if view.cumulative is None:
            yield Skip(f"{view.name}: no subsidence column")
            continue
        last, first = view.cumulative[:, -1], view.subsidence[:, 0]
        share = float((first >= last - ABOVE_GROUND_M).mean())
        drop = float(np.median(last - first))
        where = f"{view.targets_file} 'subs_pred'"
        if share < SHARE:
            yield Finding(
                where,
                f"starts below the last history value by more than 0.05 m in {1 - share:.1%} of windows",
                f">= {SHARE:.0%} above",
                f"{share:.1%}",
                "Export cumulative subsidence, not rates.",
            )
        elif drop > 0.5 * float(np.median(np.abs(last))) > 0:
            yield Finding(
                where,
                f"looks like a rate: it starts at a median {np.median(first):.4g} m, the history ends at "
                f"{np.median(last):.4g} m",
                "cumulative",
                "rate",
                "Export cumulative subsidence, not rates.",
            )


@check("U-07", "fail", pub="-")
def panel_units_agree(e: Evidence) -> Iterator[Outcome]:
    """Columns of one quantity in the panel CSV do not differ by a power of ten."""
    yield from power_of_ten_columns(e)


@check("U-08", "warn", pub="-", reads="train val test future oos_time")
def thickness_plausible(e: Evidence) -> Iterator[Outcome]:
    """Thickness lies between 0.1 m and the cap; the censor flag marks the cap."""
    report = _censoring(e)
    cap = report.cap if report is not None else None
    for view in e.each():
        low, high = float(view.thickness.min()), float(view.thickness.max())
        if low < THINNEST_M or (cap is not None and high > cap + CAP_TOLERANCE_M):
            wanted = f"{THINNEST_M:g}..{cap:g} m" if cap is not None else f">= {THINNEST_M:g} m"
            yield Finding(
                f"{view.file} 'H_field'",
                f"spans {low:.4g}..{high:.4g} m",
                wanted,
                f"{low:.4g}..{high:.4g} m",
                UNIT_REMEDY,
            )
    if cap is None:
        yield Note("the manifest names no cap")
        return
    yield from _capped_share(e, cap, report.censored_rate)
    yield from _flags(e, cap, report.flag_col)


def _censoring(e: Evidence):
    reports = e.manifest.config.censoring.report
    own = reports.get(e.manifest.config.cols.h_field_raw or "")
    return own or (next(iter(reports.values())) if len(reports) == 1 else None)


def _capped_share(e: Evidence, cap: float, rate: float | None) -> Iterator[Outcome]:
    views = list(e.each("train", "val", "test"))
    if rate is None or not views:
        return
    share = float(np.concatenate([view.thickness[:, 0] >= cap - CAP_TOLERANCE_M for view in views]).mean())
    if abs(share - rate) > RATE_TOLERANCE:
        yield Finding(
            "H_field of train, val, test",
            f"is at the cap of {cap:g} m in {share:.1%} of windows, censored_rate is {rate:.1%}",
            f"{rate:.1%} ± 2 %",
            f"{share:.1%}",
            "Check the cap and the unit of thickness.",
        )


def _flags(e: Evidence, cap: float, flag: str | None) -> Iterator[Outcome]:
    for view in e.each():
        for array, name, values in named_columns(e, view):
            if name == flag and array == "dynamic_features":
                capped = view.thickness[:, 0] >= cap - CAP_TOLERANCE_M
                wrong = int(((values.max(axis=1) > 0.5) != capped).sum())
                if wrong:
                    yield Finding(
                        f"{view.file} {flag}",
                        f"contradicts the thickness in {wrong} of {len(capped)} windows",
                        f"1 exactly where thickness is {cap:g} m",
                        f"{wrong} windows",
                        "Check the censor flag.",
                    )


@check("U-09", "warn", pub="-", reads="train val test future oos_time")
def rain_and_ground_plausible(e: Evidence) -> Iterator[Outcome]:
    """Rainfall and surface elevation have the size of mm a year and metres."""
    scaled = set(e.manifest.artifacts.encoders.scaled_ml_numeric_cols)
    undecodable = set()
    for view in e.each():
        if view.z_surf is not None:
            yield from _within(f"{view.file} z_surf", view.z_surf, GROUND_M, "m")
        for array, name, values in named_columns(e, view):
            if array == "static_features" or not _RAIN.search(name.lower()):
                continue
            pair = scaler_of(e.sources.get("scalers"), name) if name in scaled else (0.0, 1.0)
            if pair is None or name in _normalized(e):
                undecodable.add(name)
            else:
                millimetres = values.astype(np.float64) * pair[1] + pair[0]
                yield from _within(f"{view.file} '{array}' {name}", millimetres, RAIN_MM, "mm/yr")
    if undecodable:
        yield Note(f"{', '.join(sorted(undecodable))} cannot be decoded: scalers.json does not list it")


def _normalized(e: Evidence) -> tuple[str, ...]:
    names = e.manifest.config.feature_registry.get("already_normalized")
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list | tuple) else ()


def _within(where: str, values: np.ndarray, limits: tuple[float, float], unit: str) -> Iterator[Outcome]:
    low, high = (float(values.min()), float(values.max())) if values.size else limits
    if low < limits[0] or high > limits[1]:
        wanted = f"{limits[0]:g}..{limits[1]:g} {unit}"
        yield Finding(
            where,
            f"spans {low:.5g}..{high:.5g} {unit}",
            wanted,
            f"{low:.5g}..{high:.5g} {unit}",
            "Check the unit in the source table.",
        )


@check("U-10", "fail", pub="-")
def factors_applied_once(e: Evidence) -> Iterator[Outcome]:
    """Unit factors are 1, 1e-2 or 1e-3, and none is applied twice."""
    provenance = e.manifest.config.units_provenance
    for name, factor in provenance.items():
        number = isinstance(factor, int | float) and not isinstance(factor, bool)
        if name.endswith("stage1") and not (number and any(math.isclose(factor, known) for known in FACTORS)):
            yield Finding(
                f"manifest.json config.units_provenance.{name}",
                f"is {factor!r}",
                "1, 1e-2 or 1e-3",
                repr(factor),
                "Stage-1 must convert from m, cm or mm. " + UNIT_REMEDY,
            )
    for quantity, name in AFFINE.items():
        yield from _once(e, quantity, name, provenance.get(name))


def _once(e: Evidence, quantity: str, name: str, factor: object) -> Iterator[Outcome]:
    scale, bias = (getattr(e.manifest.scaling, f"{quantity}_{part}_si") for part in ("scale", "bias"))
    if scale in (None, 1) and bias in (None, 0):
        return
    documented = scale is not None and bias is not None and math.isfinite(scale) and math.isfinite(bias) and scale != 0
    if not documented or factor != 1:
        yield Finding(
            f"manifest.json config.scaling_kwargs.{quantity}_scale_si, {quantity}_bias_si",
            f"are {scale!r} and {bias!r} while units_provenance.{name} is {factor!r}: the unit would be "
            "converted twice",
            "1 and 0, or a documented pair on unconverted data",
            f"{scale!r}, {bias!r}",
            "Set scale 1 and bias 0 when the arrays are in SI already.",
        )
