"""One frozen description of the physics: everything the fields, the closure and the residuals need to be rebuilt."""

import json
from typing import Any, Literal

from pydantic import Field

from tasks.contracts.base import Frozen
from tasks.contracts.errors import ConfigError
from tasks.contracts.units import GAMMA_WATER_N_M3
from tasks.subsidence.semantics import Axes, ResidualScales, Semantics

PDE_MODES = {
    "none": "none",
    "off": "none",
    "consolidation": "consolidation",
    "gw_flow": "gw_flow",
    "both": "both",
    "on": "both",
}


class Drawdown(Frozen):
    """How a head becomes a drawdown."""

    mode: Literal["relu", "smooth_relu"] = "smooth_relu"
    rule: Literal["ref_minus_mean", "mean_minus_ref"] = "ref_minus_mean"
    beta_1_m: float = Field(default=20.0, gt=0)
    clip_max_m: float | None = None
    stop_grad_ref: bool = True


class Barrier(Frozen):
    """Loss that keeps free log fields inside their bounds."""

    kind: Literal["residual", "barrier", "both"] = "both"
    beta: float = Field(default=20.0, gt=0)
    guard: float = Field(default=5.0, gt=0, description="log units outside the bounds where the loss turns linear")
    weight: float = Field(default=1.0, ge=0)
    include_tau: bool = True
    tau_weight: float = Field(default=1.0, ge=0)


class SourceTerm(Frozen):
    """What the raw source Q means and how it becomes 1/s."""

    kind: Literal["per_volume", "recharge_rate", "head_rate"] = "per_volume"
    wrt_normalized_time: bool = False
    in_si: bool = False
    in_per_second: bool = False
    length_in_si: bool = False
    head_unit_m: float = Field(default=1.0, description="metres per model unit of head, for lengths that are not SI")
    aquifer_thickness_m: float = Field(default=20.0, gt=0)


class StoragePrior(Frozen):
    """Prior that ties specific storage to the volume compressibility."""

    mode: Literal["calibrate", "field", "off"] = "calibrate"
    huber_delta: float = Field(default=1.0, gt=0)
    dispersion: float = Field(default=0.1, ge=0)


class FieldNets(Frozen):
    """Size and resolution of the coordinate networks; cycles are counted across the train box."""

    fourier: int = Field(default=16, ge=1, description="pairs of sine and cosine features of (x, y)")
    min_cycles: float = Field(default=0.5, gt=0)
    max_cycles: float = Field(default=5.0, gt=0)
    time_cycles: tuple[float, ...] = (0.125, 0.25)
    hidden: int = Field(default=32, ge=1)
    init_scale: float = Field(default=0.02, gt=0, description="std of the output kernel: fields start near mid-log")


