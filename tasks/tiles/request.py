"""What a person asks of the tile flows: the parameter models behind the command line and the dashboard forms."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tasks.contracts.base import Frozen
from tasks.contracts.tiles import Precision

DEFAULT_CONFIG = "configs/hardware.lowvr.yaml"
Device = Annotated[str, Field(pattern=r"^(cuda(:\d+)?|cpu)$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]
Count = Annotated[int, Field(ge=1)]


class RefineRequest(Frozen):
    """Refine opt_v1 tiles of the first stage, or a scene, to opt_v2."""

    # Dashboards and shells hand over JSON, so lists and whole numbers for floats are fine here.
    model_config = ConfigDict(frozen=True, strict=False, extra="forbid")

    checkpoint: str = Field(
        title="Checkpoint",
        description="Trained model: a folder with model.safetensors and config.json, a .safetensors or a .pt file "
        "(on a server: below its data root).",
    )
    input_dir: str | None = Field(
        None, title="Input folder", description="Folder with opt_v1 tiles (<id>.npz with <id>.json) or with scenes."
    )
    scene: str | None = Field(None, title="Scene", description="One GeoTIFF instead of a folder.")
    output_dir: str = Field(
        title="Output folder",
        description="Gets the opt_v2 tiles; made if absent. On a server it lies below the folder of results.",
    )
    config: str | None = Field(
        None, title="Configuration", description=f"YAML; empty: {DEFAULT_CONFIG}, or the packaged preset of that name."
    )
    batch_size: Count | None = Field(None, title="Batch size", description="Tiles at once; 4 where nothing is said.")
    device: Device = Field("cuda", title="Device", description="cuda, cuda:N or cpu; without a GPU the CPU is used.")
    require_device: bool = Field(False, title="Require the device", description="Refuse to run without the GPU.")
    no_amp: bool = Field(False, title="No mixed precision", description="fp32, whatever the device can do.")
    skip_existing: bool = Field(True, title="Skip finished tiles", description="Only those whose content still fits.")
    precision: Precision | None = Field(
        None, title="Precision", description="auto: the fastest that the device does well; empty: as the configuration."
    )
    workers: Count | None = Field(
        None, title="Workers", description="Processes; empty: as many as the CPUs and memory allow."
    )
    shard_size: Count | None = Field(None, title="Shard size", description="Tiles that one step takes.")
    missing_metadata: Literal["published", "unknown"] | None = Field(
        None,
        title="Missing month or biome",
        description="published: the model sees June and 0; unknown: unknown classes.",
    )
    range_policy: Literal["auto", "strict", "clip"] | None = Field(
        None, title="Range policy", description="What to do with values outside 0..1; auto where nothing is said."
    )
    scale: Annotated[float, Field(gt=0)] | None = Field(
        None, title="Scale", description="reflectance = (DN + offset) / scale; needed for integer tiles."
    )
    offset: float | None = Field(None, title="Offset", description="In DN.")
    compression: Literal["none", "zlib1", "zlib6"] = Field("none", title="Compression", description="Of the NPZ files.")
    recursive: bool = Field(False, title="Sub-folders too", description="Their names are kept in the output.")
    log_file: str | None = Field(None, title="Log file", description="Empty: inference.log in the output folder.")
    window: Count | None = Field(None, title="Window", description="Side of the windows of scenes, px; 224.")
    overlap: Annotated[int, Field(ge=0)] | None = Field(None, title="Overlap", description="Of the windows, px; 64.")
    bands: tuple[Count, ...] | None = Field(
        None, title="Bands", description="Numbers of B02, B03, B04, B08 in a scene that does not name its bands."
    )
    scene_dtype: Literal["input", "float32"] = Field("input", title="Scene values", description="Type of the output.")
    reference_dir: str | None = Field(
        None, title="References", description="Folder with optical references of the same names, to judge against."
    )
    quicklook: Annotated[int, Field(ge=0)] = Field(8, title="Quicklooks", description="Pictures of input and output.")
    allow_empty: bool = Field(False, title="Allow empty tiles", description="An all-nodata tile is no failure.")
    checkpoint_sha256: Sha256 | None = Field(
        None, title="Checkpoint digest", description="The run stops where the checkpoint has another one."
    )


class TrainTilesRequest(Frozen):
    """Train a refiner on pairs of opt_v1 tiles and optical references, or on degraded clean tiles."""

    model_config = ConfigDict(frozen=True, strict=False, extra="forbid")

    input_dir: str = Field(title="Input folder", description="opt_v1 tiles; with synthetic pairs: clean tiles.")
    target_dir: str | None = Field(None, title="Targets", description="Optical references of the same names.")
    synthetic: bool = Field(False, title="Synthetic pairs", description="Degrade the clean tiles of the input folder.")
    output_dir: str = Field(title="Output folder", description="Gets the checkpoint and its training log.")
    variant: str = Field("v1_100", title="Variant", description="Backbone, for example v1_100, v2_300_tl, tiny, nano.")
    backbone: str | None = Field(None, title="Backbone", description="Checkpoint made by import-backbone.")
    epochs: Count = Field(50, title="Epochs", description="Passes over the training pairs.")
    steps: Count | None = Field(None, title="Steps", description="Optimizer steps, instead of epochs.")
    batch_size: Count = Field(8, title="Batch size", description="Crops at once.")
    crop: Count = Field(224, title="Crop", description="Side of the training crops, px.")
    lr: Annotated[float, Field(gt=0)] = Field(1e-4, title="Learning rate", description="Of head and conditioning.")
    lr_backbone: Annotated[float, Field(gt=0)] = Field(
        1e-5, title="Learning rate of the backbone", description="Of its free blocks."
    )
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.15, title="Validation share", description="Of the scenes; a scene is never in both parts."
    )
    unfreeze_blocks: Annotated[int, Field(ge=0)] = Field(
        2,
        title="Free blocks",
        description="Last blocks of the backbone that learn; with nano and tiny everything does.",
    )
    seed: Annotated[int, Field(ge=0)] = Field(42, title="Seed", description="Weights, order and crops follow from it.")
    resume: bool = Field(False, title="Resume", description="Go on from the last saved state of the same request.")
    device: Device = Field("cuda", title="Device", description="cuda, cuda:N or cpu; without a GPU the CPU is used.")
    require_device: bool = Field(False, title="Require the device", description="Refuse to run without the GPU.")
    precision: Precision = Field("auto", title="Precision", description="auto: the fastest that the device does well.")
