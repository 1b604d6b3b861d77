"""The synthetic city behind the mini handoff: panel, windows, groups, scalers. numpy and pyproj only."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

CITY, EPSG, SEED = "minicity", 32649, 7
TIME_STEPS, HORIZON = 5, 3
TRAIN_END_YEAR, FORECAST_START_YEAR = 2022, 2023
YEARS = np.arange(2015, 2024)  # the last one only in the panel and in the out-of-time split
CAP_M = 30.0
COUNTS = {"train": 60, "val": 20, "test": 20, "future": 40}
LITHOLOGY = ("Clay", "Sand", "Rock")
LITHOLOGY_CLASS = ("Fine", "Coarse")
STATIC = [f"lithology_{name}" for name in LITHOLOGY] + [f"lithology_class_{name}" for name in LITHOLOGY_CLASS]
STATIC = [*STATIC, "z_surf_m__si"]
DYNAMIC = [
    "GWL_depth_bgs_m__si",
    "subsidence_cum__si",
    "rainfall_mm",
    "urban_load_global",
    "soil_thickness_censored",
]
FUTURE = ["rainfall_mm"]
SCALED = ["rainfall_mm", "soil_thickness_censored"]

Bundles = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class MiniCity:
    """100 locations on a jittered 1.2 km grid, blocks of columns per split; SI units, mm for rain."""

    split: np.ndarray  # (100,) train, val or test
    lonlat: np.ndarray  # (100, 2) degrees
    xy: np.ndarray  # (100, 2) m, zone of EPSG
    rock: np.ndarray  # (100,) index into LITHOLOGY
    z_surf: np.ndarray  # (100,) m
    thickness: np.ndarray  # (100,) m
    depth: np.ndarray  # (100, years) m below ground
    subsidence: np.ndarray  # (100, years) cumulative m since the first year
    rain: np.ndarray  # (100, years) mm
    load: np.ndarray  # (100, years) 0..1


@lru_cache
def mini_city(seed: int = SEED) -> MiniCity:
    """The panel behind the handoff: depth grows, settlement follows depth and thickness."""
    rng = np.random.default_rng(seed)
    split = np.repeat(["train", "train", "train", "val", "val", "test", "test", "train", "train", "train"], 10)
    lonlat, xy = _locations(rng, split)
    u, v = (xy - xy.min(axis=0)).T / np.ptp(xy, axis=0)[:, None]
    age = np.arange(len(YEARS))
    thickness = np.minimum(2 + 36 * v * (0.7 + 0.3 * u) + rng.uniform(0, 2, 100), CAP_M)
    swing = 0.2 * np.sin(1.7 * age + 3 * u[:, None])
    depth = 1.0 + 3 * v[:, None] + 0.25 * age * (1 + u[:, None]) + swing + rng.normal(0, 0.02, (100, len(YEARS)))
    rate = 0.004 + 0.0004 * thickness[:, None] * (1 + 0.2 * depth) + rng.uniform(0, 1e-3, depth.shape)
    rain = 1500 + 300 * np.sin(2.1 * age) + 100 * v[:, None] + rng.normal(0, 20, depth.shape)
    load = np.clip(0.2 + 0.5 * u[:, None] + 0.02 * age + rng.normal(0, 0.01, depth.shape), 0, 1)
    rock = rng.integers(0, 3, 100)
    z_surf = 4 + 3 * v + rng.normal(0, 0.1, 100)
    return MiniCity(split, lonlat, xy, rock, z_surf, thickness, depth, np.cumsum(rate, axis=1), rain, load)


def _locations(rng: np.random.Generator, split: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude with six decimals, and the metres they project to; train spans the whole extent."""
    from pyproj import Transformer

    column, row = np.divmod(np.arange(100), 10)
    jitter = rng.uniform(-250, 250, (100, 2))
    outer = np.isin(np.arange(100), (0, 99))
    jitter[outer] = [[-400, -400], [400, 400]]
    raw = np.stack([700_000 + 1200 * column, 2_450_000 + 1200 * row], axis=1) + jitter
    assert (split[outer] == "train").all()
    back = Transformer.from_crs(EPSG, 4326, always_xy=True)
    lonlat = np.round(np.stack(back.transform(*raw.T), axis=1), 6)
    forth = Transformer.from_crs(4326, EPSG, always_xy=True)
    return lonlat, np.stack(forth.transform(*lonlat.T), axis=1)


@dataclass(frozen=True)
class _Scale:
    """MinMax of coordinates and rain, fitted on the train locations up to the last train year."""

    minimum: np.ndarray  # (3,) t, x, y
    span: np.ndarray  # (3,)
    rain: tuple[float, float]  # mm: minimum and span


def fit(city: MiniCity) -> _Scale:
    train = city.split == "train"
    corner = city.xy[train].min(axis=0), city.xy[train].max(axis=0)
    seen = city.rain[train][:, YEARS <= TRAIN_END_YEAR]
    low = np.array([YEARS[0], *corner[0]], float)
    span = np.array([TRAIN_END_YEAR - YEARS[0], *(corner[1] - corner[0])], float)
    return _Scale(low, span, (float(seen.min()), float(np.ptp(seen))))


