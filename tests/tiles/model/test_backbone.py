"""The encoder equals an independent numpy version, and its four bands are the first four of six."""

import numpy as np
import pytest
import torch

from tasks.tiles.backbone import Backbone
from tasks.tiles.variants import model_config
from tests.tiles.model import numpy_encoder
from tests.tiles.model.small_models import batch, config, random_head, state_of

NOTHING_KNOWN = torch.full((1, 1, 2), torch.nan), torch.full((1, 2), torch.nan)


@pytest.mark.parametrize("grid", [(14, 14), (8, 8), (7, 5)])
def test_the_encoder_equals_that_of_numpy(grid):
    model = random_head()
    tile = batch(grid[0] * 16, grid[1] * 16)
    with torch.inference_mode():
        found = model.tokens(tile)[0]
        frames = model.normalised(tile.tiles)[0].double().numpy()
    expected = numpy_encoder.encoded(frames, state_of(model.backbone), patch=16, heads=4, depth=2)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5)


def test_the_encoder_of_several_frames_equals_that_of_numpy():
    model = random_head(model_config("nano", num_frames=3))
    tile = batch(48, 32, frames=3)
    with torch.inference_mode():
        found = model.tokens(tile)[0]
        frames = model.normalised(tile.tiles)[0].double().numpy()
    expected = numpy_encoder.encoded(frames, state_of(model.backbone), patch=16, heads=4, depth=2)
    assert found.shape == (3, 3, 2, 64)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5)


def test_date_and_place_are_added_to_every_patch_token():
    model = random_head(config("nano", coords=True))
    tile = batch(32, 48, year=[2021.0], day_of_year=[200.0], lat=[46.5], lon=[-11.25])
    with torch.inference_mode():
        found = model.tokens(tile)[0]
        frames = model.normalised(tile.tiles)[0].double().numpy()
    pairs = [numpy_encoder.sincos(pair, 32).reshape(-1) for pair in ((2021, 200), (46.5, -11.25))]
    expected = numpy_encoder.encoded(
        frames, state_of(model.backbone), patch=16, heads=4, depth=2, extra=0.1 * (pairs[0] + pairs[1])
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5)


def test_four_bands_equal_six_with_short_wave_infrared_at_its_mean():
    four, generator = random_head().backbone.eval(), torch.Generator().manual_seed(3)
    six = Backbone(model_config("nano"), 6).eval()
    state = four.state_dict()
    more = torch.randn(64, 2, 1, 16, 16, generator=generator)
    state["patch_embed.proj.weight"] = torch.cat([state["patch_embed.proj.weight"], more], dim=1)
    six.load_state_dict(state, strict=True)
    frames = torch.randn(1, 1, 4, 112, 80, generator=generator)
    swir_dn = torch.tensor([1958.0, 1363.0])
    normalised = ((swir_dn - swir_dn) / torch.tensor([1242.0, 1049.0]))[:, None, None].expand(1, 1, 2, 112, 80)
    with torch.inference_mode():
        difference = six(torch.cat([frames, normalised], dim=2), *NOTHING_KNOWN) - four(frames, *NOTHING_KNOWN)
    assert difference.abs().max() <= 1e-5


def test_tokens_lie_on_the_true_grid_without_the_class_token():
    """A 224 px tile has 14×14 tokens: 197 with the class token is a prime number and makes a strip of any grid."""
    with torch.inference_mode():
        assert random_head().tokens(batch(224, 32)).shape == (1, 1, 14, 2, 64)


def test_tokens_are_those_after_the_last_block():
    model, tile = random_head(), batch(32)
    with torch.inference_mode():
        before = model.tokens(tile)
        model.backbone.blocks[-1].mlp.fc2.bias += torch.linspace(-1, 1, 64)
        assert (model.tokens(tile) - before).abs().max() > 0.1
