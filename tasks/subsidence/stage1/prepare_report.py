"""What a prepare run did to its data: losses with reasons, ranges of what it wrote, and where the scalers come from."""

from typing import Any

import numpy as np

from tasks.subsidence.stage1.prepare_types import DEPTH, HEAD, SUBSIDENCE, THICKNESS, Prepared


def report(prepared: Prepared) -> dict[str, Any]:
    """Rows and points dropped, by reason, with the first file lines; fills, warnings and the options used."""
    rejects = prepared.rejects
    return {
        "dropped_rows": {
            reason: {"count": count, "first_lines": rejects.lines[reason]} for reason, count in rejects.counts.items()
        },
        "dropped_groups": prepared.dropped_groups,
        "kept_groups": len(prepared.panel),
        "filled_driver_gaps": prepared.encoded.filled,
        "future_drivers": prepared.encoded.future_drivers,
        "columns": prepared.panel.columns,
        "warnings": list(prepared.warnings),
        "options": prepared.options.model_dump(mode="json"),
    }


def scaling_audit(prepared: Prepared, bundles: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """The scaling audit under its public keys; coordinate minima are read from here where scalers.json is lost."""
    panel, encoded, layout = prepared.panel, prepared.encoded, prepared.layout
    train = prepared.holdouts.points["train"]
    seen = panel.at(prepared.years.first, prepared.holdouts.window_end["train"])
    coords, low, high = bundles["train_inputs"]["coords"], encoded.coords.min, encoded.coords.min + encoded.coords.scale
    scaled = list(encoded.main.names)
    series = {SUBSIDENCE: "subsidence", DEPTH: "depth", HEAD: "head", THICKNESS: "thickness"}
    return {
        "provenance": {
            "COORD_MODE": "degrees",
            "coords_in_degrees": False,
            "coord_epsg_used": prepared.epsg,
            "COORD_X_COL_USED": "x_m",
            "COORD_Y_COL_USED": "y_m",
            "X_COL_USED": "x_m",
            "Y_COL_USED": "y_m",
            "TIME_COL_USED": panel.columns["year"],
            "NORMALIZE_COORDS": True,
            "KEEP_COORDS_RAW": False,
            "SHIFT_RAW_COORDS": True,
        },
        "raw_stats": {
            "t_raw(df_train)": _stats(panel.years[seen]),
            "x_raw(df_train)": _stats(layout.x_m[train]),
            "y_raw(df_train)": _stats(layout.y_m[train]),
        },
        "model_coords": {
            "coords.shape": str(coords.shape),
            **{f"{axis}_in_model": _stats(coords[..., at]) for at, axis in enumerate("txy")},
            "t_unique_norm": np.unique(coords[..., 0]).tolist(),
        },
        "coord_scaler": {
            "coord_scaler": "MinMax fitted on train points",
            "data_min_(t,x,y)": low.tolist(),
            "data_max_(t,x,y)": high.tolist(),
            "coord_ranges(chain_rule)": dict(zip(encoded.coords.names, encoded.coords.scale.tolist(), strict=True)),
        },
        "physics_df_stats": {name: _stats(panel.values[role][train][:, seen]) for name, role in series.items()},
        "targets_stats": {
            "targets.subsidence": _stats(bundles["train_targets"]["subs_pred"]),
            "targets.gwl(head)": _stats(bundles["train_targets"]["gwl_pred"]),
        },
        "scaled_ml_numeric_cols": scaled,
        "feature_split": {
            "dynamic_features": _kinds(list(encoded.features.dynamic), scaled),
            "static_features": _kinds(list(encoded.features.static_names), scaled),
            "future_features": _kinds(list(encoded.features.future), scaled),
        },
        "scalers": {
            "main_scaler_path": "scalers.json",
            "scaled_ml_numeric_cols": scaled,
            "scaler_info": {
                name: {"scaler_path": "scalers.json", "all_features": scaled, "idx": at}
                for at, name in enumerate(scaled)
            },
        },
    }


def _stats(values: np.ndarray) -> dict[str, float]:
    numbers = np.asarray(values, dtype=np.float64)
    return {
        "min": float(numbers.min()),
        "max": float(numbers.max()),
        "mean": float(numbers.mean()),
        "std": float(numbers.std()),
    }


def _kinds(names: list[str], scaled: list[str]) -> dict[str, Any]:
    si = [name for name in names if name.endswith("__si")]
    return {
        "count": len(names),
        "scaled_by_main_scaler": [name for name in names if name in scaled],
        "si_unscaled": si,
        "other_unscaled_mixed": [n for n in names if n not in scaled and n not in si],
    }
