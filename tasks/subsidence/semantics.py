"""The finalized meaning of every number of a handoff: names, units, scales, bounds. Content of scaling_kwargs.json."""

from typing import Any, Literal

from pydantic import Field

from tasks.contracts.base import Frozen


class Axes(Frozen):
    """One number per coordinate axis."""

    t: float
    x: float
    y: float


class Affine(Frozen):
    """value_SI = scale * value + bias."""

    scale: float = 1.0
    bias: float = 0.0


class Standardisation(Frozen):
    """Train-split statistics; inputs are standardised inside the model."""

    sigma_s: tuple[float, ...] = Field(description="(H,) std over train of target - last observed subsidence, m")
    sigma_h: tuple[float, ...] = Field(description="(H,) the same for head, m")
    mean: dict[str, float] = Field(description="depth, subsidence, z_surf, thickness")
    std: dict[str, float]


class ResidualScales(Frozen):
    """Characteristic scales of the physics, from the train split, fixed."""

    T_c: float = Field(description="one time unit, s")
    h_c: float = Field(description="std of annual head change, m")
    s_c: float = Field(description="std of annual subsidence increment, m")
    L_c: float = Field(description="median compressible thickness, m")
    L_xy: float = Field(description="0.05 of the larger extent, m")
    Ss_c: float = Field(description="1/m")
    Sa_c: float = Field(description="1/m")
    K_c: float = Field(description="m/s")


class Semantics(Frozen):
    """Typed view of the finalized scaling; `public` keeps the public key names for outside readers."""

    city: str
    time_steps: int
    horizon: int
    mode: Literal["tft_like", "pihal_like"]
    train_end_year: int
    forecast_start_year: int
    time_units: str
    seconds_per_time_unit: float
    dynamic_names: tuple[str, ...]
    static_names: tuple[str, ...]
    future_names: tuple[str, ...]
    depth_index: int | None
    subsidence_index: int
    z_surf_index: int | None
    one_hot_blocks: dict[str, tuple[int, ...]] = Field(description="category name to its static columns")
    use_head_proxy: bool
    coords_normalized: bool
    coord_range: Axes = Field(
        description="range used in the normalization; time in time units, x and y in m or degrees"
    )
    coord_min: Axes | None = Field(description="null: georeference unknown")
    coord_scale_si: Axes = Field(description="what one stored coordinate unit is in s and m")
    epsg: int | None
    georeference: Literal["absolute", "none"]
    future_time_shift: float = Field(description="added to decoded future t, in time units (C-07)")
    subsidence_affine: Affine
    head_affine: Affine
    thickness_affine: Affine
    thickness_cap_m: float | None
    standardisation: Standardisation
    residual_scales: ResidualScales
    bounds: dict[str, tuple[float, float]] = Field(description="K, Ss, tau, H, Ka, Sa: linear SI limits")
    public: dict[str, Any] = Field(description="scaling keys under their public names")
