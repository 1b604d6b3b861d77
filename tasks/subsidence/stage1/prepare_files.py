"""The files of a handoff: bundles, scalers, hold-out lists, tables, audit and report; and the manifest over them."""

from typing import Any

import numpy as np

from tasks.contracts.units import MM_PER_M
from tasks.store.jsons import canonical_json
from tasks.store.npz_writer import write_npz
from tasks.subsidence.stage1.prepare_manifest import manifest
from tasks.subsidence.stage1.prepare_report import report, scaling_audit
from tasks.subsidence.stage1.prepare_types import Prepared
from tasks.subsidence.stage1.publish import SCHEMA_VERSION, csv_bytes, digests
from tasks.subsidence.stage1.windows import inputs, targets, unknown_targets

Bundles = dict[str, dict[str, np.ndarray]]


def handoff_files(prepared: Prepared, raw: bytes) -> tuple[dict[str, bytes], bytes]:
    """Relative path to bytes of every file, and the bytes of the manifest that names them by sha256."""
    arrays = bundles(prepared)
    city = prepared.options.city
    suffix = ".csv.gz" if raw[:2] == b"\x1f\x8b" else ".csv"
    tables = {"raw": f"{city}_01_raw{suffix}", "clean": f"{city}_02_clean.csv", "scaled": f"{city}_03_scaled.csv"}
    files = {f"artifacts/{name}.npz": write_npz(content) for name, content in arrays.items()}
    for split, points in prepared.holdouts.points.items():
        files[f"artifacts/holdout/{split}_groups.csv"] = _groups_csv(prepared, points)
    files[tables["raw"]] = raw
    files[tables["clean"]] = csv_bytes(_clean_columns(prepared))
    files[tables["scaled"]] = csv_bytes(_scaled_columns(prepared))
    files["scalers.json"] = canonical_json(scalers(prepared))
    files["stage1_scaling_audit.json"] = canonical_json(scaling_audit(prepared, arrays))
    files["prepare_report.json"] = canonical_json(report(prepared))
    return files, canonical_json(manifest(prepared, arrays, tables, digests(files)))


def bundles(prepared: Prepared) -> Bundles:
    """All NPZ contents by name. Splits without points are left out; `future` holds every kept point."""
    panel, layout = prepared.panel, prepared.layout
    made: Bundles = {}
    for split, points in prepared.holdouts.points.items():
        if len(points):
            end = prepared.holdouts.window_end[split]
            made[f"{split}_inputs"] = inputs(panel, prepared.encoded.features, layout, points, end)
            made[f"{split}_targets"] = targets(panel, layout, points, end)
    everyone = np.arange(len(panel))
    end = prepared.years.train_end + layout.horizon
    made["future_inputs"] = inputs(panel, prepared.encoded.features, layout, everyone, end)
    made["future_targets"] = unknown_targets(len(everyone), layout.horizon)
    return made


def scalers(prepared: Prepared) -> dict[str, Any]:
    """Everything that was fitted on train points."""
    encoded = prepared.encoded
    return {
        "schema_version": SCHEMA_VERSION,
        "formula": "stored = (value - min) / scale",
        "coords": encoded.coords.as_json(),
        "main": encoded.main.as_json(),
        "one_hot": {name: list(found) for name, found in encoded.categories.items()},
    }


def _groups_csv(prepared: Prepared, points: np.ndarray) -> bytes:
    panel = prepared.panel
    return csv_bytes({"longitude": panel.longitude[points], "latitude": panel.latitude[points]})


def _clean_columns(prepared: Prepared) -> dict[str, np.ndarray]:
    """Every row of the kept points that has its required values, later years too: original names, and SI as `__si`."""
    panel, layout = prepared.panel, prepared.layout
    shape = panel.line.shape
    values = panel.values
    columns = {
        "longitude": panel.longitude[:, None],
        "latitude": panel.latitude[:, None],
        "year": panel.years[None],
        "x_m": np.round(layout.x_m, 3)[:, None],
        "y_m": np.round(layout.y_m, 3)[:, None],
        **{panel.columns[role]: texts for role, texts in panel.texts.items()},
        **{panel.columns[role]: values[role] for role in ("rainfall", "urban") if role in values},
        "soil_thickness": values["thickness_raw"],
        "soil_thickness_censored": values["censored"],
        "soil_thickness_eff__si": values["thickness"],
        "subsidence_cum": np.round(values["subsidence"] * MM_PER_M, 9),
        "subsidence_cum__si": values["subsidence"],
        "GWL_depth_bgs_m__si": values["depth"],
        "head_m__si": values["head"],
    }
    if "z_surf" in values:
        columns["z_surf_m__si"] = values["z_surf"]
    present = panel.line >= 0
    return {name: np.broadcast_to(column, shape)[present] for name, column in columns.items()}


def _scaled_columns(prepared: Prepared) -> dict[str, np.ndarray]:
    """Encoded features of the years that windows use, one row per point and year."""
    panel, features = prepared.panel, prepared.encoded.features
    years = panel.at(prepared.years.first, prepared.years.train_end)
    shape = (len(panel), years.stop - years.start)
    columns = {
        "longitude": panel.longitude[:, None],
        "latitude": panel.latitude[:, None],
        "year": panel.years[years][None],
    }
    columns |= {name: values[:, years] for name, values in features.dynamic.items()}
    columns |= {name: features.static[:, [at]] for at, name in enumerate(features.static_names)}
    columns |= {
        "soil_thickness_eff__si": panel.values["thickness"][:, years],
        "head_m__si": panel.values["head"][:, years],
    }
    return {name: np.broadcast_to(column, shape).ravel() for name, column in columns.items()}
