"""The audit as plain JSON: the keys that public readers know, then the table of checks."""

from typing import Any

import numpy as np

from tasks.subsidence.checks.evidence import Evidence
from tasks.subsidence.checks.values import finite_ratio
from tasks.subsidence.checks.views import INPUTS, TARGETS, expected_shape, is_numeric
from tasks.subsidence.handoff.georef import AXES, EDGE_TOLERANCE, recorded_span, stated_minmax
from tasks.subsidence.types import CheckResult, HandoffFile

REPORT_VERSION = "stagegate-audit-1"
SUMMARY = (
    "coords_normalized",
    "coord_order",
    "coord_ranges",
    "coords_in_degrees",
    "deg_to_m_lon",
    "deg_to_m_lat",
    "lat_ref_deg",
    "coord_epsg_used",
    "coord_target_epsg",
    "subs_scale_si",
    "subs_bias_si",
    "head_scale_si",
    "head_bias_si",
    "H_scale_si",
    "H_bias_si",
    "gwl_dyn_name",
    "gwl_dyn_index",
    "z_surf_static_index",
    "subs_dyn_index",
    "z_surf_col",
    "cons_residual_units",
    "gw_residual_units",
    "cons_scale_floor",
    "gw_scale_floor",
    "dt_min_units",
    "clip_global_norm",
    "scaling_error_policy",
    "debug_physics_grads",
    "Q_kind",
    "Q_in_si",
    "Q_in_per_second",
    "Q_wrt_normalized_time",
    "Q_length_in_si",
    "drainage_mode",
)
SUMMARY_CONVENTIONS = ("gwl_kind", "gwl_sign", "use_head_proxy", "time_units")


def audit_report(e: Evidence, results: list[CheckResult], verdict: str, *, manifest_name: str) -> dict[str, Any]:
    """Content of stage2_handshake_audit.json, without clock time and absolute paths."""
    statuses = [result.status for result in results]
    report = {
        "schema_version": REPORT_VERSION,
        "verdict": verdict,
        "manifest": {
            "path": manifest_name,
            "sha256": e.digest,
            "city": e.manifest.city,
            "timestamp": e.manifest.timestamp,
            "unknown_keys": list(e.manifest.unknown_keys),
        },
        "files": [_file(file) for file in e.files],
        "checks": [result.model_dump(mode="json") for result in results],
        "counts": {status: statuses.count(status) for status in ("pass", "warn", "fail", "skipped")},
        "relocations": [_relocation(e, file) for file in e.files if file.relocated],
        "georeference": {"source": e.georef.source, "minimum": _axes(e.georef.minimum), "range": _axes(e.georef.span)},
        "expected": _expected(e),
        "got": _got(e),
        "finite": _finite(e),
        "coord_stats_norm": _coord_stats(e, "norm"),
        "coord_checks": _coord_checks(e),
        "coord_stats_raw": _coord_stats(e, "raw"),
        "coord_range_check": _range_check(e),
        "sk_summary": _summary(e),
        "sk_checks": _summary_checks(e),
    }
    return _finite_json(report)


def _file(file: HandoffFile) -> dict[str, Any]:
    ref = file.ref
    return {
        "name": file.key,
        "path": file.resolved_path,
        "sha256": ref.digest if ref else None,
        "bytes": ref.size if ref else None,
    }


def _relocation(e: Evidence, file: HandoffFile) -> dict[str, Any]:
    """Where a file was recorded and where it lies; the recorded folder is named, not spelled out."""
    run_dir = (e.manifest.paths.run_dir or "").rstrip("/\\")
    below = bool(run_dir) and file.stored_path.startswith(run_dir)
    rest = file.stored_path[len(run_dir) :] if below else "/" + file.stored_path.replace("\\", "/").rpartition("/")[2]
    return {"name": file.key, "stored": f"{'{run_dir}' if below else '{elsewhere}'}{rest}", "used": file.resolved_path}


def _expected(e: Evidence) -> dict[str, Any]:
    config, features = e.manifest.config, e.manifest.config.features
    widths = {"D": len(features.dynamic), "S": len(features.static), "F": len(features.future)}
    shapes = {f"{array}.shape": _spelled(expected_shape(e.manifest, array)[0], widths) for array in INPUTS}
    return {
        "TIME_STEPS": config.TIME_STEPS,
        "FORECAST_HORIZON": config.FORECAST_HORIZON_YEARS,
        "MODE": config.MODE,
        **shapes,
        "targets.shape": expected_shape(e.manifest, "subs_pred")[0].replace(" ", ""),
    }


