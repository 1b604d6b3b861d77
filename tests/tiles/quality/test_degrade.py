"""The recorded degradation: blur, gain, offset and noise of known size, and nothing else."""

import numpy as np
import pytest
from scipy import ndimage

from tasks.tiles.degrade import STANDARD, Degradation, degrade

CLEAN = np.random.default_rng(0).uniform(0.2, 0.7, (4, 60, 60)).astype(np.float32)


def rng():
    return np.random.default_rng(11)


def only(**kept) -> Degradation:
    return Degradation(**({"blur_sigma_px": 0.01, "gain_spread": 0, "offset_spread": 0, "noise": 0} | kept))


def test_the_standard_is_the_published_one():
    assert STANDARD.model_dump() == {
        "blur_sigma_px": 0.8, "gain_spread": 0.03, "offset_spread": 0.005, "noise": 0.01
    }  # fmt: skip


def test_the_blur_is_scipys():
    expected = [ndimage.gaussian_filter(band, 0.8, mode="reflect") for band in CLEAN]
    np.testing.assert_allclose(degrade(CLEAN, rng(), only(blur_sigma_px=0.8)), expected, atol=1e-6)


def test_gain_and_offset_are_one_per_band_and_within_their_spread():
    gain = degrade(CLEAN, rng(), only(gain_spread=0.03)) / CLEAN
    offset = degrade(CLEAN, rng(), only(offset_spread=0.005)) - CLEAN
    for factor, shift in zip(gain, offset, strict=True):
        assert factor.std() < 1e-6 and 0.97 <= factor.mean() <= 1.03
        assert shift.std() < 1e-6 and abs(shift.mean()) <= 0.005
    assert len({round(float(factor.mean()), 4) for factor in gain}) == 4


def test_noise_has_its_standard_deviation():
    noise = degrade(CLEAN, rng(), only(noise=0.01)) - CLEAN
    assert noise.std() == pytest.approx(0.01, rel=0.03)
    assert abs(noise.mean()) < 3e-4


def test_equal_states_give_equal_tiles_within_reflectance():
    first, second = degrade(CLEAN, rng()), degrade(CLEAN, rng())
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32
    dark = degrade(np.zeros_like(CLEAN), rng())
    assert dark.min() == 0.0 and dark.max() <= 0.1


def test_gaps_stay_and_do_not_spread():
    gapped = CLEAN.copy()
    gapped[2, 7, 9] = np.nan
    degraded = degrade(gapped, rng())
    assert np.argwhere(np.isnan(degraded).any(axis=0)).tolist() == [[7, 9]]
