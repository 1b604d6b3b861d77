"""Pairs of a finished folder, from input, sidecar, output and reference."""

import numpy as np
import pytest

from tasks.contracts.tile_errors import InputDirError, TileShapeError
from tasks.contracts.tiles import TilesConfig
from tasks.store.npz import read_npz
from tasks.store.npz_writer import write_npz
from tasks.tiles.compared import finished_ids, folder_oracle, folder_pairs, pair_of
from tasks.tiles.evaluate import evaluate
from tasks.tiles.tile_quality import NotCompared
from tests.tiles.quality.finished_folder import finished

CONFIG = TilesConfig()


def test_a_finished_folder_is_judged_against_its_references(tmp_path):
    sample, output = finished(tmp_path, sizes=(64,), nodata=True)
    ids = finished_ids(output)
    pairs = list(folder_pairs(ids, sample.tiles, output, CONFIG, sample.reference))
    quality = evaluate(pairs, folder_oracle(ids, sample.tiles, sample.reference))
    assert ids == [f"tile_0000{i}" for i in range(4)]
    assert quality["verdict"] == "pass" and quality["oracle_strength"] == "physics_derived"
    assert quality["against_reference"]["refined_minus_identity"]["psnr_db"]["median"] > 0.2
    assert quality["plausibility"]["validity_mask"]["holds"] is True
    assert (pairs[0].month, pairs[0].biome_code, pairs[0].defaults_used) == (7, 13, ())


def test_without_references_the_oracle_is_the_input(tmp_path):
    sample, _ = finished(tmp_path, count=1)
    oracle = folder_oracle(["tile_00000"], sample.tiles)
    assert oracle.strength == "heuristic"
    before = oracle.sha256
    (sample.tiles / "tile_00000.npz").write_bytes(b"other")
    assert folder_oracle(["tile_00000"], sample.tiles).sha256 != before


def test_a_missing_reference_and_a_missing_input_stop_nothing(tmp_path):
    sample, output = finished(tmp_path)
    (sample.reference / "tile_00000.npz").unlink()
    (sample.tiles / "tile_00001.npz").unlink()
    first, second, third, _ = folder_pairs(finished_ids(output), sample.tiles, output, CONFIG, sample.reference)
    assert first.reference is None and third.reference is not None
    assert isinstance(second, NotCompared) and "tile_00001" in second.reason


def test_a_tile_without_a_sidecar_has_the_published_defaults(tmp_path):
    sample, output = finished(tmp_path, count=1)
    tile = pair_of("a", sample.tiles / "tile_00000.npz", None, output / "tile_00000.npz", CONFIG)
    assert (tile.month, tile.biome_code, tile.defaults_used) == (6, 0, ("month", "biome_code"))


def test_the_last_frame_of_a_stack_is_compared(tmp_path):
    sample, output = finished(tmp_path, count=1)
    last = read_npz(sample.tiles / "tile_00000.npz")["opt_v1"]
    stack = write_npz({"opt_v1": np.stack([np.full_like(last, 0.5), last])})
    tile = pair_of("a", stack, None, output / "tile_00000.npz", CONFIG)
    np.testing.assert_array_equal(tile.v1, last)


def test_another_size_or_another_array_is_refused(tmp_path):
    sample, output = finished(tmp_path, count=2, sizes=(32, 20))
    with pytest.raises(TileShapeError, match="output of a has another shape"):
        pair_of("a", sample.tiles / "tile_00000.npz", None, output / "tile_00001.npz", CONFIG)
    with pytest.raises(TileShapeError, match="no refined tile"):
        pair_of("a", sample.tiles / "tile_00000.npz", None, sample.tiles / "tile_00000.npz", CONFIG)


def test_large_tiles_know_their_window_borders():
    tile = np.full((4, 2, 1100), 0.3, np.float32)
    found = pair_of("a", write_npz({"opt_v1": tile}), None, write_npz({"opt_v2": tile}), CONFIG)
    _, columns = found.borders
    assert columns[:4] == (0, 160, 224, 320) and columns[-1] == 1100


def test_only_committed_tiles_are_finished(tmp_path):
    _, output = finished(tmp_path)
    (output / "tile_00000.json").unlink()
    (output / "tile_00001.json").write_text('{"stage": "stage1"}')
    (output / "tile_00002.npz").unlink()
    assert finished_ids(output) == ["tile_00003"]


def test_a_reference_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputDirError, match="nowhere"):
        folder_oracle([], tmp_path, tmp_path / "nowhere")


def test_the_oracles_hash_is_over_the_references(tmp_path):
    sample, _ = finished(tmp_path, count=1)
    path = sample.reference / "tile_00000.npz"
    before = folder_oracle(["tile_00000"], sample.tiles, sample.reference)
    path.write_bytes(path.read_bytes() + b" ")
    assert folder_oracle(["tile_00000"], sample.tiles, sample.reference).sha256 != before.sha256
