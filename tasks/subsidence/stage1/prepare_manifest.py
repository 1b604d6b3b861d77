"""The manifest of a prepared handoff: the public key blocks, relative paths, and the sha256 of every file."""

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from tasks.subsidence.stage1.panel_columns import ALIASES
from tasks.subsidence.stage1.panel_units import UNIT_TO_SI
from tasks.subsidence.stage1.prepare_types import DEPTH, FLAG, HEAD, SUBSIDENCE, THICKNESS, Z_SURF, Prepared
from tasks.subsidence.stage1.publish import SCHEMA_VERSION

SCALERS = "scalers.json"

# physics settings that a first stage hands over; the second stage may override each of them
_PHYSICS = {
    "cons_residual_units": "second",
    "cons_scale_floor": 3e-11,
    "gw_scale_floor": 1e-12,
    "dt_min_units": 1e-6,
    "Q_wrt_normalized_time": False,
    "Q_in_si": False,
    "Q_in_per_second": False,
    "Q_kind": "per_volume",
    "Q_length_in_si": False,
    "drainage_mode": "double",
    "scaling_error_policy": "raise",
    "debug_physics_grads": False,
    "gw_residual_units": "second",
    "clip_global_norm": 5.0,
    "cons_drawdown_mode": "smooth_relu",
    "cons_drawdown_rule": "ref_minus_mean",
    "cons_stop_grad_ref": True,
    "cons_drawdown_zero_at_origin": False,
    "cons_drawdown_clip_max": None,
    "cons_relu_beta": 20.0,
    "mv_prior_units": "strict",
    "mv_alpha_disp": 0.1,
    "mv_huber_delta": 1.0,
    "mv_prior_mode": "calibrate",
    "mv_weight": 0.001,
    "mv_schedule_unit": "epoch",
    "mv_delay_epochs": 1,
    "mv_warmup_epochs": 2,
    "mv_delay_steps": None,
    "mv_warmup_steps": None,
    "track_aux_metrics": False,
}


def manifest(
    prepared: Prepared, bundles: dict[str, dict[str, np.ndarray]], tables: dict[str, str], sha256: dict[str, str]
) -> dict[str, Any]:
    """The manifest as plain JSON values."""
    options = prepared.options
    return {
        "schema_version": SCHEMA_VERSION,
        "timestamp": options.timestamp,
        "city": options.city,
        "model": options.model,
        "stage": "stage1",
        "config": _config(prepared),
        "artifacts": _artifacts(prepared, bundles, tables, sha256),
        "paths": {"run_dir": ".", "artifacts_dir": "artifacts"},
        "versions": _versions(),
    }


def _config(prepared: Prepared) -> dict[str, Any]:
    options, years = prepared.options, prepared.years
    main = prepared.encoded.main.names
    return {
        "TIME_STEPS": options.time_steps,
        "FORECAST_HORIZON_YEARS": options.horizon,
        "MODE": options.mode,
        "TRAIN_END_YEAR": years.train_end,
        "FORECAST_START_YEAR": years.train_end + 1,
        "cols": _columns(prepared),
        "features": _features(prepared),
        "indices": _indices(prepared),
        "conventions": {
            "gwl_kind": "depth_bgs",
            "gwl_sign": "down_positive",
            "use_head_proxy": prepared.panel.head_proxy,
            "time_units": "year",
            "gwl_driver_kind": "depth",
            "gwl_target_kind": "head",
            "gwl_driver_sign": "down_positive",
            "gwl_target_sign": "up_positive",
        },
        "scaler_info": {
            name: {"scaler_path": SCALERS, "all_features": list(main), "idx": at} for at, name in enumerate(main)
        },
        "scaling_kwargs": _scaling(prepared),
        "feature_registry": _registry(prepared),
        "censoring": _censoring(prepared),
        "units_provenance": _units(prepared),
        "holdout": _holdout(prepared),
        "future_drivers": prepared.encoded.future_drivers,
    }


