"""What a person asks of the flow: the parameter model behind the command line and the dashboard form."""

from typing import Literal

from pydantic import ConfigDict, Field

from tasks.contracts.base import Frozen
from tasks.subsidence.twin import TwinRequest


class SubsidenceRequest(Frozen):
    """Forecast land subsidence from a Stage-1 handoff; with no data given, from the embedded twin city."""

    # Dashboards and shells hand over JSON, so lists and whole numbers for floats are fine here.
    model_config = ConfigDict(frozen=True, strict=False, extra="forbid")

    stage1_manifest: str | None = Field(
        None,
        title="Stage-1 manifest",
        description="Path or URL of manifest.json. Empty: search the data folder, or use the twin city.",
    )
    data_dir: str | None = Field(
        None,
        title="Data folder",
        description="Searched for the newest fitting manifest.json when no manifest is given.",
    )
    city: str | None = Field(
        None, title="City", description="Must be the manifest's city. Empty: whatever the manifest says."
    )
    model: str | None = Field(
        None, title="Model", description="GeoPriorSubsNet (default), PoroElasticSubsNet or HybridAttn-NoPhysics."
    )
    config: str | None = Field(None, title="Configuration file", description="TOML, YAML, JSON or literal Python.")
    config_root: str | None = Field(
        None, title="Configuration folder", description="Holds default.* and {city}.*; the city's values win."
    )
    set: tuple[str, ...] = Field((), title="Settings", description="KEY=VALUE for this run only, for example EPOCHS=5.")
    seed: int | None = Field(
        None,
        ge=0,
        title="Seed",
        description="Weights, shuffling and bootstrap follow from it; 42 where nothing is said.",
    )
    truth: str | None = Field(
        None,
        title="Truth panel",
        description="CSV with longitude, latitude, year, subsidence_cum [mm] for the forecast years.",
    )
    out: str = Field("runs", title="Output folder", description="Run folders are made below it.")
    resume: str | None = Field(
        None, title="Resume", description="Run folder of an interrupted run; the same request is continued."
    )
    init_from: str | None = Field(
        None, title="Warm start", description="Registry entry whose weights training starts from."
    )
    accelerator: Literal["required", "preferred", "none"] = Field(
        "preferred",
        title="Accelerator",
        description="Whether the training step needs a GPU, likes one, or must not use one.",
    )
    twin: TwinRequest = Field(
        default_factory=TwinRequest, title="Twin city", description="Used when no data are given."
    )
