"""Every picture of a run has a file of its own, whatever the tile is called."""

from tasks.tiles.flow.judged import picture_name


def test_a_plain_name_stays_readable():
    assert picture_name("tile_1", "last") == "last_tile_1.png"


def test_tiles_of_sub_folders_share_no_picture():
    names = {picture_name(name, "last") for name in ("a/x", "a_x", "a/x_y", "a_x/y")}
    assert len(names) == 4
    assert picture_name("a/x", "last").startswith("last_a_x-")


def test_a_long_name_fits_and_is_its_own():
    names = [picture_name("ö" * 119 + letter, "median") for letter in "ab"]
    assert names[0] != names[1]
    assert all(name.startswith("median_") and len(name.encode()) <= 200 for name in names)
