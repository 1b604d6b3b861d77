"""A small, valid Stage-1 handoff written with numpy: 60/20/20 windows and 40 future ones, T = 5, H = 3, D = 5.

Physically plausible and deterministic: the audit finds no failure, and warns C-01 (future times lie beyond the train
range) and G-04 (one window per location) only.
Every file can be spoilt on purpose: see `write_mini_handoff`.
"""

import csv
import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.subsidence.mini_city import (
    CAP_M,
    CITY,
    COUNTS,
    DYNAMIC,
    EPSG,
    FORECAST_START_YEAR,
    FUTURE,
    HORIZON,
    SCALED,
    SEED,
    STATIC,
    TIME_STEPS,
    TRAIN_END_YEAR,
    Bundles,
    MiniCity,
    fit,
    mini_audit,
    mini_bundles,
    mini_city,
    mini_holdout,
    mini_panel,
    mini_scalers,
)


def write_mini_handoff(
    folder: Path,
    *,
    arrays: Callable[[Bundles], None] | None = None,
    manifest: Callable[[dict[str, Any]], None] | None = None,
    holdout: Callable[[dict[str, np.ndarray]], None] | None = None,
    after: Callable[[Path], None] | None = None,
    audit: Callable[[dict[str, Any]], None] | None = None,
    panel: Callable[[list[str], np.ndarray], None] | None = None,
    with_audit: bool = True,
    with_scalers: bool = False,
    with_hashes: bool = False,
    oos_time: bool = False,
    seed: int = SEED,
) -> Path:
    """Write a mini handoff into `folder` and return the path of its manifest.

    The hooks change things in place before they are written: `arrays` all NPZ contents (shapes recorded in the
    manifest are taken before it), `manifest`, `holdout` (groups), `audit` (scaling audit), `panel`; `after(folder)`
    runs once all files lie there. `with_hashes` records artifacts.sha256 {path relative to the folder: hex};
    `oos_time` adds an out-of-time split (targets 2021-2023 of the held-out locations).
    """
    city = mini_city(seed)
    bundles = mini_bundles(city, oos_time=oos_time)
    record, groups = mini_manifest(city, bundles), mini_holdout(city)
    names, rows = mini_panel(city)
    scaling = mini_audit(city)
    hooks = ((arrays, (bundles,)), (holdout, (groups,)), (panel, (names, rows)), (audit, (scaling,)))
    for hook, subject in hooks:
        if hook:
            hook(*subject)
    _write_data(folder, bundles, groups, (names, rows))
    if with_audit:
        (folder / "stage1_scaling_audit.json").write_text(json.dumps(scaling, indent=1))
    if with_scalers:
        (folder / "scalers.json").write_text(json.dumps(mini_scalers(city), indent=1))
    if with_hashes:
        record["artifacts"]["sha256"] = _digests(folder)
    if manifest:
        manifest(record)
    path = folder / "manifest.json"
    path.write_text(json.dumps(record, indent=1))
    if after:
        after(folder)
    return path


def _write_data(folder: Path, bundles: Bundles, groups: dict, panel: tuple[list[str], np.ndarray]) -> None:
    (folder / "artifacts" / "holdout").mkdir(parents=True, exist_ok=True)
    for name, content in bundles.items():
        np.savez_compressed(folder / "artifacts" / f"{name}.npz", **content)
    for split, lonlat in groups.items():
        _write_csv(folder / "artifacts" / "holdout" / f"{split}_groups.csv", ["longitude", "latitude"], lonlat)
    _write_csv(folder / "mini_panel.csv", *panel)


def _write_csv(path: Path, names: list[str], rows: np.ndarray) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        writer.writerows(rows.tolist())


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def mini_manifest(city: MiniCity, bundles: Bundles) -> dict[str, Any]:
    """The manifest of `bundles`, with paths relative to its own folder."""
    return {
        "schema_version": "stagegate-1",
        "timestamp": "2026-01-05 08:00:00",
        "city": CITY,
        "model": "GeoPriorSubsNet",
        "stage": "stage1",
        "config": _config(city),
        "artifacts": {
            "csv": {"raw": "mini_panel.csv"},
            "encoders": {"ohe": {}, "scaled_ml_numeric_cols": list(SCALED)},
            "sequences": {"dims": {"output_subsidence_dim": 1, "output_gwl_dim": 1}},
            "numpy": {f"{name}_npz": f"artifacts/{name}.npz" for name in bundles},
            "shapes": {
                name: {key: list(array.shape) for key, array in arrays.items()}
                for name, arrays in bundles.items()
                if not name.startswith(("future", "oos_time"))
            },
        },
        "paths": {"run_dir": ".", "artifacts_dir": "artifacts"},
        "versions": {
            "python": "3.11.0",
            "numpy": np.__version__,
            "sklearn": importlib.metadata.version("scikit-learn"),
        },
    }


