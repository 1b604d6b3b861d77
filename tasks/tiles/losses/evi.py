"""Difference of the enhanced vegetation index (Huete and others, 2002)."""

import torch
from torch import Tensor

from tasks.tiles.losses.valid import BLUE, NIR, RED, neutralised, root_mean_square

LEAST_DENOMINATOR = 0.1


def evi_loss(refined: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Root mean square difference of EVI over valid pixels whose denominator is at least 0.1 in both images."""
    (ours, usable), (theirs, also) = (_evi(neutralised(image, valid)) for image in (refined, target))
    return root_mean_square(ours - theirs, valid & usable & also)


def _evi(image: Tensor) -> tuple[Tensor, Tensor]:
    """EVI (B, H, W), 0 where its denominator is too small; and where it is not."""
    nir, red, blue = image[:, NIR], image[:, RED], image[:, BLUE]
    denominator = nir + 6.0 * red - 7.5 * blue + 1.0
    usable = denominator >= LEAST_DENOMINATOR
    # The division must not see the small ones at all: a masked infinity still has a NaN gradient.
    safe = torch.where(usable, denominator, torch.ones_like(denominator))
    return torch.where(usable, 2.5 * (nir - red) / safe, torch.zeros_like(safe)), usable
