"""Where a training starts."""

import pytest
import torch

from tasks.contracts.errors import ConfigError
from tasks.tiles import precision
from tasks.tiles.checkpoint import fresh, save_checkpoint
from tasks.tiles.train_start import starting_model, training_precision


def test_a_checkpoint_gives_weights_and_origin(tmp_path):
    given = fresh("nano", seed=3, head_scale=0.5)
    save_checkpoint(tmp_path, given, {"origin": {"file": "prithvi.pt"}})
    model, origin = starting_model("nano", tmp_path, seed=42, unfreeze_blocks=2)
    assert origin == {"file": "prithvi.pt"}
    assert all(torch.equal(value, given.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_checkpoint_of_another_variant_is_refused(tmp_path):
    save_checkpoint(tmp_path, fresh("nano", seed=3))
    with pytest.raises(ConfigError, match="expected tiny, found nano"):
        starting_model("tiny", tmp_path, seed=42, unfreeze_blocks=2)


def test_a_small_model_starts_from_the_seed():
    first, again, other = (starting_model("nano", None, seed=seed, unfreeze_blocks=2)[0] for seed in (1, 1, 2))
    weight = [model.head.inlet.weight for model in (first, again, other)]
    assert torch.equal(weight[0], weight[1]) and not torch.equal(weight[0], weight[2])


def test_frozen_blocks_without_trained_weights_are_refused():
    with pytest.raises(ConfigError, match="--backbone, or --unfreeze_blocks 12"):
        starting_model("v2_tiny_tl", None, seed=1, unfreeze_blocks=2)
    starting_model("v2_tiny_tl", None, seed=1, unfreeze_blocks=12)


@pytest.mark.parametrize(("requested", "ran"), [("auto", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")])
def test_a_cpu_trains_in_fp32_unless_told_otherwise(monkeypatch, requested, ran):
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    assert training_precision(requested, "cpu") == ran


def test_a_cpu_does_not_train_in_fp16():
    with pytest.raises(ConfigError, match="fp16 does not train on a CPU"):
        training_precision("fp16", "cpu")
