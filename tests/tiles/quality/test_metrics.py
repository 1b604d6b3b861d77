"""Figures by hand, against scipy and scikit-image, and where they are not defined."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import hausdorff_distance, peak_signal_noise_ratio, structural_similarity

from tasks.tiles import metrics
from tests.tiles.quality.tiles_to_compare import needs_scene, scene_versions, two_versions

FLAT = np.full((4, 12, 12), 0.2, np.float32)


def spectrum(blue, green, red, nir, shape=(2, 2)) -> np.ndarray:
    return np.broadcast_to(np.array([blue, green, red, nir], np.float32)[:, None, None], (4, *shape)).copy()


def sobel(band):
    return np.hypot(ndimage.sobel(band, 0), ndimage.sobel(band, 1))


def assert_agrees_with_libraries(a: np.ndarray, b: np.ndarray) -> None:
    wide_a, wide_b = a.astype(float), b.astype(float)
    ndvi = [(t[3] - t[2]) / (t[3] + t[2] + 1e-8) for t in (wide_a, wide_b)]
    edges = [sobel(t[3]) for t in (wide_a, wide_b)]
    assert metrics.ndvi_rmse(a, b) == pytest.approx(np.sqrt(np.mean((ndvi[1] - ndvi[0]) ** 2)), abs=1e-6)
    correlation = np.corrcoef(edges[0].ravel(), edges[1].ravel())[0, 1]
    assert metrics.edge_correlation(a, b) == pytest.approx(correlation, abs=1e-6)
    assert metrics.psnr(a, b) == pytest.approx(peak_signal_noise_ratio(wide_a, wide_b, data_range=1), abs=1e-6)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "K1": 0.01, "K2": 0.03}
    similarity = structural_similarity(wide_a, wide_b, channel_axis=0, data_range=1, **options)
    assert metrics.ssim(a, b) == pytest.approx(similarity, abs=1e-4)
    shift = hausdorff_distance(edges[0] > 0.1, edges[1] > 0.1)
    assert metrics.edge_shift_px(a, b) == pytest.approx(shift)


def test_twenty_tiles_agree_with_scipy_and_scikit_image():
    pairs = list(two_versions(20))
    assert len(pairs) == 20
    for a, b in pairs:
        assert_agrees_with_libraries(a, b)


@needs_scene
def test_a_real_tile_agrees_with_scipy_and_scikit_image():
    assert_agrees_with_libraries(*scene_versions())


def test_identity_is_perfect_to_the_last_bit():
    for a, _ in two_versions(5):
        assert metrics.ndvi_rmse(a, a.copy()) == 0.0
        assert metrics.edge_correlation(a, a.copy()) == 1.0
        assert metrics.share_identical(a, a.copy()) == 1.0
        assert metrics.edge_shift_px(a, a.copy()) == 0.0
        assert metrics.ssim(a, a.copy()) == pytest.approx(1.0, abs=1e-12)


def test_ndvi_by_hand():
    one, other = spectrum(0.1, 0.1, 0.1, 0.3), spectrum(0.1, 0.1, 0.2, 0.2)
    assert metrics.ndvi(one)[0, 0] == pytest.approx(0.5)
    assert metrics.ndvi_rmse(one, other) == pytest.approx(0.5)
    assert metrics.mean_ndvi_change(one, other) == pytest.approx(-0.5)


def test_evi_by_hand_and_without_small_denominators():
    one, other = spectrum(0.1, 0.1, 0.1, 0.3), spectrum(0.1, 0.1, 0.1, 0.1)
    # 2.5 * 0.2 / (0.3 + 0.6 - 0.75 + 1); the other has none
    assert metrics.evi_rmse(one, other) == pytest.approx(0.5 / 1.15)
    cloud = spectrum(0.9, 0.9, 0.8, 0.9)  # denominator -0.05
    other[:, 0, 0], one[:, 1, 1] = cloud[:, 0, 0], cloud[:, 0, 0]
    assert metrics.evi_rmse(one, other) == pytest.approx(0.5 / 1.15)
    assert metrics.evi_rmse(cloud, other) is None


def test_spectral_angle_by_hand_and_without_black_pixels():
    one, other = spectrum(0.0, 0.0, 0.0, 0.4), spectrum(0.0, 0.0, 0.7, 0.7)
    assert metrics.spectral_angle_deg(one, other) == pytest.approx(45.0, abs=1e-5)
    other[:, 0, 0] = 0
    assert metrics.spectral_angle_deg(one, other) == pytest.approx(45.0, abs=1e-5)
    assert metrics.spectral_angle_deg(one, one) == 0.0
    assert metrics.spectral_angle_deg(one, np.zeros_like(one)) is None


def test_edge_shift_is_the_way_that_an_edge_moved():
    one, other = FLAT.copy(), FLAT.copy()
    one[3, :, :4], other[3, :, :7] = 0.9, 0.9
    assert metrics.edge_shift_px(one, other) == 3.0


def test_an_edge_that_is_on_one_side_only_is_as_far_as_can_be():
    stepped = FLAT.copy()
    stepped[3, :, :5] = 0.9
    assert metrics.edge_shift_px(stepped, FLAT) == pytest.approx(np.hypot(12, 12))
    assert metrics.edge_shift_px(FLAT, FLAT) is None


def test_no_variance_gives_no_correlation():
    textured, _ = next(two_versions(1))
    flat = np.full_like(textured, 0.3)
    ramp = np.broadcast_to(np.linspace(0, 1, 48, dtype=np.float32), (4, 48, 48)).copy()
    assert metrics.edge_correlation(textured, flat) is None
    assert metrics.edge_correlation(flat, flat) is None
    inner = np.zeros((48, 48), bool)
    inner[:, 2:-2] = True  # a ramp has equal gradients but for its ends
    assert metrics.edge_correlation(ramp, textured, inner) is None


def test_invalid_pixels_have_no_influence():
    a, b = next(two_versions(1))
    valid = np.ones((48, 48), bool)
    valid[10:14, 20:30] = valid[40, 3] = False
    spoiled = b.copy()
    spoiled[:, ~valid] = 77
    gapped = a.copy()
    gapped[0, ~valid] = np.nan
    for metric in (metrics.ndvi_rmse, metrics.edge_correlation, metrics.psnr, metrics.ssim, metrics.evi_rmse,
                   metrics.spectral_angle_deg, metrics.edge_shift_px, metrics.change_rms):  # fmt: skip
        assert metric(gapped, spoiled) == metric(a, b, valid), metric.__name__


def test_edges_beside_a_gap_are_left_out():
    one, other = FLAT.copy(), FLAT.copy()
    one[3, 2, 2] = other[3, 2, 2] = 0.9
    other[3, 8, 8] = np.nan
    one[3, 8, 9] = 0.9  # touches the gap, so nobody can tell what it is
    assert metrics.edge_correlation(one, other) < 1  # (7, 10) and others see that pixel and not the gap
    one[3, 8, 9] = 0.2
    assert metrics.edge_correlation(one, other) == pytest.approx(1.0)


def test_nothing_valid_gives_no_figure():
    nothing = np.full((4, 12, 12), np.nan, np.float32)
    for metric in (metrics.ndvi_rmse, metrics.edge_correlation, metrics.psnr, metrics.ssim, metrics.evi_rmse,
                   metrics.spectral_angle_deg, metrics.edge_shift_px, metrics.change_rms, metrics.mean_ndvi_change,
                   metrics.share_identical):  # fmt: skip
        assert metric(FLAT, nothing) is None, metric.__name__


def test_a_tile_smaller_than_the_window_has_no_ssim():
    assert metrics.ssim(FLAT[:, :10], FLAT[:, :10]) is None


def test_equal_tiles_have_no_psnr():
    assert metrics.psnr(FLAT, FLAT) is None
    assert metrics.psnr(FLAT, FLAT + np.float32(0.1)) == pytest.approx(20.0, abs=1e-5)


def test_a_step_at_a_window_border_shows_as_a_seam():
    change = np.random.default_rng(0).normal(0, 0.01, (4, 20, 40)).astype(np.float32)
    assert metrics.seam_ratio(change, [20]) == pytest.approx(1.0, abs=0.3)
    change[:, :, 20:] += 0.1
    assert metrics.seam_ratio(change, [20]) > 5
    assert metrics.seam_ratio(change, []) is None
    assert metrics.seam_ratio(np.zeros((4, 20, 40)), [20]) is None
