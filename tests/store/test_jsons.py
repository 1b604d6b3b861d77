"""JSON is read within limits and written so that equal values give equal bytes."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import HandshakeError, StoreError, UnsafeArchiveError
from tasks.store.jsons import canonical_json, read_json

SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_values_come_back(value):
    assert read_json(canonical_json(value), name="x.json") == value
    assert read_json(canonical_json(value, indent=None), name="x.json") == value


@given(st.dictionaries(st.text(), VALUES))
def test_order_of_keys_does_not_matter(value):
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


def test_compact_form():
    assert canonical_json({"b": (1, 2), "a": "中山"}, indent=None) == '{"a":"中山","b":[1,2]}\n'.encode()


def test_numpy_scalars_are_numbers():
    assert (
        canonical_json([np.float64(0.1), np.int32(3), np.bool_(True), np.str_("x")], indent=None)
        == b'[0.1,3,true,"x"]\n'
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_non_finite_number_is_refused_with_its_place(bad):
    with pytest.raises(StoreError, match=r"JSON value \$\.factors\[1\]\.scale is not finite"):
        canonical_json({"factors": [0, {"scale": bad}]})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": np.zeros(2)}, r"\$\.a cannot be written as JSON: .* found ndarray"),
        ({"a": {1}}, r"\$\.a cannot be written as JSON: .* found set"),
        ({1: 2}, r"\$ has a key that is not a string: expected str, found 1"),
        (["\ud800"], r"\$\[0\] cannot be encoded as UTF-8"),
        ([10**400], r"\$\[0\] is too large a number"),
    ],
)
def test_what_json_cannot_hold_is_named(value, message):
    with pytest.raises(StoreError, match=message):
        canonical_json(value)


def test_value_that_holds_itself_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(StoreError, match="nested too deeply"):
        canonical_json(loop)


def test_what_could_not_be_read_back_is_not_written():
    with pytest.raises(StoreError, match=r"JSON value \$ is too large for JSON: expected at most 67108864 bytes"):
        canonical_json("x" * (64 << 20))


def test_depth_up_to_the_limit_is_read():
    assert read_json(b"[" * 64 + b"]" * 64, name="x.json")
    with pytest.raises(UnsafeArchiveError, match=r"x\.json is nested too deeply: expected at most 64 levels"):
        read_json(b"[" * 65 + b"]" * 65, name="x.json")


def test_siblings_are_not_depth():
    assert len(read_json(b"[" + b"[]," * 999 + b"{}]", name="x.json")) == 1000


@pytest.mark.parametrize("text", ['["' + "[" * 200 + '"]', r'["\"' + "{" * 200 + r'\\"]', '{"[[[": "\\\\"}'])
def test_brackets_inside_strings_are_not_depth(text):
    assert read_json(text.encode(), name="x.json", max_depth=1) == json.loads(text)


@given(st.text(alphabet='[]{}"\\,:a1 \n'), st.integers(0, 6))
def test_depth_check_never_hides_or_invents_a_level(text, limit):
    try:
        value = json.loads(text)
    except ValueError:
        return
    if depth(value) <= limit:
        assert read_json(text.encode(), name="x.json", max_depth=limit) == value
    else:
        with pytest.raises(UnsafeArchiveError):
            read_json(text.encode(), name="x.json", max_depth=limit)


def depth(value) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def test_size_limit():
    with pytest.raises(UnsafeArchiveError, match=r"x\.json is too large: expected at most 9 bytes, found 10"):
        read_json(b"[1,2,3,4 ]", name="x.json", max_bytes=9)


@pytest.mark.parametrize("data", [b"", b"{", b"[1,]", b"nope", b"\xff\xfe[\x00]\x00", b'"\xff"', b"1" * 5000])
def test_what_is_no_json_is_refused_by_name(data):
    with pytest.raises(HandshakeError, match=r"manifest\.json is not valid JSON"):
        read_json(data, name="manifest.json")


def test_byte_order_mark_and_python_constants_are_read():
    assert math.isnan(read_json(b"\xef\xbb\xbf[NaN]", name="x.json")[0])
