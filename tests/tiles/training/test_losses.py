"""Losses: their values on small images, their masks, and gradients that stay finite where the formulas bend."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from tasks.tiles.losses.combined import TERMS, losses
from tasks.tiles.losses.edge import edge_loss, magnitude, sobel
from tasks.tiles.losses.evi import evi_loss
from tasks.tiles.losses.ndvi import ndvi_loss
from tasks.tiles.losses.reconstruction import reconstruction_loss
from tasks.tiles.losses.spectral_angle import spectral_angle_loss

NAMED = {name: term for name, (_, term) in TERMS.items()} | {
    "all": lambda refined, target, valid: losses(refined, target, valid)["loss"]
}
every_term = pytest.mark.parametrize("term", NAMED.values(), ids=NAMED.keys())


def image(*spectra, height=1):
    """(1, 4, height, n) from spectra (blue, green, red, nir), one per column."""
    return torch.tensor(spectra, dtype=torch.float64).T[None, :, None, :].repeat(1, 1, height, 1)


def random_image(seed, shape=(2, 4, 6, 5)):
    return torch.tensor(np.random.default_rng(seed).uniform(0.05, 0.6, shape))


def everywhere(of):
    return torch.ones(of.shape[0], *of.shape[2:], dtype=torch.bool)


def test_the_ndvi_loss_is_the_root_mean_square_of_the_two_differences():
    ours, truth = image((0.1, 0.1, 0.1, 0.3), (0.1, 0.1, 0.2, 0.2)), image((0.1, 0.1, 0.1, 0.1), (0.1, 0.1, 0.2, 0.2))
    assert ndvi_loss(ours, truth, everywhere(ours)).item() == pytest.approx(math.sqrt(0.5**2 / 2), abs=1e-7)


def test_ndvi_of_negative_reflectance_stays_between_minus_one_and_one():
    ours, truth = image((0.1, 0.1, -0.3, 0.29)), image((0.1, 0.1, 0.29, -0.3))
    assert ndvi_loss(ours, truth, everywhere(ours)).item() < 2.0


def test_the_evi_loss_knows_the_coefficients():
    ours, truth = image((0.05, 0.1, 0.1, 0.4)), image((0.05, 0.1, 0.1, 0.1))
    assert evi_loss(ours, truth, everywhere(ours)).item() == pytest.approx(2.5 * 0.3 / (0.4 + 0.6 - 0.375 + 1))


def test_evi_leaves_out_a_pixel_whose_denominator_is_small_in_either_image():
    good, small = (0.05, 0.1, 0.1, 0.4), (0.3, 0.1, 0.1, 0.4)  # 0.4 + 0.6 - 2.25 + 1 < 0
    alone = evi_loss(image(good), image((0.05, 0.1, 0.1, 0.1)), torch.ones(1, 1, 1, dtype=torch.bool))
    for pair in ((small, good), (good, small)):
        ours, truth = image(good, pair[0]), image((0.05, 0.1, 0.1, 0.1), pair[1])
        assert torch.equal(evi_loss(ours, truth, everywhere(ours)), alone)


def test_the_spectral_angle_of_orthogonal_spectra_is_a_right_angle_and_of_scaled_ones_zero():
    ours = image((0.5, 0.0, 0.0, 0.0), (0.1, 0.2, 0.3, 0.4))
    truth = image((0.0, 0.5, 0.0, 0.0), (0.2, 0.4, 0.6, 0.8))
    assert spectral_angle_loss(ours, truth, everywhere(ours)).item() == pytest.approx(math.pi / 4, abs=1e-5)


def test_the_reconstruction_loss_is_the_mean_absolute_difference_of_all_bands():
    ours, truth = image((0.1, 0.2, 0.3, 0.4)), image((0.1, 0.2, 0.3, 0.8))
    assert reconstruction_loss(ours, truth, everywhere(ours)).item() == pytest.approx(0.1)


def test_sobel_equals_scipy_with_its_reflected_border():
    picture = random_image(1, (1, 1, 9, 7))
    gx, gy = sobel(picture)
    np.testing.assert_allclose(gx[0, 0], ndimage.sobel(picture[0, 0].numpy(), axis=1, mode="reflect"), atol=1e-12)
    np.testing.assert_allclose(gy[0, 0], ndimage.sobel(picture[0, 0].numpy(), axis=0, mode="reflect"), atol=1e-12)


def test_a_constant_image_has_zero_edge_loss_up_to_its_border():
    ours, truth = torch.full((1, 4, 6, 6), 0.7), torch.full((1, 4, 6, 6), 0.2)
    assert edge_loss(ours, truth, everywhere(ours)).item() == 0.0
    assert magnitude(ours).max().item() == pytest.approx(1e-4 / 8)


def test_the_edge_of_a_unit_step_has_magnitude_one_half():
    step = torch.zeros(1, 4, 5, 6)
    step[..., 3:] = 1.0
    assert magnitude(step)[0, 0, 2].tolist() == pytest.approx([0, 0, 0.5, 0.5, 0, 0], abs=2e-5)


def test_the_rim_of_a_hole_is_no_edge():
    picture, valid = torch.full((1, 4, 7, 7), 0.6), torch.ones(1, 7, 7, dtype=torch.bool)
    valid[0, 3, 3] = False
    truth = picture.clone()
    truth[0, :, 3, 3] = 0.0
    assert edge_loss(picture, truth, valid).item() == 0.0


@every_term
@pytest.mark.parametrize("rubbish", [0.0, 7.0, -3.0, math.nan, math.inf])
def test_a_masked_pixel_has_no_influence_on_value_or_gradient(term, rubbish):
    ours, truth = random_image(1), random_image(2)
    valid = everywhere(ours)
    valid[0, 2, 2] = valid[1, 0, 4] = False
    spoiled = [picture.clone() for picture in (ours, truth)]
    for picture in spoiled:
        picture[0, :, 2, 2] = rubbish
        picture[1, :, 0, 4] = rubbish
    value, gradient = value_and_gradient(term, ours, truth, valid)
    other, other_gradient = value_and_gradient(term, *spoiled, valid)
    assert torch.equal(value, other) and torch.equal(gradient, other_gradient)
    assert not gradient[0, :, 2, 2].any() and gradient.any()


@every_term
def test_a_mean_counts_valid_pixels_only(term):
    ours, truth = image((0.1, 0.2, 0.3, 0.5), height=6), image((0.1, 0.3, 0.2, 0.4), height=6)
    half = everywhere(ours)
    half[:, 3:] = False
    assert term(ours, truth, half).item() == pytest.approx(term(ours, truth, everywhere(ours)).item(), rel=1e-9)


@every_term
@pytest.mark.parametrize("case", ["equal", "zero", "negative", "one zero"])
def test_gradients_are_finite_where_the_formulas_bend(term, case):
    ours = {"equal": random_image(1), "zero": torch.zeros(2, 4, 6, 5), "negative": -random_image(1),
            "one zero": torch.zeros(2, 4, 6, 5)}[case]  # fmt: skip
    truth = random_image(2) if case in ("one zero", "negative") else ours.clone()
    for kind in (torch.float32, torch.float64):
        value, gradient = value_and_gradient(term, ours.to(kind), truth.to(kind), everywhere(ours))
        assert torch.isfinite(value) and torch.isfinite(gradient).all()


@every_term
def test_gradients_equal_finite_differences(term):
    truth, valid = random_image(2, (1, 4, 4, 3)), torch.ones(1, 4, 3, dtype=torch.bool)
    valid[0, 3, 2] = False
    ours = random_image(1, (1, 4, 4, 3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda picture: term(picture, truth, valid), (ours,), eps=1e-6, atol=1e-6)


@every_term
def test_without_any_valid_pixel_the_loss_is_flat_and_finite(term):
    ours = random_image(1)
    value, gradient = value_and_gradient(term, ours, random_image(2), torch.zeros_like(everywhere(ours)))
    assert 0.0 <= value.item() <= 1e-5 and not gradient.any()


def test_the_sum_has_the_published_weights():
    ours, truth = random_image(1), random_image(2)
    found = losses(ours, truth, everywhere(ours))
    weights = {"ndvi": 1.0, "evi": 0.5, "spectral_angle": 0.3, "reconstruction": 0.5, "edge": 0.25}
    assert found["loss"].item() == pytest.approx(sum(weight * found[name].item() for name, weight in weights.items()))


def value_and_gradient(term, ours, truth, valid):
    leaf = ours.clone().requires_grad_()
    value = term(leaf, truth, valid)
    value.backward()
    return value.detach(), leaf.grad
