"""Pairs from folders: which files make them, which are left out, and what the model is told."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tasks.contracts.tile_errors import AmbiguousUnitsError, InputChangedError, InputDirError, TileShapeError
from tasks.contracts.tiles import TileMeta, TilesConfig
from tasks.store.npz_writer import write_npz
from tasks.tiles.degrade import STANDARD
from tasks.tiles.pair_files import read_target
from tasks.tiles.pairs import folder_pairs
from tasks.tiles.split import RULE_NAME, RULE_SIDECAR

CONFIG = TilesConfig()
NAN = np.float32(np.nan)


def flat(value, size=6):
    """(4, size, size) of one reflectance."""
    return np.full((4, size, size), value, np.float32)


def bands(value, size=6):
    """The four keys of a tile in bands."""
    return {key: np.full((size, size), value, np.float32) for key in ("s2_b2", "s2_b3", "s2_b4", "s2_b8")}


@pytest.fixture
def folders(tmp_path):
    """An input and a target folder, and a function that puts a pair into them."""
    tiles, targets = tmp_path / "tiles", tmp_path / "targets"
    tiles.mkdir()
    targets.mkdir()

    def put(name, tile, target=None, sidecar=None):
        (tiles / f"{name}.npz").write_bytes(write_npz(tile if isinstance(tile, dict) else {"opt_v1": tile}))
        if target is not None:
            (targets / f"{name}.npz").write_bytes(write_npz(target))
        if sidecar is not None:
            (tiles / f"{name}.json").write_text(json.dumps(sidecar))

    return tiles, targets, put


def opened(folders, **options):
    tiles, targets, _ = folders
    return folder_pairs(tiles, targets, CONFIG, seed=42, **options)


@pytest.mark.parametrize("target", [{"target": flat(0.3)}, {"opt_ref": flat(0.3)}, bands(0.3)])
def test_a_target_may_have_three_forms(folders, target):
    folders[2]("a_0", flat(0.2), target)
    pair = opened(folders).load(0)
    assert pair.tile.shape == (1, 4, 6, 6) and (pair.tile == np.float32(0.2)).all()
    assert (pair.target == np.float32(0.3)).all() and pair.valid.all() and pair.target.dtype == np.float32


def test_a_tile_is_no_target_of_itself(folders):
    folders[2]("a_0", flat(0.2), {"opt_v1": flat(0.2)})
    with pytest.raises(InputDirError, match="1 with TileShapeError"):
        opened(folders)


def test_only_pixels_valid_in_both_are_judged_and_the_model_sees_the_validity_of_its_tile(folders):
    tile, target = flat(0.2), flat(0.3)
    tile[1, 0, 0], tile[:, 0, 1] = NAN, 0.4
    target[3, 2, 2] = np.inf
    folders[2]("a_0", tile, {"target": target})
    pair = opened(folders).load(0)
    assert not pair.seen[0, 0] and pair.seen[2, 2] and not pair.valid[0, 0] and not pair.valid[2, 2]
    assert pair.seen.sum() == 35 and pair.valid.sum() == 34
    assert np.isfinite(pair.tile).all() and np.isfinite(pair.target).all()
    assert pair.tile[0, 1, 0, 0] == np.float32(0.2)  # the median of the band


def test_nodata_of_the_sidecar_holds_for_tile_and_target(folders):
    tile, target = flat(0.2), flat(0.3)
    tile[0, 1, 1] = target[2, 3, 3] = -9.0
    folders[2]("a_0", tile, {"target": target}, {"nodata": -9.0})
    assert np.argwhere(~opened(folders).load(0).valid).tolist() == [[1, 1], [3, 3]]


def test_a_scale_is_for_integer_targets_and_leaves_reflectance_alone():
    config = TilesConfig(scale=10_000.0)
    integers, floats = (write_npz({"target": array}) for array in (np.full((4, 3, 3), 2500, np.uint16), flat(0.25)))
    for data in (integers, floats):
        assert (read_target(data, "a", TileMeta(), config).values == np.float32(0.25)).all()
    with pytest.raises(AmbiguousUnitsError):
        read_target(integers, "a", TileMeta(), CONFIG)


def test_a_target_without_a_usable_key_says_which_keys_it_has():
    with pytest.raises(TileShapeError, match="found clean, s2_b2"):
        read_target(write_npz({"clean": flat(0.1), "s2_b2": flat(0.1)[0]}), "a", TileMeta(), CONFIG)


def test_what_cannot_be_used_is_left_out_and_recorded(folders):
    put = folders[2]
    put("a_0", flat(0.2), {"target": flat(0.3)})
    put("a_1", flat(0.2))
    put("a_2", flat(0.2), {"target": flat(0.3, size=5)})
    put("a_3", flat(NAN), {"target": flat(0.3)})
    put("a_4", flat(0.2), {"target": flat(0.3)}, {"month": 13})
    pairs = opened(folders)
    assert [info.id for info in pairs.infos] == ["a_0"]
    assert {entry["id"]: entry["error"] for entry in pairs.record["left_out"]} == {
        "a_1": "no target", "a_2": "TileShapeError", "a_3": "TileEmptyError", "a_4": "InvalidMonthError"
    }  # fmt: skip


def test_no_pair_at_all_ends_the_run(folders):
    folders[2]("a_0", flat(0.2))
    with pytest.raises(InputDirError, match="1 with no target") as caught:
        opened(folders)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("missing", "told"), [("published", (6, 0)), ("unknown", (0, 16))])
def test_missing_metadata_are_told_to_the_model_as_in_refinement(folders, missing, told):
    folders[2]("a_0", flat(0.2), {"target": flat(0.3)})
    pair = folder_pairs(*folders[:2], CONFIG.model_copy(update={"missing_metadata": missing}), seed=1).load(0)
    assert (pair.month, pair.biome) == told


def test_sidecars_give_month_biome_place_and_date(folders):
    sidecar = {"month": "July", "biome_code": 4, "date": "2021-07-15", "lat": 47.5, "lon": 8.25, "scene": "valley"}
    folders[2]("a_0", flat(0.2), {"target": flat(0.3)}, sidecar)
    pairs = opened(folders)
    pair = pairs.load(0)
    assert (pair.month, pair.biome, pair.year, pair.day_of_year, pair.lat, pair.lon) == (7, 4, 2021, 196, 47.5, 8.25)
    assert pairs.scenes == ("valley",) and pairs.record["scene_rules"] == {RULE_SIDECAR: 1}


def test_without_the_key_the_name_says_the_scene(folders):
    for name in ("alps_0", "alps_1", "coast_0"):
        folders[2](name, flat(0.2), {"target": flat(0.3)})
    pairs = opened(folders)
    assert pairs.scenes == ("alps", "alps", "coast") and pairs.record["scene_rules"] == {RULE_NAME: 3}


def test_a_file_that_changes_during_the_training_is_noticed(folders):
    folders[2]("a_0", flat(0.2), {"target": flat(0.3)})
    pairs = opened(folders)
    folders[2]("a_0", flat(0.2), {"target": flat(0.4)})
    with pytest.raises(InputChangedError) as caught:
        pairs.load(0)
    assert caught.value.tile_id == "a_0"


def test_the_data_id_follows_content_and_not_place(folders, tmp_path):
    put = folders[2]
    put("a_0", flat(0.2), {"target": flat(0.3)})
    first = opened(folders).data_id
    folders[0].rename(tmp_path / "moved")
    assert folder_pairs(tmp_path / "moved", folders[1], CONFIG, seed=42).data_id == first
    (tmp_path / "moved").rename(folders[0])
    put("a_0", flat(0.2), {"target": flat(0.31)})
    assert opened(folders).data_id != first


# Synthetic pairs


def clean(folders, count=2):
    rng = np.random.default_rng(0)
    for number in range(count):
        tile = rng.uniform(0.1, 0.6, (4, 24, 24)).astype(np.float32)
        tile[:, 0, 0] = NAN
        folders[2](f"s{number}_0", tile, sidecar={"month": 3})


def test_synthetic_pairs_have_the_clean_tile_for_target(folders):
    clean(folders)
    pairs = folder_pairs(folders[0], None, CONFIG, seed=42)
    pair = pairs.load(0)
    assert pairs.kind == "synthetic" and pairs.oracle_strength == "physics_derived"
    error = (pair.tile[0] - pair.target)[:, pair.valid]
    assert 0.01 < error.std() < 0.2 and not pair.valid[0, 0] and pair.valid.sum() == 24 * 24 - 1
    assert pair.tile.min() >= 0 and pair.tile.max() <= 1 and pair.month == 3


def test_the_degradation_is_recorded_and_can_be_repeated(folders):
    clean(folders)
    first, again, other = (folder_pairs(folders[0], None, CONFIG, seed=seed) for seed in (42, 42, 43))
    assert first.record["degradation"] == {**STANDARD.model_dump(), "seed": 42}
    assert np.array_equal(first.load(1).tile, again.load(1).tile) and first.data_id == again.data_id
    assert not np.array_equal(first.load(1).tile, other.load(1).tile) and first.data_id != other.data_id


def test_the_degradation_of_a_tile_does_not_depend_on_its_neighbours(folders):
    clean(folders, count=2)
    both = folder_pairs(folders[0], None, CONFIG, seed=42).load(1)
    (folders[0] / "s0_0.npz").unlink()
    assert np.array_equal(folder_pairs(folders[0], None, CONFIG, seed=42).load(0).tile, both.tile)


def test_the_generator_says_itself_how_much_its_references_are_worth(tmp_path):
    from tasks.tiles.sample import make_sample

    sample = make_sample(tmp_path, count=5, sizes=(16,), checkpoint=False)
    pairs = folder_pairs(sample.tiles, sample.reference, CONFIG, seed=42)
    assert pairs.oracle_strength == "physics_derived" and len(pairs) == 5
    assert len(set(pairs.scenes)) == 2 and pairs.record["scene_rules"] == {RULE_SIDECAR: 5}
    assert replace(pairs, oracle_strength="human_labels").data_id != pairs.data_id
