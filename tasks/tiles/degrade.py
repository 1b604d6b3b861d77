"""The recorded degradation that makes a first-stage estimate out of a clean tile."""

from typing import Annotated

import numpy as np
from pydantic import Field

from tasks.contracts.base import Frozen
from tasks.tiles.filters import masked_blur

Spread = Annotated[float, Field(ge=0)]


class Degradation(Frozen):
    """How much a clean tile is worsened; gain and offset are drawn per band, evenly within their spread."""

    blur_sigma_px: Annotated[float, Field(gt=0)] = 0.8
    gain_spread: Spread = Field(0.03, description="Of the factor around 1.")
    offset_spread: Spread = Field(0.005, description="Reflectance.")
    noise: Spread = Field(0.01, description="Standard deviation of Gaussian noise per sample, reflectance.")


STANDARD = Degradation()


def degrade(clean: np.ndarray, rng: np.random.Generator, how: Degradation = STANDARD) -> np.ndarray:
    """(4, H, W) float32 in 0..1: blur, gain, offset, noise, then clipped. Invalid pixels (NaN) stay and do not spread.

    Draws the same numbers whatever the values are, so equal states of `rng` give equal degradations.
    """
    bands = len(clean)
    gain = 1 + how.gain_spread * rng.uniform(-1, 1, bands).astype(np.float32)
    offset = how.offset_spread * rng.uniform(-1, 1, bands).astype(np.float32)
    noise = how.noise * rng.standard_normal(clean.shape, dtype=np.float32)
    valid = np.isfinite(clean).all(axis=0)
    blurred = masked_blur(clean.astype(np.float32), valid, how.blur_sigma_px)
    return np.clip(gain[:, None, None] * blurred + offset[:, None, None] + noise, 0, 1)
