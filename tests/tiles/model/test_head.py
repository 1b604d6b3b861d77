"""The head unfolds tokens where they belong, and is scaled and shifted block by block."""

import torch
from torch.nn.functional import pixel_shuffle

from tasks.tiles.head import Head, HeadBlock
from tests.tiles.model.small_models import config


def test_tokens_unfold_as_in_a_pixel_shuffle():
    head = Head(config(patch=4, image=56))
    grid = torch.arange(2.0 * 3 * 5 * 16 * 16).reshape(2, 3, 5, 256)
    assert torch.equal(head._unfolded(grid), pixel_shuffle(grid.movedim(-1, 1), 4))


def test_the_detail_branch_takes_21_channels():
    head = Head(config())
    assert head.detail.conv1.weight.shape == (16, 21, 3, 3)
    assert head.detail.conv2.weight.shape == (4, 16, 3, 3)


def test_a_block_applies_scale_and_shift_after_its_norm():
    """With γ = −1 only β is left of the tokens, so that all of them get the same addition."""
    block, grid = HeadBlock(8), torch.randn(1, 4, 4, 8, generator=torch.Generator().manual_seed(0))
    film = torch.stack([torch.full((8,), -1.0), torch.linspace(-1, 1, 8)])[None]
    added = block(grid, film) - grid
    expected = block.fc2(torch.nn.functional.gelu(block.fc1(torch.linspace(-1, 1, 8))))
    assert torch.allclose(added, expected.expand_as(added), atol=1e-6)


def test_norms_of_the_head_use_their_own_epsilon():
    assert HeadBlock(8).norm.eps == 1e-6
