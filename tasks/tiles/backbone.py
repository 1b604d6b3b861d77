"""The Prithvi encoder: a plain vision transformer over patches of a few frames, in the tensor names of its weights."""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from tasks.tiles.coordinates import LocationTerm, TimeTerm
from tasks.tiles.positions import position_table
from tasks.tiles.variants import ModelConfig

_EPS = 1e-5
_MLP_RATIO = 4


class PatchEmbedding(nn.Module):
    """One token per patch and frame; the convolution is computed as a matrix product over cut-out patches."""

    def __init__(self, channels: int, dim: int, patch: int):
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv3d(channels, dim, kernel_size=(1, patch, patch), stride=(1, patch, patch))

    def forward(self, frames: Tensor) -> Tensor:
        """(B,T,C,H,W) to (B, T·h·w, dim), in the dtype of the weights."""
        p, (batch, times, channels, height, width) = self.patch, frames.shape
        cut = frames.to(self.proj.weight.dtype).reshape(batch, times, channels, height // p, p, width // p, p)
        patches = cut.permute(0, 1, 3, 5, 2, 4, 6).reshape(batch, -1, channels * p * p)
        return linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class Attention(nn.Module):
    """Self-attention of all tokens."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, dim = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, count, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(*qkv.unbind(0))
        return self.proj(mixed.transpose(1, 2).reshape(batch, count, dim))


class Mlp(nn.Module):
    """Two layers with GELU on each token."""

    def __init__(self, dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, _MLP_RATIO * dim)
        self.fc2 = nn.Linear(_MLP_RATIO * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(gelu(self.fc1(tokens)))


class Block(nn.Module):
    """Attention and MLP, each behind its norm and beside a skip."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=_EPS)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=_EPS)
        self.mlp = Mlp(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class Backbone(nn.Module):
    """Encoder of Prithvi without decoder, masking and dropout."""

    def __init__(self, config: ModelConfig, channels: int | None = None):
        super().__init__()
        self.dim, self.patch, self.pretrain_grid = config.dim, config.patch, config.pretrain_grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.patch_embed = PatchEmbedding(channels or len(config.bands), config.dim, config.patch)
        self.temporal_embed_enc = TimeTerm(config.dim) if config.coords else None
        self.location_embed_enc = LocationTerm(config.dim) if config.coords else None
        self.blocks = nn.ModuleList(Block(config.dim, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=_EPS)

    def forward(self, frames: Tensor, dates: Tensor, places: Tensor) -> Tensor:
        """Tokens after the last block and the final norm, on their grid: (B,T,h,w,dim).

        frames: (B,T,C,H,W) normalised, H and W multiples of the patch; dates: (B,T,2) year and day of year; places:
        (B,2) latitude and longitude in degrees; NaN where unknown.
        """
        batch, times, _, height, width = frames.shape
        grid = (times, height // self.patch, width // self.patch)
        tokens = self._embedded(frames, grid, dates, places)
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1), tokens], dim=1)  # its position code is 0
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 1:].reshape(batch, *grid, self.dim)

    def _embedded(self, frames: Tensor, grid: tuple[int, int, int], dates: Tensor, places: Tensor) -> Tensor:
        tokens = self.patch_embed(frames)
        codes = position_table(self.dim, grid, self.pretrain_grid, frames.device)[None]
        if self.temporal_embed_enc is not None and self.location_embed_enc is not None:
            terms = self.temporal_embed_enc(dates) + self.location_embed_enc(places)[:, None]
            codes = codes + terms.repeat_interleave(grid[1] * grid[2], dim=1)
        return (tokens.float() + codes).to(tokens.dtype)