def _spelled(text: str, widths: dict[str, int]) -> str:
    text = text.replace(" ", "")
    return next(
        (text.replace(f",{axis})", f",{width})") for axis, width in widths.items() if f",{axis})" in text), text
    )


def _shape(e: Evidence, bundle: str, array: str) -> list[int] | None:
    found = e.bundles[bundle].arrays.get(array) if bundle in e.bundles else None
    return None if found is None else list(found.shape)


def _got(e: Evidence) -> dict[str, Any]:
    rows = {split: _shape(e, f"{split}_inputs", "dynamic_features") for split in ("train", "val")}
    train = {
        **{array: _shape(e, "train_inputs", array) for array in INPUTS},
        **{f"y_{array}": _shape(e, "train_targets", array) for array in TARGETS},
    }
    others = {
        f"{bundle.name}.{array}": list(found.shape)
        for bundle in e.bundles.values()
        for array, found in bundle.arrays.items()
        if not bundle.name.startswith("train_")
    }
    return {**{f"N_{split}": shape[0] if shape else None for split, shape in rows.items()}, **train, **others}


def _finite(e: Evidence) -> dict[str, float]:
    return {
        f"{'X' if part == 'inputs' else 'y'}_{split}.{array}.finite_ratio": finite_ratio(found)
        for bundle in e.bundles.values()
        for split, _, part in [bundle.name.rpartition("_")]
        for array, found in bundle.arrays.items()
        if is_numeric(found)
    }


def _coord_stats(e: Evidence, kind: str) -> dict[str, Any]:
    """Train statistics as `t.norm`; other splits with their name in front."""
    stats = {}
    for view in e.each():
        values = e.georef.ordered(view.split.coords).reshape(-1, 3)
        if kind == "raw":
            if e.georef.minimum is None or e.georef.span is None:
                return {}
            values = values * e.georef.span + e.georef.minimum
        lead = "" if view.name == "train" else f"{view.name}."
        for axis, column in zip(AXES, values.T, strict=True):
            stats[f"{lead}{axis}.{kind}"] = {
                "min": float(column.min()),
                "max": float(column.max()),
                "mean": float(column.mean()),
                "std": float(column.std()),
            }
    return stats


def _coord_checks(e: Evidence) -> dict[str, bool]:
    if not e.manifest.scaling.coords_normalized:
        return {"expected_in_[0,1]": False}
    flags = {"expected_in_[0,1]": True}
    for view in e.each():
        values = e.georef.ordered(view.split.coords).reshape(-1, 3)
        outside = ((values < -EDGE_TOLERANCE) | (values > 1 + EDGE_TOLERANCE)).any(axis=0)
        lead = "" if view.name == "train" else f"{view.name}."
        flags |= {f"{lead}{axis}_outside_01?": bool(out) for axis, out in zip(AXES, outside, strict=True)}
    return flags


def _range_check(e: Evidence) -> dict[str, Any]:
    recorded, stated = recorded_span(e.manifest.scaling), stated_minmax(e.sources)
    if not stated:
        return {}
    span = stated[0].span
    check = {"scaler_span": _axes(span), "source": stated[0].source}
    if recorded is not None:
        off = np.abs(recorded - span) / np.maximum(np.abs(span), 1e-12)
        check |= {f"coord_ranges_rel_err_{axis}": float(value) for axis, value in zip(AXES, off, strict=True)}
    return check


def _summary(e: Evidence) -> dict[str, Any]:
    given = e.manifest.scaling.plain()
    conventions = e.manifest.config.conventions.plain()
    return {**{key: given.get(key) for key in SUMMARY}, **{key: conventions.get(key) for key in SUMMARY_CONVENTIONS}}


def _summary_checks(e: Evidence) -> dict[str, bool]:
    scaling = e.manifest.scaling
    degrees = bool(scaling.coords_in_degrees)
    factors = (
        {f"has_{name}": getattr(scaling, name) is not None for name in ("deg_to_m_lon", "deg_to_m_lat")}
        if degrees
        else {"deg_to_m_lon_needed": False, "deg_to_m_lat_needed": False}
    )
    index = e.manifest.depth_index
    return {
        "has_coord_ranges": scaling.coord_ranges is not None,
        "coords_in_degrees": degrees,
        **factors,
        "gwl_dyn_index_in_bounds": index is not None and 0 <= index < len(e.manifest.config.features.dynamic),
    }


def _axes(values: np.ndarray | None) -> dict[str, float] | None:
    return None if values is None else dict(zip(AXES, values.tolist(), strict=True))


def _finite_json(value: Any) -> Any:
    """The same with None for NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite_json(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
