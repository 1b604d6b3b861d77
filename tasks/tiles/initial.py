"""First values of all weights, drawn from a seed without touching the global random state."""

import torch
from torch import nn

from tasks.tiles.coordinates import INITIAL_SCALE, PairTerm
from tasks.tiles.model import Refiner
from tasks.tiles.variants import ModelConfig

_TOKEN_STD = 0.02


def initial(config: ModelConfig, *, seed: int, head_scale: float = 0.0) -> Refiner:
    """A model whose last layers, of head and conditioning, are `head_scale` times a random draw: 0 is the identity."""
    with torch.device("meta"):
        model = Refiner(config)
    generator = torch.Generator().manual_seed(seed)
    state = {name: _drawn(model, name, value.shape, generator) for name, value in model.state_dict().items()}
    for name in state:
        if name.startswith(("head.detail.conv2.", "cond.fc2.")):
            state[name] *= head_scale
    model.load_state_dict(state, assign=True)
    return model.eval()


def _drawn(model: Refiner, name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    owner, leaf = model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
    if isinstance(owner, PairTerm):
        return torch.full(shape, INITIAL_SCALE)
    if isinstance(owner, nn.LayerNorm):
        return torch.ones(shape) if leaf == "weight" else torch.zeros(shape)
    if leaf == "bias":
        return torch.zeros(shape)
    return _std(owner, shape) * torch.randn(shape, generator=generator)


def _std(owner: nn.Module, shape: torch.Size) -> float:
    """A third of the variance that would keep the size of signals, so that deep stacks of skips start calm."""
    if isinstance(owner, nn.Linear | nn.Conv2d | nn.Conv3d):
        return (3 * shape[1:].numel()) ** -0.5
    return 1.0 if isinstance(owner, nn.Embedding) else _TOKEN_STD
