"""A scene keeps its place, size, type, nodata and validity; only what is valid may change; a failure leaves nothing."""

import numpy as np
import pytest
from rasterio.transform import Affine

from tasks.contracts.errors import ConfigError, StoreError
from tasks.contracts.tile_errors import (
    AmbiguousUnitsError,
    BandSelectionError,
    NonFiniteOutputError,
    TileEmptyError,
    TileModelError,
    TileReadError,
    TileShapeError,
    ValueRangeError,
)
from tasks.contracts.tiles import TilesConfig
from tasks.tiles.scene import SceneOptions, refine_scene
from tests.tiles.scenes.images import NAMES, PLACE, digital_numbers, read_scene, write_scene

SMALL = TilesConfig(window=32, overlap=8)


def same(values, valid):
    return values[:, -1]


def brighter(values, valid):
    return np.clip(values[:, -1] + np.float32(0.01), 0, 1)


@pytest.fixture
def refine(tmp_path):
    """Refine a file to out.tif; the scratch folder must be empty afterwards, whatever happened."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def run(source, predict=same, config=SMALL, nodata=None, patch=16, **options):
        target = tmp_path / "out.tif"
        try:
            facts = refine_scene(
                source, target, predict, config, SceneOptions(patch, **options), scratch=scratch, nodata=nodata
            )
            return facts, *read_scene(target)
        finally:
            assert list(scratch.iterdir()) == []

    return run


def test_identity_returns_the_same_numbers_place_and_layout(refine, tmp_path):
    numbers = digital_numbers(600, 300)
    facts, values, profile, names, overviews = refine(write_scene(tmp_path / "s.tif", numbers))
    np.testing.assert_array_equal(values, numbers)
    assert (profile["crs"], profile["transform"], profile["dtype"], profile["nodata"]) == (
        "EPSG:32632",
        PLACE,
        "uint16",
        None,
    )
    assert (profile["compress"], profile["blockxsize"], profile["blockysize"], profile["layout"]) == (
        "deflate",
        256,
        256,
        "COG",
    )
    assert (names, overviews) == (NAMES, [2, 4])
    assert (facts.windows, facts.windows_skipped, facts.warnings) == (25 * 13, 0, ())


def test_a_change_of_the_model_arrives_in_the_numbers(refine, tmp_path):
    numbers = digital_numbers()
    _, values, *_ = refine(write_scene(tmp_path / "s.tif", numbers), brighter)
    np.testing.assert_array_equal(values, numbers + 100)


def test_bands_are_taken_by_name_and_written_in_our_order(refine, tmp_path):
    numbers = digital_numbers()
    source = write_scene(tmp_path / "s.tif", np.vstack([numbers[::-1], numbers[:1] * 0 + 4]), ("B08", *"rgb", "SCL"))
    with pytest.raises(BandSelectionError, match="--bands"):
        refine(source)
    facts, values, _, names, _ = refine(source, bands=(4, 3, 2, 1))
    np.testing.assert_array_equal(values, numbers)
    assert (names, facts.bands) == (NAMES, (4, 3, 2, 1))


def test_a_pixel_invalid_in_one_band_is_nodata_in_all(refine, tmp_path):
    numbers = digital_numbers()
    numbers[2, 10, 20] = 0
    _, values, profile, *_ = refine(write_scene(tmp_path / "s.tif", numbers, nodata=0), brighter)
    assert profile["nodata"] == 0
    np.testing.assert_array_equal(values[:, 10, 20], 0)
    assert np.count_nonzero(values == 0) == 4
    other = np.arange(values.shape[2]) != 20
    np.testing.assert_array_equal(values[:, :, other], numbers[:, :, other] + 100)


def test_nodata_never_reaches_the_model(refine, tmp_path):
    numbers = digital_numbers()
    numbers[:, :, 45:] = 65_535
    seen = []

    def watching(values, valid):
        seen.append((float(values.min()), float(values.max())))
        return values[:, -1]

    facts, values, *_ = refine(write_scene(tmp_path / "s.tif", numbers, nodata=65_535), watching)
    assert min(low for low, _ in seen) >= 0.05 and max(high for _, high in seen) <= 0.45
    assert (facts.windows, facts.windows_skipped) == (12, 6)  # the columns from 48 and from 58, in three rows
    np.testing.assert_array_equal(values, numbers)


def test_a_valid_pixel_never_becomes_nodata(refine, tmp_path):
    numbers = digital_numbers()
    numbers[:, 0, 0] = 0
    source = write_scene(tmp_path / "s.tif", numbers, nodata=0)
    facts, values, *_ = refine(source, lambda values, valid: np.zeros_like(values[:, -1]))
    assert facts.moved_off_nodata == 4 * (numbers[0].size - 1)
    np.testing.assert_array_equal(values == 0, numbers == 0)
    assert values.max() == 1


def test_nodata_of_the_sidecar_counts_where_the_file_has_none(refine, tmp_path):
    numbers = digital_numbers()
    numbers[0, 5, 5] = 7
    facts, values, profile, *_ = refine(write_scene(tmp_path / "s.tif", numbers), brighter, nodata=7.0)
    assert (facts.survey.valid_pixels, profile["nodata"]) == (70 * 90 - 1, 7)
    np.testing.assert_array_equal(values[:, 5, 5], 7)


def test_a_mask_band_is_honoured(refine, tmp_path):
    mask = np.full((70, 90), 255, np.uint8)
    mask[3, 4] = 0
    _, values, profile, *_ = refine(write_scene(tmp_path / "s.tif", digital_numbers(), mask=mask), brighter)
    assert profile["nodata"] == 0
    assert [tuple(at) for at in np.argwhere(values[0] == 0)] == [(3, 4)]


def test_values_above_one_are_clipped_and_counted(refine, tmp_path):
    numbers = digital_numbers()
    numbers[1, 7, 8], numbers[3, 7, 8], numbers[0, 60, 70] = 15_000, 12_000, 10_001
    facts, values, *_ = refine(write_scene(tmp_path / "s.tif", numbers))
    assert (facts.survey.clipped_pixels, facts.survey.clipped_samples) == (2, 3)
    np.testing.assert_array_equal(values, np.minimum(numbers, 10_000))
    assert facts.warnings == ()
    facts, *_ = refine(tmp_path / "s.tif", config=SMALL.model_copy(update={"range_policy": "clip"}))
    assert ["--range_policy clip" in line for line in facts.warnings] == [True]
    with pytest.raises(ValueRangeError):
        refine(write_scene(tmp_path / "s.tif", numbers), config=SMALL.model_copy(update={"range_policy": "strict"}))


def test_reflectance_in_float_stays_as_it_is(refine, tmp_path):
    values = digital_numbers().astype(np.float32) / 10_000
    values[2, 1, 1] = np.nan
    _, refined, profile, *_ = refine(write_scene(tmp_path / "s.tif", values))
    assert (profile["dtype"], profile["nodata"]) == ("float32", None)
    assert np.isnan(refined[:, 1, 1]).all() and np.isnan(refined).sum() == 4
    np.testing.assert_array_equal(refined[:, 2:], values[:, 2:])


def test_integers_can_be_written_as_reflectance(refine, tmp_path):
    numbers = digital_numbers()
    facts, values, profile, *_ = refine(write_scene(tmp_path / "s.tif", numbers), dtype="float32")
    assert profile["dtype"] == facts.dtype == "float32"
    np.testing.assert_allclose(values, numbers / 10_000, rtol=1e-6)


def test_units_of_integers_other_than_16_bit_must_be_given(refine, tmp_path):
    numbers = (digital_numbers() // 20).astype(np.uint8)
    source = write_scene(tmp_path / "s.tif", numbers)
    with pytest.raises(AmbiguousUnitsError):
        refine(source)
    facts, values, *_ = refine(source, config=SMALL.model_copy(update={"scale": 250.0}))
    assert facts.units.scale == 250
    np.testing.assert_array_equal(values, numbers)


@pytest.mark.parametrize(
    ("factor", "cause"), [(0.0002, "standardised"), (0.01, "integer reflectance"), (0.0009, "standardised")]
)
def test_values_that_are_no_reflectance_are_refused(refine, tmp_path, factor, cause):
    values = digital_numbers().astype(np.float32) * np.float32(factor)
    values = values if factor > 0.001 else values - np.float32(0.6)
    with pytest.raises(ValueRangeError, match=cause):
        refine(write_scene(tmp_path / "s.tif", values))


def test_a_rotated_scene_without_crs_keeps_its_transform_and_is_warned_of(refine, tmp_path):
    rotated = Affine(8.0, 6.0, 100.0, 6.0, -8.0, 200.0)
    source = write_scene(tmp_path / "s.tif", digital_numbers(), crs=None, transform=rotated)
    facts, _, profile, *_ = refine(source)
    assert (profile["crs"], profile["transform"]) == (None, rotated)
    assert facts.warnings == ("has no coordinate reference system",)


def test_a_scene_without_any_place_is_refined_quietly(refine, tmp_path, recwarn):
    facts, *_ = refine(write_scene(tmp_path / "s.tif", digital_numbers(), crs=None, transform=Affine.identity()))
    assert facts.crs is None
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize(("height", "width"), [(20, 15), (2, 3), (32, 33), (31, 200)])
def test_any_size_keeps_its_size(refine, tmp_path, height, width):
    numbers = digital_numbers(height, width)
    _, values, *_ = refine(write_scene(tmp_path / "s.tif", numbers, tiled=False, blockxsize=None), brighter)
    np.testing.assert_array_equal(values, numbers + 100)


def test_one_failing_window_fails_the_scene_and_leaves_an_older_output_alone(refine, tmp_path):
    source = write_scene(tmp_path / "s.tif", digital_numbers())
    (tmp_path / "out.tif").write_bytes(b"an older output")
    calls = []

    def failing(values, valid):
        calls.append(len(values))
        if len(calls) == 3:
            raise RuntimeError("kernel failed")
        return values[:, -1]

    with pytest.raises(TileModelError, match="kernel failed"):
        refine(source, failing)
    assert (tmp_path / "out.tif").read_bytes() == b"an older output"


def test_a_model_that_gives_nan_fails_the_scene(refine, tmp_path):
    with pytest.raises(NonFiniteOutputError):
        refine(write_scene(tmp_path / "s.tif", digital_numbers()), lambda values, valid: values[:, -1] * np.nan)
    assert not (tmp_path / "out.tif").exists()


def test_a_scene_of_nodata_only_is_empty(refine, tmp_path):
    with pytest.raises(TileEmptyError):
        refine(write_scene(tmp_path / "s.tif", np.zeros((4, 40, 40), np.uint16), nodata=0))


def test_files_that_are_no_scene_are_refused(refine, tmp_path):
    text, cut = tmp_path / "text.tif", tmp_path / "cut.tif"
    text.write_text("<VRTDataset rasterXSize='4' rasterYSize='4'/>")
    whole = write_scene(tmp_path / "s.tif", digital_numbers(), interleave="band").read_bytes()
    cut.write_bytes(whole[: len(whole) * 3 // 5])
    for path in (text, cut, tmp_path / "absent.tif"):
        with pytest.raises(TileReadError):
            refine(path)
    with pytest.raises(TileShapeError):
        refine(write_scene(tmp_path / "thin.tif", digital_numbers(40, 1), tiled=False, blockxsize=None))


def test_files_beside_the_scene_change_nothing(refine, tmp_path):
    source = write_scene(tmp_path / "s.tif", digital_numbers())
    (tmp_path / "s.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><NoDataValue>2500</NoDataValue></PAMRasterBand></PAMDataset>"
    )
    facts, _, profile, *_ = refine(source)
    assert (facts.survey.valid_fraction, profile["nodata"]) == (1.0, None)


def test_windows_must_fit_the_patch(refine, tmp_path):
    with pytest.raises(ConfigError):
        refine(write_scene(tmp_path / "s.tif", digital_numbers()), patch=14)


def test_an_output_that_cannot_be_written_is_a_store_error(tmp_path):
    source = write_scene(tmp_path / "s.tif", digital_numbers())
    (tmp_path / "scratch").mkdir()
    (tmp_path / "out.tif").mkdir()
    with pytest.raises(StoreError):
        refine_scene(source, tmp_path / "out.tif", same, SMALL, SceneOptions(16), scratch=tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_progress_ends_at_one(tmp_path):
    told, scratch = [], tmp_path / "scratch"
    scratch.mkdir()
    source = write_scene(tmp_path / "s.tif", digital_numbers())
    refine_scene(source, tmp_path / "out.tif", same, SMALL, SceneOptions(16), scratch=scratch, tell=told.append)
    assert told == sorted(told) and told[-1] == 1.0
