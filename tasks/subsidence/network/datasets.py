"""Batches of fixed shape from arrays in memory; order and origins depend on (seed, epoch) alone: any can be redone."""

from dataclasses import replace

import numpy as np

from tasks.subsidence.arrays import Split
from tasks.subsidence.network.origins import Windows, driver_levels, feasible_origins, stored_windows, windows_from
from tasks.subsidence.semantics import Semantics

SHUFFLE, ORIGINS = 0, 1  # streams of one epoch


class EpochSource:
    """The train windows of any epoch, in a new order and partly from other origins."""

    def __init__(self, split: Split, sem: Semantics, *, share: float, seed: int, known_until: float):
        self.split, self.sem, self.seed, self.known_until = split, sem, seed, known_until
        self.origins = np.array(feasible_origins(sem), dtype=int)
        self.share = share if len(self.origins) else 0.0
        self.year_effects: np.ndarray | None = None
        self.levels = driver_levels(split, sem) if self.share else None

    def windows(self, epoch: int) -> Windows:
        """All N windows in stored order; a share of them, drawn anew each epoch, from another origin."""
        if self.share == 0.0:
            return stored_windows(self.split, self.sem, self.known_until)
        rng = np.random.default_rng([self.seed, epoch, ORIGINS])
        n = len(self.split)
        moved = rng.permutation(n) < round(self.share * n)
        origins = np.where(moved, rng.choice(self.origins, size=n), self.sem.time_steps)
        windows = windows_from(self.split, self.sem, origins, self.known_until)
        return windows if self.year_effects is None else self._deal(windows, origins, moved, rng)

    def _deal(self, windows: Windows, origins: np.ndarray, moved: np.ndarray, rng: np.random.Generator) -> Windows:
        """Exchange the city-wide departures of the years at random: in targets and in drivers of moved windows.

        A handoff has a handful of years. Whatever tells them apart, a city-wide driver say, would be taken for the
        cause of a departure; dealt at random, years keep their spread and their pattern in space but lose their marks.
        """
        every = np.array(sorted((*self.origins, self.sem.time_steps)))
        own = np.searchsorted(every, origins)
        spread = self.year_effects - self.year_effects.mean(axis=0)
        change = spread[rng.integers(len(every), size=len(own))] - self.year_effects[own]
        change = np.where(moved[:, None, None], change, 0.0).astype(np.float32)
        exchanged = rng.integers(len(self.levels.dynamic), size=(len(own), len(self.levels.dynamic)))
        exchanged = np.where(moved[:, None], exchanged, np.arange(len(self.levels.dynamic)))
        return replace(
            windows,
            inputs=self.levels.exchange(windows.inputs, origins, exchanged),
            subsidence=windows.subsidence + change[..., 0],
            head=windows.head + change[..., 1],
        )

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


def carried(effects: np.ndarray) -> np.ndarray:
    """Year effects (origins, H, 2) with the leads that an origin lacks (NaN) filled by its last one."""
    filled = effects.copy()
    for lead in range(1, filled.shape[1]):
        missing = np.isnan(filled[:, lead])
        filled[:, lead] = np.where(missing, filled[:, lead - 1], filled[:, lead])
    return filled
