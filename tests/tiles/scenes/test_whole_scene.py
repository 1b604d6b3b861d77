"""The real Alpine scene as a whole: identity gives its numbers back, and a random model leaves no seams."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from tasks.contracts.tile_errors import BandSelectionError
from tasks.contracts.tiles import TilesConfig
from tasks.tiles.scene import SceneOptions, refine_scene
from tests.tiles.scenes.images import read_scene

SCENE = Path(__file__).parents[4] / "shared" / "data" / "tiles" / "openeo_S2_L2A_sample.tif"
pytestmark = pytest.mark.skipif(not SCENE.is_file(), reason=f"{SCENE.name} is not beside this checkout")
ALPINE = SceneOptions(patch=16, bands=(1, 2, 3, 4))


def nano(head_scale):
    """A `nano` model with a random head as the windows call it."""
    import torch

    from tasks.tiles.checkpoint import fresh
    from tasks.tiles.model import Batch

    model = fresh("nano", seed=1, head_scale=head_scale).eval()

    def predict(values, valid):
        with torch.inference_mode():
            return model.refine(Batch.plain(torch.from_numpy(values))).numpy()

    return predict


def numbers():
    with rasterio.open(SCENE) as scene:
        return scene.read([1, 2, 3, 4]), scene.profile


def refined(tmp_path, predict, config, options=ALPINE):
    facts = refine_scene(SCENE, tmp_path / "out.tif", predict, config, options, scratch=tmp_path)
    return facts, *read_scene(tmp_path / "out.tif")


def test_an_untrained_model_returns_the_scene(tmp_path):
    given, before = numbers()
    facts, values, after, names, _ = refined(tmp_path, nano(0.0), TilesConfig())
    valid = (given != 0).all(axis=0)
    np.testing.assert_array_equal(values[:, valid], np.minimum(given[:, valid], 10_000))
    assert np.count_nonzero((given[:, valid] > 10_000).any(axis=0)) == facts.survey.clipped_pixels == 60
    assert np.count_nonzero((values == 0).all(axis=0)) == np.count_nonzero(~valid) == 38
    assert np.count_nonzero((values == 0).any(axis=0)) == 38
    for key in ("crs", "transform", "width", "height", "nodata", "dtype"):
        assert after[key] == before[key], key
    assert (names, facts.windows, facts.seam_ratio) == (("B02", "B03", "B04", "B08"), 30, None)


def test_a_random_head_leaves_no_seams(tmp_path, record_property):
    reflectance = SceneOptions(patch=16, bands=(1, 2, 3, 4), dtype="float32")
    facts, values, *_ = refined(tmp_path, nano(1.0), TilesConfig(), reflectance)
    without, *_ = refined(tmp_path, nano(1.0), TilesConfig(overlap=0), reflectance)
    record_property("seam_ratio", facts.seam_ratio)
    record_property("seam_ratio_without_overlap", without.seam_ratio)
    given, _ = numbers()
    seen = (given != 0).all(axis=0) & (given <= 10_000).all(axis=0)
    residual = values - given.astype(np.float32) / 10_000
    assert np.sqrt(np.mean(residual[:, seen] ** 2)) > 0.01  # the model does something
    assert by_hand(np.where(seen, residual, np.nan)) == pytest.approx(facts.seam_ratio, rel=0.02)
    assert facts.seam_ratio <= 1.5


def by_hand(residual):
    """Jumps at both ends of the windows 0, 160, 320, 480, 640 and 711 over those elsewhere."""
    jumps = np.abs(np.diff(residual, axis=2))
    seams = [159, 223, 319, 383, 479, 543, 639, 703, 710, 863]
    return np.nanmean(jumps[:, :, seams]) / np.nanmean(np.delete(jumps, seams, axis=2))


def test_the_scene_does_not_name_its_bands(tmp_path):
    with pytest.raises(BandSelectionError):
        refined(tmp_path, nano(0.0), TilesConfig(), SceneOptions(patch=16))
