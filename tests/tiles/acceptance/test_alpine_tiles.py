"""The real Alpine scene, cut into tiles of two sizes, through whole runs."""

import numpy as np
import pytest

from tasks.contracts.tiles import TileMeta, TilesConfig
from tasks.tiles.checkpoint import fresh, save_checkpoint
from tasks.tiles.cut import cut_scene
from tasks.tiles.folder_run import FolderRun
from tasks.tiles.reader import read_tile
from tasks.tiles.refine_folder import refine_folder
from tests.tiles.engine.cases import names, output
from tests.tiles.scenes.test_cut import SCENE, needs_scene


@needs_scene
@pytest.mark.parametrize(("size", "count"), [(120, 35), (224, 12)])
def test_every_tile_of_the_scene_is_refined_within_reflectance(tmp_path, size, count):
    given, refined = tmp_path / "in", tmp_path / "out"
    cut_scene(SCENE, given, size, bands=(1, 2, 3, 4))
    save_checkpoint(tmp_path / "checkpoint", fresh("nano", seed=1, head_scale=1.0))
    summary = refine_folder(FolderRun(str(tmp_path / "checkpoint"), str(given), str(refined), workers=1))
    assert (summary.found, summary.done, summary.exit_code) == (count, count, 0)
    assert names(refined, ".npz") == names(refined, ".json") == names(given, ".npz")
    for name in names(refined, ".npz"):
        before, after = read_tile(given / f"{name}.npz", name, TileMeta(), TilesConfig()), output(refined, name)
        assert after.shape == (4, size, size)
        assert np.array_equal(np.isfinite(after), np.broadcast_to(before.valid, after.shape))
        assert np.nanmin(after) >= 0 and np.nanmax(after) <= 1
        assert np.nanmax(np.abs(after - before.values[-1])) > 0.01
