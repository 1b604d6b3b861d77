"""Which checkpoint a training may replace."""

import pytest

from tasks.contracts.errors import ConfigError
from tasks.tiles.checkpoint import fresh, save_checkpoint
from tasks.tiles.checkpoint_files import CONFIG_NAME
from tasks.tiles.flow.same_training import check_same, existing, is_promoted

THERE = {
    "variant": "nano",
    "origin": {"file": None, "seed": 1},
    "training": {"settings": {"lr": 0.1, "steps": 5, "device": "cpu", "precision": "fp32"}, "data": {"id": "aa"}},
}


def asked(data="aa", variant="nano", **settings):
    """The same, but for what is given."""
    training = {"settings": {**THERE["training"]["settings"], **settings}, "data": {"id": data}}
    return {**THERE, "variant": variant, "training": training}


def test_the_same_training_on_another_device_may_replace_it():
    check_same(THERE, asked(device="cuda", precision="bf16"), "out")


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (asked(lr=0.2), "out holds a checkpoint of another training.*expected lr 0.1, found lr 0.2"),
        (asked(data="bb"), "expected pairs aa, found pairs bb"),
        (asked(variant="tiny"), "expected variant nano, found variant tiny"),
        ({"origin": {"file": "a.pt"}}, "found origin {'file': 'a.pt'}"),
        (asked(clip=1), "expected clip not recorded, found clip 1"),
    ],
)
def test_another_training_may_not_and_the_difference_is_named(other, text):
    with pytest.raises(ConfigError, match=text) as caught:
        check_same(THERE, other, "out")
    assert caught.value.exit_code == 2


def test_what_is_not_known_yet_is_not_compared():
    check_same(THERE, {"variant": "nano", "training": {"settings": {"lr": 0.1}}}, "out")


def test_a_checkpoint_that_no_training_made_is_never_replaced():
    with pytest.raises(ConfigError, match="lr not recorded"):
        check_same({"variant": "nano", "training": {}}, asked(), "out")


def test_weights_without_their_config_are_no_checkpoint(tmp_path):
    save_checkpoint(tmp_path, fresh("nano", seed=1), {"training": {"promoted": True}})
    assert is_promoted(existing(tmp_path))
    (tmp_path / CONFIG_NAME).unlink()
    assert existing(tmp_path) is None
