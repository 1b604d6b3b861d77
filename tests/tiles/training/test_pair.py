"""A set of pairs and its identity."""

from dataclasses import replace

import numpy as np

from tasks.tiles.pair import in_memory, remembered
from tests.tiles.training.small_pairs import small_pair, small_pairs


def counted(pairs):
    """The pairs, and a list of the places that were loaded."""
    loads = []

    def load(place):
        loads.append(place)
        return pairs.load(place)

    return replace(pairs, load=load), loads


def test_a_pair_that_fits_is_loaded_once():
    pairs, loads = counted(small_pairs(count=4))
    kept = remembered(pairs, 1 << 20)
    assert all(np.array_equal(kept.load(place).target, pairs.load(place).target) for place in (0, 1, 0, 1))
    assert sorted(loads) == [0, 0, 0, 1, 1, 1]  # two of each are those of the comparison
    assert kept.data_id == pairs.data_id


def test_what_does_not_fit_is_loaded_again():
    pairs, loads = counted(small_pairs(count=2, size=8))
    kept = remembered(pairs, 2 * 4 * 8 * 8 * 4 + 2 * 8 * 8)  # room for one
    for place in (0, 1, 0, 1):
        kept.load(place)
    assert loads == [0, 1, 1]


def test_the_data_id_follows_pixels_scenes_and_order():
    pairs = [small_pair(f"s{n}_0", 8, 8, seed=n) for n in range(2)]
    changed = replace(pairs[0], target=pairs[0].target + np.float32(0.001))
    variants = [
        in_memory(pairs, ["a", "b"]),
        in_memory(pairs, ["a", "a"]),
        in_memory(pairs[::-1], ["b", "a"]),
        in_memory([changed, pairs[1]], ["a", "b"]),
    ]
    assert len({variant.data_id for variant in variants}) == 4
    assert in_memory(pairs, ["a", "b"]).data_id == variants[0].data_id
