"""Mixed precision of training keeps in fp32 what inference keeps in fp32."""

import pytest
import torch

from tasks.tiles.checkpoint import fresh
from tasks.tiles.mixed import forward
from tasks.tiles.model import Batch


@pytest.fixture
def model():
    return fresh("nano", seed=1, head_scale=0.3)


@pytest.fixture
def batch():
    return Batch.plain(torch.rand(2, 1, 4, 32, 32, generator=torch.Generator().manual_seed(0)))


def seen_dtypes(model, batch, precision):
    """The dtypes that come out of a product in the blocks, in the conditioning and in the last layer."""
    found = {}
    for name in ("backbone.blocks.0.attn.qkv", "head.blocks.0.fc1", "cond.fc2", "head.detail.conv2"):
        model.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: found.update({name: out.dtype}))
    return forward(model, batch, precision), found


def test_products_run_in_bf16_and_what_touches_reflectance_in_fp32(model, batch):
    refined, found = seen_dtypes(model, batch, "bf16")
    assert found["backbone.blocks.0.attn.qkv"] == found["head.blocks.0.fc1"] == torch.bfloat16
    assert found["cond.fc2"] == found["head.detail.conv2"] == refined.dtype == torch.float32


def test_fp32_is_fp32_throughout(model, batch):
    assert set(seen_dtypes(model, batch, "fp32")[1].values()) == {torch.float32}


def test_bf16_is_close_and_has_gradients_for_every_weight(model, batch):
    refined = forward(model, batch, "bf16")
    change = (model(batch) - batch.tiles[:, -1]).abs().max()
    assert 0 < (refined - model(batch)).abs().max() < 0.05 * change
    refined.sum().backward()
    assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in model.parameters())


def test_the_model_is_left_as_it_was(model, batch):
    before = model(batch)
    forward(model, batch, "bf16")
    assert "forward" not in vars(model.cond) and "forward" not in vars(model.head.detail)
    assert torch.equal(model(batch), before)


def test_the_skip_path_never_passes_through_half_width(batch):
    assert torch.equal(forward(fresh("nano", seed=1), batch, "bf16"), batch.tiles[:, -1])
