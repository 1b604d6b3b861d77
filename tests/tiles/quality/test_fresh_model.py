"""A fresh model is the identity, and the evaluation says that nothing was refined."""

import numpy as np
import pytest

from tasks.tiles.evaluate import evaluate
from tasks.tiles.references import oracle_of
from tasks.tiles.sample import sample_tiles
from tasks.tiles.tile_quality import Pair


def refined(tile: np.ndarray, month: int, biome: int, precision: str, head_scale: float) -> np.ndarray:
    """Tile (4, H, W) through a `nano` model without training."""
    import torch

    from tasks.tiles.checkpoint import fresh
    from tasks.tiles.model import Batch
    from tasks.tiles.precision import prepared

    def one(value):
        return torch.tensor([float(value)])

    nothing = one(np.nan)
    batch = Batch(
        tiles=torch.from_numpy(tile)[None, None],
        valid=torch.ones(1, *tile.shape[1:]),
        month=torch.tensor([month]),
        biome=torch.tensor([biome]),
        year=nothing,
        day_of_year=nothing,
        lat=nothing,
        lon=nothing,
    )
    model = prepared(fresh("nano", seed=1, head_scale=head_scale), precision)
    with torch.inference_mode():
        return model.refine(batch)[0].numpy()


def judged(precision: str, head_scale: float) -> dict:
    pairs = []
    for tile in sample_tiles(3, (32, 17), seed=8):
        month, biome = tile.sidecar["month"], tile.sidecar["biome_code"]
        v2 = refined(tile.opt_v1, month, biome, precision, head_scale)
        pairs.append(Pair(tile.id, tile.opt_v1, v2, month, biome))
    return evaluate(pairs, oracle_of("heuristic", {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_fresh_checkpoint_is_no_refinement(precision):
    quality = judged(precision, head_scale=0.0)
    assert (quality["verdict"], quality["share_bit_identical"]) == ("no_refinement", 1.0)
    for tile in quality["per_tile"]:
        assert (tile["ndvi_rmse"], tile["edge_correlation"], tile["change_rms"]) == (0.0, 1.0, 0.0)


def test_a_random_head_is_not_taken_for_the_identity():
    quality = judged("fp32", head_scale=1.0)
    assert quality["verdict"] != "no_refinement" and quality["share_bit_identical"] == 0.0
    assert quality["plausibility"]["range"]["holds"] is True
