"""Month and biome: the year is a circle, and what is unknown has its own class."""

import math
from dataclasses import replace

import pytest
import torch

from tasks.tiles.conditioning import UNKNOWN_BIOME, Conditioning, month_features
from tests.tiles.model.small_models import batch, config, random_head, residual


def test_december_is_as_near_to_january_as_january_to_february():
    rows = month_features(4).double()
    steps = [(rows[month % 12 + 1] - rows[month]).norm().item() for month in range(1, 13)]
    assert steps == pytest.approx([steps[0]] * 12, abs=1e-6)
    assert steps[0] > 1


def test_features_are_four_harmonics_of_the_year_and_a_flag():
    row = month_features(4)[2].tolist()
    angles = [2 * math.pi * k * 2 / 12 for k in (1, 2, 3, 4)]
    expected = [wave(angle) for angle in angles for wave in (math.sin, math.cos)]
    assert row == pytest.approx([*expected, 1], abs=1e-7)


def test_an_unknown_month_is_all_zero():
    assert month_features(4)[0].tolist() == [0] * 9


def test_a_fresh_conditioning_scales_and_shifts_nothing():
    model = random_head(scale=0.0)
    film = model.cond(torch.tensor([1, 0]), torch.tensor([3, UNKNOWN_BIOME]))
    assert film.shape == (2, 2, 2, 32)
    assert film.count_nonzero() == 0


def test_it_takes_25_values():
    model = Conditioning(config())
    assert model.fc1.weight.shape == (128, 25)
    assert model.biome.weight.shape == (17, 16)


@pytest.mark.parametrize(("month", "biome"), [((1, 7), (3, 3)), ((0, 6), (3, 3)), ((6, 6), (0, 16)), ((6, 6), (2, 9))])
def test_month_and_biome_change_what_the_model_does(month, biome):
    model, one = random_head(), batch(32, month=(6, 6))
    same = replace(one, tiles=one.tiles[:1].expand_as(one.tiles), month=torch.tensor(month), biome=torch.tensor(biome))
    first, second = residual(model, same)
    assert (first - second).abs().max() > 1e-4
