"""What the numbers of a handoff mean: units, coordinates, standardisation and scales, settled once per run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tasks.contracts.units import SECONDS_PER_YEAR
from tasks.subsidence.arrays import Split
from tasks.subsidence.config import Config
from tasks.subsidence.handoff.georef import AXES, WGS84, epsg_code
from tasks.subsidence.handoff.manifest_model import Stage1Manifest
from tasks.subsidence.handoff.scaling_parts import (
    SECONDS,
    affines,
    check_kinds,
    columns,
    coordinates,
    future_shift,
    head_proxy,
    identity,
    placed,
    thickness_cap,
    time_unit,
)
from tasks.subsidence.handoff.scaling_public import public_keys
from tasks.subsidence.handoff.scaling_stats import characteristic_scales, limits, scale_checks, standardisation
from tasks.subsidence.semantics import Affine, ResidualScales, Semantics, Standardisation


@dataclass(frozen=True)
class Decoded:
    """Where and when N windows are."""

    years: np.ndarray  # (N, H) float64; the future split with its whole-step shift undone
    x_m: np.ndarray  # (N,) easting, or metres from an unknown origin where there is no georeference
    y_m: np.ndarray  # (N,)
    longitude: np.ndarray | None  # (N,) degrees
    latitude: np.ndarray | None


def finalize(
    manifest: Stage1Manifest,
    cfg: Config,
    train: Split,
    *,
    future: Split | None = None,
    sources: Mapping[str, Any] | None = None,
    holdout: Mapping[str, np.ndarray] | None = None,
) -> Semantics:
    """The finalized semantics of a handoff, from its train windows as stored (before `to_si`).

    sources: contents of `scalers` and `stage1_scaling_audit` where they exist. holdout: {"train": (G, 2) longitude,
    latitude}, a last source of the coordinate minima. Statistics use train only. Raises HandshakeError where a
    quantity cannot be given a meaning.
    """
    check_kinds(manifest, cfg)
    unit = time_unit(cfg["TIME_UNITS"])
    place, warnings = placed(manifest, cfg, train, sources or {}, (holdout or {}).get("train"))
    known: dict[str, Any] = {
        **identity(manifest, cfg, unit),
        **columns(manifest),
        **coordinates(manifest, place, train, SECONDS[unit]),
        **affines(manifest),
        "epsg": epsg_code(manifest.scaling.coord_epsg_used) or cfg["UTM_EPSG"],
        "thickness_cap_m": thickness_cap(manifest),
        "bounds": limits(cfg["PHYSICS_BOUNDS"]),
    }
    known["use_head_proxy"] = head_proxy(known, cfg)
    known["future_time_shift"] = future_shift(place, future, known["forecast_start_year"])
    draft = Semantics(**known, **_placeholders(manifest))
    si = to_si(train, draft)
    draft = draft.model_copy(update={"standardisation": standardisation(si, draft, history_head(si, draft))})
    scales = characteristic_scales(si, draft, history_head(si, draft))
    sem = draft.model_copy(update={"residual_scales": scales})
    checks = scale_checks(scales, cfg["CONS_SCALE_FLOOR"], cfg["GW_SCALE_FLOOR"])
    public = public_keys(
        manifest, cfg, sem, t_min=place.t_minimum, source=place.source, warnings=warnings, checks=checks
    )
    return Semantics(**{**{name: getattr(sem, name) for name in Semantics.model_fields}, "public": public})


def scaling_kwargs(sem: Semantics) -> dict[str, Any]:
    """Content of scaling_kwargs.json: public names, then residual scales and standardisation."""
    return {
        **sem.public,
        "residual_scales": sem.residual_scales.model_dump(mode="json"),
        "standardisation": sem.standardisation.model_dump(mode="json"),
    }


def to_si(split: Split, sem: Semantics) -> Split:
    """The split in SI units and with coordinates in the order t, x, y; apply once, to stored values."""
    order = [tuple(sem.public.get("coord_order") or AXES).index(axis) for axis in AXES]
    dynamic = split.dynamic
    if sem.subsidence_affine != Affine():
        dynamic = dynamic.copy()
        dynamic[:, :, sem.subsidence_index] = _affine(dynamic[:, :, sem.subsidence_index], sem.subsidence_affine)
    return replace(
        split,
        coords=split.coords if order == [0, 1, 2] else np.ascontiguousarray(split.coords[:, :, order]),
        dynamic=dynamic,
        thickness=_affine(split.thickness, sem.thickness_affine),
        subsidence=_affine(split.subsidence, sem.subsidence_affine),
        head=_affine(split.head, sem.head_affine),
    )


def decode(split: Split, sem: Semantics) -> Decoded:
    """Calendar years, metres and degrees of the windows of a split in SI units."""
    coords = split.coords.astype(np.float64)
    span, low = _decoding(sem)
    values = coords * span + low
    years = values[:, :, 0] + (sem.future_time_shift if split.name == "future" else 0.0)
    x, y = values[:, 0, 1], values[:, 0, 2]
    if sem.georeference == "none":
        size = sem.coord_scale_si
        return Decoded(years, coords[:, 0, 1] * size.x, coords[:, 0, 2] * size.y, None, None)
    if sem.public.get("coords_in_degrees"):
        factor = sem.public
        return Decoded(years, x * factor["deg_to_m_lon"], y * factor["deg_to_m_lat"], x, y)
    longitude, latitude = _degrees(x, y, sem.epsg)
    return Decoded(years, x, y, longitude, latitude)


def last_subsidence(split: Split, sem: Semantics) -> np.ndarray:
    """(N,) last observed cumulative subsidence, m."""
    return split.dynamic[:, -1, sem.subsidence_index]


def history_increments(split: Split, sem: Semantics) -> np.ndarray:
    """(N, T-1) observed subsidence rates, m/yr."""
    per_year = SECONDS_PER_YEAR / sem.seconds_per_time_unit
    return np.diff(split.dynamic[:, :, sem.subsidence_index], axis=1) * np.asarray(per_year, split.dynamic.dtype)


def history_head(split: Split, sem: Semantics) -> np.ndarray:
    """(N, T) observed heads, m up: z_surf - depth; -depth where no surface elevation exists; zeros without a depth.

    The one conversion between depth and head. Targets and predictions are heads already and never pass through it.
    """
    if sem.depth_index is None:
        return np.zeros(split.dynamic.shape[:2], split.dynamic.dtype)
    depth = split.dynamic[:, :, sem.depth_index]
    return -depth if sem.z_surf_index is None else split.static[:, sem.z_surf_index, None] - depth


def _affine(values: np.ndarray | None, pair: Affine) -> np.ndarray | None:
    if values is None or pair == Affine():
        return values
    return (values.astype(np.float64) * pair.scale + pair.bias).astype(values.dtype)


def _placeholders(manifest: Stage1Manifest) -> dict[str, Any]:
    """Fields that are computed from arrays in SI, which need the other fields first."""
    ones = dict.fromkeys(ResidualScales.model_fields, 1.0)
    return {
        "standardisation": Standardisation(sigma_s=(), sigma_h=(), mean={}, std={}),
        "residual_scales": ResidualScales(**ones),
        "public": {"coord_order": list(manifest.scaling.coord_order or AXES)},
    }


def _decoding(sem: Semantics) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset of (t, x, y) from stored to time units and m or degrees; offset 0 where unknown."""
    if not sem.coords_normalized:
        shift = sem.public.get("coord_shift_mins") or {}
        return np.ones(3), np.array([float(shift.get(axis) or 0.0) for axis in AXES])
    span = np.array([sem.coord_range.t, sem.coord_range.x, sem.coord_range.y])
    if sem.coord_min is not None:
        return span, np.array([sem.coord_min.t, sem.coord_min.x, sem.coord_min.y])
    return span, np.array([float(sem.public["coord_min_t"]), 0.0, 0.0])


def _degrees(x: np.ndarray, y: np.ndarray, epsg: int | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    if epsg is None:
        return None, None
    from pyproj import Transformer

    return Transformer.from_crs(epsg, WGS84, always_xy=True).transform(x, y)
