"""Small, literal inputs for the tests of the physics core."""

import numpy as np
import tensorflow as tf

from tasks.contracts.units import SECONDS_PER_YEAR as YEAR_S
from tasks.subsidence.fields import CoordinateFields
from tasks.subsidence.ground.physics import PhysicsSpec
from tasks.subsidence.semantics import Axes, ResidualScales

BOUNDS = {
    "K": (1e-12, 1e-7),
    "Ss": (1e-6, 1e-3),
    "tau": (604_800.0, 9_467_085_600.0),
    "H": (0.1, 30.0),
    "Ka": (1e-7, 1e-3),
    "Sa": (1e-6, 1e-4),
}
RANGE = Axes(t=7.0, x=48_242.5, y=62_406.75)
MINIMUM = Axes(t=2015.0, x=721_473.1875, y=2_457_339.0)
SCALES = ResidualScales(
    T_c=YEAR_S, h_c=0.76, s_c=8.5e-3, L_c=20.0, L_xy=3120.3375, Ss_c=10**-4.5, Sa_c=1e-5, K_c=10**-9.5
)


def spec(**changes) -> PhysicsSpec:
    """Default physics on normalized coordinates of a city 48 km wide; any setting can be changed."""
    half = Axes(t=0.5, x=0.5, y=0.5)
    values = {
        "pde_mode": "both",
        "bounds": BOUNDS,
        "time_steps": 5,
        "scales": SCALES,
        "sigma_s": (0.0091, 0.0134, 0.0169),
        "sigma_h": (0.69, 0.69, 0.69),
        "coord_center": half,
        "coord_half": half,
        "coord_scale_si": Axes(t=RANGE.t * YEAR_S, x=RANGE.x, y=RANGE.y),
        "head_mean_m": -1.0,
        "head_scale_m": 3.0,
        "class_columns": (0, 1),
    }
    return PhysicsSpec(**{**values, **changes})


def fields(dtype: str = "float64", *, lively: bool = True, seed: int = 3, **changes) -> CoordinateFields:
    """Fields with clearly visible gradients (`lively`), so that a lost derivative cannot hide."""
    layer = CoordinateFields(spec(**changes), seed=seed, dtype=dtype)
    if lively:
        for stack in (layer.space, layer.spacetime):
            if stack is not None:
                stack.kernels[2].assign(stack.kernels[2] * 10.0)
        layer.head_plane.assign([0.3, -0.5, 0.2])
    return layer


def site(count: int = 4, horizon: int = 3, dtype=np.float64) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """coords (count, horizon, 3), static (count, 3), thickness (count, horizon, 1) m."""
    generator = np.random.default_rng(11)
    coords = np.repeat(generator.uniform(size=(count, 1, 3)), horizon, axis=1)
    coords[..., 0] = np.array([5.0, 6.0, 7.0])[:horizon] / 7.0
    static = np.zeros((count, 3))
    static[::2, 0], static[1::2, 1], static[:, 2] = 1.0, 1.0, 4.0
    thickness = np.full((count, horizon, 1), 12.0)
    return tuple(tf.constant(part.astype(dtype)) for part in (coords, static, thickness))


def scattered(count: int = 6, dtype=np.float64) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """coords (count, 3), static (count, 3), thickness (count,) m."""
    generator = np.random.default_rng(12)
    coords, static = generator.uniform(size=(count, 3)), np.zeros((count, 3))
    return tuple(tf.constant(part.astype(dtype)) for part in (coords, static, np.full(count, 15.0)))
