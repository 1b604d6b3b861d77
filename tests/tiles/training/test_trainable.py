"""Which weights learn, and at which rate."""

import pytest
import torch

from tasks.tiles.model import Refiner
from tasks.tiles.train_job import TrainJob
from tasks.tiles.trainable import free_names, freeze_others, groups
from tasks.tiles.variants import model_config

JOB = TrainJob(lr=1e-4, lr_backbone=1e-5)


def backbone_names(variant, unfreeze_blocks, depth=12):
    with torch.device("meta"):
        model = Refiner(model_config(variant).model_copy(update={"depth": depth}))
    names = free_names(model, unfreeze_blocks)
    assert {name for name, _ in model.named_parameters() if not name.startswith("backbone.")} <= set(names)
    return {name for name in names if name.startswith("backbone.")}, model


def test_the_last_two_blocks_and_the_final_norm_learn():
    names, _ = backbone_names("v1_100", 2)
    assert {name.split(".")[2] for name in names if ".blocks." in name} == {"10", "11"}
    assert {name for name in names if ".blocks." not in name} == {"backbone.norm.weight", "backbone.norm.bias"}


@pytest.mark.parametrize("variant", ["v1_100", "v2_100_tl"])
def test_without_free_blocks_the_backbone_stays_as_it_is(variant):
    assert backbone_names(variant, 0)[0] == set()


@pytest.mark.parametrize(
    ("variant", "unfreeze_blocks", "depth"), [("nano", 0, 2), ("tiny", 2, 4), ("v2_100_tl", 12, 12)]
)
def test_small_backbones_and_wholly_freed_ones_learn_all(variant, unfreeze_blocks, depth):
    names, model = backbone_names(variant, unfreeze_blocks, depth)
    assert names == {name for name, _ in model.named_parameters() if name.startswith("backbone.")}


def test_others_are_frozen_and_the_two_rates_go_where_they_belong():
    with torch.device("meta"):
        model = Refiner(model_config("v1_100").model_copy(update={"depth": 3}))
    weights = freeze_others(model, free_names(model, 1))
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == set(weights)
    head, backbone = groups(weights, JOB)
    assert (head["full_rate"], backbone["full_rate"]) == (1e-4, 1e-5)
    assert {id(weight) for weight in backbone["params"]} == {
        id(weight) for name, weight in weights.items() if name.startswith("backbone.")
    }
    assert len(head["params"]) + len(backbone["params"]) == len(weights)


def test_a_wholly_frozen_backbone_makes_no_group():
    with torch.device("meta"):
        model = Refiner(model_config("v1_100").model_copy(update={"depth": 3}))
    assert len(groups(freeze_others(model, free_names(model, 0)), JOB)) == 1
