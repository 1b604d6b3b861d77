"""Flat metrics as tables for a terminal: the model and every baseline on the same rows."""

from collections.abc import Mapping

COLUMNS = {
    "mae_mm": "MAE mm",
    "rmse_mm": "RMSE mm",
    "r2": "R2",
    "crps_mm": "CRPS mm",
    "coverage80": "coverage",
    "width80_mm": "width mm",
    "head_mae_m": "head MAE m",
}
TITLES = {
    "test": "Held-out places (test split); coverage and width of the 80 % interval",
    "val": "Validation places; coverage and width of the 80 % interval",
    "future": "Years after training; coverage and width of the 80 % interval",
}
# Interpolation between neighbours of the same years: good scores, but no forecast.
LABELS = {"gradient_boosting_full": "gradient boosting, all trees"}
NOT_FORECASTS = ("inverse_distance", "ridge_inverse_distance")


def score_rows(metrics: Mapping[str, float | None]) -> dict[str, list[dict[str, str]]]:
    """Title to rows, one row a method, best MAE first; splits without scores are left out."""
    tables = {}
    for split, title in TITLES.items():
        rows = [_row(method, f"{prefix}{split}.", metrics) for method, prefix in _methods(metrics, split)]
        if rows:
            tables[title] = sorted(rows, key=lambda row: _sort_key(row[COLUMNS["mae_mm"]]))
    return tables


def _methods(metrics: Mapping[str, float | None], split: str) -> list[tuple[str, str]]:
    """(name, key prefix) of the model and of every baseline that was scored on the split."""
    if f"{split}.mae_mm" not in metrics:
        return []
    names = {key.split(".")[1]: None for key in metrics if key.startswith("baselines.") and f".{split}." in key}
    return [("this model", ""), *((_label(name), f"baselines.{name}.") for name in names)]


def _label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " ")) + (" (not a forecast)" if name in NOT_FORECASTS else "")


def _row(method: str, prefix: str, metrics: Mapping[str, float | None]) -> dict[str, str]:
    return {"method": method} | {title: _cell(metrics.get(prefix + key)) for key, title in COLUMNS.items()}


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def _sort_key(cell: str) -> float:
    return float("inf") if cell == "-" else float(cell)
