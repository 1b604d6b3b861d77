"""Small panels as text: 40 points on a jittered grid, years 2015-2023, and ways to spoil them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tasks.subsidence.prepare import PreparedHandoff, PrepareOptions, prepare

YEARS = range(2015, 2024)
Row = dict[str, Any]


def panel_rows(points: int = 40) -> list[Row]:
    """One dict per point and year; depth in m, subsidence in mm, everything exactly representable in short decimals."""
    rng = np.random.default_rng(5)
    rows = []
    for point in range(points):
        lon, lat = 113.3 + 0.01 * (point % 8), 22.5 + 0.01 * (point // 8) + round(float(rng.uniform(0, 2e-3)), 6)
        rate, total = 8.0 + point % 7, 0.0
        for year in YEARS:
            total = round(total + rate + float(rng.uniform(-1, 1)), 4)
            depth = round(2.0 + 0.1 * (point % 5) + 0.2 * (year - 2015), 4)
            rows.append(
                {
                    "longitude": lon,
                    "latitude": round(lat, 6),
                    "year": year,
                    "lithology": ("Clay", "Sand")[point % 2],
                    "rainfall_mm": 1500.0 + 50 * (year % 3) + point,
                    "soil_thickness": 5.0 + point,
                    "subsidence_cum": total,
                    "urban_load_global": round(0.02 * (point % 40), 4),
                    "GWL_depth_bgs_m": depth,
                    "z_surf_m": 6.0,
                    "head_m": round(6.0 - depth, 4),
                    "city": "Testville",
                    "lithology_class": "Soil",
                }
            )
    return rows


def to_text(rows: list[Row], *, delimiter: str = ",", decimal: str = ".") -> str:
    """The rows as a table with a header; strings are written as they are."""

    def cell(value: Any) -> str:
        return value if isinstance(value, str) else repr(value).replace(".", decimal)

    lines = [delimiter.join(rows[0])]
    lines += [delimiter.join(cell(value) for value in row.values()) for row in rows]
    return "\n".join(lines) + "\n"


def spoil(
    rows: list[Row], change: Callable[[Row], Any], *, where: Callable[[Row], bool] = lambda row: True
) -> list[Row]:
    """The rows with `change` applied to those that `where` picks."""
    for row in rows:
        if where(row):
            change(row)
    return rows


def write_panel(folder: Path, rows: list[Row] | None = None, **style: str) -> Path:
    """A panel CSV in `folder`."""
    path = folder / "panel.csv"
    path.write_text(to_text(panel_rows() if rows is None else rows, **style), encoding="utf-8")
    return path


def options(**changes: Any) -> PrepareOptions:
    """Options for the small panel: T = 5, H = 3, the last training year 2022."""
    return PrepareOptions(**{"city": "testville", "train_end_year": 2022, "test_frac": 0.2, **changes})


def prepare_rows(folder: Path, rows=None, out: str = "out", style: dict | None = None, **changes) -> PreparedHandoff:
    """Prepare the given rows (default: the small panel) into folder/out."""
    return prepare(write_panel(folder, rows, **(style or {})), folder / out, options(**changes))


def read_arrays(prepared: PreparedHandoff, name: str) -> dict[str, np.ndarray]:
    """One bundle of a handoff."""
    return dict(np.load(prepared.manifest.parent / "artifacts" / f"{name}.npz"))


def read_record(prepared: PreparedHandoff, name: str = "manifest.json") -> dict:
    """A JSON file of a handoff, the manifest by default."""
    return json.loads((prepared.manifest.parent / name).read_bytes())


def read_groups(prepared: PreparedHandoff, split: str) -> np.ndarray:
    """Longitude and latitude of the points of a split, (n, 2)."""
    path = prepared.manifest.parent / f"artifacts/holdout/{split}_groups.csv"
    return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)


def digests(folder: Path) -> dict[str, str]:
    """Relative path to sha256 of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
