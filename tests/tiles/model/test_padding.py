"""Padding reflects at the bottom and the right, folded as often as a small tile needs."""

import pytest
import torch
from torch.nn.functional import pad

from tasks.tiles.padding import padded, padded_size, reflected


@pytest.mark.parametrize(
    ("size", "patch", "expected"), [(17, 16, 32), (224, 16, 224), (120, 16, 128), (224, 14, 224), (2, 14, 14)]
)
def test_sizes_grow_to_the_next_multiple(size, patch, expected):
    assert padded_size(size, patch) == expected


def test_small_sizes_are_folded_back_and_forth():
    assert reflected(3, 8).tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert reflected(2, 5).tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(("height", "width"), [(17, 30), (100, 97), (16, 20)])
def test_padding_equals_reflection_by_torch(height, width):
    image = torch.rand(2, 4, height, width)
    growth = (0, padded_size(width, 16) - width, 0, padded_size(height, 16) - height)
    assert torch.equal(padded(image, 16), pad(image, growth, mode="reflect"))


def test_a_multiple_of_the_patch_stays_as_it_is():
    image = torch.rand(1, 4, 32, 16)
    assert padded(image, 16) is image
