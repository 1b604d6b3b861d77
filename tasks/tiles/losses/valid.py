"""Means over valid pixels, and images whose invalid pixels cannot reach a value or a gradient."""

import torch
from torch import Tensor

RED, NIR, BLUE = 2, 3, 0  # places of the bands B04, B08, B02
NEUTRAL = 0.1  # reflectance: every index and norm is smooth there


def neutralised(image: Tensor, valid: Tensor) -> Tensor:
    """The image with one constant at invalid pixels: what stands there, NaN too, has no influence."""
    return torch.where(valid.unsqueeze(1), image, torch.full_like(image, NEUTRAL))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Scalar mean of the values where the mask of the same shape holds; 0 where it holds nowhere."""
    kept = torch.where(mask, values, torch.zeros_like(values))
    return kept.sum() / mask.sum().clamp(min=1)


def root_mean_square(difference: Tensor, mask: Tensor) -> Tensor:
    """√(mean(difference²) + 1e-12) over the mask: its gradient is finite at equal images."""
    return torch.sqrt(masked_mean(difference.square(), mask) + 1e-12)
