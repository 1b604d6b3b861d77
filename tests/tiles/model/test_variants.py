"""The table of backbones: their sizes give the published parameter counts, their statistics the published numbers."""

import pytest
import torch
from pydantic import ValidationError

from tasks.contracts.errors import ConfigError
from tasks.tiles.backbone import Backbone
from tasks.tiles.variants import VARIANTS, ModelConfig, model_config
from tests.tiles.model.small_models import config

SIX_BANDS = {
    "nano": 198_528,
    "tiny": 3_553_280,
    "v2_tiny_tl": 5_634_050,
    "v1_100": 86_237_184,
    "v2_100_tl": 86_237_186,
    "v2_300": 303_886_336,
    "v2_300_tl": 303_886_338,
    "v2_600": 631_188_480,
    "v2_600_tl": 631_188_482,
}


def encoder_parameters(name: str, bands: int) -> int:
    with torch.device("meta"):
        return sum(value.numel() for value in Backbone(model_config(name), bands).parameters())


def test_the_table_has_these_variants():
    assert set(VARIANTS) == set(SIX_BANDS)


@pytest.mark.parametrize(("name", "count"), SIX_BANDS.items())
def test_encoders_have_the_published_number_of_parameters(name, count):
    variant = VARIANTS[name]
    assert encoder_parameters(name, 6) == count
    assert encoder_parameters(name, 4) == count - 2 * variant.patch**2 * variant.dim


@pytest.mark.parametrize(("name", "count"), [("v1_100", 85_843_968), ("nano", 165_760)])
def test_encoders_of_four_bands(name, count):
    assert encoder_parameters(name, 4) == count


def test_statistics_are_those_of_the_pretraining_data():
    first, second = model_config("v1_100"), model_config("v2_300")
    assert (first.means, first.stds) == ((775, 1081, 1229, 2497), (1282, 1270, 1399, 1368))
    assert (second.means, second.stds) == ((1087, 1342, 1433, 2734), (2248, 2179, 2178, 1850))


def test_a_variant_of_patch_14_was_trained_on_16_by_16_tokens():
    assert (model_config("v2_600").pretrain_grid, model_config("v2_300").pretrain_grid) == (16, 14)


def test_heads_are_small_for_nano_only():
    assert (model_config("nano").head.width, model_config("nano").head.blocks) == (32, 2)
    assert (model_config("tiny").head.width, model_config("tiny").head.blocks) == (256, 4)


def test_an_unknown_variant_is_answered_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"found 'v2_30'.*Did you mean 'v2_300'\?"):
        model_config("v2_30")


def test_a_config_survives_its_json():
    before = model_config("v2_600_tl", num_frames=3)
    assert ModelConfig.model_validate_json(before.model_dump_json()) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 72}, "multiple of 16"),
        ({"heads": 3}, "multiple of 16 and of heads"),
        ({"num_frames": 5}, "num_frames"),
        ({"bands": ("B04", "B03", "B02", "B08")}, "bands must be B02, B03, B04, B08"),
        ({"in_channels": 12}, "in_channels"),
        ({"patch": 225}, "must hold a patch"),
    ],
)
def test_sizes_that_make_no_model_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        config(**changes)
