"""Scores of validation: means over tiles, baselines beside, whole tiles up to a size."""

import numpy as np
import pytest
import torch

from tasks.tiles.metrics import ndvi_rmse, psnr
from tasks.tiles.pair import in_memory
from tasks.tiles.references import unsharp
from tasks.tiles.validation import LARGEST_PX, Judge
from tests.tiles.training.small_pairs import small_pair
from tests.tiles.training.small_training import small_model


def judge(*pairs, batch_size=4):
    return Judge(in_memory(pairs, [pair.id for pair in pairs]), range(len(pairs)), batch_size)


def mixed_sizes():
    sizes = {"a": (24, 24), "b": (24, 24), "c": (17, 30), "d": (24, 24)}
    return [small_pair(name, *size, seed) for seed, (name, size) in enumerate(sizes.items(), 1)]


def test_scores_are_means_over_the_tiles():
    pairs = mixed_sizes()
    scores = judge(*pairs).baselines
    tiles = [(pair.tile[0], pair.target) for pair in pairs]
    ndvi = [ndvi_rmse(tile, target) for tile, target in tiles]
    assert scores["identity"]["psnr"] == pytest.approx(np.mean([psnr(tile, target) for tile, target in tiles]))
    assert scores["identity"]["ndvi_rmse"] == pytest.approx(np.mean(ndvi))
    assert scores["unsharp"]["psnr"] == pytest.approx(np.mean([psnr(unsharp(tile), target) for tile, target in tiles]))


def test_an_untrained_model_scores_as_the_identity():
    judged = judge(*mixed_sizes())
    assert judged(small_model(), "cpu", "fp32") == judged.baselines["identity"]


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_the_batch_size_does_not_matter(batch_size):
    assert judge(*mixed_sizes(), batch_size=batch_size).baselines == judge(*mixed_sizes()).baselines


def test_invalid_pixels_do_not_count():
    pair = small_pair("a", 24, 24, 1)
    hole = pair.valid.copy()
    hole[5:9, 5:9] = False
    tile, target = pair.tile.copy(), pair.target.copy()
    tile[..., ~hole], target[..., ~hole] = 0.9, 0.0
    scores = judge(small_pair("a", 24, 24, 1, tile=tile, target=target, seen=hole, valid=hole)).baselines
    assert scores["identity"]["reconstruction"] == pytest.approx(0.04, abs=1e-6)
    assert scores["unsharp"]["psnr"] == pytest.approx(psnr(unsharp(np.where(hole, tile[0], np.nan)), target, hole))


def test_a_tile_without_a_valid_pixel_is_left_out():
    nothing = np.zeros((24, 24), bool)
    with_it = judge(small_pair("a", 24, 24, 1), small_pair("b", 24, 24, 2, valid=nothing)).baselines["identity"]
    assert with_it == judge(small_pair("a", 24, 24, 1)).baselines["identity"]


def test_equal_tiles_have_no_psnr_and_no_infinity():
    pair = small_pair("a", 24, 24, 1)
    scores = judge(small_pair("a", 24, 24, 1, tile=pair.target[None])).baselines["identity"]
    assert "psnr" not in scores and scores["loss"] < 1e-4


def test_of_a_huge_tile_the_middle_is_judged():
    side = LARGEST_PX + 40
    tile = small_pair("a", side, side, 1).target[None].copy()
    tile[..., :10, :] = 1.0
    assert judge(small_pair("a", side, side, 1, tile=tile)).baselines["identity"]["reconstruction"] == 0.0


def test_weights_and_gradients_are_left_alone():
    model = small_model()
    judge(*mixed_sizes())(model, "cpu", "fp32")
    assert all(weight.grad is None for weight in model.parameters()) and torch.is_grad_enabled()
