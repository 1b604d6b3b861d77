"""The weighted sum that training minimises."""

from collections.abc import Callable
from types import MappingProxyType

from torch import Tensor

from tasks.tiles.losses.edge import edge_loss
from tasks.tiles.losses.evi import evi_loss
from tasks.tiles.losses.ndvi import ndvi_loss
from tasks.tiles.losses.reconstruction import reconstruction_loss
from tasks.tiles.losses.spectral_angle import spectral_angle_loss

Term = Callable[[Tensor, Tensor, Tensor], Tensor]
TERMS: MappingProxyType[str, tuple[float, Term]] = MappingProxyType(
    {
        "ndvi": (1.0, ndvi_loss),
        "evi": (0.5, evi_loss),
        "spectral_angle": (0.3, spectral_angle_loss),
        "reconstruction": (0.5, reconstruction_loss),
        "edge": (0.25, edge_loss),
    }
)


def losses(refined: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """Every term unweighted, and `loss`, their weighted sum; scalars in fp32 or better.

    `refined` is not clamped. `valid` holds where both images are valid; other pixels have no influence.
    """
    terms = {name: term(refined, target, valid) for name, (_, term) in TERMS.items()}
    total = sum(TERMS[name][0] * value for name, value in terms.items())
    return {"loss": total, **terms}
