"""The figures of one tile."""

import numpy as np
import pytest

from tasks.tiles.tile_quality import tile_quality
from tests.tiles.quality.tiles_to_compare import pair


def test_a_known_change_has_known_figures():
    figures = tile_quality(pair(change=0.01))
    assert figures["change_rms"] == pytest.approx(0.005)  # one band of four
    assert figures["share_bit_identical"] == 0.75
    assert figures["bit_identical"] is False
    assert figures["mean_ndvi_change"] > 0
    assert figures["edge_correlation"] == pytest.approx(1.0, abs=1e-6)
    assert 0.2 <= figures["minimum"] < 0.21 and 0.6 < figures["maximum"] <= 0.61
    assert (figures["height"], figures["width"], figures["valid_fraction"]) == (24, 24, 1.0)


def test_a_copy_is_known_as_one():
    figures = tile_quality(pair(change=0.0))
    assert figures["bit_identical"] is True
    assert (figures["ndvi_rmse"], figures["edge_correlation"], figures["change_rms"]) == (0.0, 1.0, 0.0)


def test_a_copy_with_gaps_is_known_as_one():
    tile = pair(change=0.0)
    tile.v1[:, 3, 4] = tile.v2[:, 3, 4] = np.nan
    figures = tile_quality(tile)
    assert figures["bit_identical"] is True
    assert figures["valid_fraction"] == pytest.approx(575 / 576)


def test_checks_hold_for_a_small_change_and_need_windows_for_seams():
    assert tile_quality(pair())["plausible"] == {"range": True, "ndvi": True, "validity_mask": True, "seam": None}


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lambda v2: v2.__setitem__((3, 1, 1), 1.2), "range"),
        (lambda v2: v2.__setitem__((3, 1, 1), -0.3), "range"),
        (lambda v2: v2.__setitem__((slice(2, 4), 1, 1), (-0.4, 0.5)), "ndvi"),
        (lambda v2: v2.__setitem__((slice(None), 1, 1), np.nan), "validity_mask"),
        (lambda v2: v2.__setitem__((0, 1, 1), np.nan), "validity_mask"),
    ],
)
def test_each_check_finds_its_fault(spoil, check):
    tile = pair()
    spoil(tile.v2)
    assert tile_quality(tile)["plausible"][check] is False


def test_a_value_where_the_input_has_none_breaks_the_mask():
    tile = pair()
    tile.v1[:, 5, 5] = np.nan
    assert tile_quality(tile)["plausible"]["validity_mask"] is False


@pytest.mark.parametrize("axis", [1, 2])
def test_a_seam_is_found_along_rows_and_columns(axis):
    tile = pair()
    tile.v2[...] = tile.v1 + np.random.default_rng(0).normal(0, 0.001, tile.v1.shape)
    borders = ((12,), ()) if axis == 1 else ((), (12,))
    smooth = tile_quality(pair(v2=tile.v2, borders=borders))
    assert smooth["plausible"]["seam"] is True
    tile.v2[(slice(None),) * axis + (slice(12, None),)] += np.float32(0.05)
    assert tile_quality(pair(v2=tile.v2, borders=borders))["plausible"]["seam"] is False


def test_against_a_reference_refined_and_identity_stand_side_by_side():
    tile = pair(change=0.01)
    found = tile_quality(pair(change=0.01, reference=tile.v2 + np.float32(0.001)))["against_reference"]
    assert set(found) == {"refined", "identity", "unsharp", "refined_minus_identity"}
    assert found["refined"]["psnr_db"] == pytest.approx(60.0, abs=0.01)
    assert found["identity"]["psnr_db"] < 50
    difference = found["refined"]["psnr_db"] - found["identity"]["psnr_db"]
    assert found["refined_minus_identity"]["psnr_db"] == pytest.approx(difference)
    assert found["refined_minus_identity"]["ndvi_rmse"] < 0


def test_a_gap_of_the_reference_is_not_judged():
    reference = pair().v2 + np.float32(0.001)
    reference[:, :, :4] = np.nan
    tile = pair(reference=reference)
    tile.v2[:, :, :4] = 0
    assert tile_quality(tile)["against_reference"]["refined"]["psnr_db"] == pytest.approx(60.0, abs=0.01)


def test_unsharp_is_judged_like_the_model():
    baselines = tile_quality(pair())["baselines"]
    assert baselines["identity"] == {"ndvi_rmse": 0.0, "edge_correlation": 1.0}
    assert baselines["unsharp"]["ndvi_rmse"] > 0 and baselines["unsharp"]["edge_correlation"] < 1
