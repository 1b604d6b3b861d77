"""The figures of a scene, made from rows, are those of the whole image at once."""

from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.tile_errors import TileShapeError
from tasks.contracts.tiles import TileMeta, TilesConfig
from tasks.tiles.scene_quality import scene_quality
from tasks.tiles.tile_quality import Pair, tile_quality
from tests.tiles.scenes.images import digital_numbers, write_scene

CONFIG = TilesConfig(window=64, overlap=16)
BY_ROWS = ("ndvi_rmse", "edge_correlation", "change_rms", "mean_ndvi_change", "minimum", "maximum")


def scenes(folder: Path, height=300, width=60):
    """DN before and after, with holes at the edges of the rows that are read together; and their files."""
    before = digital_numbers(height, width)
    after = before + np.random.default_rng(1).integers(1, 300, before.shape).astype(np.uint16)
    for numbers in (before, after):
        numbers[:, 120:131, 10:14] = 0
        numbers[:, 256, 30] = 0
    return (
        before,
        after,
        write_scene(folder / "v1.tif", before, nodata=0),
        write_scene(folder / "v2.tif", after, nodata=0),
    )


def reflectance(numbers):
    values = numbers.astype(np.float32) / np.float32(10_000)
    return np.where((numbers != 0).all(axis=0), values, np.float32(np.nan))


def test_rows_add_up_to_the_whole(tmp_path):
    before, after, source, output = scenes(tmp_path)
    figures, preview = scene_quality("s", source, output, TileMeta(month=5, biome_code=2), CONFIG)
    whole = tile_quality(Pair("s", reflectance(before), reflectance(after), 5, 2))
    assert {name: figures[name] for name in BY_ROWS} == pytest.approx({name: whole[name] for name in BY_ROWS}, rel=1e-6)
    for name in ("identity", "unsharp"):
        assert figures["baselines"][name] == pytest.approx(whole["baselines"][name], rel=1e-6, abs=1e-9)
    same = ("id", "month", "biome_code", "height", "width", "valid_fraction", "bit_identical", "share_bit_identical")
    assert {name: figures[name] for name in same} == {name: whole[name] for name in same}
    assert set(figures) == set(whole) and set(figures["plausible"]) == set(whole["plausible"])
    assert figures["plausible"]["validity_mask"] and figures["plausible"]["range"] and figures["plausible"]["ndvi"]
    np.testing.assert_array_equal(preview["v1"], reflectance(before))
    np.testing.assert_array_equal(preview["v2"], reflectance(after))


def test_an_unchanged_scene_is_a_copy_also_where_it_was_clipped(tmp_path):
    numbers = digital_numbers(40, 50)
    numbers[1, 3, 4:9] = 11_000
    source = write_scene(tmp_path / "v1.tif", numbers, nodata=0)
    output = write_scene(tmp_path / "v2.tif", np.minimum(numbers, 10_000), nodata=0)
    figures, _ = scene_quality("s", source, output, TileMeta(), CONFIG)
    assert figures["bit_identical"] and figures["share_bit_identical"] == 1.0
    assert (figures["ndvi_rmse"], figures["edge_correlation"], figures["plausible"]["seam"]) == (0.0, 1.0, None)


def test_one_changed_number_is_no_copy(tmp_path):
    numbers = digital_numbers(40, 50)
    source = write_scene(tmp_path / "v1.tif", numbers, nodata=0)
    numbers[2, 30, 7] += 1
    figures, _ = scene_quality("s", source, write_scene(tmp_path / "v2.tif", numbers, nodata=0), TileMeta(), CONFIG)
    assert not figures["bit_identical"]
    assert figures["share_bit_identical"] == 1 - 1 / 8000


def test_a_lost_pixel_is_seen(tmp_path):
    numbers = digital_numbers(40, 50)
    source = write_scene(tmp_path / "v1.tif", numbers, nodata=0)
    numbers[:, 5, 5] = 0
    figures, _ = scene_quality("s", source, write_scene(tmp_path / "v2.tif", numbers, nodata=0), TileMeta(), CONFIG)
    assert figures["plausible"]["validity_mask"] is False


def test_a_float_output_is_compared_as_reflectance(tmp_path):
    numbers = digital_numbers(40, 50)
    source = write_scene(tmp_path / "v1.tif", numbers, nodata=0)
    output = write_scene(tmp_path / "v2.tif", reflectance(numbers), nodata=0)
    figures, _ = scene_quality("s", source, output, TileMeta(), CONFIG, dtype="float32")
    assert figures["bit_identical"]


def test_the_preview_is_at_most_960_px_a_side(tmp_path):
    numbers = digital_numbers(1000, 1930)
    source = write_scene(tmp_path / "v1.tif", numbers)
    _, preview = scene_quality("s", source, source, TileMeta(), CONFIG)
    assert preview["v2"].shape == (4, 334, 644)
    np.testing.assert_array_equal(preview["v2"], reflectance(numbers[:, ::3, ::3]))


def test_another_size_is_refused(tmp_path):
    first = write_scene(tmp_path / "v1.tif", digital_numbers(40, 50))
    second = write_scene(tmp_path / "v2.tif", digital_numbers(40, 49))
    with pytest.raises(TileShapeError, match="is no output of this scene"):
        scene_quality("s", first, second, TileMeta(), CONFIG)
