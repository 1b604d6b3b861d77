"""The pieces of the semantics that come straight from a manifest, its coordinates and the configuration."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tasks.contracts.errors import HandshakeError
from tasks.contracts.units import SECONDS_PER_YEAR
from tasks.subsidence.arrays import Split
from tasks.subsidence.config import Config
from tasks.subsidence.handoff.georef import AXES, Georeference, future_time_shift, georeference
from tasks.subsidence.handoff.manifest_model import Stage1Manifest
from tasks.subsidence.semantics import Affine, Axes

SECONDS = {"year": SECONDS_PER_YEAR, "month": SECONDS_PER_YEAR / 12, "week": 604_800.0, "day": 86_400.0, "second": 1.0}
YEAR_TOLERANCE = 1e-3
UNSTATED_TIME = ("none", "holdout CSV")  # sources that say nothing of time: the last train year decides


def check_kinds(manifest: Stage1Manifest, cfg: Config) -> None:
    """Only one reading of the groundwater columns exists: a depth drives, a head is forecast."""
    kinds = manifest.config.conventions
    given = {
        "conventions.gwl_driver_kind": (kinds.gwl_driver_kind or "depth", ("depth", "depth_bgs")),
        "conventions.gwl_driver_sign": (kinds.gwl_driver_sign or "down_positive", ("down_positive",)),
        "conventions.gwl_target_kind": (kinds.gwl_target_kind or "head", ("head",)),
        "conventions.gwl_target_sign": (kinds.gwl_target_sign or "up_positive", ("up_positive",)),
        "scaling_kwargs.subsidence_kind": (cfg["SUBSIDENCE_KIND"] or "cumulative", ("cumulative",)),
    }
    for place, (found, known) in given.items():
        if found not in known:
            raise HandshakeError(
                "has no meaning here",
                where=f"manifest.json {place}",
                expected=" or ".join(known),
                found=found,
                remedy="Prepare the handoff with depth as driver and head as target.",
            )


def time_unit(name: str | None) -> str:
    """The canonical name of a time unit; HandshakeError for one that is not known."""
    unit = (name or "year").strip().lower()
    unit = {"yr": "year", "sec": "second", "s": "second"}.get(unit, unit.removesuffix("s") if len(unit) > 1 else unit)
    if unit not in SECONDS:
        raise HandshakeError("is no known time unit", where="TIME_UNITS", expected=", ".join(SECONDS), found=name)
    return unit


def identity(manifest: Stage1Manifest, cfg: Config, unit: str) -> dict[str, Any]:
    """City, window shape, years and time unit."""
    wanted = {
        "city": cfg["CITY_NAME"],
        "time_steps": cfg["TIME_STEPS"],
        "horizon": cfg["FORECAST_HORIZON_YEARS"],
        "mode": cfg["MODE"],
        "train_end_year": cfg["TRAIN_END_YEAR"],
        "forecast_start_year": cfg["FORECAST_START_YEAR"],
    }
    absent = [name for name, value in wanted.items() if value is None]
    if absent:
        raise HandshakeError(f"lacks {', '.join(absent)}", where="manifest.json", remedy="Prepare the handoff again.")
    normalized = manifest.scaling.coords_normalized is not False
    return {**wanted, "time_units": unit, "seconds_per_time_unit": SECONDS[unit], "coords_normalized": normalized}


def columns(manifest: Stage1Manifest) -> dict[str, Any]:
    """Feature names and where depth, subsidence, surface elevation and the one-hot classes stand."""
    features, indices, scaling = manifest.config.features, manifest.config.indices, manifest.scaling

    def place(name: str, column: str | None, names: tuple[str, ...]) -> int | None:
        for block in (indices, scaling):
            if getattr(block, name, None) is not None:
                return getattr(block, name)
        return names.index(column) if column in names else None

    cols = manifest.config.cols
    subsidence = place("subs_dyn_index", cols.subs_model, features.dynamic)
    if subsidence is None:
        raise HandshakeError(
            "names no cumulative subsidence among the dynamic features",
            where="manifest.json",
            expected="config.indices.subs_dyn_index",
            found=list(features.dynamic),
        )
    return {
        "dynamic_names": features.dynamic,
        "static_names": features.static,
        "future_names": features.future,
        "depth_index": place("gwl_dyn_index", cols.depth_model, features.dynamic),
        "subsidence_index": subsidence,
        "z_surf_index": place("z_surf_static_index", cols.z_surf_static, features.static),
        "one_hot_blocks": manifest.one_hot_blocks(),
    }


def affines(manifest: Stage1Manifest) -> dict[str, Affine]:
    """From stored values to SI; absent pairs are the identity."""

    def pair(name: str) -> Affine:
        scale, bias = (getattr(manifest.scaling, f"{name}_{part}_si") for part in ("scale", "bias"))
        return Affine(scale=1.0 if scale is None else float(scale), bias=0.0 if bias is None else float(bias))

    return {"subsidence_affine": pair("subs"), "head_affine": pair("head"), "thickness_affine": pair("H")}


def thickness_cap(manifest: Stage1Manifest) -> float | None:
    """Where thickness was capped, m."""
    reports = manifest.config.censoring.report
    named = reports.get(manifest.config.cols.h_field_raw or "")
    caps = [named.cap] if named else [report.cap for report in reports.values()]
    return float(caps[0]) if len(caps) == 1 and caps[0] is not None else None


def placed(
    manifest: Stage1Manifest, cfg: Config, train: Split, sources: Mapping[str, Any], lonlat: np.ndarray | None
) -> tuple[Georeference, list[str]]:
    """The georeference, checked against the last train year; what to tell people about it."""
    place = georeference(manifest, train.coords, sources, lonlat)
    if place.span is None:
        raise HandshakeError(
            "gives no range for normalized coordinates",
            where="manifest.json scaling_kwargs",
            expected="coord_ranges {t, x, y} > 0",
            remedy="Add scalers.json, or prepare it again.",
        )
    end = manifest.window_end("train")
    last = float(place.ordered(train.coords)[..., 0].max()) * float(place.span[0])
    if place.source in UNSTATED_TIME:
        place = replace(place, t_minimum=end - last)
    if abs(place.t_minimum + last - end) <= YEAR_TOLERANCE:
        return place, [] if place.minimum is not None else ["no source gives the minima of x and y"]
    found = f"{place.t_minimum:g} from {place.source}"
    if cfg["SCALING_ERROR_POLICY"] == "raise":
        raise HandshakeError(
            "contradict the last train year",
            where="coordinate minima",
            found=f"t minimum {found}",
            expected=f"t minimum {end - last:g} (train windows end in {end})",
            remedy="Pass the scalers.json or the audit that belongs to this handoff.",
        )
    warning = f"minima set aside: t minimum {found}, {end - last:g} wanted"
    return replace(place, minimum=None, t_minimum=end - last), [warning]


def coordinates(manifest: Stage1Manifest, place: Georeference, train: Split, seconds: float) -> dict[str, Any]:
    """Ranges, minima and SI size of one stored coordinate unit; without normalization the train box in stored units."""
    factors = _metres_per_unit(manifest)
    size = place.span * np.array([seconds, *factors])
    span, low = place.span, place.minimum
    if manifest.scaling.coords_normalized is False:
        stored = place.ordered(train.coords).reshape(-1, 3)
        low, span = stored.min(axis=0), np.maximum(np.ptp(stored, axis=0), np.finfo(float).tiny)
    return {
        "coord_range": _axes(span),
        "coord_min": None if low is None else _axes(low),
        "coord_scale_si": _axes(size),
        "georeference": "none" if place.minimum is None else "absolute",
    }


def _metres_per_unit(manifest: Stage1Manifest) -> tuple[float, float]:
    scaling = manifest.scaling
    if not scaling.coords_in_degrees:
        return 1.0, 1.0
    if scaling.deg_to_m_lon is None or scaling.deg_to_m_lat is None:
        raise HandshakeError(
            "coordinates in degrees need metres per degree",
            where="manifest.json scaling_kwargs",
            expected="deg_to_m_lon and deg_to_m_lat",
            remedy="Prepare the handoff again.",
        )
    return scaling.deg_to_m_lon, scaling.deg_to_m_lat


def _axes(values: np.ndarray) -> Axes:
    return Axes(**dict(zip(AXES, map(float, values), strict=True)))


def head_proxy(known: Mapping[str, Any], cfg: Config) -> bool:
    """The manifest's value; true where no surface elevation exists and nothing physical hangs on the level of heads."""
    stated = bool(cfg["USE_HEAD_PROXY"])
    if known["depth_index"] is None or known["z_surf_index"] is not None or stated:
        return stated
    if cfg["PDE_MODE_CONFIG"] != "none":
        raise HandshakeError(
            "has a depth but no surface elevation, so no head",
            where="manifest.json features.static",
            expected="z_surf, or conventions.use_head_proxy true",
            remedy="Add the elevation, or choose HybridAttn-NoPhysics.",
        )
    return True


def future_shift(place: Georeference, future: Split | None, first_year: int) -> float:
    """Whole steps to add to future times so that they start at `first_year`; 0 without a future split."""
    if future is None:
        return 0.0
    years = place.ordered(future.coords)[..., 0] * place.span[0] + place.t_minimum
    shift = future_time_shift(years, first_year)
    if shift is None:
        found = sorted({round(float(year), 3) for year in np.median(years, axis=0)})
        raise HandshakeError(
            "future times are no run of years after the train years",
            where="future_inputs.npz coords",
            expected=f"years from {first_year}",
            found=found,
            remedy="Prepare the handoff again.",
        )
    return shift
