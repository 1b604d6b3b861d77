"""Difference of the normalised difference vegetation index."""

from torch import Tensor

from tasks.tiles.losses.valid import NIR, RED, neutralised, root_mean_square

LEAST = 0.001  # reflectance: below it the index would leave [-1, 1]


def ndvi_loss(refined: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Root mean square difference of NDVI over valid pixels."""
    difference = _ndvi(neutralised(refined, valid)) - _ndvi(neutralised(target, valid))
    return root_mean_square(difference, valid)


def _ndvi(image: Tensor) -> Tensor:
    nir, red = image[:, NIR].clamp(min=LEAST), image[:, RED].clamp(min=LEAST)
    return (nir - red) / (nir + red + 1e-8)