def _inputs(city: MiniCity, scale: _Scale, rows: np.ndarray, first: int) -> dict[str, np.ndarray]:
    """Input arrays of the windows at `rows` whose history starts in year `first`."""
    start = first - YEARS[0]
    history = slice(start, start + TIME_STEPS)
    targets = first + TIME_STEPS + np.arange(HORIZON)
    place = np.broadcast_to(city.xy[rows][:, None], (len(rows), HORIZON, 2))
    time = np.broadcast_to(targets[None, :, None], (len(rows), HORIZON, 1))
    coords = (np.concatenate([time, place], axis=2) - scale.minimum) / scale.span
    rain = (_known_rain(city)[rows] - scale.rain[0]) / scale.rain[1]
    capped = (city.thickness[rows] >= CAP_M).astype(float)[:, None]
    dynamic = [city.depth[rows, history], city.subsidence[rows, history], rain[:, history], city.load[rows, history]]
    dynamic.append(np.broadcast_to(capped, (len(rows), TIME_STEPS)))
    rocks = np.eye(3)[city.rock[rows]]
    classes = np.eye(2)[(city.rock[rows] > 0).astype(int)]
    arrays = {
        "coords": coords,
        "dynamic_features": np.stack(dynamic, axis=2),
        "static_features": np.concatenate([rocks, classes, city.z_surf[rows][:, None]], axis=1),
        "future_features": rain[:, start : start + TIME_STEPS + HORIZON, None],
        "H_field": np.repeat(city.thickness[rows][:, None, None], HORIZON, axis=1),
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _known_rain(city: MiniCity) -> np.ndarray:
    """(100, years + 2) mm: the panel, then two years of a scenario."""
    return np.concatenate([city.rain, city.rain[:, :1] * 1.01, city.rain[:, 1:2] * 0.98], axis=1)


def _targets(city: MiniCity, rows: np.ndarray, first: int) -> dict[str, np.ndarray]:
    at = slice(first - YEARS[0] + TIME_STEPS, first - YEARS[0] + TIME_STEPS + HORIZON)
    head = city.z_surf[rows][:, None] - city.depth[rows, at]
    pair = {"subs_pred": city.subsidence[rows, at], "gwl_pred": head}
    return {name: array[:, :, None].astype(np.float32) for name, array in pair.items()}


def mini_bundles(city: MiniCity, *, oos_time: bool = False) -> Bundles:
    """All NPZ contents by bundle name (train_inputs, train_targets, ..., future_targets)."""
    scale, bundles = fit(city), {}
    for split in ("train", "val", "test"):
        rows = np.flatnonzero(city.split == split)
        bundles[f"{split}_inputs"] = _inputs(city, scale, rows, 2015)
        bundles[f"{split}_targets"] = _targets(city, rows, 2015)
    held_out = np.flatnonzero(city.split != "train")
    bundles["future_inputs"] = _inputs(city, scale, held_out, 2018)
    nothing = np.full((len(held_out), HORIZON, 1), np.nan, np.float32)
    bundles["future_targets"] = {"subsidence": nothing, "gwl": nothing.copy()}
    if oos_time:
        bundles["oos_time_inputs"] = _inputs(city, scale, held_out, 2016)
        bundles["oos_time_targets"] = _targets(city, held_out, 2016)
    return bundles


def mini_holdout(city: MiniCity) -> dict[str, np.ndarray]:
    """Longitude and latitude of the groups of each split, (n, 2)."""
    return {split: city.lonlat[city.split == split] for split in ("train", "val", "test")}


def mini_panel(city: MiniCity) -> tuple[list[str], np.ndarray]:
    """Header and rows (100 x years) of the panel: depth in m, subsidence in mm."""
    names = ["longitude", "latitude", "year", "rainfall_mm", "soil_thickness", "subsidence", "subsidence_cum"]
    names += ["GWL_depth_bgs", "GWL_depth_bgs_raw", "GWL_depth_bgs_m", "z_surf", "z_surf_m", "head_m"]
    years = len(YEARS)
    rate = np.diff(city.subsidence, axis=1, prepend=0.0)
    longitude, latitude, thickness, z_surf = (
        np.repeat(values, years) for values in (*city.lonlat.T, city.thickness, city.z_surf)
    )
    depth = city.depth.ravel()
    columns = [longitude, latitude, np.tile(YEARS, 100), city.rain.ravel(), thickness]
    columns += [rate.ravel() * 1000, city.subsidence.ravel() * 1000]
    columns += [depth, depth, depth, z_surf, z_surf, z_surf - depth]
    return names, np.stack(columns, axis=1)


def mini_audit(city: MiniCity) -> dict[str, Any]:
    """The part of stage1_scaling_audit.json that is read: minima and maxima of the coordinates."""
    scale = fit(city)
    return {
        "coord_scaler": {
            "data_min_(t,x,y)": scale.minimum.tolist(),
            "data_max_(t,x,y)": (scale.minimum + scale.span).tolist(),
            "coord_ranges(chain_rule)": dict(zip("txy", scale.span.tolist(), strict=True)),
        }
    }


def mini_scalers(city: MiniCity) -> dict[str, Any]:
    """scalers.json: stored = (value - min) / scale, coordinates and MinMax drivers."""
    scale = fit(city)
    low, span = [scale.rain[0], 0.0], [scale.rain[1], 1.0]
    return {
        "coords": _minmax(["t", "x", "y"], scale.minimum.tolist(), scale.span.tolist()),
        "main": _minmax(list(SCALED), low, span),
    }


def _minmax(names: list[str], low: list[float], span: list[float]) -> dict[str, Any]:
    return {"kind": "minmax", "feature_names": names, "min": low, "scale": span}
