"""Which weights learn, and how fast."""

import re

from torch.nn import Parameter

from tasks.tiles.model import Refiner
from tasks.tiles.train_job import TrainJob

LEARN_WHOLLY = ("nano", "tiny")
_BLOCK = re.compile(r"backbone\.blocks\.(\d+)\.")


def free_names(model: Refiner, unfreeze_blocks: int) -> list[str]:
    """Names of the weights that learn: head and conditioning, and the last blocks of the backbone with its final norm.

    The whole backbone learns in the small variants, and where no fewer blocks are asked for than it has.
    """
    names, depth = [name for name, _ in model.named_parameters()], model.config.depth
    if model.config.variant in LEARN_WHOLLY or unfreeze_blocks >= depth:
        return names
    return [name for name in names if not name.startswith("backbone.") or _late(name, depth - unfreeze_blocks, depth)]


def freeze_others(model: Refiner, names: list[str]) -> dict[str, Parameter]:
    """Switch gradients on for these weights and off for all others; gives the former in the model's order."""
    free = set(names)
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in free)
    return {name: weight for name, weight in model.named_parameters() if name in free}


def groups(weights: dict[str, Parameter], job: TrainJob) -> list[dict]:
    """Parameter groups of the optimizer, each with the rate that its schedule multiplies; empty groups are left out."""
    backbone = [weight for name, weight in weights.items() if name.startswith("backbone.")]
    others = [weight for name, weight in weights.items() if not name.startswith("backbone.")]
    rated = ((others, job.lr), (backbone, job.lr_backbone))
    return [{"params": params, "lr": rate, "full_rate": rate} for params, rate in rated if params]


def _late(name: str, first: int, depth: int) -> bool:
    match = _BLOCK.match(name)
    if match is None:
        return name.startswith("backbone.norm.") and first < depth
    return int(match[1]) >= first