def _columns(prepared: Prepared) -> dict[str, str | None]:
    found, surface = prepared.panel.columns, "z_surf" in prepared.panel.values
    return {
        "time": found["year"],
        "lon": found["longitude"],
        "lat": found["latitude"],
        "time_numeric": found["year"],
        "time_used": found["year"],
        "x_base": "x_m",
        "y_base": "y_m",
        "x_used": "x_m",
        "y_used": "y_m",
        "subs_raw": found.get("subsidence_cum", found.get("subsidence_rate")),
        "subs_model": SUBSIDENCE,
        "depth_raw": found.get("depth"),
        "head_raw": found.get("head"),
        "depth_model": DEPTH,
        "head_model": HEAD,
        "h_field_raw": found["thickness"],
        "h_field_model": THICKNESS,
        "z_surf_raw": found.get("z_surf"),
        "z_surf_static": Z_SURF if surface else None,
    }


def _features(prepared: Prepared) -> dict[str, list[str]]:
    features = prepared.encoded.features
    return {
        "static": list(features.static_names),
        "dynamic": list(features.dynamic),
        "future": list(features.future),
        "group_id_cols": [prepared.panel.columns["longitude"], prepared.panel.columns["latitude"]],
    }


def _indices(prepared: Prepared) -> dict[str, Any]:
    features = prepared.encoded.features
    dynamic, static = list(features.dynamic), list(features.static_names)
    return {
        "gwl_dyn_index": dynamic.index(DEPTH),
        "subs_dyn_index": dynamic.index(SUBSIDENCE),
        "gwl_dyn_name": DEPTH,
        "z_surf_static_index": static.index(Z_SURF) if Z_SURF in static else None,
    }


def _scaling(prepared: Prepared) -> dict[str, Any]:
    coords = prepared.encoded.coords
    identity = {
        f"{name}_{part}_si": value for name in ("subs", "head", "H") for part, value in (("scale", 1.0), ("bias", 0.0))
    }
    return {
        **identity,
        "subsidence_kind": "cumulative",
        "allow_subs_residual": True,
        "coords_normalized": True,
        "coord_order": list(coords.names),
        "coord_ranges": dict(zip(coords.names, coords.scale.tolist(), strict=True)),
        "coord_mode": "degrees",
        "coord_src_epsg": 4326,
        "coord_target_epsg": prepared.epsg,
        "coord_epsg_used": prepared.epsg,
        "coords_in_degrees": False,
        **_PHYSICS,
        **_indices(prepared),
        "gwl_col": DEPTH,
        "gwl_dyn_col": DEPTH,
        "gwl_target_col": HEAD,
        "subs_model_col": SUBSIDENCE,
        "z_surf_col": Z_SURF if "z_surf" in prepared.panel.values else None,
    }


def _registry(prepared: Prepared) -> dict[str, Any]:
    panel, encoded = prepared.panel, prepared.encoded
    drivers = [name for name in encoded.features.dynamic if name not in (DEPTH, SUBSIDENCE, FLAG)]
    return {
        "optional_numeric_declared": [list(ALIASES["rainfall"]), list(ALIASES["urban"])],
        "optional_categorical_declared": [list(ALIASES["lithology"]), list(ALIASES["lithology_class"])],
        "already_normalized": [name for name in drivers if name not in encoded.main.names],
        "future_drivers_declared": [panel.columns["rainfall"]] if "rainfall" in panel.columns else [],
        "resolved_optional_numeric": drivers,
        "resolved_optional_categorical": list(encoded.categories),
    }


