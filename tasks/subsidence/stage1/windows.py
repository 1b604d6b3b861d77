"""Windows of a handoff: T history years and H target years of whole points, in the public array layout (float32)."""

from dataclasses import dataclass

import numpy as np

from tasks.subsidence.stage1.encode import MinMax
from tasks.subsidence.stage1.panel_clean import Panel


@dataclass(frozen=True)
class Features:
    """Encoded features of all points: drivers per year (G, Y) by feature name, static columns (G, S)."""

    dynamic: dict[str, np.ndarray]
    future: dict[str, np.ndarray]
    static: np.ndarray
    static_names: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """What turns points and years into windows: lengths, mode, coordinates."""

    time_steps: int
    horizon: int
    mode: str
    x_m: np.ndarray  # (G,)
    y_m: np.ndarray  # (G,)
    coords: MinMax  # t, x, y


def inputs(panel: Panel, features: Features, layout: Layout, points: np.ndarray, end: int) -> dict[str, np.ndarray]:
    """Network inputs of windows whose last target year is `end`.

    coords (N, H, 3) normalized t, x, y of the target years; dynamic_features (N, T, D); static_features (N, S);
    future_features (N, T+H, F) tft_like or (N, H, F) pihal_like; H_field (N, H, 1) m of the last history year.
    """
    first_target = end - layout.horizon + 1
    history = panel.at(first_target - layout.time_steps, first_target - 1)
    target = panel.at(first_target, end)
    ahead = slice(history.start, target.stop) if layout.mode == "tft_like" else target
    thickness = panel.values["thickness"][points, history.stop - 1]
    return {
        "coords": _float32(_coords(layout, points, np.arange(first_target, end + 1))),
        "dynamic_features": _stack(features.dynamic, points, history),
        "static_features": _float32(features.static[points]),
        "future_features": _stack(features.future, points, ahead),
        "H_field": _float32(np.repeat(thickness[:, None, None], layout.horizon, axis=1)),
    }


def targets(panel: Panel, layout: Layout, points: np.ndarray, end: int) -> dict[str, np.ndarray]:
    """subs_pred and gwl_pred (N, H, 1): cumulative subsidence and hydraulic head, m."""
    years = panel.at(end - layout.horizon + 1, end)
    return {
        "subs_pred": _float32(panel.values["subsidence"][points, years, None]),
        "gwl_pred": _float32(panel.values["head"][points, years, None]),
    }


def unknown_targets(count: int, horizon: int) -> dict[str, np.ndarray]:
    """subsidence and gwl (N, H, 1), all NaN: nobody knows the future."""
    return {name: np.full((count, horizon, 1), np.nan, dtype=np.float32) for name in ("subsidence", "gwl")}


def _coords(layout: Layout, points: np.ndarray, years: np.ndarray) -> np.ndarray:
    shape = (len(points), len(years))
    axes = {
        "t": np.broadcast_to(years.astype(float), shape),
        "x": np.broadcast_to(layout.x_m[points, None], shape),
        "y": np.broadcast_to(layout.y_m[points, None], shape),
    }
    return np.stack([layout.coords.encode(values, name) for name, values in axes.items()], axis=-1)


def _stack(columns: dict[str, np.ndarray], points: np.ndarray, years: slice) -> np.ndarray:
    if not columns:
        return np.zeros((len(points), years.stop - years.start, 0), dtype=np.float32)
    return _float32(np.stack([values[points, years] for values in columns.values()], axis=-1))


def _float32(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)
