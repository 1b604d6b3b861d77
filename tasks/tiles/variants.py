"""Sizes and normalisation of the models, as plain data that needs no torch."""

import difflib
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.contracts.base import Frozen
from tasks.contracts.errors import ConfigError
from tasks.contracts.tiles import BANDS

NormName = Literal["V1", "V2"]
Size = Annotated[int, Field(ge=1, le=65_536)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
Four = tuple[_Number, _Number, _Number, _Number]


class Norm(Frozen):
    """Statistics of the pre-training data, in digital numbers (reflectance × 10,000), for B02, B03, B04 and B08.

    Pre-training saw B8A, narrow near infrared, where a tile has B08, the wide one.
    """

    name: NormName
    means: Four
    stds: Annotated[Four, Field(description="All above 0.")]

    @model_validator(mode="after")
    def _stds_are_positive(self) -> "Norm":
        if min(self.stds) <= 0:
            raise ValueError("stds must be above 0")
        return self


NORMS: dict[str, Norm] = {
    "V1": Norm(name="V1", means=(775.0, 1081.0, 1229.0, 2497.0), stds=(1282.0, 1270.0, 1399.0, 1368.0)),
    "V2": Norm(name="V2", means=(1087.0, 1342.0, 1433.0, 2734.0), stds=(2248.0, 2179.0, 2178.0, 1850.0)),
}


class Variant(Frozen):
    """One row of the table of backbones."""

    name: str
    dim: Size
    depth: Annotated[int, Field(ge=0)]
    heads: Size
    patch: Size = 16
    pretrain_frames: Size = 1
    image: Size = Field(224, description="Side of the pre-training images, px.")
    coordinates: bool = False
    norm: NormName = "V2"
    head_width: Size = 256
    head_blocks: Size = 4


def _with_coordinates(plain: Variant) -> tuple[Variant, Variant]:
    return plain, plain.model_copy(update={"name": f"{plain.name}_tl", "coordinates": True})


VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant(name="nano", dim=64, depth=2, heads=4, head_width=32, head_blocks=2),
        Variant(name="tiny", dim=256, depth=4, heads=4),
        Variant(name="v2_tiny_tl", dim=192, depth=12, heads=3, coordinates=True),
        Variant(name="v1_100", dim=768, depth=12, heads=12, pretrain_frames=3, norm="V1"),
        Variant(name="v2_100_tl", dim=768, depth=12, heads=12, pretrain_frames=4, coordinates=True),
        *_with_coordinates(Variant(name="v2_300", dim=1024, depth=24, heads=16, pretrain_frames=4)),
        *_with_coordinates(Variant(name="v2_600", dim=1280, depth=32, heads=16, patch=14, pretrain_frames=4)),
    )
}


class HeadSizes(Frozen):
    """Sizes of the refinement head."""

    width: Size = Field(description="Channels on the token grid.")
    blocks: Annotated[int, Field(ge=1, le=256)]
    features: Size = Field(16, description="Channels at full size that the tokens are unfolded to.")
    detail: Size = Field(16, description="Channels between the two 3×3 layers.")


class ConditioningSizes(Frozen):
    """Sizes of what month and biome pass through."""

    harmonics: Size = 4
    biomes: Size = Field(17, description="Codes 0 to 15, and 16 for unknown.")
    biome_dim: Size = 16
    hidden: Size = 128


class ModelConfig(Frozen):
    """All that decides architecture and normalisation; part of `config.json` of a checkpoint."""

    variant: str
    dim: Size
    depth: Annotated[int, Field(ge=0, le=256)]
    heads: Size
    patch: Size
    image: Size = Field(description="Side of the pre-training images, px.")
    pretrain_frames: Size
    num_frames: Annotated[int, Field(ge=1, le=4)] = Field(1, description="Of a tile; the last one is refined.")
    bands: tuple[str, ...] = BANDS
    norm: Norm
    coords: bool = Field(description="Whether tokens carry date and place.")
    head: HeadSizes
    conditioning: ConditioningSizes = ConditioningSizes()

    @property
    def means(self) -> Four:
        return self.norm.means

    @property
    def stds(self) -> Four:
        return self.norm.stds

    @property
    def pretrain_grid(self) -> int:
        """Tokens along a side of a pre-training image."""
        return self.image // self.patch

    @model_validator(mode="after")
    def _sizes_fit(self) -> "ModelConfig":
        if self.bands != BANDS:
            raise ValueError(f"bands must be {', '.join(BANDS)}")
        if self.dim % 16 or self.dim % self.heads:
            raise ValueError(f"dim {self.dim} must be a multiple of 16 and of heads {self.heads}")
        if self.image < self.patch:
            raise ValueError(f"image {self.image} must hold a patch of {self.patch}")
        return self


def model_config(variant: str, num_frames: int = 1) -> ModelConfig:
    """The config of a variant by its name. Raises ConfigError that suggests the nearest name."""
    row = _variant(variant)
    shared = row.model_dump(include={"dim", "depth", "heads", "patch", "image", "pretrain_frames"})
    head = HeadSizes(width=row.head_width, blocks=row.head_blocks)
    norm, coords = NORMS[row.norm], row.coordinates
    return ModelConfig(variant=row.name, **shared, num_frames=num_frames, norm=norm, coords=coords, head=head)


def _variant(name: str) -> Variant:
    if name in VARIANTS:
        return VARIANTS[name]
    near = difflib.get_close_matches(name, VARIANTS, n=1, cutoff=0.0)
    remedy = f"Did you mean '{near[0]}'?" if near else ""
    raise ConfigError("no such variant", expected=", ".join(VARIANTS), found=repr(name), remedy=remedy)
