"""From tokens to a correction of the tile: ConvNeXt blocks on the token grid, then two 3×3 layers at full size."""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from tasks.tiles.variants import ModelConfig

_EPS = 1e-6
_MLP_RATIO = 4


class HeadBlock(nn.Module):
    """A ConvNeXt block whose norm is followed by y·(1+γ)+β."""

    def __init__(self, width: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.fc1 = nn.Linear(width, _MLP_RATIO * width)
        self.fc2 = nn.Linear(_MLP_RATIO * width, width)

    def forward(self, grid: Tensor, film: Tensor) -> Tensor:
        """grid: (B,h,w,C); film: (B,2,C) γ and β."""
        gamma, beta = film.to(grid.dtype)[:, :, None, None].unbind(1)
        mixed = self.depthwise(grid.movedim(-1, 1)).movedim(1, -1)
        return grid + self.fc2(gelu(self.fc1(self.norm(mixed) * (1 + gamma) + beta)))


class Detail(nn.Module):
    """Unfolded tokens, the input bands and the validity mask to the correction, in fp32 throughout."""

    def __init__(self, channels: int, width: int, bands: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, bands, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv2(gelu(self.conv1(features)))


class Head(nn.Module):
    """The refinement head; its last layer is 0 in a fresh model."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        sizes, bands = config.head, len(config.bands)
        self.patch, self.features = config.patch, sizes.features
        self.inlet = nn.Linear(config.dim, sizes.width)
        self.blocks = nn.ModuleList(HeadBlock(sizes.width) for _ in range(sizes.blocks))
        self.outlet = nn.Linear(sizes.width, sizes.features * config.patch**2)
        self.detail = Detail(sizes.features + bands + 1, sizes.detail, bands)

    def forward(self, tokens: Tensor, film: Tensor, bands: Tensor, valid: Tensor) -> Tensor:
        """The correction in reflectance, (B,4,H,W), fp32.

        tokens: (B,h,w,dim); film: (B,blocks,2,width); bands: (B,4,H,W) normalised; valid: (B,1,H,W) of 0 and 1.
        """
        grid = self.inlet(tokens)
        for block, gamma_beta in zip(self.blocks, film.unbind(1), strict=True):
            grid = block(grid, gamma_beta)
        return self.detail(torch.cat([self._unfolded(self.outlet(grid)).float(), bands, valid], dim=1))

    def _unfolded(self, grid: Tensor) -> Tensor:
        """(B,h,w,C·p·p) to (B,C,h·p,w·p)."""
        (batch, height, width, _), p = grid.shape, self.patch
        patches = grid.reshape(batch, height, width, self.features, p, p).permute(0, 3, 1, 4, 2, 5)
        return patches.reshape(batch, self.features, height * p, width * p)
