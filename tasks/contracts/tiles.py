"""What the workload `tiles` says about a tile, a run over tiles and a finished set of tiles."""

from typing import Annotated, Any, Literal

from pydantic import Field

from tasks.contracts.base import Frozen
from tasks.contracts.refs import ArtifactRef, Digest

BANDS = ("B02", "B03", "B04", "B08")
TILESET_MEDIA_TYPE = "application/vnd.stagegate.tileset+json"
STAGE = "stage2_refined"

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Status = Literal["done", "resumed", "failed", "empty", "not_run"]
Side = Annotated[int, Field(ge=1)]


class TilesConfig(Frozen):
    """What changes the values of refined tiles, beside checkpoint and input; its canonical digest is `config_id`."""

    precision: Precision = Field("auto", description="As asked for; what ran is in each sidecar.")
    missing_metadata: Literal["published", "unknown"] = Field(
        "published", description="What the model sees where month or biome is missing: June and 0, or unknown classes."
    )
    range_policy: Literal["auto", "strict", "clip"] = Field("auto", description="What to do with values outside 0..1.")
    scale: Annotated[float, Field(gt=0)] | None = Field(None, description="reflectance = (DN + offset) / scale")
    offset: float = 0.0
    window: Annotated[int, Field(ge=1)] = Field(224, description="Side of the windows of large tiles and scenes, px.")
    overlap: Annotated[int, Field(ge=0)] = Field(64, description="Of neighbouring windows, px.")


class TileInput(Frozen):
    """A tile of the first stage in the store: its array file and, where there is one, its sidecar."""

    id: str = Field(description="Path below the input folder without the suffix, with '/' between folders.")
    file: ArtifactRef
    sidecar: ArtifactRef | None = None


class TileMeta(Frozen):
    """What a sidecar says about its tile."""

    month: Annotated[int, Field(ge=1, le=12)] | None = None
    biome_code: Annotated[int, Field(ge=0, le=15)] | None = None
    year: int | None = None
    day_of_year: Annotated[int, Field(ge=1, le=366)] | None = None
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None
    nodata: float | None = None
    input_month: str | None = Field(None, description="The month's own text, where it was not an integer.")
    nonfinite: bool = Field(False, description="Whether NaN or Infinity, which JSON does not know, occurs anywhere.")
    extra: dict[str, Any] = Field(default_factory=dict, description="All keys of the sidecar, in order, as they were.")

    @property
    def defaults_used(self) -> tuple[str, ...]:
        """Names of the fields that the sidecar does not give."""
        return tuple(name for name in ("month", "biome_code") if getattr(self, name) is None)


class OomEvent(Frozen):
    """One reaction to memory that ran out."""

    action: Literal["halve batch", "CPU fallback", "give up"]
    device: str
    batch_size: Side
    tiles: tuple[str, ...] = Field(description="Ids of the batch.")


class TileRecord(Frozen):
    """What became of one tile; a line of `manifest.jsonl`. Holds no clock time and no duration."""

    id: str
    status: Status
    input_sha256: Digest
    sidecar_sha256: Digest | None = None
    output: ArtifactRef | None = None
    height: Side | None = None
    width: Side | None = None
    padded_to: tuple[Side, Side] | None = Field(None, description="Height and width that the model saw, px.")
    input_layout: Literal["opt_v1", "s2_bands"] | None = None
    clipped_fraction: float | None = Field(None, description="Of the valid samples, before the model.")
    valid_fraction: float | None = Field(None, description="Of the pixels.")
    defaults_used: tuple[str, ...] = ()
    warnings: tuple[str, ...] = Field(
        (), description="What was odd about the input and did not stop it, one line each."
    )
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(None, description="What really ran.")
    device: str | None = Field(None, description="What really ran, for example cuda:0.")
    batch_size: Side | None = None
    oom_events: tuple[OomEvent, ...] = ()
    reason: str = Field("", description="Why it was computed (new, input changed ...), or why it was not.")
    error: str = Field("", description="Class of the error of a failed tile.")
    message: str = ""
    phase: str = ""


class TilesetManifest(Frozen):
    """A finished set of refined tiles, as it is published in the store for the third stage."""

    format: Literal["stagegate-tileset-1"] = "stagegate-tileset-1"
    stage: Literal["stage2_refined"] = STAGE
    bands: tuple[str, ...] = BANDS
    checkpoint_id: Digest
    config_id: Digest
    code_version: str
    tiles: tuple[TileRecord, ...]
    oracle_strength: str = Field("heuristic", description="Of the quality figures; see `quality.json`.")
    metrics: dict[str, float | None] = Field(default_factory=dict)
