"""A new model depends on its seed alone."""

import torch

from tasks.tiles.checkpoint import fresh
from tests.tiles.model.small_models import batch, residual


def test_equal_seeds_give_equal_weights_and_other_seeds_others():
    first, again, other = (fresh("nano", seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["backbone.cls_token"], other["backbone.cls_token"])


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fresh("nano", seed=1, head_scale=1.0)
    assert torch.equal(torch.rand(3), expected)


def test_only_the_last_layers_are_zero():
    state = fresh("nano", seed=1).state_dict()
    zero = {name for name, value in state.items() if name.endswith("weight") and not value.any()}
    assert zero == {"head.detail.conv2.weight", "cond.fc2.weight"}


def test_a_random_head_corrects_by_a_few_tenths():
    assert 0.02 < residual(fresh("nano", seed=1, head_scale=1.0), batch(64)).square().mean().sqrt() < 0.5
