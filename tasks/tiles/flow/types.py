"""What travels between the steps of `refine-tiles`."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.contracts.base import Frozen
from tasks.contracts.refs import ArtifactRef, Digest
from tasks.contracts.tiles import TileInput, TileRecord, TilesConfig
from tasks.tiles.output_sidecar import RunFacts
from tasks.tiles.zipped import Compression

Count = Annotated[int, Field(ge=0)]


class CheckpointFile(Frozen):
    """Files of a checkpoint as the user has them: weights, and their JSON unless they are a `.pt`."""

    weights: ArtifactRef
    config: ArtifactRef | None = None
    sha256: Digest | None = Field(None, description="What the user says that the digest is.")


class ModelRefs(Frozen):
    """A checkpoint that was read and found good, and what a plan must know of it."""

    file: CheckpointFile
    id: Digest
    patch: Annotated[int, Field(ge=1)]
    num_frames: Annotated[int, Field(ge=1)]
    oracle_strength: str = ""  # of what the model was trained against; empty: the checkpoint does not say


class Listed(Frozen):
    """The tiles as their headers describe them."""

    headers: ArtifactRef = Field(description="JSON list of TileHeaderRow, in byte order of the ids.")
    failed: tuple[TileRecord, ...] = Field(description="Tiles whose files already fail.")
    count: Count
    passing: bool = Field(False, description="A tile failed for want of memory: not to be remembered.")


class TileCheck(Frozen):
    """One finding of the audit."""

    id: str
    status: Literal["pass", "warn", "fail", "skipped"]
    message: str
    where: str = ""
    found: str = ""
    expected: str = ""
    remedy: str = ""


class TilesAudit(Frozen):
    """Verdict on a handoff of tiles, before any of them is refined."""

    checks: tuple[TileCheck, ...]
    report: ArtifactRef = Field(description="The checks as JSON.")


class Manner(Frozen):
    """How tiles are refined; changes no value beyond rounding, so it is part of no cache key."""

    batch_size: Annotated[int, Field(ge=1)] = 4
    device: str = "cpu"
    require_device: bool = False
    no_amp: bool = False
    workers: Annotated[int, Field(ge=1)] | None = None
    input_dir: str = ""
    checkpoint: str = ""


class Writing(Frozen):
    """What else decides the bytes of the outputs."""

    compression: Compression = "none"
    allow_empty: bool = False


class RefinedShard(Frozen):
    """What became of the tiles of one shard."""

    records: tuple[TileRecord, ...]
    passing: bool = Field(False, description="A tile failed for want of memory or of a worker: not to be remembered.")


class SceneForm(Frozen):
    """How scenes are read and written, beside what `TilesConfig` says."""

    bands: tuple[int, ...] | None = Field(None, description="Numbers of B02, B03, B04, B08; None: by their names.")
    dtype: Literal["input", "float32"] = Field("input", description="Of the output; float32 holds reflectance.")
    allow_empty: bool = False


class RefinedScene(Frozen):
    """What became of one scene."""

    record: TileRecord
    sidecar: ArtifactRef | None = Field(None, description="JSON of `processing.scene`; None where it has no output.")
    passing: bool = Field(False, description="Failed by something else than its bytes, perhaps: not to be remembered.")


class JudgedScene(Frozen):
    """Figures of a refined scene, like those of a tile, and a smaller copy to look at."""

    scene: TileInput
    figures: ArtifactRef | None = Field(None, description="JSON; None where it could not be judged.")
    preview: ArtifactRef | None = Field(None, description="NPZ of v1 and v2, (4, h, w) reflectance.")
    reason: str = Field("", description="Why it could not be judged.")


class Collected(Frozen):
    """All tiles of a run, for the steps after inference."""

    records: ArtifactRef = Field(description="JSON list of TileRecord, in byte order of the ids.")
    inputs: ArtifactRef = Field(description="JSON list of TileInput.")
    references: ArtifactRef | None = Field(None, description="JSON list of TileInput: optical references.")
    scenes: tuple[JudgedScene, ...] = Field((), description="Those of the records that are scenes with an output.")


class Judged(Frozen):
    """Quality of a set of refined tiles."""

    quality: ArtifactRef
    quicklooks: dict[str, ArtifactRef] = Field(description="PNG by a name that says tile and role.")
    metrics: dict[str, float | None]
    verdict: str
    oracle_strength: str


class Published(Frozen):
    """The tile set in the store."""

    tileset: ArtifactRef


def run_facts(model: ModelRefs, config: TilesConfig, manner: Manner) -> RunFacts:
    """What all sidecars of a run say alike."""
    from tasks.tiles.code_version import code_version
    from tasks.tiles.config import config_id

    return RunFacts(
        input_dir=manner.input_dir,
        checkpoint=manner.checkpoint,
        device_requested=manner.device,
        checkpoint_id=model.id,
        config_id=config_id(config),
        code_version=code_version(),
    )
