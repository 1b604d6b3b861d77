"""Filters against scipy.ndimage, whose border mode they share."""

import numpy as np
import pytest
from scipy import ndimage

from tasks.tiles.filters import furthest_px, gaussian_blur, masked_blur, sobel_magnitude, surrounded

IMAGE = np.random.default_rng(0).uniform(0, 1, (2, 9, 14))


@pytest.mark.parametrize("sigma", [0.8, 1.5, 4.0])
def test_gaussian_blur_is_scipys_even_where_the_kernel_is_larger_than_the_image(sigma):
    expected = [ndimage.gaussian_filter(band, sigma, mode="reflect") for band in IMAGE]
    np.testing.assert_allclose(gaussian_blur(IMAGE, sigma), expected, atol=1e-14)


def test_sobel_magnitude_is_scipys():
    expected = np.hypot(ndimage.sobel(IMAGE[0], 0, mode="reflect"), ndimage.sobel(IMAGE[0], 1, mode="reflect"))
    np.testing.assert_allclose(sobel_magnitude(IMAGE[0]), expected, atol=1e-14)


def test_a_blur_of_valid_pixels_does_not_see_the_others():
    valid = np.ones((9, 14), bool)
    valid[4, 5] = valid[0] = False
    one, other = IMAGE.copy(), IMAGE.copy()
    one[:, ~valid], other[:, ~valid] = np.nan, 1e6
    np.testing.assert_array_equal(masked_blur(one, valid, 1.0), masked_blur(other, valid, 1.0))
    assert np.isnan(masked_blur(one, valid, 1.0)[:, ~valid]).all()


def test_a_blur_keeps_a_constant_beside_gaps():
    valid = np.ones((9, 14), bool)
    valid[2:5, 3:8] = False
    assert masked_blur(np.full((1, 9, 14), 0.3), valid, 1.0)[:, valid] == pytest.approx(0.3)


def test_surrounded_leaves_out_the_neighbours_of_a_gap():
    valid = np.ones((5, 5), bool)
    valid[0, 0] = False
    expected = np.ones((5, 5), bool)
    expected[:2, :2] = False
    np.testing.assert_array_equal(surrounded(valid), expected)


def test_furthest_distance_is_that_of_the_distance_transform():
    rng = np.random.default_rng(1)
    for share in (0.002, 0.02, 0.3):
        points, marks = rng.random((2, 37, 61)) < share
        points[0, 0] = marks[-1, -1] = True
        assert furthest_px(points, marks) == pytest.approx(ndimage.distance_transform_edt(~marks)[points].max())
