"""Arrays come back native, in C order, with their values; damaged archives are refused."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tasks.contracts.errors import MissingInputError, UnsafeArchiveError
from tasks.store.npz import NpzLimits, iterate_npz, read_headers, read_npz
from tasks.store.npz_writer import write_npz

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    hnp.unicode_string_dtypes(endianness="?", max_len=5),
    hnp.byte_string_dtypes(endianness="?", max_len=5),
)
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)))


def savez(compressed: bool = False, **arrays) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


@given(array=ARRAYS, fortran=st.booleans(), compressed=st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_plain_array_of_numpy_comes_back(array, fortran, compressed):
    stored = np.asfortranarray(array) if fortran and array.ndim else array
    read = read_npz(savez(compressed, x=stored))["x"]
    np.testing.assert_array_equal(read, array)
    assert read.shape == array.shape
    assert read.dtype == array.dtype.newbyteorder("=")
    assert read.dtype.isnative and read.flags.c_contiguous and read.flags.writeable


@given(arrays=st.dictionaries(st.from_regex(r"\A[a-z_]{1,8}\Z"), ARRAYS, max_size=4), compressed=st.booleans())
@settings(max_examples=100, deadline=None)
def test_own_archives_come_back(arrays, compressed):
    read = read_npz(write_npz(arrays, compressed=compressed))
    assert list(read) == sorted(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def test_numpy_reads_own_archives():
    archive = write_npz({"b": np.arange(6.0).reshape(2, 3), "a": np.array(["x", "yz"])})
    with np.load(io.BytesIO(archive), allow_pickle=False) as read:
        assert read.files == ["a", "b"]
        np.testing.assert_array_equal(read["b"], [[0, 1, 2], [3, 4, 5]])


def test_file_is_read_like_bytes(tmp_path):
    path = tmp_path / "train.npz"
    path.write_bytes(savez(x=np.arange(3)))
    np.testing.assert_array_equal(read_npz(path)["x"], [0, 1, 2])


def test_missing_file(tmp_path):
    with pytest.raises(MissingInputError, match=r"train\.npz does not exist"):
        read_npz(tmp_path / "train.npz")


def test_headers_tell_what_the_reader_converts():
    swapped = np.arange(6, dtype=">f8").reshape(2, 3)
    headers = read_headers(savez(a=np.asfortranarray(swapped), b=np.zeros(2, np.int32)))
    assert (headers["a"].dtype.str, headers["a"].fortran_order, headers["a"].shape) == (">f8", True, (2, 3))
    assert not headers["a"].native and headers["b"].native


def test_arrays_can_be_read_one_by_one():
    items = [(key, header.shape, array.sum()) for key, header, array in iterate_npz(savez(a=np.ones(2), b=np.ones(3)))]
    assert items == [("a", (2,), 2.0), ("b", (3,), 3.0)]


def test_zero_width_arrays_are_kept():
    assert read_npz(savez(static=np.zeros((7, 0), np.float32)))["static"].shape == (7, 0)


def test_archive_without_arrays_is_empty():
    assert read_npz(savez()) == {}


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip archive at all", b"\x93NUMPY\x01\x00v\x00", bytes(100_000)])
def test_what_is_no_zip_is_refused_by_name(data):
    with pytest.raises(UnsafeArchiveError, match=r"val_inputs\.npz is not a readable zip archive"):
        read_npz(data, name="val_inputs.npz")


def test_every_truncation_is_refused():
    data = savez(x=np.arange(40.0), y=np.zeros(3))
    for length in range(len(data)):
        with pytest.raises(UnsafeArchiveError):
            read_npz(data[:length])


@pytest.mark.parametrize("compressed", [False, True])
def test_flipped_bytes_give_the_true_values_or_an_error(compressed):
    x = np.arange(40.0)
    data = savez(compressed, x=x)
    refused = 0
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        try:
            read = read_npz(bytes(damaged))
        except UnsafeArchiveError:
            refused += 1
            continue
        assert all(np.array_equal(array, x) for array in read.values())
    assert refused > len(data) / 2


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_scrambled_archives_raise_nothing_else(data):
    damaged = bytearray(savez(True, x=np.arange(20.0), y=np.array(["a", "b"])))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_npz(bytes(damaged))
    except UnsafeArchiveError as error:
        assert "archive" in str(error)


def test_duplicate_member_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("x.npy", npy(np.zeros(1)))
        archive.writestr("x.npy", npy(np.ones(1)))
    with pytest.raises(UnsafeArchiveError, match=r"train\.npz holds a member twice: found x\.npy"):
        read_npz(buffer.getvalue(), name="train.npz")


@pytest.mark.parametrize("member", ["a/x.npy", "../x.npy", "/x.npy", "a\\x.npy", "x.txt", ".npy", "x.npy/"])
def test_member_with_an_odd_name_is_refused(member):
    with pytest.raises(UnsafeArchiveError, match=r"not a \.npy member at the top level"):
        read_npz(zipped({member: npy(np.zeros(1))}))


def test_unusual_packing_is_refused():
    with pytest.raises(UnsafeArchiveError, match="packed by an unusual method: expected stored or deflated, found 14"):
        read_npz(zipped({"x.npy": npy(np.zeros(9))}, method=zipfile.ZIP_LZMA))


def test_encrypted_member_is_refused():
    data = bytearray(savez(x=np.zeros(1)))
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1
    with pytest.raises(UnsafeArchiveError, match="is encrypted"):
        read_npz(bytes(data))


def test_small_constant_arrays_may_pack_well():
    unknown = np.full((100_000, 3, 1), np.nan, np.float32)
    np.testing.assert_array_equal(read_npz(savez(True, h=unknown))["h"], unknown)


def test_limits_can_be_set_and_are_named():
    data = savez(True, a=np.zeros(100_000), b=np.zeros(1))
    with pytest.raises(UnsafeArchiveError, match=r"claims too much: expected at most 1000 bytes, found 800264"):
        read_npz(data, limits=NpzLimits(max_bytes=1000))
    with pytest.raises(UnsafeArchiveError, match="has too many members: expected at most 1, found 2"):
        read_npz(data, limits=NpzLimits(max_members=1))
    with pytest.raises(UnsafeArchiveError, match=r"'a' unpacks to suspiciously much: expected less than 100:1"):
        read_npz(data, limits=NpzLimits(max_ratio=100, ratio_free_bytes=0))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (5,)}", "has another size than its header says"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}", "has another size than its header says"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-4,)}", "impossible shape"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}", "claims too much"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 1099511627776)}", "claims too much"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1" + "0" * 4000 + ",)}", "impossible shape"),
        ("{'descr': '<U0', 'fortran_order': False, 'shape': (1099511627776,)}", "claims too much"),
        ("{'descr': '|V2147483647', 'fortran_order': False, 'shape': ()}", "no plain numbers"),
        ("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (4,)}", "no plain numbers"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': " + str((1,) * 33) + "}", "impossible shape"),
        ("{'descr': '<f8', 'fortran_order': 3, 'shape': (4,)}", "damaged .npy header"),
        ("{'descr': 'nonsense', 'fortran_order': False, 'shape': (4,)}", "no plain numbers"),
        ("{'descr': '<f3', 'fortran_order': False, 'shape': (4,)}", "dtype that numpy does not know"),
        ("{'descr': (), 'fortran_order': False, 'shape': (4,)}", "no plain numbers"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (True, 4)}", "impossible shape"),
        ("{'shape': (4,)}", "damaged .npy header"),
        ("(" * 5000, "damaged .npy header"),
        ("-" * 9000 + "1", "damaged .npy header"),
        ("__import__('os').abort()", "damaged .npy header"),
    ],
)
def test_lying_or_damaged_header_is_refused_with_file_and_member(header, message):
    text = header.encode() + b"\n"
    member = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + np.zeros(4).tobytes()
    with pytest.raises(UnsafeArchiveError, match=rf"train\.npz 'x' .*{message}"):
        read_npz(zipped({"x.npy": member}), name="train.npz")


@given(text=st.text(alphabet="{}()[]'\"\\\n:,-<f8TrueFalsdcopnh0", max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_header_text_gets_further_than_a_refusal(text):
    data = text.encode()
    member = b"\x93NUMPY\x01\x00" + len(data).to_bytes(2, "little") + data
    with pytest.raises(UnsafeArchiveError):
        read_npz(zipped({"x.npy": member}))


def test_header_of_unbounded_length_is_refused():
    member = b"\x93NUMPY\x02\x00" + (1 << 31).to_bytes(4, "little") + bytes(100)
    with pytest.raises(UnsafeArchiveError, match="too long a header: expected at most 10000 bytes, found 2147483648"):
        read_npz(zipped({"x.npy": member}))


@pytest.mark.parametrize("member", [b"", b"\x93NUM", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x09\x00aaaa", b"hello, world"])
def test_member_that_is_no_array_is_refused(member):
    with pytest.raises(UnsafeArchiveError, match="archive 'x' is"):
        read_npz(zipped({"x.npy": member}))


def test_real_handoff_reads_as_numpy_reads_it(real_handoff):
    for path in sorted(real_handoff.glob("*.npz")):
        ours = read_npz(path)
        with np.load(path, allow_pickle=False) as theirs:
            assert sorted(ours) == sorted(theirs.files)
            for key, array in ours.items():
                np.testing.assert_array_equal(array, theirs[key])


@pytest.fixture
def real_handoff() -> Path:
    shared = Path(__file__).resolve().parents[2].parent / "shared"
    if not shared.is_dir():
        pytest.skip("the real data are not beside this checkout")
    return shared / "data" / "subsidence" / "zhongshan" / "artifacts"


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()
