"""The model that refines tiles: one class for training and inference."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from tasks.contracts.tile_errors import TileShapeError
from tasks.tiles.backbone import Backbone
from tasks.tiles.conditioning import UNKNOWN_BIOME, UNKNOWN_MONTH, Conditioning
from tasks.tiles.coordinates import dates
from tasks.tiles.head import Head
from tasks.tiles.padding import padded
from tasks.tiles.variants import ModelConfig

_DN_PER_REFLECTANCE = 10_000.0


@dataclass(frozen=True)
class Batch:
    """Tiles of one size and what is known of each; floats are NaN where unknown."""

    tiles: Tensor  # (B,T,4,H,W) reflectance, fp32, without NaN
    valid: Tensor  # (B,H,W) of the refined frame, bool or 0 and 1
    month: Tensor  # (B,) 0..12, 0 is unknown
    biome: Tensor  # (B,) 0..16, 16 is unknown
    year: Tensor  # (B,), or (B,T) where each frame has its own
    day_of_year: Tensor  # (B,) or (B,T), 1-based
    lat: Tensor  # (B,) degrees
    lon: Tensor  # (B,) degrees

    @classmethod
    def plain(cls, tiles: Tensor) -> "Batch":
        """Tiles of which nothing else is known, all pixels valid."""
        count, device = len(tiles), tiles.device
        valid = torch.ones(count, *tiles.shape[-2:], dtype=torch.bool, device=device)
        month, biome = (torch.full((count,), code, device=device) for code in (UNKNOWN_MONTH, UNKNOWN_BIOME))
        unknown = torch.full((count,), float("nan"), device=device)
        return cls(tiles, valid, month, biome, unknown, unknown, unknown, unknown)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """The same batch on a device."""
        return replace(
            self, **{f.name: getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)}
        )

    def part(self, where: slice | Tensor) -> "Batch":
        """Some of the tiles."""
        return replace(self, **{f.name: getattr(self, f.name)[where] for f in fields(self)})

    def __len__(self) -> int:
        return len(self.tiles)


class Refiner(nn.Module):
    """opt_v1 to opt_v2: the tile plus a correction from backbone, conditioning and head."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.cond = Conditioning(config)
        self.head = Head(config)
        for name, values in (("means", config.means), ("stds", config.stds)):
            self.register_buffer(name, torch.tensor(values, device="cpu")[:, None, None], persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """opt_v1 + correction, not clamped: (B,4,H,W), fp32."""
        self._check(batch)
        height, width = batch.tiles.shape[-2:]
        frames = self.normalised(padded(batch.tiles, self.config.patch))
        valid = padded(batch.valid[:, None].float(), self.config.patch)
        film = self.cond(batch.month, batch.biome)
        correction = self.head(self._encoded(frames, batch)[:, -1], film, frames[:, -1], valid)
        return batch.tiles[:, -1] + correction[..., :height, :width]

    def refine(self, batch: Batch) -> Tensor:
        """opt_v2: (B,4,H,W) in [0,1], fp32."""
        return self(batch).clamp(0.0, 1.0)

    def tokens(self, batch: Batch) -> Tensor:
        """What the backbone makes of the tiles, on the true grid of each frame: (B,T,h,w,dim)."""
        self._check(batch)
        return self._encoded(self.normalised(padded(batch.tiles, self.config.patch)), batch)

    def normalised(self, reflectance: Tensor) -> Tensor:
        """(reflectance · 10,000 − mean) / std for each band: (..., 4, H, W), fp32."""
        return (reflectance * _DN_PER_REFLECTANCE - self.means) / self.stds

    def _encoded(self, frames: Tensor, batch: Batch) -> Tensor:
        when = dates(batch.year, batch.day_of_year, batch.month, frames.shape[1])
        return self.backbone(frames, when, torch.stack([batch.lat, batch.lon], dim=-1))

    def _check(self, batch: Batch) -> None:
        expected = f"(B, {self.config.num_frames}, {len(self.config.bands)}, H, W)"
        shape = tuple(batch.tiles.shape)
        if len(shape) != 5 or shape[1:3] != (self.config.num_frames, len(self.config.bands)):
            raise TileShapeError("the model takes other tiles", where="batch", expected=expected, found=shape)