def _censoring(prepared: Prepared) -> dict[str, Any]:
    cap, column = prepared.options.cap_thickness, prepared.panel.columns["thickness"]
    return {
        "specs": [
            {
                "col": column,
                "direction": "right",
                "cap": cap,
                "tol": 1e-6,
                "flag_suffix": "_censored",
                "eff_suffix": "_eff",
                "eff_mode": "clip",
            }
        ],
        "report": {
            column: {
                "direction": "right",
                "cap": cap,
                "flag_col": FLAG,
                "eff_col": "soil_thickness_eff",
                "eff_mode": "clip",
                "censored_rate": prepared.censored_rate,
            }
        },
        "use_effective_h_field": True,
        "flags_as_dynamic": True,
        "flags_as_future": False,
    }


def _units(prepared: Prepared) -> dict[str, float]:
    options = prepared.options
    return {
        "subs_unit_to_si_applied_stage1": UNIT_TO_SI[options.unit_subs],
        "thickness_unit_to_si_applied_stage1": UNIT_TO_SI[options.unit_thickness],
        "head_unit_to_si_assumed_stage1": UNIT_TO_SI[options.unit_depth],
        "z_surf_unit_to_si_assumed_stage1": 1.0,
    }


def _holdout(prepared: Prepared) -> dict[str, Any]:
    options, years, panel = prepared.options, prepared.years, prepared.panel
    sizes = {name: len(points) for name, points in prepared.holdouts.points.items()}
    window = options.time_steps + options.horizon
    return {
        "strategy": options.holdout,
        "seed": options.seed,
        "val_frac": options.val_frac,
        "test_frac": options.test_frac,
        "group_cols": [panel.columns["longitude"], panel.columns["latitude"]],
        "coord_cols_for_blocking": {"x_col": "x_m", "y_col": "y_m", "epsg_used": prepared.epsg},
        "block_size_m": options.block_m if options.holdout == "spatial_block" else None,
        "block_count": prepared.holdouts.blocks,
        "temporal_shift": years.shift,
        "window_end_years": dict(prepared.holdouts.window_end),
        "requirements": {
            "time_col": panel.columns["year"],
            "train_end_year": years.train_end,
            "forecast_start_year": years.train_end + 1,
            "time_steps": options.time_steps,
            "horizon": options.horizon,
            "years_required_for_train_windows": window + years.shift,
            "note": "Only points with every required year are kept.",
        },
        "group_counts": {
            "valid_for_train": len(panel),
            "valid_for_forecast": prepared.valid_for_forecast,
            "kept_for_processing": len(panel),
            **{f"{name}_groups": n for name, n in sizes.items()},
        },
        "row_counts_hist": {f"{name}_rows": n * window for name, n in sizes.items()},
        "sequence_counts": {f"{name}_seq": n for name, n in sizes.items()},
        "artifacts": {f"{name}_groups_csv": f"artifacts/holdout/{name}_groups.csv" for name in sizes},
    }


def _artifacts(
    prepared: Prepared, bundles: dict[str, dict[str, np.ndarray]], tables: dict[str, str], sha256: dict[str, str]
) -> dict[str, Any]:
    encoded = prepared.encoded
    return {
        "csv": tables,
        "encoders": {
            "ohe": dict.fromkeys(encoded.categories, SCALERS),
            "coord_scaler": SCALERS,
            "main_scaler": SCALERS,
            "scaled_ml_numeric_cols": list(encoded.main.names),
        },
        "sequences": {"dims": {"output_subsidence_dim": 1, "output_gwl_dim": 1}},
        "numpy": {f"{name}_npz": f"artifacts/{name}.npz" for name in bundles},
        "shapes": {
            name: {key: list(array.shape) for key, array in arrays.items()}
            for name, arrays in bundles.items()
            if not name.startswith("future")
        },
        "report": "prepare_report.json",
        "sha256": sha256,
    }


def _versions() -> dict[str, str]:
    """Of what made the handoff; the patch release of Python changes no byte of it."""
    names = {"numpy": "numpy", "pandas": "pandas", "sklearn": "scikit-learn"}
    found = {key: _installed(package) for key, package in names.items()}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python, **{key: value for key, value in found.items() if value}}


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
