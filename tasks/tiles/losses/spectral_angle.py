"""Angle between spectra in the form of Kahan, exact near 0 and with a finite gradient there."""

import torch
from torch import Tensor

from tasks.tiles.losses.valid import masked_mean, neutralised


def spectral_angle_loss(refined: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean over valid pixels of 2 atan2(‖u − v‖, ‖u + v‖) of the unit spectra, in radians."""
    u, v = (_unit(neutralised(image, valid)) for image in (refined, target))
    return masked_mean(2.0 * torch.atan2(_norm(u - v), _norm(u + v)), valid)


def _norm(spectra: Tensor) -> Tensor:
    """Length (B, H, W), at least 1e-6."""
    return torch.sqrt(spectra.square().sum(dim=1) + 1e-12)


def _unit(spectra: Tensor) -> Tensor:
    return spectra / _norm(spectra).unsqueeze(1)
