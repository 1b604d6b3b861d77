"""The seam ratio tells jumps at window borders from jumps elsewhere."""

import numpy as np
import pytest

from tasks.tiles.seams import SeamMeter
from tasks.tiles.window_grid import Axis

COLUMNS = Axis(8, 4, 0)  # one border, between columns 3 and 4


def ratio(change, valid=None):
    meter = SeamMeter(COLUMNS)
    change = np.broadcast_to(np.asarray(change, np.float32), (4, 2, 8))
    meter.add(change, np.ones((2, 8), bool) if valid is None else valid)
    return meter.ratio


def test_an_even_change_has_ratio_one():
    assert ratio(np.arange(8)) == pytest.approx(1)


def test_a_jump_at_the_border_shows():
    assert ratio([0, 1, 2, 3, 8, 9, 10, 11]) == pytest.approx(5)


def test_invalid_pixels_do_not_count():
    valid = np.ones((2, 8), bool)
    valid[0, 4] = False
    change = np.tile(np.arange(8, dtype=np.float32), (4, 2, 1))
    change[:, 0, 4] = np.nan
    assert ratio(change, valid) == pytest.approx(1)


def test_no_change_or_no_border_has_no_ratio():
    assert ratio(np.zeros(8)) is None
    assert SeamMeter(Axis(4, 4, 0)).ratio is None


def test_borders_of_overlapping_windows_are_where_they_begin_and_end():
    meter = SeamMeter(Axis(8, 4, 2))  # windows at 0, 2 and 4
    steps = np.zeros(8, np.float32)
    steps[[2, 4, 6]] = 1
    meter.add(np.cumsum(steps)[None, None] + np.arange(8) * np.float32(0.5), np.ones((1, 8), bool))
    assert meter.ratio == pytest.approx(3)
