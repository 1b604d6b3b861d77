"""Small models and batches of random numbers."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from tasks.tiles.checkpoint import fresh
from tasks.tiles.model import Batch, Refiner
from tasks.tiles.variants import ModelConfig, model_config


def tiles(height: int, width: int | None = None, *, count: int = 1, frames: int = 1, seed: int = 0) -> torch.Tensor:
    """(count, frames, 4, height, width) in [0,1)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, frames, 4, height, width or height, generator=generator)


def batch(height: int, width: int | None = None, *, month=(6,), biome=(3,), frames: int = 1, **known) -> Batch:
    """A batch with one tile per month; `known` gives lists of year, day_of_year, lat or lon."""
    plain = Batch.plain(tiles(height, width, count=len(month), frames=frames))
    facts = {name: torch.tensor(values, dtype=torch.float32) for name, values in known.items()}
    return replace(plain, month=torch.tensor(month), biome=torch.tensor(biome).expand(len(month)), **facts)


def random_head(config: str | ModelConfig = "nano", *, seed: int = 1, scale: float = 1.0) -> Refiner:
    """A model that changes its tiles."""
    return fresh(config, seed=seed, head_scale=scale)


def config(variant: str = "nano", **changes) -> ModelConfig:
    """A variant's config with other sizes."""
    return ModelConfig.model_validate({**dict(model_config(variant)), **changes})


def residual(model: Refiner, of: Batch) -> torch.Tensor:
    """What the model adds before the clamp."""
    with torch.inference_mode():
        return model(of) - of.tiles[:, -1]


def state_of(module: torch.nn.Module) -> dict:
    """Its tensors as float64 arrays."""
    return {name: value.detach().double().numpy() for name, value in module.state_dict().items()}


def edit_config(folder: Path, **changes) -> None:
    """Write other values into the config."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
