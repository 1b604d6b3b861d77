"""What prepare is asked, what it knows on the way, and what it answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.contracts.base import Frozen
from tasks.subsidence.stage1.encode import MinMax
from tasks.subsidence.stage1.panel_clean import Panel
from tasks.subsidence.stage1.panel_read import Rejects
from tasks.subsidence.stage1.splits import Holdouts
from tasks.subsidence.stage1.windows import Features, Layout

MIN_THICKNESS_M = 0.1
# feature names of a handoff; `__si` marks metres
DEPTH, SUBSIDENCE, HEAD = "GWL_depth_bgs_m__si", "subsidence_cum__si", "head_m__si"
THICKNESS, Z_SURF, FLAG = "soil_thickness_eff__si", "z_surf_m__si", "soil_thickness_censored"
Unit = Literal["mm", "cm", "m"]


class PrepareOptions(Frozen):
    """How a panel becomes a handoff."""

    city: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    model: str = "GeoPriorSubsNet"
    time_steps: Annotated[int, Field(ge=1, description="history years of a window")] = 5
    horizon: Annotated[int, Field(ge=1, description="target years of a window")] = 3
    mode: Literal["tft_like", "pihal_like"] = "tft_like"
    train_end_year: int | None = Field(default=None, description="last year shown; null: the last of the panel")
    holdout: Literal["random", "spatial_block", "temporal"] = "random"
    block_m: Annotated[float, Field(gt=0, description="side of a block of spatial_block")] = 2000.0
    temporal_shift: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="years by which train windows end before val and test; null: as many as possible"
    )
    val_frac: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test_frac: Annotated[float, Field(ge=0, lt=1)] = 0.1
    epsg: int | None = Field(default=None, description="projected system in metres; null: the UTM zone of the city")
    unit_subs: Unit = "mm"
    unit_depth: Unit = Field(default="m", description="of depth to water, and of the head where the panel has one")
    unit_thickness: Unit = "m"
    cap_thickness: Annotated[float, Field(gt=MIN_THICKNESS_M, description="m; thicker ground is censored")] = 30.0
    seed: Annotated[int, Field(ge=0)] = 42
    columns: dict[str, str] = Field(default={}, description="role to column name, over the names that are recognised")
    timestamp: str = Field(default="1970-01-01 00:00:00", pattern=r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")

    @model_validator(mode="after")
    def _some_train(self) -> "PrepareOptions":
        if self.val_frac + self.test_frac >= 1:
            raise ValueError("val_frac + test_frac must leave points for training")
        return self


@dataclass(frozen=True)
class PreparedHandoff:
    """Where the manifest lies, and what was lost on the way: reason to count."""

    manifest: Path
    split_sizes: dict[str, int]
    dropped_rows: dict[str, int]
    dropped_groups: dict[str, int]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Years:
    """Years of a handoff: windows need `first` to `train_end`; `shift` is the lead of val and test over train."""

    first: int
    train_end: int
    shift: int


@dataclass(frozen=True)
class Encoded:
    """Features of all points and everything that was fitted on train points to make them."""

    features: Features
    main: MinMax
    coords: MinMax
    categories: dict[str, tuple[str, ...]]
    future_drivers: dict[str, dict[str, dict[str, int]]]
    filled: dict[str, int]


@dataclass(frozen=True)
class Prepared:
    """All that the files of a handoff are written from."""

    options: PrepareOptions
    years: Years
    panel: Panel
    layout: Layout
    holdouts: Holdouts
    encoded: Encoded
    epsg: int
    valid_for_forecast: int
    censored_rate: float
    rejects: Rejects
    dropped_groups: dict[str, int]
    warnings: tuple[str, ...]
