"""How good refined tiles are on the validation scenes, always beside the tiles as they came and a classical filter."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from tasks.tiles.augment import centre
from tasks.tiles.losses.combined import TERMS, losses
from tasks.tiles.metrics import ndvi_rmse, psnr
from tasks.tiles.mixed import forward
from tasks.tiles.model import Refiner
from tasks.tiles.pair import Pair, Pairs
from tasks.tiles.references import unsharp
from tasks.tiles.train_batches import Examples, collated

SCORES = ("loss", *TERMS, "psnr", "ndvi_rmse")
LARGEST_PX = 448  # of a judged tile: the middle of larger ones
Scores = dict[str, float]  # `loss` and its terms, psnr in dB, ndvi_rmse; means over the tiles where they are defined
Refine = Callable[[Examples], Tensor]


class Stopped(Exception):
    """A signal came between two batches."""


class Judge:
    """The validation pairs, and the scores of the two baselines on them. Raises Stopped between two batches."""

    def __init__(
        self, pairs: Pairs, places: Sequence[int], batch_size: int, should_stop: Callable[[], bool] = lambda: False
    ):
        self.pairs, self.places, self.batch_size, self.should_stop = pairs, places, batch_size, should_stop

    @cached_property
    def baselines(self) -> dict[str, Scores]:
        """Scores of `identity`, the tiles as they came, and of `unsharp`, a Gaussian unsharp filter."""
        return {
            "identity": self._scores(lambda examples: examples.batch.tiles[:, -1]),
            "unsharp": self._scores(_unsharp),
        }

    def __call__(self, model: Refiner, device: str, precision: str) -> Scores:
        """Scores of a model; the loss is of its unclamped output, the metrics are of what it would write."""

        def refined(examples: Examples) -> Tensor:
            return forward(model, examples.batch.to(device), precision).cpu()

        with torch.no_grad():
            return self._scores(refined)

    def _scores(self, refine: Refine) -> Scores:
        collected: dict[str, list[float]] = defaultdict(list)
        for examples in self._batches():
            if self.should_stop():
                raise Stopped
            refined = refine(examples)
            for number in range(len(refined)):
                for name, value in _of_tile(refined[number], examples.target[number], examples.valid[number]):
                    collected[name].append(value)
        return {name: math.fsum(values) / len(values) for name, values in collected.items()}

    def _batches(self) -> Iterator[Examples]:
        """All pairs in their order, as many of one size at a time as follow one another."""
        waiting: list[Pair] = []
        for place in self.places:
            pair = centre(self.pairs.load(place), LARGEST_PX)
            if waiting and (len(waiting) == self.batch_size or waiting[0].valid.shape != pair.valid.shape):
                yield collated(waiting)
                waiting = []
            waiting.append(pair)
        if waiting:
            yield collated(waiting)


def _of_tile(refined: Tensor, target: Tensor, valid: Tensor) -> Iterator[tuple[str, float]]:
    """Every figure that is defined for a tile: there is no loss without a valid pixel, no PSNR of equal tiles."""
    if not valid.any():
        return
    for name, value in losses(refined[None], target[None], valid[None]).items():
        yield name, value.item()
    written, truth, mask = refined.clamp(0.0, 1.0).numpy(), target.numpy(), valid.numpy()
    for name, metric in (("psnr", psnr), ("ndvi_rmse", ndvi_rmse)):
        value = metric(written, truth, mask)
        if value is not None:
            yield name, value


def _unsharp(examples: Examples) -> Tensor:
    sharpened = []
    for tile, seen in zip(examples.batch.tiles[:, -1].numpy(), examples.batch.valid.numpy(), strict=True):
        known = np.where(seen, tile, np.float32(np.nan))
        sharpened.append(np.where(seen, unsharp(known), tile))
    return torch.from_numpy(np.stack(sharpened))
