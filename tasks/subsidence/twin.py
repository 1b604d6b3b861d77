"""A twin city: a place whose ground is known exactly, so that a forecast can be judged by more than its numbers.

Groundwater flow and consolidation are integrated forward on monthly steps; points are sampled at cell centres and
observed with noise. One seed gives one city, byte for byte.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from tasks.contracts.base import Frozen
from tasks.contracts.units import SECONDS_PER_YEAR
from tasks.store.npz_writer import write_npz
from tasks.subsidence.prepare import PreparedHandoff, PrepareOptions, prepare
from tasks.subsidence.stage1.publish import csv_bytes, previous_files, write_bytes
from tasks.subsidence.twin_parts.fields import Ground, draw_ground
from tasks.subsidence.twin_parts.flow import Aquifer, FlowHistory, advance, assemble, response, steady
from tasks.subsidence.twin_parts.forcing import Rain, WellFields, draw_rain, draw_wells, monthly_sources, urban_load
from tasks.subsidence.twin_parts.panel import Sample, observe
from tasks.subsidence.twin_parts.settle import SettlementHistory, consolidate

TWIN_EPSG = 32651  # UTM zone 51 north
ORIGIN_X_M, ORIGIN_Y_M = 300_000.0, 3_450_000.0  # south-west corner, in the delta of a large river
EPOCH = "1970-01-01 00:00:00"
_WEST_HEAD_M, _EAST_HEAD_M = 1.5, 0.0  # a river and the sea
_MOUND_M = 4.0  # rise of the water table by leakage at its highest place
_STREAMS = {"ground": 1, "rain": 2, "wells": 3, "points": 4, "noise": 5}


class TwinRequest(Frozen):
    """Size and seed of a twin city, and how it is handed to the second stage."""

    city: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = Field(
        "twin", title="Name", description="What the twin city is called, in its manifest and in file names."
    )
    seed: Annotated[int, Field(ge=0)] = Field(
        42, title="Seed of the ground", description="Ground, rain, wells, points and noise follow from it."
    )
    grid: Annotated[int, Field(ge=8, le=512)] = Field(64, title="Grid", description="Cells along each side.")
    spacing_m: Annotated[float, Field(gt=0, le=5000)] = Field(
        250.0, title="Cell size [m]", description="Side of a cell."
    )
    correlation_m: Annotated[float, Field(gt=0)] = Field(
        2000.0, title="Correlation length [m]", description="Of the random fields of ground and demand."
    )
    points: Annotated[int, Field(ge=16)] = Field(
        2000, title="Points", description="Sampled cells, at most grid * grid."
    )
    first_year: int = Field(2012, title="First year", description="The first observed year.")
    years: Annotated[int, Field(ge=4)] = Field(12, title="Years", description="Observed years.")
    steps_per_year: Annotated[int, Field(ge=4, le=366)] = Field(
        12, title="Steps a year", description="Time steps of the simulation."
    )
    spinup_years: Annotated[int, Field(ge=1)] = Field(
        10, title="Spin-up [years]", description="Pumped years before the first observed one."
    )
    tau_max_yr: Annotated[float, Field(ge=2.0, le=300.0)] = Field(
        100.0, title="Longest relaxation [years]", description="Slowest relaxation time of the consolidation."
    )
    hd_factor: Annotated[float, Field(gt=0, le=2.0)] = Field(
        0.6, title="Drainage factor", description="Drainage length over thickness in the closure."
    )
    max_drawdown_m: Annotated[float, Field(gt=0, le=24.0)] = Field(
        23.0, title="Greatest drawdown [m]", description="Steady drawdown of all wells at once."
    )
    noise: bool = Field(True, title="Noise", description="False: the panel holds the exact values.")
    time_steps: Annotated[int, Field(ge=1)] = Field(
        5, title="Past years", description="Years that the network looks back."
    )
    horizon: Annotated[int, Field(ge=1)] = Field(3, title="Horizon [years]", description="Years that are forecast.")
    train_end_year: int | None = Field(
        None, title="Last training year", description="Empty: the last observed year minus the horizon."
    )
    holdout: Literal["random", "spatial_block", "temporal"] = Field(
        "random", title="Hold-out", description="How test data are kept apart: random points, blocks, or later years."
    )

    @model_validator(mode="after")
    def _fits(self) -> "TwinRequest":
        if self.points > self.grid**2:
            raise ValueError(f"points {self.points} exceed the {self.grid**2} cells of the grid")
        return self

    @property
    def last_year(self) -> int:
        """The last observed year."""
        return self.first_year + self.years - 1

    @property
    def last_train_year(self) -> int:
        """The year after which nothing is shown to training."""
        return self.last_year - self.horizon if self.train_end_year is None else self.train_end_year


@dataclass(frozen=True)
class Twin:
    """A panel as a first stage would find it, and the truth behind it (SI; P points, Y years, M + 1 monthly times).

    panel: one array per column, rows ordered by point and year. truth, per point: K, Ss, Ka, Sa, tau, H, z_surf, h_pre
    (P,); h, D, Q, s_clean, noise_s (P, Y) at the end of each year; modes (P, Y, 5); s_month, h_month, D_month
    (P, M + 1) at month_t; on the grid: grid_* (ny, nx), grid_h (M + 1, ny, nx), grid_Q (M, ny, nx).
    """

    panel: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    mass_balance_error: float


@dataclass(frozen=True)
class _Motion:
    """Grid histories since pumping began, and the settlement of the sampled points."""

    aquifer: Aquifer
    before: np.ndarray  # head before pumping, (ny, nx)
    sources: np.ndarray
    flow: FlowHistory
    drawdown: np.ndarray  # (steps + 1, P)
    settling: SettlementHistory


def simulate(request: TwinRequest) -> Twin:
    """Draw the ground, drive it with rain and wells through all years, and observe it at sampled points."""
    streams = {name: np.random.default_rng([request.seed, key]) for name, key in _STREAMS.items()}
    place = {"grid": request.grid, "spacing_m": request.spacing_m, "correlation_m": request.correlation_m}
    ground = draw_ground(streams["ground"], tau_max_yr=request.tau_max_yr, hd_factor=request.hd_factor, **place)
    rain = draw_rain(streams["rain"], years=request.spinup_years + request.years, **place)
    wells = draw_wells(
        streams["wells"], ground.urban, rain, spacing_m=request.spacing_m, spinup_years=request.spinup_years
    )
    sample = _sample_points(streams["points"], request)
    motion = _integrate(request, ground, rain, wells, sample)
    truth = _truth(request, ground, motion, sample)
    seen = slice(request.spinup_years, None)
    load = urban_load(ground.urban, years=request.years)
    panel, noise = observe(streams["noise"], request, sample, ground, truth, rain.annual_mm[seen], load)
    return Twin(panel=panel, truth=truth | {"noise_s": noise}, mass_balance_error=motion.flow.mass_balance_error)


def write_twin(request: TwinRequest, folder: str | Path) -> PreparedHandoff:
    """Write `twin_panel.csv` and `truth.npz` into `folder` and prepare the handoff `folder/stage1`."""
    folder = Path(folder)
    previous_files(folder / "stage1")
    twin = simulate(request)
    write_bytes(folder / "twin_panel.csv", csv_bytes(twin.panel))
    write_bytes(folder / "truth.npz", write_npz(twin.truth))
    options = PrepareOptions(
        city=request.city,
        time_steps=request.time_steps,
        horizon=request.horizon,
        epsg=TWIN_EPSG,
        train_end_year=request.last_train_year,
        holdout=request.holdout,
        seed=request.seed,
        timestamp=EPOCH,
    )
    return prepare(folder / "twin_panel.csv", folder / "stage1", options)


def _sample_points(rng: np.random.Generator, request: TwinRequest) -> Sample:
    """Distinct cells, ordered by longitude and latitude as the groups of a handoff are."""
    from pyproj import Transformer

    cell = rng.choice(request.grid**2, size=request.points, replace=False)
    row, column = np.divmod(cell, request.grid)
    x = ORIGIN_X_M + (column + 0.5) * request.spacing_m
    y = ORIGIN_Y_M + (row + 0.5) * request.spacing_m
    degrees = Transformer.from_crs(TWIN_EPSG, 4326, always_xy=True).transform(x, y)
    longitude, latitude = (np.round(value, 7) for value in degrees)
    order = np.lexsort((latitude, longitude))
    return Sample(
        row=row[order],
        column=column[order],
        x_m=x[order],
        y_m=y[order],
        longitude=longitude[order],
        latitude=latitude[order],
    )


def _integrate(request: TwinRequest, ground: Ground, rain: Rain, wells: WellFields, sample: Sample) -> _Motion:
    dt_s = SECONDS_PER_YEAR / request.steps_per_year
    aquifer = assemble(
        ground.Ka, ground.Sa, spacing_m=request.spacing_m, west_head_m=_WEST_HEAD_M, east_head_m=_EAST_HEAD_M
    )
    leak = np.ones_like(ground.Ka)
    leak *= _MOUND_M / response(aquifer, leak).max()
    unit = response(aquifer, np.einsum("w,wij->ij", wells.strength.max(axis=1), wells.pattern))
    abstraction = np.full(len(wells.pattern), request.max_drawdown_m / unit.max())
    before = steady(aquifer, leak)
    sources = monthly_sources(leak, abstraction, rain, wells, steps_per_year=request.steps_per_year)
    flow = advance(aquifer, before, sources, dt_s=dt_s)
    at = (slice(None), sample.row, sample.column)
    drawdown = np.maximum(before[None][at] - flow.head[at], 0.0)
    here = (sample.row, sample.column)
    target = ground.Ss[here] * ground.thickness[here] * drawdown
    settling = consolidate(target, ground.tau[here], dt_s=dt_s)
    return _Motion(aquifer=aquifer, before=before, sources=sources, flow=flow, drawdown=drawdown, settling=settling)


def _truth(request: TwinRequest, ground: Ground, motion: _Motion, sample: Sample) -> dict[str, np.ndarray]:
    per_year, first = request.steps_per_year, request.spinup_years * request.steps_per_year
    months = np.arange(request.years * per_year + 1)
    ends = first + per_year * np.arange(1, request.years + 1)
    here, steps = (sample.row, sample.column), slice(first, None)
    head = motion.flow.head[:, sample.row, sample.column].T
    settled = motion.settling.settlement.T
    z_surf = motion.before + ground.freeboard
    cells = {
        "K": ground.K,
        "Ss": ground.Ss,
        "Ka": ground.Ka,
        "Sa": ground.Sa,
        "tau": ground.tau,
        "H": ground.thickness,
        "z_surf": z_surf,
        "h_pre": motion.before,
    }
    axis = (np.arange(request.grid) + 0.5) * request.spacing_m
    return {
        **{name: field[here] for name, field in cells.items()},
        "longitude": sample.longitude,
        "latitude": sample.latitude,
        "x_m": sample.x_m,
        "y_m": sample.y_m,
        "row": sample.row,
        "column": sample.column,
        "year": request.first_year + np.arange(request.years),
        "h": head[:, ends],
        "D": motion.drawdown.T[:, ends],
        "Q": motion.sources[ends - 1][:, sample.row, sample.column].T,
        "s_clean": settled[:, ends] - settled[:, [first]],
        "modes": motion.settling.modes[ends].transpose(1, 0, 2),
        "month_t": request.first_year - 1 + months / per_year,
        "h_month": head[:, steps],
        "D_month": motion.drawdown.T[:, steps],
        "s_month": settled[:, steps] - settled[:, [first]],
        **{f"grid_{name}": field for name, field in cells.items()},
        "grid_x_m": ORIGIN_X_M + axis,
        "grid_y_m": ORIGIN_Y_M + axis,
        "grid_h": motion.flow.head[steps],
        "grid_Q": motion.sources[first:],
        "hd_factor": np.array(request.hd_factor),
        "kappa": np.array(1.0),
        "dt_s": np.array(SECONDS_PER_YEAR / per_year),
        "mass_balance_error": np.array(motion.flow.mass_balance_error),
    }
