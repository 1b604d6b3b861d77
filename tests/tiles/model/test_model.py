"""The model refines every pixel of a tile of any size, and does nothing before it is trained."""

from dataclasses import replace

import pytest
import torch

from tasks.contracts.tile_errors import TileShapeError
from tasks.tiles.checkpoint import fresh
from tasks.tiles.model import Batch
from tasks.tiles.precision import prepared
from tasks.tiles.variants import model_config
from tests.tiles.model.small_models import batch, config, random_head, residual, tiles


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("size", [(32, 32), (17, 101)])
def test_a_fresh_model_is_the_identity_bit_for_bit(precision, size):
    model = prepared(fresh("nano", seed=7), precision)
    given = batch(*size, month=(1, 0), biome=(4,))
    given.tiles[0, 0, :, 0, 0] = torch.tensor([0.0, 1.0, 1e-30, 0.1])
    with torch.inference_mode():
        refined = model.refine(given)
    assert refined.dtype == torch.float32
    assert torch.equal(refined, given.tiles[:, -1])


def test_a_changed_patch_reaches_only_what_the_layers_can_see():
    """Without attention: one 7×7 block carries it three tokens far, two 3×3 layers two more pixels."""
    model = random_head(config(depth=0, head=model_config("nano").head.model_copy(update={"blocks": 1})))
    given = batch(224)
    moved = given.tiles.clone()
    moved[..., 96:112, 96:112] += 0.3
    change = (residual(model, replace(given, tiles=moved)) - residual(model, given)).abs().amax(dim=(0, 1))
    inside = torch.zeros(224, 224, dtype=torch.bool)
    inside[46:162, 46:162] = True
    assert change[~inside].max() <= 1e-6
    assert change[46:162, 46:162].max() > 1e-3
    assert change[48:160, 48:160].reshape(7, 16, 7, 16).amax(dim=(1, 3)).min() > 1e-5


@pytest.mark.parametrize("size", [(17, 17), (100, 100), (101, 97), (120, 120), (224, 224), (2, 2), (2, 40)])
def test_every_size_keeps_its_shape(size):
    found = residual(random_head(), batch(*size))
    assert found.shape == (1, 4, *size)
    assert found.isfinite().all()


@pytest.mark.parametrize("size", [(17, 17), (100, 100), (101, 97), (120, 120), (224, 224)])
@pytest.mark.parametrize("last", [(slice(None), -1), (-1, slice(None))])
def test_the_last_row_and_column_are_refined(size, last):
    model, given = random_head(), batch(*size)
    moved = given.tiles.clone()
    moved[..., *last] += 0.2
    change = (residual(model, replace(given, tiles=moved)) - residual(model, given))[..., *last]
    assert (change.abs().amax(dim=(0, 1)) > 1e-5).all()


def test_the_validity_mask_reaches_the_correction():
    model, given = random_head(), batch(32)
    masked = given.valid.clone()
    masked[0, 10, 10] = False
    change = (residual(model, replace(given, valid=masked)) - residual(model, given)).abs().amax(dim=(0, 1))
    assert change[10, 10] > 1e-4
    assert change[14:].max() <= 1e-6


def test_refined_values_lie_between_0_and_1():
    model, given = random_head(scale=5.0), batch(48, month=(1, 2))
    assert residual(model, given).abs().max() > 1
    with torch.inference_mode():
        refined = model.refine(given)
    assert (refined.min().item(), refined.max().item()) == (0, 1)


def test_training_sees_values_that_are_not_clamped():
    model, given = random_head(scale=5.0), batch(32)
    assert model(given).max() > 1


def test_tiles_in_one_batch_do_not_touch_each_other():
    model, given = random_head(), batch(40, month=(1, 7, 12))
    alone = residual(model, given.part(slice(1, 2)))
    assert torch.allclose(residual(model, given)[1:2], alone, atol=1e-5)


def test_the_last_frame_is_refined_with_the_eyes_on_all():
    model = random_head(model_config("nano", num_frames=2))
    given = batch(32, frames=2)
    earlier = given.tiles.clone()
    earlier[:, 0] += 0.2
    with torch.inference_mode():
        assert torch.equal(fresh("nano", seed=1, num_frames=2).refine(given), given.tiles[:, 1])
    assert (residual(model, replace(given, tiles=earlier)) - residual(model, given)).abs().max() > 1e-5


def test_the_head_sees_the_tokens_of_the_last_frame_alone():
    """Without attention between frames, an earlier one has no way to the correction."""
    model, given = random_head(config(depth=0, num_frames=2)), batch(32, frames=2)
    earlier = given.tiles.clone()
    earlier[:, 0] += 0.2
    assert torch.equal(residual(model, replace(given, tiles=earlier)), residual(model, given))


@pytest.mark.parametrize("shape", [(1, 2, 4, 32, 32), (1, 1, 6, 32, 32), (1, 4, 32, 32)])
def test_tiles_of_another_form_are_refused(shape):
    with pytest.raises(TileShapeError, match=r"expected \(B, 1, 4, H, W\)"):
        random_head()(Batch.plain(torch.zeros(shape)))


def test_a_patch_of_14_keeps_its_size_too():
    model = random_head(config("v2_600", dim=64, depth=1, heads=4, head=model_config("nano").head))
    assert residual(model, batch(30, 57)).shape == (1, 4, 30, 57)


def test_normalisation_is_that_of_the_variant():
    first = random_head(config("v1_100", dim=64, depth=1, heads=4, head=model_config("nano").head))
    found = first.normalised(torch.full((1, 4, 1, 1), 0.2))
    assert found.flatten().tolist() == pytest.approx(
        [(2000 - 775) / 1282, (2000 - 1081) / 1270, (2000 - 1229) / 1399, (2000 - 2497) / 1368], rel=1e-6
    )


def test_a_batch_moves_and_splits_with_all_it_holds():
    whole = Batch.plain(tiles(8, count=3))
    assert len(whole) == 3
    assert len(whole.part(slice(0, 2)).month) == 2
    assert whole.to("meta").lat.device.type == "meta"