class PhysicsSpec(Frozen):
    """Serialisable settings of the physics core; `to_json` and `from_json` are inverse."""

    pde_mode: Literal["none", "consolidation", "gw_flow", "both"]
    gw_layer: Literal["two_layer", "shared"] = "two_layer"
    closure_locked: bool = False
    time_varying: bool = False
    kappa_mode: Literal["kb", "bar"] = "kb"
    drainage_factor: float = Field(default=0.6, gt=0, description="Hd / H")
    init_mv: float = Field(default=1e-7, gt=0)
    init_kappa: float = Field(default=1.0, gt=0)
    gamma_w: float = Field(default=GAMMA_WATER_N_M3, gt=0)
    bounds: dict[str, tuple[float, float]] = Field(description="linear SI limits of K, Ss, tau, H, Ka, Sa")
    bounds_mode: Literal["sigmoid", "soft"] = "sigmoid"
    barrier: Barrier = Barrier()
    modes: int = Field(default=5, ge=1)
    step: Literal["ramp", "constant"] = "ramp"
    residual_method: Literal["exact", "backward_euler"] = "exact"
    drawdown: Drawdown = Drawdown()
    h_ref: Literal["auto", "last", "window_start"] | float = "auto"
    source: SourceTerm = SourceTerm()
    storage_prior: StoragePrior = StoragePrior()
    scale_residuals: bool = True
    cons_units: Literal["second", "time_unit", "step"] = "second"
    gw_units: Literal["second", "time_unit"] = "second"
    dt_min_units: float = Field(default=1e-6, gt=0)
    time_steps: int = Field(ge=1)
    scales: ResidualScales
    sigma_s: tuple[float, ...]
    sigma_h: tuple[float, ...]
    coord_center: Axes = Field(description="middle of the train box, stored coordinate units")
    coord_half: Axes = Field(description="half width of the train box, stored coordinate units")
    coord_scale_si: Axes = Field(description="seconds and metres per stored coordinate unit")
    head_mean_m: float = 0.0
    head_scale_m: float = Field(default=1.0, gt=0)
    class_columns: tuple[int, ...] = ()
    nets: FieldNets = FieldNets()

    @property
    def consolidation(self) -> bool:
        """Whether settlement has a physical mean."""
        return self.pde_mode in ("consolidation", "both")

    @property
    def gw_flow(self) -> bool:
        """Whether the flow equation holds the head."""
        return self.pde_mode in ("gw_flow", "both")

    @property
    def active(self) -> bool:
        """Whether there is any physics at all."""
        return self.pde_mode != "none"

    @property
    def space_names(self) -> tuple[str, ...]:
        """Fields of (x, y) that have a network of their own."""
        clay = self.consolidation or (self.gw_flow and self.gw_layer == "shared")
        names = ["log_K", "log_Ss"] if clay and not self.time_varying else []
        names += ["log_Ka", "log_Sa"] if self.gw_flow and self.gw_layer == "two_layer" else []
        names += ["dlogtau"] if self.consolidation and not self.closure_locked else []
        return tuple(names + (["e0"] if self.consolidation else []))

    @property
    def spacetime_names(self) -> tuple[str, ...]:
        """Fields of (t, x, y) that have a network of their own."""
        clay = self.consolidation or (self.gw_flow and self.gw_layer == "shared")
        names = ["h"] if self.active else []
        names += ["log_K", "log_Ss"] if clay and self.time_varying else []
        return tuple(names + (["Q"] if self.gw_flow else []))

    @property
    def names(self) -> tuple[str, ...]:
        """All fields that have a network of their own."""
        return self.space_names + self.spacetime_names

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "PhysicsSpec":
        """The inverse of `to_json`."""
        return cls.model_validate_json(json.dumps(values))


def physics_spec(sem: Semantics, cfg) -> PhysicsSpec:
    """Physics settings of a run: finalized semantics joined with the resolved configuration (`cfg[KEY]`).

    Raises ConfigError where the source flags contradict each other or the coordinate box is unknown.
    """
    regime = cfg["IDENTIFIABILITY_REGIME"]
    center, half = _box(sem)
    mean_h, scale_h = _head_level(sem)
    return PhysicsSpec(
        pde_mode=PDE_MODES[cfg["PDE_MODE_CONFIG"]],
        gw_layer=cfg["GW_LAYER"],
        closure_locked=regime == "closure_locked",
        time_varying=regime == "data_relaxed",
        kappa_mode=cfg["GEOPRIOR_KAPPA_MODE"],
        drainage_factor=_drainage_factor(cfg),
        init_mv=float(cfg["GEOPRIOR_INIT_MV"]),
        init_kappa=float(cfg["GEOPRIOR_INIT_KAPPA"]),
        gamma_w=float(cfg["GEOPRIOR_GAMMA_W"]),
        bounds=dict(sem.bounds),
        bounds_mode=cfg["PHYSICS_BOUNDS_MODE"],
        barrier=_barrier(cfg),
        modes=cfg["CONSOLIDATION_MODES"],
        step=cfg["CONS_STEP"],
        residual_method=cfg["CONSOLIDATION_STEP_RESIDUAL_METHOD"],
        drawdown=_drawdown(cfg),
        h_ref=_h_ref(cfg["GEOPRIOR_H_REF"]),
        source=_source(sem, cfg),
        storage_prior=_storage_prior(cfg),
        scale_residuals=cfg["SCALE_PDE_RESIDUALS"],
        cons_units=cfg["CONS_RESIDUAL_UNITS"],
        gw_units=cfg["GW_RESIDUAL_UNITS"],
        dt_min_units=float(cfg["DT_MIN_UNITS"]),
        time_steps=sem.time_steps,
        scales=sem.residual_scales,
        sigma_s=sem.standardisation.sigma_s,
        sigma_h=sem.standardisation.sigma_h,
        coord_center=center,
        coord_half=half,
        coord_scale_si=sem.coord_scale_si,
        head_mean_m=mean_h,
        head_scale_m=scale_h,
        class_columns=class_columns(sem),
    )


