"""Bands and units are what the file or the user says, never a guess."""

import numpy as np
import pytest

from tasks.contracts.tile_errors import AmbiguousUnitsError, BandSelectionError
from tasks.tiles.bands import Units, select_bands, select_units


@pytest.mark.parametrize(
    "names",
    [
        ("B02", "B03", "B04", "B08"),
        ("B2", "B3", "B4", "B8"),
        ("blue", "Green", " RED ", "nir"),
        ("S2-L2A-B02", "S2-L2A-B03", "S2-L2A-B04", "S2-L2A-B08"),
        ("B2, blue", "B3, green", "B4, red", "B8, near infrared"),
    ],
)
def test_bands_are_found_by_their_descriptions(names):
    assert select_bands(names, None, "s.tif") == (1, 2, 3, 4)


def test_order_in_the_file_does_not_matter_and_look_alikes_are_left():
    names = ("B8A", "nir", "red edge", "B05", "red", "SCL", "green", "nir narrow", "blue", None)
    assert select_bands(names, None, "s.tif") == (9, 7, 5, 2)


def test_given_numbers_win_over_descriptions():
    assert select_bands(("B02", "B03", "B04", "B08", "x"), (5, 4, 3, 2), "s.tif") == (5, 4, 3, 2)


@pytest.mark.parametrize(
    ("names", "given"),
    [
        ((None,) * 5, None),
        (("B02", "B03", "B04", "B8A"), None),
        (("B02", "B03", "B04", "B08", "blue"), None),
        (("B02", "B03", "B04", "B08"), (1, 2, 3)),
        (("B02", "B03", "B04", "B08"), (1, 2, 3, 3)),
        (("B02", "B03", "B04", "B08"), (0, 1, 2, 3)),
        (("B02", "B03", "B04", "B08"), (2, 3, 4, 5)),
    ],
)
def test_undecided_bands_are_an_error(names, given):
    with pytest.raises(BandSelectionError):
        select_bands(names, given, "s.tif")


@pytest.mark.parametrize(
    ("dtype", "scale", "offset", "expected"),
    [
        (np.uint16, None, 0.0, Units(10_000.0, 0.0, "16-bit default")),
        (np.int16, None, -1000.0, Units(10_000.0, -1000.0, "16-bit default")),
        (np.uint16, 4096.0, 1.0, Units(4096.0, 1.0, "given")),
        (np.float32, None, 0.0, Units(1.0, 0.0, "reflectance")),
        (np.float32, None, -1000.0, Units(1.0, 0.0, "reflectance")),
        (np.uint8, 255.0, 0.0, Units(255.0, 0.0, "given")),
    ],
)
def test_units(dtype, scale, offset, expected):
    assert select_units(np.dtype(dtype), scale, offset, "s.tif") == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint32])
def test_other_integers_need_a_scale(dtype):
    with pytest.raises(AmbiguousUnitsError, match="--scale"):
        select_units(np.dtype(dtype), None, 0.0, "s.tif")


def test_a_file_that_states_other_units_needs_a_decision():
    with pytest.raises(AmbiguousUnitsError, match=r"offset -0\.1"):
        select_units(np.dtype(np.uint16), None, 0.0, "s.tif", tags=(1e-4, -0.1))
    assert select_units(np.dtype(np.uint16), None, 0.0, "s.tif", tags=(1e-4, 0.0)).scale == 10_000
    assert select_units(np.dtype(np.uint16), None, -1000.0, "s.tif", tags=(1e-4, -0.1)).offset == -1000
    assert select_units(np.dtype(np.uint16), 10_000.0, -1000.0, "s.tif", tags=(1e-4, -0.1)).source == "given"


@pytest.mark.parametrize(("scale", "offset"), [(10_000.0, 0.0), (10_000.0, -1000.0), (4095.0, 7.0)])
def test_every_16_bit_number_returns_exactly(scale, offset):
    numbers = np.arange(65_536).astype(np.uint16)
    units = Units(scale, offset, "given")
    np.testing.assert_array_equal(units.numbers(units.reflectance(numbers), np.dtype(np.uint16)), numbers)


def test_numbers_are_rounded_to_the_nearest_and_kept_in_the_type():
    units = Units(100.0, 0.0, "given")
    reflectance = np.array([0.1249, 0.1251, 3.0, -0.2], np.float32)
    np.testing.assert_array_equal(units.numbers(reflectance, np.dtype(np.uint8)), [12, 13, 255, 0])
