"""Which pairs make which batch, as a pure function of seed, epoch and step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tasks.tiles.augment import augmented
from tasks.tiles.model import Batch
from tasks.tiles.pair import Pair, Pairs
from tasks.tiles.train_job import TrainJob

ORDER, VIEWS = 2, 3  # streams of random numbers under one seed


@dataclass(frozen=True)
class Examples:
    """A batch, what it should become, and where that is judged."""

    batch: Batch
    target: Tensor  # (B, 4, H, W) fp32
    valid: Tensor  # (B, H, W) bool

    def to(self, device: str) -> "Examples":
        """The same on a device."""
        return Examples(self.batch.to(device), self.target.to(device), self.valid.to(device))


class Batches:
    """Batches of the training pairs. Nothing is remembered between calls, so any one can be made again."""

    def __init__(self, pairs: Pairs, places: Sequence[int], job: TrainJob):
        self.pairs, self.places, self.job = pairs, np.asarray(places), job
        infos = [pairs.infos[place] for place in places]
        self.side = min(job.crop, max(max(info.height, info.width) for info in infos))

    def __call__(self, epoch: int, number: int, step: int) -> Examples:
        """Batch `number` of an epoch, at the step that it is on; its views are drawn for that step."""
        rng = np.random.default_rng([self.job.seed, VIEWS, step])
        pairs = (self.pairs.load(int(place)) for place in self.members(epoch, number))
        return collated([augmented(pair, self.side, self.job.drop_metadata, rng) for pair in pairs])

    def members(self, epoch: int, number: int) -> np.ndarray:
        """Places of the pairs of one batch: the epoch's order, begun again where the last batch is not full."""
        order = np.random.default_rng([self.job.seed, ORDER, epoch]).permutation(self.places)
        start = number * self.job.batch_size
        return np.take(order, range(start, start + self.job.batch_size), mode="wrap")


def collated(pairs: Sequence[Pair]) -> Examples:
    """Pairs of one size as tensors."""

    def floats(name: str) -> Tensor:
        return torch.tensor([getattr(pair, name) for pair in pairs], dtype=torch.float32)

    def codes(name: str) -> Tensor:
        return torch.tensor([getattr(pair, name) for pair in pairs], dtype=torch.int64)

    def pixels(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(pair, name) for pair in pairs]))

    told = {name: floats(name) for name in ("year", "day_of_year", "lat", "lon")}
    batch = Batch(tiles=pixels("tile"), valid=pixels("seen"), month=codes("month"), biome=codes("biome"), **told)
    return Examples(batch, pixels("target"), pixels("valid"))
