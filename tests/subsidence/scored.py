"""A small city for tests of scores: windows in SI, their semantics; and the real handoff, where it is at hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.units import SECONDS_PER_YEAR
from tasks.subsidence.arrays import Prediction, Split
from tasks.subsidence.semantics import Affine, Axes, ResidualScales, Semantics, Standardisation

T, H = 5, 3
ORIGIN = (700_000.0, 2_450_000.0)
EXTENT_M = 10_000.0
EPSG = 32649
LEVELS = (0.1, 0.5, 0.9)
HANDOFF = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "subsidence" / "zhongshan"

needs_handoff = pytest.mark.skipif(not HANDOFF.is_dir(), reason="the real data are not beside this checkout")


def semantics(**changes) -> Semantics:
    """T = 5 years 2015-2019, H = 3 years 2020-2022; coordinates normalized by a 10 km box."""
    known = {
        "city": "testville",
        "time_steps": T,
        "horizon": H,
        "mode": "tft_like",
        "train_end_year": 2022,
        "forecast_start_year": 2023,
        "time_units": "year",
        "seconds_per_time_unit": SECONDS_PER_YEAR,
        "dynamic_names": ("depth_m", "subsidence_cum_m", "thickness_censored"),
        "static_names": ("lithology_Clay", "lithology_Sand", "z_surf_m"),
        "future_names": ("rainfall_mm",),
        "depth_index": 0,
        "subsidence_index": 1,
        "z_surf_index": 2,
        "one_hot_blocks": {"lithology": (0, 1)},
        "use_head_proxy": False,
        "coords_normalized": True,
        "coord_range": Axes(t=7.0, x=EXTENT_M, y=EXTENT_M),
        "coord_min": Axes(t=2015.0, x=ORIGIN[0], y=ORIGIN[1]),
        "coord_scale_si": Axes(t=7.0 * SECONDS_PER_YEAR, x=EXTENT_M, y=EXTENT_M),
        "epsg": EPSG,
        "georeference": "absolute",
        "future_time_shift": 0.0,
        "subsidence_affine": Affine(),
        "head_affine": Affine(),
        "thickness_affine": Affine(),
        "thickness_cap_m": 30.0,
        "standardisation": Standardisation(sigma_s=(0.01,) * H, sigma_h=(1.0,) * H, mean={}, std={}),
        "residual_scales": ResidualScales(
            T_c=SECONDS_PER_YEAR, h_c=1.0, s_c=0.01, L_c=10.0, L_xy=500.0, Ss_c=1e-4, Sa_c=1e-5, K_c=1e-10
        ),
        "bounds": {},
        "public": {},
    }
    return Semantics(**{**known, **changes})


def windows(name: str, n: int, *, seed: int = 0, first_year: int = 2015, noise_m: float = 0.002) -> Split:
    """n windows at random places whose increments follow rain and thickness, plus noise."""
    rng = np.random.default_rng([seed, n, first_year])
    place = rng.uniform(0, 1, (n, 2))
    thickness = rng.uniform(5, 35, n).clip(max=30)
    rain = rng.uniform(0, 1, (n, T + H))
    increment = 0.005 + 0.01 * rain + 0.0003 * thickness[:, None] + rng.normal(0, noise_m, (n, T + H))
    cumulative = np.cumsum(increment, axis=1)
    depth = 2 + 0.3 * np.arange(T + H) + rng.normal(0, 0.1, (n, T + H))
    z_surf = 5 + 3 * place[:, 0]
    clay = place[:, 1] > 0.5
    censored = np.repeat((thickness >= 30)[:, None], T, axis=1)
    years = np.arange(first_year + T, first_year + T + H)
    coords = np.empty((n, H, 3))
    coords[:, :, 0] = (years - 2015) / 7
    coords[:, :, 1:] = place[:, None]
    arrays = {
        "coords": coords,
        "dynamic": np.stack([depth[:, :T], cumulative[:, :T], censored], axis=2),
        "static": np.column_stack([clay, ~clay, z_surf]),
        "future": rain[:, :, None],
        "thickness": np.repeat(thickness[:, None, None], H, axis=1),
        "subsidence": cumulative[:, T:, None],
        "head": z_surf[:, None, None] - depth[:, T:, None],
    }
    return Split(name, **{key: array.astype(np.float32) for key, array in arrays.items()})


def toy_heads(truth: np.ndarray, *, half_width_m: float, noise_m: float, seed: int = 0) -> Prediction:
    """Forecasts whose median misses the truth (N, H) by Gaussian noise, with symmetric 80 % intervals; head alike."""
    rng = np.random.default_rng(seed)
    offsets = half_width_m * np.array([-1.0, 0.0, 1.0])

    def heads() -> np.ndarray:
        return (truth + rng.normal(0, noise_m, truth.shape))[:, :, None] + offsets

    return Prediction(LEVELS, heads(), heads())


def real_split(name: str) -> Split:
    """A split of the Zhongshan handoff (already SI)."""
    inputs = np.load(HANDOFF / "artifacts" / f"{name}_inputs.npz")
    targets = None if name == "future" else np.load(HANDOFF / "artifacts" / f"{name}_targets.npz")
    keys = ("coords", "dynamic_features", "static_features", "future_features", "H_field")
    truth = (None, None) if targets is None else (targets["subs_pred"], targets["gwl_pred"])
    return Split(name, *(inputs[key] for key in keys), *truth)


def real_semantics() -> Semantics:
    """What that handoff's manifest and scaling audit say of places, times and columns."""
    features = json.loads((HANDOFF / "manifest.json").read_text())["config"]["features"]
    return semantics(
        city="zhongshan",
        dynamic_names=tuple(features["dynamic"]),
        static_names=tuple(features["static"]),
        future_names=tuple(features["future"]),
        z_surf_index=8,
        one_hot_blocks={"lithology": (0, 1, 2, 3, 4), "lithology_class": (5, 6, 7)},
        coord_range=Axes(t=7.0, x=48242.5, y=62406.75),
        coord_min=Axes(t=2015.0, x=721473.1875, y=2457339.0),
        coord_scale_si=Axes(t=7.0 * SECONDS_PER_YEAR, x=48242.5, y=62406.75),
        future_time_shift=-1.0,
    )
