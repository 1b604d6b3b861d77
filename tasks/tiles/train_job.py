"""What decides the result of a training, beside its pairs and the model that it starts from."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.contracts.base import Frozen
from tasks.contracts.tiles import TilesConfig

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class TrainJob(Frozen):
    """Settings of one training; a saved state continues only under equal ones."""

    epochs: Count = 50
    steps: Count | None = Field(None, description="Optimizer steps, instead of epochs.")
    batch_size: Count = 8
    crop: Count = Field(224, description="Side of the training crops, px; never more than the largest tile.")
    lr: Rate = Field(1e-4, description="Of head and conditioning, after the warm-up.")
    lr_backbone: Rate = Field(1e-5, description="Of the free blocks of the backbone, after the warm-up.")
    weight_decay: Rate = 0.01
    warmup: Share = Field(0.1, description="Of all steps.")
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    unfreeze_blocks: Annotated[int, Field(ge=0)] = Field(
        2, description="Last blocks of the backbone that learn; with nano and tiny everything does."
    )
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(0.15, description="Of the scenes.")
    validate_steps: Count = Field(20, description="Least steps between validations; the last epoch always has one.")
    drop_metadata: Share = Field(0.1, description="Chance of month and of biome to be hidden, each by itself.")
    seed: Annotated[int, Field(ge=0)] = 42
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="As resolved for the device.")
    device: str = "cpu"
    tiles: TilesConfig = Field(default_factory=TilesConfig, description="How tiles and targets are read.")