def class_columns(sem: Semantics) -> tuple[int, ...]:
    """Static columns that are one-hot classes, ascending."""
    return tuple(sorted(column for block in sem.one_hot_blocks.values() for column in block))


def _drainage_factor(cfg) -> float:
    if cfg["GEOPRIOR_USE_EFFECTIVE_H"]:
        return float(cfg["GEOPRIOR_HD_FACTOR"])
    return {"double": 0.5, "single": 1.0}[cfg["DRAINAGE_MODE"]]


def _barrier(cfg) -> Barrier:
    return Barrier(
        kind=cfg["BOUNDS_LOSS_KIND"],
        beta=float(cfg["BOUNDS_BETA"]),
        guard=float(cfg["BOUNDS_GUARD"]),
        weight=float(cfg["BOUNDS_W"]),
        include_tau=cfg["BOUNDS_INCLUDE_TAU"],
        tau_weight=float(cfg["BOUNDS_TAU_W"]),
    )


def _drawdown(cfg) -> Drawdown:
    clip = cfg["CONS_DRAWDOWN_CLIP_MAX"]
    return Drawdown(
        mode=cfg["CONS_DRAWDOWN_MODE"],
        rule=cfg["CONS_DRAWDOWN_RULE"],
        beta_1_m=float(cfg["CONS_RELU_BETA"]),
        clip_max_m=None if clip is None else float(clip),
        stop_grad_ref=cfg["CONS_STOP_GRAD_REF"],
    )


def _h_ref(value: str | float) -> str | float:
    return value if isinstance(value, str) else float(value)


def _source(sem: Semantics, cfg) -> SourceTerm:
    term = SourceTerm(
        kind=cfg["Q_KIND"],
        wrt_normalized_time=cfg["Q_WRT_NORMALIZED_TIME"],
        in_si=cfg["Q_IN_SI"],
        in_per_second=cfg["Q_IN_PER_SECOND"],
        length_in_si=cfg["Q_LENGTH_IN_SI"],
        head_unit_m=sem.head_affine.scale,
        aquifer_thickness_m=float(cfg["AQUIFER_THICKNESS"]),
    )
    if term.wrt_normalized_time and (term.in_si or term.in_per_second):
        raise ConfigError(
            "a source cannot be per normalized time and per second at once",
            where="Q_WRT_NORMALIZED_TIME",
            found={"Q_IN_SI": term.in_si, "Q_IN_PER_SECOND": term.in_per_second},
            remedy="Set one of the flags to false.",
        )
    return term


def _storage_prior(cfg) -> StoragePrior:
    return StoragePrior(
        mode=cfg["MV_PRIOR_MODE"],
        huber_delta=float(cfg["MV_HUBER_DELTA"]),
        dispersion=float(cfg["MV_ALPHA_DISP"]),
    )


def _box(sem: Semantics) -> tuple[Axes, Axes]:
    if sem.coords_normalized:
        return Axes(t=0.5, x=0.5, y=0.5), Axes(t=0.5, x=0.5, y=0.5)
    if sem.coord_min is None:
        raise ConfigError(
            "the minima of coordinates that are not normalized are unknown",
            where="coord_min",
            remedy="Export the coordinate scaler, or normalize the coordinates.",
        )
    half = {axis: getattr(sem.coord_range, axis) / 2.0 for axis in ("t", "x", "y")}
    return Axes(**{axis: getattr(sem.coord_min, axis) + half[axis] for axis in half}), Axes(**half)


def _head_level(sem: Semantics) -> tuple[float, float]:
    """Mean and spread of head on the train split, from those of surface elevation and depth."""
    mean, std = sem.standardisation.mean, sem.standardisation.std
    spread = (std.get("z_surf", 0.0) ** 2 + std.get("depth", 0.0) ** 2) ** 0.5
    return mean.get("z_surf", 0.0) - mean.get("depth", 0.0), max(spread, sem.residual_scales.h_c)
