"""The real Alpine scene cut into tiles, through whole runs."""

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
    cut_scene(SCENE, tmp_path / "in", size, bands=(1, 2, 3, 4))
    save_checkpoint(tmp_path / "checkpoint", fresh("nano", seed=1, head_scale=1.0))
    run = FolderRun(str(tmp_path / "checkpoint"), str(tmp_path / "in"), str(tmp_path / "out"), workers=1)
    summary = refine_folder(run)
    assert (summary.found, summary.done, summary.exit_code) == (count, count, 0)
    assert names(tmp_path / "out", ".npz") == names(tmp_path / "out", ".json") == names(tmp_path / "in", ".npz")
    changed = 0
    for name in names(tmp_path / "out", ".npz"):
        refined, given = (
            output(tmp_path / "out", name),
            read_tile(tmp_path / "in" / f"{name}.npz", name, TileMeta(), TilesConfig()),
        )
        assert refined.shape == (4, size, size)
        assert np.array_equal(np.isfinite(refined).all(axis=0), given.valid)
        assert np.isfinite(refined[:, given.valid]).all()
        assert np.nanmin(refined) >= 0 and np.nanmax(refined) <= 1
        changed += np.nanmax(np.abs(refined - given.values[-1])) > 0.01
    assert changed == count
