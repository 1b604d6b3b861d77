"""Difference of the reflectance itself."""

from torch import Tensor

from tasks.tiles.losses.valid import masked_mean, neutralised


def reconstruction_loss(refined: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference over valid pixels and bands."""
    difference = (neutralised(refined, valid) - neutralised(target, valid)).abs()
    return masked_mean(difference, valid.unsqueeze(1).expand_as(difference))