def _config(city: MiniCity) -> dict[str, Any]:
    rate = float((city.thickness >= CAP_M).mean())
    return {
        "TIME_STEPS": TIME_STEPS,
        "FORECAST_HORIZON_YEARS": HORIZON,
        "MODE": "tft_like",
        "TRAIN_END_YEAR": TRAIN_END_YEAR,
        "FORECAST_START_YEAR": FORECAST_START_YEAR,
        "cols": _columns(),
        "features": {
            "static": list(STATIC),
            "dynamic": list(DYNAMIC),
            "future": list(FUTURE),
            "group_id_cols": ["longitude", "latitude"],
        },
        "indices": _indices(),
        "conventions": {
            "gwl_kind": "depth_bgs",
            "gwl_sign": "down_positive",
            "use_head_proxy": False,
            "time_units": "year",
            "gwl_driver_kind": "depth",
            "gwl_target_kind": "head",
            "gwl_driver_sign": "down_positive",
            "gwl_target_sign": "up_positive",
        },
        "scaler_info": {},
        "scaling_kwargs": _scaling(city),
        "feature_registry": {
            "already_normalized": ["urban_load_global"],
            "future_drivers_declared": list(FUTURE),
            "resolved_optional_numeric": ["rainfall_mm", "urban_load_global"],
            "resolved_optional_categorical": ["lithology", "lithology_class"],
        },
        "censoring": _censoring(rate),
        "units_provenance": {
            "subs_unit_to_si_applied_stage1": 0.001,
            "thickness_unit_to_si_applied_stage1": 1.0,
            "head_unit_to_si_assumed_stage1": 1.0,
            "z_surf_unit_to_si_assumed_stage1": 1.0,
        },
        "holdout": _holdout(),
    }


def _columns() -> dict[str, str]:
    return {
        "time": "year",
        "lon": "longitude",
        "lat": "latitude",
        "time_numeric": "year_numeric_coord",
        "time_used": "year_numeric_coord",
        "x_base": "x_m",
        "y_base": "y_m",
        "x_used": "x_m",
        "y_used": "y_m",
        "subs_raw": "subsidence_cum",
        "subs_model": "subsidence_cum__si",
        "depth_raw": "GWL_depth_bgs_m",
        "head_raw": "head_m",
        "depth_model": "GWL_depth_bgs_m__si",
        "head_model": "head_m__si",
        "h_field_raw": "soil_thickness",
        "h_field_model": "soil_thickness_eff__si",
        "z_surf_raw": "z_surf_m",
        "z_surf_static": "z_surf_m__si",
    }


def _indices() -> dict[str, Any]:
    return {
        "gwl_dyn_index": 0,
        "subs_dyn_index": 1,
        "gwl_dyn_name": "GWL_depth_bgs_m__si",
        "z_surf_static_index": STATIC.index("z_surf_m__si"),
    }


def _scaling(city: MiniCity) -> dict[str, Any]:
    scale = fit(city)
    return {
        **{f"{quantity}_scale_si": 1.0 for quantity in ("subs", "head", "H")},
        **{f"{quantity}_bias_si": 0.0 for quantity in ("subs", "head", "H")},
        "subsidence_kind": "cumulative",
        "allow_subs_residual": True,
        "coords_normalized": True,
        "coord_order": ["t", "x", "y"],
        "coord_ranges": dict(zip("txy", scale.span.tolist(), strict=True)),
        "coord_mode": "degrees",
        "coord_src_epsg": 4326,
        "coord_target_epsg": EPSG,
        "coord_epsg_used": EPSG,
        "coords_in_degrees": False,
        "cons_residual_units": "second",
        "gw_residual_units": "second",
        "cons_scale_floor": 3e-11,
        "gw_scale_floor": 1e-12,
        "dt_min_units": 1e-6,
        "Q_kind": "per_volume",
        "Q_wrt_normalized_time": False,
        "Q_in_si": False,
        "Q_in_per_second": False,
        "Q_length_in_si": False,
        "drainage_mode": "double",
        "cons_drawdown_mode": "smooth_relu",
        "cons_drawdown_rule": "ref_minus_mean",
        "cons_stop_grad_ref": True,
        "cons_relu_beta": 20.0,
        "mv_prior_units": "strict",
        "mv_prior_mode": "calibrate",
        "mv_weight": 0.001,
        "scaling_error_policy": "raise",
        "clip_global_norm": 5.0,
        **_indices(),
        "gwl_col": "GWL_depth_bgs_m__si",
        "gwl_target_col": "head_m__si",
        "subs_model_col": "subsidence_cum__si",
        "z_surf_col": "z_surf_m__si",
    }


def _censoring(rate: float) -> dict[str, Any]:
    spec = {"col": "soil_thickness", "direction": "right", "cap": CAP_M, "flag_suffix": "_censored"}
    found = {"cap": CAP_M, "flag_col": "soil_thickness_censored", "censored_rate": rate}
    return {
        "specs": [spec],
        "report": {"soil_thickness": found},
        "use_effective_h_field": True,
        "flags_as_dynamic": True,
        "flags_as_future": False,
    }


def _holdout() -> dict[str, Any]:
    return {
        "strategy": "spatial_block",
        "seed": SEED,
        "val_frac": 0.2,
        "test_frac": 0.2,
        "group_cols": ["longitude", "latitude"],
        "group_counts": {f"{split}_groups": COUNTS[split] for split in ("train", "val", "test")},
        "sequence_counts": {f"{split}_seq": COUNTS[split] for split in ("train", "val", "test")},
        "artifacts": {
            f"{split}_groups_csv": f"artifacts/holdout/{split}_groups.csv" for split in ("train", "val", "test")
        },
    }
