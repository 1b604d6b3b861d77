"""Windows cover an image once in sum, and the streamed blend equals the blend of the whole image."""

import numpy as np
import pytest

from tasks.contracts.errors import ConfigError
from tasks.contracts.tile_errors import NonFiniteOutputError, TileShapeError
from tasks.tiles.window_grid import Axis, window_grid
from tasks.tiles.windows import Accumulator, refine_large


def image(height, width, frames=1):
    return np.random.default_rng(3).random((frames, 4, height, width), np.float32)


def same(values, valid):
    return values[:, -1]


def lopsided(values, valid):
    """A model that sees where in its window a pixel lies, as one with a border effect does."""
    h, w = values.shape[-2:]
    bump = np.linspace(0, 0.2, h, dtype=np.float32)[:, None] * np.linspace(1, -1, w, dtype=np.float32)
    return np.clip(values[:, -1] + bump, 0, 1)


def test_last_window_is_shifted_inward():
    assert Axis(935, 224, 64).starts == (0, 160, 320, 480, 640, 711)


def test_a_side_that_fits_exactly_gets_no_extra_window():
    assert Axis(384, 224, 64).starts == (0, 160)


def test_a_side_shorter_than_a_window_is_one_window():
    axis = Axis(100, 224, 64)
    assert (axis.starts, axis.size) == ((0,), 100)
    np.testing.assert_array_equal(axis.weights, np.ones((1, 100)))


def test_ramp_is_cosine_squared_over_the_overlap_and_absent_at_the_border():
    weights = Axis(12, 8, 4).weights
    down = np.cos(np.pi / 2 * np.array([0.125, 0.375, 0.625, 0.875])) ** 2
    np.testing.assert_allclose(weights, [[1, 1, 1, 1, *down], [*down[::-1], 1, 1, 1, 1]], rtol=1e-6)


@pytest.mark.parametrize(("length", "window", "overlap"), [(384, 224, 64), (544, 224, 64), (96, 32, 0), (40, 16, 8)])
def test_weights_of_regular_windows_sum_to_one(length, window, overlap):
    np.testing.assert_allclose(Axis(length, window, overlap).totals, 1, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(50, 61), (16, 100), (9, 40), (33, 16), (5, 7)])
@pytest.mark.parametrize("overlap", [0, 5, 12, 15])
def test_a_constant_comes_back_as_that_constant(height, width, overlap):
    grid = window_grid(height, width, window=16, overlap=overlap)
    np.testing.assert_allclose(streamed(grid, lambda row, column: np.float32(0.3)), 0.3, rtol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(50, 61), (16, 100), (9, 40)])
@pytest.mark.parametrize("overlap", [0, 5, 12])
def test_streaming_equals_the_whole_image_at_once(height, width, overlap):
    grid = window_grid(height, width, window=16, overlap=overlap)
    rng = np.random.default_rng(1)
    shape = (len(grid.rows.starts), len(grid.columns.starts), 4, grid.rows.size, grid.columns.size)
    parts = rng.standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(streamed(grid, lambda *at: parts[at]), at_once(grid, parts), atol=2e-6)


def streamed(grid, part):
    blend, pieces = Accumulator(grid), []
    for row in range(len(grid.rows.starts)):
        for column in range(len(grid.columns.starts)):
            blend.add(row, column, part(row, column))
        pieces.append(blend.finished(row))
    return np.concatenate(pieces, axis=1)


def at_once(grid, parts):
    """Sum of w·x over sum of w in float64, with the ramp written down pixel by pixel."""
    height, width = grid.rows.length, grid.columns.length
    total, weight = np.zeros((4, height, width)), np.zeros((height, width))
    for row, top in enumerate(grid.rows.starts):
        for column, left in enumerate(grid.columns.starts):
            w = np.outer(ramp(grid.rows, row), ramp(grid.columns, column))
            place = (slice(top, top + grid.rows.size), slice(left, left + grid.columns.size))
            total[:, *place] += w * parts[row, column]
            weight[place] += w
    return total / weight


def ramp(axis, index):
    weights = np.ones(axis.size)
    for pixel in range(axis.overlap if len(axis.starts) > 1 else 0):
        rising = np.sin(np.pi / 2 * (pixel + 0.5) / axis.overlap) ** 2
        weights[pixel] *= rising if index > 0 else 1
        weights[axis.size - 1 - pixel] *= rising if index < len(axis.starts) - 1 else 1
    return weights


@pytest.mark.parametrize("overlap", [0, 7, 16])
def test_identity_returns_every_bit(overlap):
    values = image(70, 83)
    refined = refine_large(values, np.ones((70, 83), bool), same, patch=8, window=32, overlap=overlap)
    np.testing.assert_array_equal(refined, values[0])


def test_only_the_last_of_several_frames_is_refined():
    values = image(40, 40, frames=3)
    refined = refine_large(values, np.ones((40, 40), bool), same, patch=8, window=32, overlap=8)
    np.testing.assert_array_equal(refined, values[2])


def test_batches_of_windows_do_not_change_the_result():
    values, valid = image(64, 90), np.ones((64, 90), bool)
    one, five = (
        refine_large(values, valid, lopsided, patch=8, window=32, overlap=8, batch_size=size) for size in (1, 5)
    )
    np.testing.assert_array_equal(one, five)


def test_windows_without_a_valid_pixel_are_not_computed():
    values, valid = image(32, 96), np.ones((32, 96), bool)
    valid[:, 32:64] = False
    seen = []

    def watching(values, valid):
        seen.extend(valid.any(axis=(1, 2)))
        return lopsided(values, valid)

    refined = refine_large(values, valid, watching, patch=8, window=32, overlap=0)
    assert seen == [True, True]
    np.testing.assert_array_equal(refined[:, :, 32:64], values[0][:, :, 32:64])


def test_results_stay_in_range():
    refined = refine_large(image(60, 60), np.ones((60, 60), bool), lopsided, patch=8, window=32, overlap=8)
    assert refined.min() >= 0 and refined.max() <= 1
    assert np.abs(refined - image(60, 60)[0]).max() > 0.05


def test_the_ramp_hides_where_windows_meet():
    grey, valid = np.full((1, 4, 64, 224), 0.5, np.float32), np.ones((64, 224), bool)

    def jump_at_a_border(overlap):
        refined = refine_large(grey, valid, lopsided, patch=8, window=64, overlap=overlap)
        return np.abs(np.diff(refined[0, -1])).max()

    assert jump_at_a_border(0) > 0.3
    assert jump_at_a_border(32) < 0.03


@pytest.mark.parametrize(("window", "overlap"), [(20, 4), (0, 0), (32, 32), (32, -1)])
def test_windows_that_make_no_grid_are_refused(window, overlap):
    with pytest.raises(ConfigError):
        window_grid(100, 100, window=window, overlap=overlap, patch=16)


@pytest.mark.parametrize(
    ("predict", "error"),
    [(lambda v, m: v[:, -1] * np.nan, NonFiniteOutputError), (lambda v, m: v[:, -1, :1], TileShapeError)],
)
def test_a_model_that_gives_no_image_is_an_error(predict, error):
    with pytest.raises(error):
        refine_large(image(20, 20), np.ones((20, 20), bool), predict, patch=4, window=16, overlap=4)
