"""On satellite images with snow and cloud: values stay in range, and bf16 stays near fp32."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.tiles.model import Batch
from tasks.tiles.precision import prepared
from tests.tiles.model.small_models import random_head, residual

SCENE = Path(__file__).parents[4] / "shared" / "data" / "tiles" / "openeo_S2_L2A_sample.tif"
needs_real = pytest.mark.skipif(not SCENE.is_file(), reason=f"{SCENE.name} is not beside this checkout")


@pytest.fixture(scope="module")
def alpine() -> Batch:
    """Six tiles of 120 px from a diagonal of the scene."""
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(SCENE) as scene:
        image = scene.read([1, 2, 3, 4]).astype(np.float32) / 10_000
    cut = [image[:, at : at + 120, at : at + 120] for at in range(0, 600, 100)]
    plain = Batch.plain(torch.from_numpy(np.stack(cut)).clamp(0, 1)[:, None])
    return replace(plain, month=torch.full((6,), 2))


def vegetation(image: torch.Tensor) -> torch.Tensor:
    return (image[:, 3] - image[:, 2]) / (image[:, 3] + image[:, 2] + 1e-8)


@needs_real
@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_refined_tiles_stay_in_range(alpine, scale):
    model = random_head(scale=scale)
    with torch.inference_mode():
        refined, unclamped = model.refine(alpine), model(alpine)
    assert refined.min() >= 0 and refined.max() <= 1
    assert unclamped.min() < 0


@needs_real
def test_bf16_of_a_random_head_stays_within_2_percent(alpine):
    model = random_head()
    with torch.inference_mode():
        exact, rounded = model.refine(alpine), prepared(model, "bf16").refine(alpine)
    assert 0 < (exact - rounded).abs().max() <= 0.02


@needs_real
def test_bf16_of_a_small_correction_stays_within_half_a_percent(alpine):
    model = random_head()
    with torch.no_grad():
        model.head.detail.conv2.weight *= 0.02 / residual(model, alpine).square().mean().sqrt()
        exact, rounded = model.refine(alpine), prepared(model, "bf16").refine(alpine)
    assert residual(model, alpine).square().mean().sqrt() == pytest.approx(0.02, rel=1e-3)
    assert (exact - rounded).abs().max() <= 0.005
    assert (vegetation(exact) - vegetation(rounded)).square().mean().sqrt() <= 0.01
