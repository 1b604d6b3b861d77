"""Reading tiles: both layouts, and every kind of file that is no tile."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from tasks.contracts.tile_errors import (
    AmbiguousInputError,
    AmbiguousUnitsError,
    TileEmptyError,
    TileReadError,
    TileShapeError,
    TileTooLargeError,
)
from tasks.contracts.tiles import TileMeta
from tasks.tiles.reader import read_header, read_shape
from tests.tiles.files.made import bands, npz, npz_of_headers, read, said, tile


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_float_tiles_become_float32(dtype):
    found = read(npz(opt_v1=tile().astype(dtype)))
    assert found.values.dtype == np.float32 and found.values.shape == (1, 4, 3, 4) and found.layout == "opt_v1"
    np.testing.assert_array_equal(found.values[0], tile().astype(dtype).astype(np.float32))
    assert found.valid.all() and (found.clipped_fraction, found.valid_fraction, found.warnings) == (0.0, 1.0, ())


def test_values_in_range_are_read_bit_for_bit(tmp_path):
    values = np.random.default_rng(1).random((4, 17, 5), np.float32)
    values[0, 0, :2] = 0.0, 1.0
    path = tmp_path / "t.npz"
    path.write_bytes(npz(opt_v1=values))
    assert read(path).values[0].tobytes() == values.tobytes()


@pytest.mark.parametrize("extra_axis", [False, True])
def test_four_band_keys_are_a_tile(extra_axis):
    arrays = {key: band[None] if extra_axis else band for key, band in bands(tile()).items()}
    found = read(npz(**arrays))
    assert found.layout == "s2_bands"
    np.testing.assert_array_equal(found.values[0], tile())


def test_both_layouts_may_agree():
    both = npz(opt_v1=tile(), **{key: band + np.float32(5e-7) for key, band in bands(tile()).items()})
    assert read(both).layout == "opt_v1"


@pytest.mark.parametrize("change", [2e-6, np.nan])
def test_layouts_that_differ_are_ambiguous(change):
    changed = bands(tile())
    changed["s2_b4"] = changed["s2_b4"].copy()
    changed["s2_b4"][1, 1] += change
    with pytest.raises(AmbiguousInputError) as caught:
        read(npz(opt_v1=tile(), **changed))
    parts = said(caught.value)
    assert parts["where"] == "t.npz" and parts["found"] == "another 's2_b4'" and "1e-06" in parts["expected"]
    assert parts["remedy"].startswith("Keep one layout") and caught.value.tile_id == "t"


def test_layouts_of_other_size_are_ambiguous():
    with pytest.raises(AmbiguousInputError):
        read(npz(opt_v1=tile(3, 4), **bands(tile(4, 3))))


def test_equal_gaps_in_both_layouts_agree():
    values = tile()
    values[2, 0, 0] = np.nan
    assert read(npz(opt_v1=values, **bands(values))).valid_fraction == pytest.approx(11 / 12)


def test_three_of_four_bands_are_no_tile():
    arrays = bands(tile())
    del arrays["s2_b4"]
    with pytest.raises(TileShapeError) as caught:
        read(npz(**arrays))
    parts = said(caught.value)
    assert parts["expected"] == "'opt_v1', or all of s2_b2, s2_b3, s2_b4, s2_b8"
    assert parts["found"] == "'s2_b2' (3, 4), 's2_b3' (3, 4), 's2_b8' (3, 4); s2_b4 missing"
    assert caught.value.tile_id == "t" and caught.value.phase == "read"


@pytest.mark.parametrize(("arrays", "found"), [({"arr_0": tile()}, "'arr_0' (4, 3, 4)"), ({}, "no array")])
def test_other_keys_are_no_tile(arrays, found):
    with pytest.raises(TileShapeError) as caught:
        read(npz(**arrays))
    assert said(caught.value)["found"] == found and "no band is made up" in said(caught.value)["remedy"]


def test_bands_on_two_grids_are_no_tile():
    arrays = bands(tile()) | {"s2_b8": np.zeros((6, 8), np.float32)}
    with pytest.raises(TileShapeError, match=r"'s2_b4' \(3, 4\), 's2_b8' \(6, 8\)"):
        read(npz(**arrays))


@pytest.mark.parametrize(
    ("shape", "advice"),
    [((3, 5, 4), "last axis"), ((3, 5, 6), "first axis"), ((5, 6), "first axis"), ((1, 4, 5, 6), "1 frame"),
     ((2, 4, 5, 6), "1 frame"), ((), "first axis")],
)  # fmt: skip
def test_other_shapes_are_refused_and_not_transposed(shape, advice):
    with pytest.raises(TileShapeError) as caught:
        read(npz(opt_v1=np.zeros(shape, np.float32)))
    parts = said(caught.value)
    assert parts["where"] == "t.npz 'opt_v1'" and parts["found"] == str(shape) and advice in parts["remedy"]
    assert parts["expected"] == "(4, H, W) with the bands B02, B03, B04, B08"


def test_frames_must_be_those_of_the_checkpoint():
    three = np.stack([tile(), tile(value=0.3), tile(value=0.4)])
    assert read(npz(opt_v1=three), num_frames=3).values.shape == (3, 4, 3, 4)
    for data in (npz(opt_v1=three[:2]), npz(opt_v1=tile()), npz(**bands(tile()))):
        with pytest.raises(TileShapeError, match="3 frame"):
            read(data, num_frames=3)


def test_last_frame_decides_which_pixels_are_valid():
    frames = np.stack([tile(), tile()])
    frames[0, 1, 0, 0], frames[1, 2, 2, 3] = np.nan, np.nan
    found = read(npz(opt_v1=frames), num_frames=2)
    assert np.argwhere(~found.valid).tolist() == [[2, 3]]


def test_large_compressed_tile_of_nodata_is_empty_and_no_bomb():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, opt_v1=np.zeros((4, 1100, 1100), np.float32))
    assert buffer.getbuffer().nbytes < 4 * 1100 * 1100 * 4 / 1000
    with pytest.raises(TileEmptyError):
        read(buffer.getvalue(), TileMeta(nodata=0.0))


def test_archive_that_unpacks_to_far_more_is_a_bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (100 << 20,)})
        archive.writestr("padding.npy", header.getvalue() + bytes(100 << 20))
    with pytest.raises(TileReadError, match="unpacks to suspiciously much"):
        read(buffer.getvalue())


def test_tile_without_its_last_frame_is_empty():
    frames = np.stack([tile(), np.full_like(tile(), np.nan)])
    with pytest.raises(TileEmptyError):
        read(npz(opt_v1=frames), num_frames=2)
    assert read(npz(opt_v1=frames[::-1]), num_frames=2).valid_fraction == 1


@pytest.mark.parametrize(("height", "width"), [(1, 9), (9, 1), (0, 3)])
def test_sides_below_two_pixels_are_refused(height, width):
    with pytest.raises(TileShapeError) as caught:
        read(npz(opt_v1=tile(height, width)))
    assert said(caught.value)["found"] == f"{height}x{width}" and "2 px" in said(caught.value)["expected"]
    assert read(npz(opt_v1=tile(2, 2))).values.shape == (1, 4, 2, 2)


@pytest.mark.parametrize("shapes", [
    {"opt_v1": (4, 100_000, 100_000)},
    {"opt_v1": (4, 8_001, 8_001)},
    {"opt_v1": (4, 1 << 62, 1 << 62)},
    {"s2_b2": (9_000, 9_000), "s2_b3": (9_000, 9_000), "s2_b4": (9_000, 9_000), "s2_b8": (9_000, 9_000)},
])  # fmt: skip
def test_headers_that_claim_too_many_pixels_are_refused_before_allocation(shapes):
    with pytest.raises(TileTooLargeError) as caught:
        read(npz_of_headers(**shapes))
    parts = said(caught.value)
    assert "64000000 pixels" in parts["expected"] and "GeoTIFF" in parts["remedy"] and caught.value.tile_id == "t"


def test_header_that_claims_a_little_more_than_there_is_cannot_be_read():
    with pytest.raises(TileReadError, match="has another size than its header says"):
        read(npz_of_headers(opt_v1=(4, 100, 100)))


def test_header_that_claims_a_thin_tile_is_refused_as_such():
    with pytest.raises(TileShapeError, match="1x500"):
        read(npz_of_headers(opt_v1=(4, 1, 500)))


def flipped(data: bytes) -> bytes:
    """The same archive with one bit of its values changed."""
    spot = data.index(tile().tobytes()[:16]) + 3
    return data[:spot] + bytes([data[spot] ^ 1]) + data[spot + 1 :]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "not a zip file"),
        (b"not a zip at all", "not a zip file"),
        (npz(opt_v1=tile())[:200], "not a zip file"),
        (npz(opt_v1=tile())[:-5], "not a zip file"),
        (flipped(npz(opt_v1=tile())), "Bad CRC-32"),
    ],
    ids=["empty", "text", "half", "end missing", "bit flipped"],
)
def test_damaged_archives_cannot_be_read(data, found):
    with pytest.raises(TileReadError) as caught:
        read(data)
    parts = said(caught.value)
    assert parts["where"] == "t.npz" and found in parts["found"] and "numpy.savez" in parts["remedy"]
    assert caught.value.tile_id == "t" and caught.value.exit_code == 1


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_object_arrays_are_refused_and_do_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    np.savez(buffer, opt_v1=np.array([Payload()], object))
    with pytest.raises(TileReadError, match="holds Python objects") as caught:
        read(buffer.getvalue())
    assert "'opt_v1'" in said(caught.value)["where"] and not os.listdir(tmp_path)


@pytest.mark.parametrize("dtype", ["complex64", "bool", "U3", "M8[s]"])
def test_other_kinds_are_no_reflectance(dtype):
    with pytest.raises(TileReadError, match="holds no reflectance"):
        read(npz(opt_v1=np.zeros((4, 3, 3), dtype)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int64"])
def test_integers_without_a_scale_have_no_units(dtype):
    with pytest.raises(AmbiguousUnitsError) as caught:
        read(npz(opt_v1=np.ones((4, 3, 3), dtype)))
    parts = said(caught.value)
    assert parts["found"] == f"{dtype} and no --scale" and "--scale 10000" in parts["remedy"]
    assert caught.value.tile_id == "t"


def test_one_integer_band_has_no_units_either():
    with pytest.raises(AmbiguousUnitsError):
        read(npz(**bands(tile()) | {"s2_b8": np.ones((3, 4), np.uint16)}))


def test_scale_and_offset_give_reflectance():
    digital = np.full((4, 2, 2), 3500, np.uint16)
    np.testing.assert_allclose(read(npz(opt_v1=digital), scale=10_000.0, offset=-1000.0).values, 0.25)


def test_tile_without_a_valid_pixel_is_empty():
    values = tile()
    values[0, :2], values[3, 2:] = np.nan, np.inf  # every pixel lacks some band
    with pytest.raises(TileEmptyError) as caught:
        read(npz(opt_v1=values))
    parts = said(caught.value)
    assert (
        parts["found"].startswith("3x4 pixels") and "--allow_empty" in parts["remedy"] and caught.value.tile_id == "t"
    )


def test_vanished_file_and_folder_cannot_be_read(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    for path in (tmp_path / "gone.npz", tmp_path / "folder.npz"):
        with pytest.raises(TileReadError, match="there is no such file"):
            read(path)


def test_shape_comes_from_the_headers_alone():
    assert read_shape(npz(opt_v1=tile(7, 9))) == (7, 9)
    assert read_shape(npz(**bands(tile(5, 6)))) == (5, 6)
    damaged = bytearray(npz(opt_v1=tile(40, 50)))
    damaged[-1000] ^= 1
    header = read_header(bytes(damaged), "t")
    assert (header.layout, header.height, header.width) == ("opt_v1", 40, 50)
    with pytest.raises(TileReadError, match="CRC"):
        read(bytes(damaged))


def test_odd_names_stand_in_messages_as_they_are(tmp_path):
    path = tmp_path / "-ä b.npz"
    path.write_bytes(b"x")
    with pytest.raises(TileReadError) as caught:
        read_shape(path)
    assert said(caught.value)["where"] == "-ä b.npz"


def test_errors_travel_between_processes():
    with pytest.raises(TileReadError) as caught:
        read(b"x")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is TileReadError and str(copy) == str(caught.value) and copy.tile_id == "t"


def test_oddities_that_stop_nothing_are_listed():
    meta = TileMeta(nodata=65535.0, nonfinite=True)
    found = read(npz(opt_v1=np.full((4, 2, 2), 12_000, np.int16)), meta, scale=10_000.0, range_policy="clip")
    assert found.warnings == (
        "nodata 65535 cannot occur in int16 values",
        "100.00% of the values were clipped to 0..1 as --range_policy clip asks",
        "the sidecar holds NaN or Infinity, which is no JSON for other readers",
    )
