"""The finalized scaling under the key names that other readers of scaling_kwargs.json know."""

import math
from collections.abc import Mapping
from typing import Any

from tasks.subsidence.config import OWNERSHIP, Config, active_gate
from tasks.subsidence.handoff.georef import AXES
from tasks.subsidence.handoff.manifest_model import Stage1Manifest
from tasks.subsidence.semantics import Semantics

_LIVE = {
    "allow_subs_residual": "ALLOW_SUBS_RESIDUAL",
    "clip_global_norm": "CLIP_GLOBAL_NORM",
    "debug_physics_grads": "DEBUG_PHYSICS_GRADS",
    "track_aux_metrics": "TRACK_AUX_METRICS",
    "training_strategy": "TRAINING_STRATEGY",
    "bounds_mode": "PHYSICS_BOUNDS_MODE",
    "bounds_loss_kind": "BOUNDS_LOSS_KIND",
    "bounds_beta": "BOUNDS_BETA",
    "bounds_guard": "BOUNDS_GUARD",
    "bounds_w": "BOUNDS_W",
    "bounds_include_tau": "BOUNDS_INCLUDE_TAU",
    "bounds_tau_w": "BOUNDS_TAU_W",
    "gwl_kind": "GWL_KIND",
    "gwl_sign": "GWL_SIGN",
    "subsidence_kind": "SUBSIDENCE_KIND",
    "coord_mode": "COORD_MODE",
    "coord_src_epsg": "COORD_SRC_EPSG",
    "physics_warmup_fraction": "PHYSICS_WARMUP_FRACTION",
    "physics_ramp_fraction": "PHYSICS_RAMP_FRACTION",
}


def public_keys(
    manifest: Stage1Manifest,
    cfg: Config,
    sem: Semantics,
    *,
    t_min: float | None,
    source: str,
    warnings: list[str],
    checks: dict[str, Any],
) -> dict[str, Any]:
    """Everything but residual scales and standardisation; what the manifest said, overlaid with what was resolved."""
    recorded = cfg.values()  # writing a setting down does not count as reading it
    return {
        **manifest.scaling.plain(),
        **_merged(recorded),
        **{name: recorded[key] for name, key in _LIVE.items()},
        **_gates(recorded),
        **_coordinates(sem, t_min),
        "bounds": _bounds(sem),
        "dynamic_feature_names": list(sem.dynamic_names),
        "static_feature_names": list(sem.static_names),
        "future_feature_names": list(sem.future_names),
        "time_units": sem.time_units,
        "seconds_per_time_unit": sem.seconds_per_time_unit,
        "use_head_proxy": sem.use_head_proxy,
        "gwl_z_meta": _head_meta(manifest, sem),
        "scale_checks": checks,
        "georeference_source": source,
        "warnings": warnings,
    }


def _merged(values: Mapping[str, Any]) -> dict[str, Any]:
    """Merged keys that a manifest has a name for, with their resolved values."""
    rows = [row for row in OWNERSHIP.values() if row.owner == "merged" and row.manifest and row.kind != "numbers"]
    return {row.manifest.removeprefix("scaling_kwargs."): values[row.name] for row in rows}


def _gates(values: Mapping[str, Any]) -> dict[str, Any]:
    gates = {}
    for term in ("Q", "SUBS_RESID"):
        gate = active_gate(values, term)
        names = (f"{term.lower()}_{part}" for part in ("policy", "warmup_epochs", "ramp_epochs"))
        gates |= dict(zip(names, gate, strict=True))
    return gates


def _coordinates(sem: Semantics, t_min: float | None) -> dict[str, Any]:
    size = sem.coord_scale_si.model_dump()
    degrees = {} if sem.coord_min is None else {"coord_mins": sem.coord_min.model_dump()}
    return {
        "coords_normalized": sem.coords_normalized,
        "coord_ranges": sem.coord_range.model_dump(),
        "coord_ranges_si": size,
        "coord_inv_ranges_si": {axis: 1.0 / size[axis] for axis in AXES},
        "coord_min_t": t_min,
        **degrees,
        "georeference": sem.georeference,
        "future_time_shift": sem.future_time_shift,
    }


def _bounds(sem: Semantics) -> dict[str, float]:
    """K_min, K_max and their natural logarithms logK_min, logK_max, for each field."""
    table = {}
    for name, (low, high) in sem.bounds.items():
        label = name[0].upper() + name[1:]
        table |= {f"{name}_min": low, f"{name}_max": high}
        table |= {f"log{label}_min": math.log(low), f"log{label}_max": math.log(high)}
    return table


def _head_meta(manifest: Stage1Manifest, sem: Semantics) -> dict[str, Any]:
    """How heads come about: kinds, signs, columns and the one conversion."""
    kinds = manifest.config.conventions
    names = sem.dynamic_names
    rule = "none" if sem.depth_index is None else "-depth" if sem.z_surf_index is None else "z_surf - depth"
    return {
        "driver_kind": kinds.gwl_driver_kind or "depth",
        "driver_sign": kinds.gwl_driver_sign or "down_positive",
        "target_kind": kinds.gwl_target_kind or "head",
        "target_sign": kinds.gwl_target_sign or "up_positive",
        "driver_column": None if sem.depth_index is None else names[sem.depth_index],
        "z_surf_column": None if sem.z_surf_index is None else sem.static_names[sem.z_surf_index],
        "history_head": rule,
        "use_head_proxy": sem.use_head_proxy,
    }
