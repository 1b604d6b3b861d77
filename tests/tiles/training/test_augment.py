"""Random views keep tile, target and masks together."""

import json

import numpy as np
import pytest

from tasks.contracts.tiles import TilesConfig
from tasks.tiles.augment import augmented, centre, padded
from tasks.tiles.metadata import read_sidecar
from tasks.tiles.pair import UNKNOWN_BIOME, UNKNOWN_MONTH
from tasks.tiles.pair_files import joined
from tasks.tiles.reader import Tile
from tests.tiles.training.small_pairs import small_pair


def numbered(height, width):
    """A pair whose pixels are their own numbers in tile, target and mask."""
    number = np.arange(height * width, dtype=np.float32).reshape(height, width)
    even = number % 2 == 0
    return small_pair(height=height, width=width, tile=np.stack([number] * 4)[None], target=np.stack([number] * 4),
                      seen=even, valid=even)  # fmt: skip


def test_tile_target_and_masks_move_together():
    rng = np.random.default_rng(0)
    for _ in range(20):
        view = augmented(numbered(9, 7), 5, 0.1, rng)
        assert view.tile.shape == (1, 4, 5, 5)
        assert np.array_equal(view.tile[0], view.target)
        assert np.array_equal(view.valid, view.target[0] % 2 == 0) and np.array_equal(view.valid, view.seen)


def test_all_eight_orientations_and_all_crops_occur():
    rng = np.random.default_rng(0)
    views = [augmented(numbered(3, 3), 2, 0.0, rng).target[0] for _ in range(600)]
    assert len({view.tobytes() for view in views}) == 4 * 8


def test_the_same_generator_state_gives_the_same_view():
    first, second = (augmented(numbered(9, 9), 4, 0.5, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first.target, second.target) and (first.month, first.biome) == (second.month, second.biome)


def test_month_and_biome_are_hidden_independently_with_their_chance():
    rng, pair = np.random.default_rng(1), small_pair(height=2, width=2)
    views = [augmented(pair, 2, 0.1, rng) for _ in range(4000)]
    months = np.array([view.month == UNKNOWN_MONTH for view in views])
    biomes = np.array([view.biome == UNKNOWN_BIOME for view in views])
    assert months.mean() == pytest.approx(0.1, abs=0.02) and biomes.mean() == pytest.approx(0.1, abs=0.02)
    assert (months & biomes).mean() == pytest.approx(0.01, abs=0.007)
    assert {view.month for view in views} == {0, 6} and {view.biome for view in views} == {16, 3}


@pytest.mark.parametrize(
    ("sidecar", "day"),
    [({"month": 7, "year": 2021}, None), ({"month": 7, "date": "2021-07-09"}, 190), ({"date": "2021-07-09"}, 190)],
)
def test_a_hidden_month_leaves_what_inference_knows_without_it(sidecar, day):
    def told(document):
        data = json.dumps({**document, "biome_code": 3}).encode()
        values = np.full((1, 4, 2, 2), 0.2, np.float32)
        tile = Tile("a", values, np.ones((2, 2), bool), "stack", 0.0, 1.0)
        pair = joined(tile, tile, read_sidecar(data, "a"), TilesConfig(missing_metadata="unknown"))
        return pair, [getattr(pair, name) for name in ("month", "biome", "year", "day_of_year")]

    silent = told({key: value for key, value in sidecar.items() if key != "month"})[1]
    view = augmented(told(sidecar)[0], 2, 1.0, np.random.default_rng(0))
    hidden = [getattr(view, name) for name in ("month", "biome", "year", "day_of_year")]
    assert hidden[0] == silent[0] == UNKNOWN_MONTH and hidden[1] == UNKNOWN_BIOME
    np.testing.assert_array_equal(hidden[2:], silent[2:])
    np.testing.assert_array_equal(hidden[3], np.nan if day is None else day)


def test_a_month_that_is_not_hidden_keeps_its_day():
    view = augmented(small_pair(height=2, width=2, year=2021.0, day_of_year=196.0), 2, 0.0, np.random.default_rng(0))
    assert (view.month, view.year, view.day_of_year) == (6, 2021, 196)


def test_a_small_pair_is_reflected_and_what_is_reflected_is_not_judged():
    view = augmented(numbered(2, 3), 8, 0.0, np.random.default_rng(0))
    assert view.tile.shape == (1, 4, 8, 8) and np.isfinite(view.tile).all()
    assert view.valid.sum() == 3 and view.seen.sum() > 3  # three of the six pixels are even


def test_reflection_leaves_out_the_edge_and_folds():
    row = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert padded(row, 7)[0].tolist() == [1, 2, 3, 2, 1, 2, 3]
    assert padded(row, 7)[:, 0].tolist() == [1, 4, 1, 4, 1, 4, 1]


@pytest.mark.parametrize(("side", "shape", "corner"), [(4, (4, 4), 2 * 7 + 1), (8, (8, 7), 0), (20, (9, 7), 0)])
def test_the_centre_is_cut_where_a_pair_is_larger(side, shape, corner):
    view = centre(numbered(9, 7), side)
    assert view.valid.shape == shape and view.target[0, 0, 0] == corner
