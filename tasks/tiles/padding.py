"""Padding at the bottom and the right by reflection, however small the tile is."""

import torch
from torch import Tensor


def padded_size(size: int, patch: int) -> int:
    """The next multiple of the patch, px."""
    return -(-size // patch) * patch


def padded(image: Tensor, patch: int) -> Tensor:
    """(..., H, W) grown to multiples of the patch; the edge pixel itself is not repeated."""
    for dim in (-2, -1):
        size = image.shape[dim]
        if size % patch:
            image = image.index_select(dim, reflected(size, padded_size(size, patch), image.device))
    return image


def reflected(size: int, count: int, device: torch.device | None = None) -> Tensor:
    """Indices 0 … size−1 and on, folded back at both ends as often as needed."""
    period = max(2 * (size - 1), 1)
    places = torch.arange(count, device=device) % period
    return torch.where(places < size, places, period - places)
