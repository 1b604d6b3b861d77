"""Units, nodata, the range that reflectance may have, and how gaps are filled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.contracts.tile_errors import ValueRangeError
from tasks.contracts.tiles import TileMeta
from tasks.tiles.values import filled, reflectance
from tests.tiles.files.made import npz, read, said, tile

SAMPLES = arrays(np.float32, (4, 3, 2), elements=st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 0.25, 1.0]))


def spotted(*values: float, height: int = 4, width: int = 5) -> np.ndarray:
    """A tile of 80 samples whose first ones have these values."""
    spotted = tile(height, width)
    spotted.reshape(-1)[: len(values)] = values
    return spotted


def test_nodata_is_compared_in_raw_units_before_scale_and_offset():
    digital = np.full((4, 2, 2), 3500, np.uint16)
    digital[1, 0, 0], digital[2, 0, 1] = 65535, 1000  # 1000 becomes 0, which is not the nodata value
    found = read(npz(opt_v1=digital), TileMeta(nodata=65535.0), scale=10_000.0, offset=-1000.0)
    assert np.argwhere(~found.valid).tolist() == [[0, 0]] and found.values[0, 2, 0, 1] == 0
    assert np.isnan(found.values[0, 1, 0, 0]) and found.values[0, 0, 0, 0] == np.float32(0.25)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -9999.0])
def test_one_gap_stays_one_pixel(bad):
    found = read(npz(opt_v1=spotted(bad)), TileMeta(nodata=-9999.0))
    assert np.argwhere(~found.valid).tolist() == [[0, 0]] and found.valid_fraction == 0.95
    assert np.argwhere(np.isnan(found.values[0])).tolist() == [[0, 0, 0]]


@given(SAMPLES)
def test_pixel_is_valid_where_all_its_bands_are(samples):
    samples[:, 0, 0] = 0.5
    found = read(npz(opt_v1=samples))
    np.testing.assert_array_equal(found.valid, np.isfinite(samples).all(axis=0))
    np.testing.assert_array_equal(np.isnan(found.values[0]), ~np.isfinite(samples))
    whole = filled(found)
    assert np.isfinite(whole).all() and whole.shape == (1, 4, 3, 2)
    np.testing.assert_array_equal(whole[~np.isnan(found.values)], found.values[~np.isnan(found.values)])


def test_gaps_are_filled_with_the_median_of_their_band():
    values = tile(2, 2)
    values[0] = [[0.1, 0.2], [0.6, np.nan]]
    whole = filled(read(npz(opt_v1=values)))
    assert whole.dtype == np.float32 and whole[0, 0, 1, 1] == np.float32(0.2)


def test_frame_without_a_band_is_filled_from_the_last_frame():
    frames = np.stack([tile(2, 2), tile(2, 2, 0.4)])
    frames[0, 1] = np.nan
    whole = filled(read(npz(opt_v1=frames), num_frames=2))
    np.testing.assert_array_equal(whole[0, 1], np.full((2, 2), np.float32(0.5)))


def test_nodata_of_one_band_leaves_the_others_for_the_model():
    found = read(npz(opt_v1=spotted(np.nan)))
    np.testing.assert_array_equal(found.values[0, 1:, 0, 0], tile()[1:, 0, 0])


def test_slightly_outside_is_clipped_and_its_share_recorded():
    found = read(npz(opt_v1=spotted(-0.5, 2.0, 1.0, 0.0)))
    assert found.values[0, 0].flat[:4].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert found.clipped_fraction == 2 / 80


def test_samples_at_invalid_pixels_do_not_count_and_are_clipped():
    values = spotted(np.nan)
    values[1, 0, 0] = 30_000.0
    found = read(npz(opt_v1=values))
    assert found.clipped_fraction == 0 and found.values[0, 1, 0, 0] == 1


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ([1234.0], "looks like integer reflectance, use --scale"),
        ([-9999.0, 10_000.0], "looks like integer reflectance, use --scale"),
        ([-0.51], "looks like standardised values"),
        ([-0.1] * 10 + [1.1] * 11, "looks like standardised values"),
        ([2.01], "defect or another scale"),
    ],
)
def test_implausible_values_are_refused_with_their_likely_cause(values, cause):
    with pytest.raises(ValueRangeError) as caught:
        read(npz(opt_v1=spotted(*values)))
    parts = said(caught.value)
    assert cause in parts["remedy"] and parts["expected"] == "-0.5 to 2, at most 25% outside 0 to 1"
    assert parts["where"] == "t.npz" and f"{min(*values, 0.25):.6g} to " in parts["found"]
    assert caught.value.tile_id == "t" and caught.value.exit_code == 1


def test_a_quarter_outside_is_still_clipped():
    assert read(npz(opt_v1=spotted(*[1.5] * 20))).clipped_fraction == 0.25


@pytest.mark.parametrize("value", [-1e-6, 1.000001])
def test_strict_policy_allows_nothing_outside(value):
    with pytest.raises(ValueRangeError) as caught:
        read(npz(opt_v1=spotted(value)), range_policy="strict")
    parts = said(caught.value)
    assert parts["expected"] == "0 to 1" and "--range_policy auto" in parts["remedy"]


def test_strict_policy_keeps_what_is_inside():
    assert read(npz(opt_v1=spotted(0.0, 1.0)), range_policy="strict").clipped_fraction == 0


def test_clip_policy_takes_everything_and_warns():
    found = read(npz(opt_v1=spotted(1234.0, -77.0)), range_policy="clip")
    assert found.values.min() == 0 and found.values.max() == 1 and found.clipped_fraction == 2 / 80
    assert found.warnings == ("2.50% of the values were clipped to 0..1 as --range_policy clip asks",)


def test_scaled_floats_are_reflectance_too():
    np.testing.assert_allclose(read(npz(opt_v1=tile() * 10_000), scale=10_000.0).values[0], tile(), rtol=1e-6)


def test_finite_values_beyond_float32_are_refused_and_not_masked():
    with pytest.raises(ValueRangeError):
        read(npz(opt_v1=spotted(1).astype(np.float64) + 1e300))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_nodata_matches_values_of_its_own_precision(dtype):
    raw = np.array([0.1, 0.3], dtype)
    np.testing.assert_array_equal(np.isnan(reflectance(raw, 0.1, None, 0.0)), [True, False])


def test_input_is_left_as_it_is():
    raw = spotted(np.nan, 1.5)
    before = raw.copy()
    reflectance(raw, 0.25, None, 0.0)
    np.testing.assert_array_equal(raw, before)
