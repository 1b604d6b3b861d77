"""Batches of fixed shape from arrays in memory; the order depends on (seed, epoch) alone, so any epoch can be redone."""

import numpy as np

from tasks.subsidence.arrays import Split
from tasks.subsidence.origins import Windows, feasible_origins, stored_windows, windows_from
from tasks.subsidence.semantics import Semantics

SHUFFLE, ORIGINS = 0, 1  # streams of one epoch


class EpochSource:
    """The train windows of any epoch, in a new order and partly from other origins."""

    def __init__(self, split: Split, sem: Semantics, *, share: float, seed: int, known_until: float):
        self.split, self.sem, self.seed, self.known_until = split, sem, seed, known_until
        self.origins = np.array(feasible_origins(sem), dtype=int)
        self.share = share if len(self.origins) else 0.0

    def windows(self, epoch: int) -> Windows:
        """All N windows in stored order; a share of them, drawn anew each epoch, from another origin."""
        if self.share == 0.0:
            return stored_windows(self.split, self.sem, self.known_until)
        rng = np.random.default_rng([self.seed, epoch, ORIGINS])
        n = len(self.split)
        moved = rng.permutation(n) < round(self.share * n)
        origins = np.where(moved, rng.choice(self.origins, size=n), self.sem.time_steps)
        return windows_from(self.split, self.sem, origins, self.known_until)

    def order(self, epoch: int) -> np.ndarray:
        """A permutation of the N windows."""
        return np.random.default_rng([self.seed, epoch, SHUFFLE]).permutation(len(self.split))


def batches(order: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n_batches, size) int32 and weights of the same shape; the last batch is filled with rows of weight 0."""
    count = -(-len(order) // size)
    rows = np.resize(order, count * size).astype(np.int32)
    weights = (np.arange(count * size) < len(order)).astype(np.float32)
    return rows.reshape(count, size), weights.reshape(count, size)


def every_origin(split: Split, sem: Semantics, known_until: float) -> list[Windows]:
    """The split once from each origin, the stored one included: the rows of the pooled least squares."""
    origins = sorted((*feasible_origins(sem), sem.time_steps))
    return [windows_from(split, sem, np.full(len(split), origin), known_until) for origin in origins]
