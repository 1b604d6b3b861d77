"""What is worth promoting."""

import math

import pytest

from tasks.contracts.tile_errors import NotBetterThanIdentityError
from tasks.tiles.verdict import Verdict, is_better, require_better


def verdict(loss, psnr=30.0):
    scores = {"loss": 0.5, "psnr": 31.0, "ndvi_rmse": 0.1}
    model = {} if loss is None else {"loss": loss, "psnr": psnr, "ndvi_rmse": 0.05}
    return Verdict(epoch=0, model=model, identity=scores, unsharp=scores)


@pytest.mark.parametrize(
    ("loss", "reference", "better"),
    [(0.4, 0.5, True), (0.5, 0.5, False), (0.6, 0.5, False), (math.nan, 0.5, False), (0.4, None, True),
     (None, None, False), (math.inf, None, False)],
)  # fmt: skip
def test_only_a_finite_smaller_loss_is_better(loss, reference, better):
    assert is_better(loss, reference) is better


@pytest.mark.parametrize("loss", [0.5, 0.7, None])
def test_a_model_that_is_not_better_than_the_identity_ends_the_run(loss):
    with pytest.raises(NotBetterThanIdentityError, match=r"model never beat the identity .* kept and not promoted"):
        require_better(verdict(loss), "model")


def test_a_better_one_does_not():
    require_better(verdict(0.4999), "model")


def test_the_line_shows_all_three():
    text = "loss 0.4000 (identity 0.5000, unsharp 0.5000), PSNR 30.00 dB (identity 31.00, unsharp 31.00), "
    assert verdict(0.4).text == text + "NDVI RMSE 0.0500 (identity 0.1000, unsharp 0.1000)"
    assert "loss none (identity 0.5000" in verdict(None).text


def test_a_loss_bought_with_reflectance_is_named():
    assert verdict(0.4, psnr=31.5).warnings == ()
    assert "PSNR is 1.00 dB below that of the input" in verdict(0.4, psnr=30.0).warnings[0]
