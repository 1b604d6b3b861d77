"""Difference of edges: Sobel with the border pixel repeated, as `scipy.ndimage.sobel` in mode `reflect`."""

import torch
from torch import Tensor
from torch.nn import functional

from tasks.tiles.losses.valid import masked_mean, neutralised

WEIGHT_SUM = 8.0  # of the absolute weights of one direction


def edge_loss(refined: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference of the Sobel magnitude over 8, over bands and pixels whose 3×3 support is valid."""
    ours, theirs = (magnitude(neutralised(image, valid)) for image in (refined, target))
    difference = (ours - theirs).abs()
    return masked_mean(difference, supported(valid).unsqueeze(1).expand_as(difference))


def magnitude(image: Tensor) -> Tensor:
    """√(gx² + gy² + 1e-8) / 8 of each band (B, C, H, W)."""
    gx, gy = sobel(image)
    return torch.sqrt(gx.square() + gy.square() + 1e-8) / WEIGHT_SUM


def sobel(image: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives along columns and along rows, both (B, C, H, W)."""
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    rows = padded[..., :-2, :] + 2.0 * padded[..., 1:-1, :] + padded[..., 2:, :]
    columns = padded[..., :-2] + 2.0 * padded[..., 1:-1] + padded[..., 2:]
    return rows[..., 2:] - rows[..., :-2], columns[..., 2:, :] - columns[..., :-2, :]


def supported(valid: Tensor) -> Tensor:
    """Mask (B, H, W) of the pixels with no invalid one in their 3×3 neighbourhood inside the image."""
    holes = functional.max_pool2d((~valid).float().unsqueeze(1), kernel_size=3, stride=1, padding=1)
    return holes.squeeze(1) == 0
