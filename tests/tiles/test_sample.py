"""The generator: the same bytes for the same arguments, tiles that a first stage could have written."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from tasks.contracts.errors import ConfigError
from tasks.contracts.tiles import TilesConfig
from tasks.store.npz import read_npz
from tasks.tiles.landscape import landscape
from tasks.tiles.metadata import read_sidecar
from tasks.tiles.metrics import ndvi
from tasks.tiles.reader import read_tile
from tasks.tiles.references import read_reference, strength_of
from tasks.tiles.sample import NODATA, make_sample, sample_tiles


def written(folder, **options):
    sample = make_sample(folder, checkpoint=False, **options)
    return {path.relative_to(folder): path.read_bytes() for path in sorted(sample.tiles.rglob("*")) if path.is_file()}


def test_equal_arguments_give_equal_bytes_and_another_state_others(tmp_path):
    first = written(tmp_path / "a", count=5, sizes=(24, 17))
    assert first == written(tmp_path / "b", count=5, sizes=(24, 17))
    other = written(tmp_path / "c", count=5, sizes=(24, 17), seed=43)
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_a_tile_does_not_depend_on_how_many_there_are():
    few, many = list(sample_tiles(2, (24,), 1)), list(sample_tiles(6, (24,), 1))
    np.testing.assert_array_equal(few[1].opt_v1, many[1].opt_v1)


def test_the_inputs_are_tiles_and_nothing_else_lies_beside_them(tmp_path):
    make_sample(tmp_path, count=3, sizes=(24, 17), checkpoint=False)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["reference", *(f"tile_0000{i}.{kind}" for i in range(3) for kind in ("json", "npz"))]
    shapes = [read_npz(path)["opt_v1"].shape for path in sorted(tmp_path.glob("*.npz"))]
    assert shapes == [(4, 24, 24), (4, 17, 17), (4, 24, 24)]


def test_the_reader_takes_every_tile_with_clouds_and_gaps(tmp_path):
    make_sample(tmp_path, count=8, sizes=(40,), nodata=True, cloud=True, checkpoint=False)
    fractions = []
    for path in sorted(tmp_path.glob("*.npz")):
        meta = read_sidecar(path.with_suffix(".json").read_bytes(), path.stem)
        tile = read_tile(path, path.stem, meta, TilesConfig())
        target = read_reference(tmp_path / "reference" / path.name, path.stem)
        np.testing.assert_array_equal(tile.valid, np.isfinite(target).all(axis=0))
        assert not meta.defaults_used and tile.clipped_fraction == 0
        fractions.append(tile.valid_fraction)
    assert [fraction < 1 for fraction in fractions] == [True, False] * 4


def test_gaps_come_as_nan_and_as_the_sidecars_value():
    first, _, third = list(sample_tiles(3, (32,), 42, nodata=True))
    assert np.isnan(first.opt_v1).any() and "nodata" not in first.sidecar
    assert (third.opt_v1 == NODATA).any() and third.sidecar["nodata"] == NODATA


def test_the_sidecar_has_what_a_split_by_scene_needs(tmp_path):
    make_sample(tmp_path, count=8, sizes=(16,), checkpoint=False)
    sidecars = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json"))]
    assert [sidecar["scene"] for sidecar in sidecars] == ["scene-42-0000"] * 4 + ["scene-42-0001"] * 4
    assert all(1 <= sidecar["month"] <= 12 and 1 <= sidecar["biome_code"] <= 15 for sidecar in sidecars)
    assert len({(sidecar["row"], sidecar["column"]) for sidecar in sidecars[:4]}) == 4


def test_neighbours_of_a_scene_fit_together():
    tiles = list(sample_tiles(4, (20,), 9))
    whole = landscape(9, 0, 40, 40).values
    mosaic = np.block([[[tiles[0].clean, tiles[1].clean], [tiles[2].clean, tiles[3].clean]]])
    np.testing.assert_array_equal(mosaic, whole)


def test_sixteen_scenes_know_all_months():
    assert {landscape(42, index, 8, 8).month for index in range(16)} == set(range(1, 13))


def test_summer_is_greener_than_winter():
    by_month = {scene.month: ndvi(scene.values).mean() for scene in (landscape(3, i, 96, 96) for i in range(12))}
    assert min(by_month[m] for m in (6, 7, 8)) > max(by_month[m] for m in (12, 1, 2))


def test_every_scene_has_water_and_every_fourth_a_river():
    shares = [float((ndvi(landscape(42, index, 240, 240).values) < 0).mean()) for index in range(8)]
    assert min(shares) > 0.0005
    assert min(shares[0], shares[4]) > 2 * max(shares[1:4] + shares[5:])


def test_the_reference_folder_says_how_strong_it_is(tmp_path):
    sample = make_sample(tmp_path, count=1, sizes=(16,), checkpoint=False)
    assert strength_of(sample.reference) == (
        "physics_derived",
        "the generator's clean tiles, before a known degradation",
    )
    oracle = json.loads((sample.reference / "oracle.json").read_text())
    assert oracle["degradation"]["blur_sigma_px"] == 0.8


def test_clouds_are_bright_and_leave_most_of_the_scene():
    cloudy, clear = (landscape(42, 3, 80, 80, cloud=cloud).values for cloud in (True, False))
    changed = (cloudy != clear).any(axis=0)
    assert 0.05 < changed.mean() < 0.3
    assert cloudy[:, changed].mean() > clear[:, changed].mean() + 0.1


@pytest.mark.parametrize("options", [{"count": 0}, {"sizes": ()}, {"sizes": (1,)}])
def test_what_makes_no_tile_is_refused(tmp_path, options):
    with pytest.raises(ConfigError, match="no tile can be made"):
        make_sample(tmp_path, checkpoint=False, **({"count": 1, "sizes": (8,)} | options))


def test_64_tiles_of_120_pixels_take_less_than_two_seconds(tmp_path):
    begin = time.process_time()
    make_sample(tmp_path, count=64, sizes=(120,), checkpoint=False)
    assert time.process_time() - begin < 2.0


def test_the_checkpoint_is_the_identity_or_random(tmp_path):
    import torch

    from tasks.tiles.checkpoint import build, load_checkpoint

    zero = make_sample(tmp_path / "zero", count=1, sizes=(16,))
    random = make_sample(tmp_path / "random", count=1, sizes=(16,), head_scale=1.0)
    models = [build(load_checkpoint(sample.checkpoint)) for sample in (zero, random)]
    last = [list(model.head.parameters())[-2] for model in models]
    assert torch.count_nonzero(last[0]) == 0 and torch.count_nonzero(last[1]) > 0


def test_without_a_checkpoint_torch_is_not_imported(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tasks.tiles.sample import make_sample;"
        f"make_sample(Path({str(tmp_path)!r}), count=1, sizes=(16,), checkpoint=False);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ, cwd=os.getcwd())
