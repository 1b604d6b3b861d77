"""A hand-made handoff of a few dozen windows and the settings of a network small enough to train in seconds."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tasks.contracts.units import SECONDS_PER_YEAR
from tasks.subsidence.arrays import Split
from tasks.subsidence.build import init_manifest
from tasks.subsidence.config import Config, built_in
from tasks.subsidence.semantics import Affine, Axes, ResidualScales, Semantics, Standardisation

T, H = 4, 2
SIZES = {"train": 40, "val": 24, "test": 12, "future": 12}
DYNAMIC = ("depth", "subsidence_cum", "rainfall", "load")
STATIC = ("rock_a", "rock_b", "z_surf")
RANGE_M = (8_000.0, 6_000.0)
BOUNDS = {
    "K": (1e-12, 1e-7), "Ss": (1e-6, 1e-3), "tau": (604_800.0, 9_467_085_600.0), "H": (0.1, 30.0),
    "Ka": (1e-7, 1e-3), "Sa": (1e-6, 1e-4),
}  # fmt: skip
TINY = {
    "EMBED_DIM": 4, "HIDDEN_UNITS": 8, "LSTM_UNITS": 8, "ATTENTION_UNITS": 8, "NUMBER_HEADS": 2, "MEMORY_SIZE": 3,
    "VSN_UNITS": 4, "SCALES": [1], "EPOCHS": 3, "BATCH_SIZE": 16, "ATTENTION_LEVELS": ["cross"], "VERBOSE": 0,
}  # fmt: skip
NO_PHYSICS = {"MODEL_NAME": "HybridAttn-NoPhysics", "PDE_MODE_CONFIG": "none"}


def tiny_split(name: str, sem: Semantics | None = None, *, seed: int = 5) -> Split:
    """One split; settlement follows depth and a driver, with a rate that differs between places."""
    rng = np.random.default_rng([seed, sorted(SIZES).index(name)])
    n, start = SIZES[name], (H if name == "future" else 0)
    xy = rng.uniform(size=(n, 2))
    years = start + np.arange(T + H)
    rain = 0.5 + 0.3 * np.sin(1.7 * years) + 0.05 * rng.standard_normal((n, T + H))
    depth = 2.0 + xy[:, :1] + 0.3 * years * (0.5 + xy[:, 1:]) + 0.05 * rng.standard_normal((n, T + H))
    rate = 0.006 + 0.01 * xy[:, :1] + 0.004 * rain + 0.0005 * rng.standard_normal((n, T + H))
    settled, rock, z_surf = np.cumsum(rate, axis=1), rng.integers(0, 2, n), 5.0 + rng.standard_normal(n)
    load = np.repeat(rng.uniform(size=(n, 1)), T, axis=1)
    dynamic = np.stack([depth[:, :T], settled[:, :T], rain[:, :T], load], axis=2)
    static = np.stack([rock == 0, rock == 1, z_surf], axis=1)
    times = (years[T:] / (T + H - 1.0))[None].repeat(n, axis=0)
    coords = np.concatenate([times[..., None], np.repeat(xy[:, None], H, axis=1)], axis=2)
    thickness = np.repeat(rng.uniform(5, 25, size=(n, 1, 1)), H, axis=1)
    tft = sem is None or sem.mode == "tft_like"
    arrays = [coords, dynamic, static, (rain if tft else rain[:, T:])[..., None], thickness]
    targets = [settled[:, T:, None], (z_surf[:, None] - depth)[:, T:, None]]
    known = name != "future"
    floats = [np.ascontiguousarray(array, np.float32) for array in (*arrays, *targets)]
    return Split(name, *floats[:5], *(floats[5:] if known else (None, None)))


def tiny_semantics(**changes: Any) -> Semantics:
    """Finalized scaling of that handoff; any field can be changed."""
    train = tiny_split("train")
    last = train.dynamic[:, -1:]
    head = train.static[:, 2:3] - last[:, :, 0]
    values = {
        "city": "tiny", "time_steps": T, "horizon": H, "mode": "tft_like", "train_end_year": 2020,
        "forecast_start_year": 2021, "time_units": "year", "seconds_per_time_unit": SECONDS_PER_YEAR,
        "dynamic_names": DYNAMIC, "static_names": STATIC, "future_names": ("rainfall",), "depth_index": 0,
        "subsidence_index": 1, "z_surf_index": 2, "one_hot_blocks": {"rock": (0, 1)}, "use_head_proxy": False,
        "coords_normalized": True, "coord_range": Axes(t=T + H - 1.0, x=RANGE_M[0], y=RANGE_M[1]),
        "coord_min": Axes(t=2015.0, x=5e5, y=4e6), "georeference": "absolute", "future_time_shift": 0.0,
        "coord_scale_si": Axes(t=(T + H - 1.0) * SECONDS_PER_YEAR, x=RANGE_M[0], y=RANGE_M[1]), "epsg": 32649,
        "subsidence_affine": Affine(), "head_affine": Affine(), "thickness_affine": Affine(),
        "thickness_cap_m": None, "bounds": BOUNDS, "public": {"coords_normalized": True},
        "standardisation": Standardisation(
            sigma_s=tuple((train.subsidence[:, :, 0] - last[:, :, 1]).std(0).astype(float).tolist()),
            sigma_h=tuple((train.head[:, :, 0] - head).std(0).astype(float).tolist()),
            mean={"depth": 3.0, "subsidence": 0.03, "z_surf": 5.0, "thickness": 15.0},
            std={"depth": 0.6, "subsidence": 0.02, "z_surf": 1.0, "thickness": 6.0},
        ),
        "residual_scales": ResidualScales(
            T_c=SECONDS_PER_YEAR, h_c=0.2, s_c=3e-3, L_c=15.0, L_xy=400.0, Ss_c=10**-4.5, Sa_c=1e-5, K_c=10**-9.5
        ),
    }  # fmt: skip
    return Semantics(**{**values, **changes})


def tiny_config(**changes: Any) -> Config:
    """Built-in values with tiny sizes."""
    return Config({**built_in(), **TINY, **changes})


def tiny_manifest(sem: Semantics | None = None, **changes: Any) -> dict[str, Any]:
    """An init manifest with few space features."""
    return {**init_manifest(sem or tiny_semantics(), tiny_config(**changes)), "space_features": 16}


class MemoryProgress:
    """Saved progress in memory; keeps every generation."""

    def __init__(self, start: dict[str, bytes] | None = None):
        self.saved = [] if start is None else [start]

    def save(self, files: dict[str, bytes]) -> None:
        self.saved.append(dict(files))

    def load(self) -> dict[str, bytes] | None:
        return self.saved[-1] if self.saved else None


def workspace(
    folder: Path, *, progress: MemoryProgress | None = None, stop_after: int | None = None
) -> SimpleNamespace:
    """What a step body gets; asked for the `stop_after`-th time whether to stop, it says yes."""
    asked, told = [], []

    def stopping() -> bool:
        asked.append(1)
        return stop_after is not None and len(asked) > stop_after

    return SimpleNamespace(
        store=None, scratch=folder, progress=progress or MemoryProgress(), stopping=stopping, accelerator="cpu",
        tell=lambda share, text: told.append((share, text)), told=told, telemetry={},
    )  # fmt: skip
