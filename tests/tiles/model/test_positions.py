"""Position codes follow their formula on every grid."""

import math

import numpy as np
import pytest
import torch

from tasks.tiles.positions import grid_codes, position_table, sincos
from tests.tiles.model import numpy_encoder


def test_a_code_is_sines_then_cosines_of_falling_frequencies():
    code = sincos(torch.tensor(3.0, dtype=torch.float64), 4)
    expected = [math.sin(3), math.sin(0.03), math.cos(3), math.cos(0.03)]
    assert code.tolist() == pytest.approx(expected, abs=1e-12)


def test_parts_are_column_row_and_frame_in_6_6_and_4_sixteenths():
    codes = grid_codes(16, (2, 14, 14), 14)
    expected = [sincos(torch.tensor(float(place)).double(), width) for place, width in ((5, 6), (9, 6), (1, 4))]
    assert torch.allclose(codes[1, 9, 5], torch.cat(expected), atol=1e-12)


@pytest.mark.parametrize("grid", [(1, 14, 14), (1, 8, 8), (1, 7, 5), (3, 7, 5), (1, 28, 20), (1, 1, 9)])
@pytest.mark.parametrize("dim", [64, 192])
def test_codes_equal_those_of_numpy(dim, grid):
    found = grid_codes(dim, grid, 14).numpy()
    np.testing.assert_allclose(found, numpy_encoder.positions(dim, grid), rtol=0, atol=1e-10)


def test_the_pretraining_grid_of_patch_14_is_not_resampled():
    np.testing.assert_allclose(
        grid_codes(64, (1, 16, 16), 16).numpy(), numpy_encoder.positions(64, (1, 16, 16), 16), rtol=0, atol=1e-12
    )


def test_corners_stay_where_they_were_on_any_grid():
    full, small = grid_codes(64, (1, 14, 14), 14), grid_codes(64, (1, 7, 5), 14)
    assert torch.allclose(small[0, 6, 4], full[0, 13, 13], atol=1e-12)
    assert torch.allclose(small[0, 0, 0], full[0, 0, 0], atol=1e-12)


def test_the_table_is_made_once_per_grid_and_can_be_trained_with():
    with torch.inference_mode():
        table = position_table(64, (1, 3, 4), 14, torch.device("cpu"))
    assert table.shape == (12, 64) and table.dtype == torch.float32
    assert not table.is_inference()
    assert position_table(64, (1, 3, 4), 14, torch.device("cpu")) is table
