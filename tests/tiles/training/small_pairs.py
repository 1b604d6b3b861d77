"""Pairs of a few pixels for tests of training."""

from dataclasses import replace

import numpy as np

from tasks.tiles.pair import Pair, Pairs, in_memory


def small_pair(name="a_0", height=32, width=32, seed=0, **fields):
    """Smooth fields with a fixed offset between tile and target; `fields` replace what it has."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0.1, 0.5, (4, -(-height // 8), -(-width // 8))).astype(np.float32)
    target = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    every = np.ones((height, width), bool)
    tile = (target + np.float32(0.04))[None]
    return replace(Pair(name, tile, target, seen=every, valid=every, month=6, biome=3), **fields)


def small_pairs(count=12, scenes=4, size=32) -> Pairs:
    """Pairs in turn of the scenes s0, s1 …"""
    pairs = [small_pair(f"s{n % scenes}_{n}", size, size, seed=n) for n in range(count)]
    return in_memory(pairs, [f"s{n % scenes}" for n in range(count)])
