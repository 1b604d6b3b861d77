"""Splits are by scene."""

import pytest

from tasks.contracts.errors import ConfigError
from tasks.tiles.split import RULE_NAME, RULE_SIDECAR, scene_of, split_by_scene


@pytest.mark.parametrize(
    ("tile_id", "scene"),
    [
        ("alps_0012", "alps"),
        ("alps_r3_c14", "alps"),
        ("alps-x120-y240", "alps"),
        ("T32TQM_2020-06_0_1", "T32TQM"),
        ("folder/alps_tile_7", "folder/alps"),
        ("alps", "alps"),
        ("coast_0", "coast"),
        ("scene7_0012", "scene7"),
        ("scene12_r3c14", "scene12"),
        ("scene712", "scene712"),
        ("folder/0001", "folder/"),
        ("0001", ""),
    ],
)
def test_a_name_without_its_tile_numbers_is_the_scene(tile_id, scene):
    assert scene_of(tile_id) == (scene, RULE_NAME)


def test_the_sidecar_has_the_first_word():
    assert scene_of("alps_0012", "valley 3") == ("valley 3", RULE_SIDECAR)
    assert scene_of("alps_0012", 7) == ("7", RULE_SIDECAR)


@pytest.mark.parametrize("named", [None, "", "  ", True, ["alps"]])
def test_what_is_no_name_leaves_the_rule_of_names(named):
    assert scene_of("alps_0012", named) == ("alps", RULE_NAME)


def test_no_scene_is_on_both_sides_and_no_pair_is_lost():
    scenes = [f"scene {n % 10}" for n in range(50)]
    split = split_by_scene(scenes, 0.25, seed=3)
    assert sorted(split.train + split.val) == list(range(50))
    assert {scenes[place] for place in split.val} == set(split.val_scenes)
    assert not {scenes[place] for place in split.train} & set(split.val_scenes)
    assert len(split.val_scenes) == 2


@pytest.mark.parametrize(("fraction", "count"), [(0.01, 1), (0.99, 3)])
def test_both_sides_keep_a_scene(fraction, count):
    assert len(split_by_scene(["a", "b", "c", "d"], fraction, seed=0).val_scenes) == count


def test_the_draw_does_not_depend_on_the_order_of_the_tiles():
    scenes = [f"scene {n}" for n in range(20)]
    assert split_by_scene(scenes, 0.3, 5).val_scenes == split_by_scene(scenes[::-1], 0.3, 5).val_scenes


def test_another_seed_draws_other_scenes():
    scenes = [f"scene {n}" for n in range(20)]
    assert len({split_by_scene(scenes, 0.3, seed).val_scenes for seed in range(5)}) > 1


def test_one_scene_cannot_be_split():
    with pytest.raises(ConfigError, match="at least two scenes"):
        split_by_scene(["alps", "alps"], 0.5, 0)
