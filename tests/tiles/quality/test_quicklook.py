"""Pictures: which tiles, what they show, and that none of them can stop a run."""

import io

import numpy as np
import pytest
from PIL import Image

from tasks.tiles.evaluate import evaluate
from tasks.tiles.quicklook import TITLES, chosen, picture, quicklooks
from tasks.tiles.references import oracle_of
from tests.tiles.quality.tiles_to_compare import pair


def figures(**errors) -> list[dict]:
    return [{"id": name, "ndvi_rmse": error} for name, error in errors.items()]


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def panels(png: bytes) -> list[np.ndarray]:
    """The three images of a 24x24 tile, one value per pixel of the tile."""
    image = np.asarray(opened(png))
    scale, side, margin, gap = 27, 27 * 24, 28, 22
    top = image.shape[0] - margin - side
    lefts = [margin + number * (side + gap) for number in range(3)]
    return [image[top : top + side, left : left + side][scale // 2 :: scale, scale // 2 :: scale] for left in lefts]


def test_first_last_and_worst_in_this_order():
    tiles = figures(a=0.01, b=0.03, c=None, d=0.09, e=0.02)
    assert chosen(tiles, 4) == [("a", "first"), ("e", "last"), ("d", "worst"), ("b", "worst")]
    assert chosen(tiles, 1) == [("a", "first")]
    assert chosen(tiles, 0) == []
    assert len(chosen(tiles, 8)) == 5
    assert chosen(figures(a=0.1), 8) == [("a", "first")]
    assert chosen([], 8) == []


def test_titles_are_the_published_ones():
    assert TITLES[:2] == ("opt_v1 (Stage 1)", "opt_v2 (Stage 2: Prithvi refined)")


def test_a_picture_is_a_png_of_150_dpi():
    image = opened(picture(pair(), "a"))
    assert image.format == "PNG"
    assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)


def test_panels_show_twice_the_reflectance_and_ten_times_the_difference():
    tile = pair()
    tile.v1[:] = np.array([0.1, 0.2, 0.3, 0.4], np.float32)[:, None, None]
    tile.v2[:] = np.array([0.1, 0.22, 0.28, 0.9], np.float32)[:, None, None]
    before, after, change = panels(picture(tile, "a"))
    assert before[5, 5].tolist() == [153, 102, 51]  # B04, B03, B02
    assert after[5, 5].tolist() == [143, 112, 51]
    assert change[5, 5] == pytest.approx([76, 179, 128], abs=1)


def test_values_above_one_half_are_white_and_gaps_are_not():
    tile = pair()
    tile.v1[:, 2, 3], tile.v1[:, 4, 4] = 0.8, np.nan
    before, _, change = panels(picture(tile, "a"))
    assert before[2, 3].tolist() == [255, 255, 255]
    assert before[4, 4].tolist() == change[4, 4].tolist() == [236, 190, 214]


@pytest.mark.parametrize("shape", [(4, 2, 2), (4, 17, 100), (4, 1500, 3)])
def test_every_size_fits(shape):
    tile = np.full(shape, 0.3, np.float32)
    width, height = opened(picture(type(pair())("a", tile, tile, 6, 0), "a")).size
    assert 100 < width < 3000 and 100 < height < 1300


def test_odd_names_and_long_ones_are_drawn():
    assert opened(picture(pair(), "Ünï/тайл 瓦 " * 40)).size == opened(picture(pair(), "a")).size


def test_a_picture_that_fails_is_recorded_and_the_others_are_made():
    tiles = {name: pair(name) for name in "abc"}
    quality = evaluate(tiles.values(), oracle_of("heuristic", {}))

    def load(tile_id):
        if tile_id == "c":
            raise OSError("the disk is gone")
        return tiles[tile_id]

    looks = quicklooks(quality["per_tile"], load, 8)
    assert [(look.id, look.role, look.png is None) for look in looks] == [
        ("a", "first", False),
        ("c", "last", True),
        ("b", "worst", False),
    ]
    assert looks[1].error == "OSError: the disk is gone"
