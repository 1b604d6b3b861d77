"""Month and biome, and how they scale and shift the blocks of the head."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from tasks.tiles.variants import ModelConfig

UNKNOWN_MONTH = 0
UNKNOWN_BIOME = 16


def month_features(harmonics: int) -> Tensor:
    """Rows for month 0 (unknown) to 12: sine and cosine of the first harmonics of the year, and 1 if it is known.

    Shape (13, 2·harmonics + 1), fp32.
    """
    months = torch.arange(13, dtype=torch.float64, device="cpu")
    waves = [wave(2 * math.pi * k * months / 12) for k in range(1, harmonics + 1) for wave in (torch.sin, torch.cos)]
    rows = torch.stack([*waves, torch.ones_like(months)], dim=-1)
    rows[UNKNOWN_MONTH] = 0
    return rows.float()


class Conditioning(nn.Module):
    """Scales and shifts for the blocks of the head; all 0 in a fresh model."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        sizes, self.shape = config.conditioning, (config.head.blocks, 2, config.head.width)
        # All values come from outside; drawing some here would import torch's compiler, seconds in every worker.
        self.biome = nn.Embedding.from_pretrained(torch.zeros(sizes.biomes, sizes.biome_dim), freeze=False)
        self.fc1 = nn.Linear(2 * sizes.harmonics + 1 + sizes.biome_dim, sizes.hidden)
        self.fc2 = nn.Linear(sizes.hidden, math.prod(self.shape))
        self.register_buffer("months", month_features(sizes.harmonics), persistent=False)

    def forward(self, month: Tensor, biome: Tensor) -> Tensor:
        """month, biome: (B,) integers; gives γ and β of each block, (B, blocks, 2, width), fp32."""
        known = torch.cat([self.months[month], self.biome(biome)], dim=-1)
        return self.fc2(gelu(self.fc1(known))).reshape(len(month), *self.shape)
