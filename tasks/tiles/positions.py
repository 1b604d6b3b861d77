"""Fixed sine-cosine codes of places in the token grid, of dates and of coordinates."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_BASE = 10_000.0


def sincos(values: Tensor, width: int) -> Tensor:
    """[sin | cos] of value·ω_j with ω_j = 10000^(−j/(width/2)): shape (..., width), dtype of the values."""
    half = width // 2
    steps = torch.arange(half, dtype=values.dtype, device=values.device)
    angles = values[..., None] * _BASE ** (-steps / half)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def grid_codes(dim: int, grid: tuple[int, int, int], pretrain_grid: int) -> Tensor:
    """Codes of the tokens of a (t, h, w) grid in this order: float64, shape (t, h, w, dim), parts w, h, t of dim.

    A grid whose h and w are not those of pre-training is resampled bicubically from it, corner on corner.
    """
    frames, height, width = grid
    plane = _plane_codes(dim, pretrain_grid)
    if (height, width) != (pretrain_grid, pretrain_grid):
        planes = plane.movedim(-1, 0)[None]
        plane = interpolate(planes, (height, width), mode="bicubic", align_corners=True)[0].movedim(0, -1)
    time = sincos(torch.arange(frames, dtype=torch.float64), dim // 16 * 4)
    parts = [plane.expand(frames, -1, -1, -1), time[:, None, None].expand(-1, height, width, -1)]
    return torch.cat(parts, dim=-1)


def _plane_codes(dim: int, side: int) -> Tensor:
    line = sincos(torch.arange(side, dtype=torch.float64), dim // 16 * 6)
    return torch.cat([line[None].expand(side, -1, -1), line[:, None].expand(-1, side, -1)], dim=-1)


@lru_cache(maxsize=16)
def position_table(dim: int, grid: tuple[int, int, int], pretrain_grid: int, device: torch.device) -> Tensor:
    """`grid_codes` in fp32 on a device, shape (t·h·w, dim), kept for the grids used last."""
    with torch.inference_mode(False), torch.no_grad():
        return grid_codes(dim, grid, pretrain_grid).reshape(-1, dim).float().to(device)
