"""Sidecars: what month, biome, place and date may be; what is missing, what is refused, what is kept."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.tile_errors import InvalidBiomeError, InvalidMonthError, SidecarError
from tasks.contracts.tiles import TileMeta
from tasks.tiles.metadata import model_inputs, published, read_sidecar
from tests.tiles.files.made import said

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
MONTH_FORMS = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.sampled_from([MONTHS[n - 1], MONTHS[n - 1][:3], f"{n}", f"{n:02d}", *(["sept"] if n == 9 else [])]),
        st.sampled_from([str.lower, str.upper, str.title]),
        st.sampled_from(["", " ", "\t"]),
    )
)


def sidecar(**keys) -> TileMeta:
    return read_sidecar(json.dumps(keys).encode(), "t")


@pytest.mark.parametrize("month", ["jun", "June", 6, 6.0, "06", "6", " JUNE "])
def test_june_in_all_its_forms_is_six(month):
    meta = sidecar(month=month, biome_code=3)
    assert (meta.month, meta.biome_code, meta.defaults_used) == (6, 3, ())


@given(MONTH_FORMS)
def test_names_and_digits_are_months_in_any_case(form):
    number, text, case, space = form
    assert sidecar(month=f"{space}{case(text)}{space}").month == number


@given(st.text())
def test_any_other_text_is_no_month(text):
    plain = text.strip().lower()
    names = {name.lower() for name in MONTHS} | {name[:3].lower() for name in MONTHS} | {"sept"}
    if plain in names or (plain.isascii() and plain.isdigit() and 1 <= int(plain) <= 12):
        return
    with pytest.raises(InvalidMonthError):
        sidecar(month=text)


@pytest.mark.parametrize(
    "month", [0, 13, 99, -1, "foo", "", "0", "13", "ju", "juni", "6.0", "+6", "٦", 6.5, True, [6], {}, math.nan, 1e400]
)
def test_other_months_are_refused_and_named(month):
    with pytest.raises(InvalidMonthError) as caught:
        sidecar(month=month)
    parts = said(caught.value)
    assert parts["where"] == "t.json 'month'" and parts["what"] == "is no month"
    assert "1 to 12" in parts["expected"] and parts["remedy"] == "Correct it, or remove the key to use June."
    assert caught.value.tile_id == "t" and caught.value.phase == "sidecar" and caught.value.exit_code == 1


def test_message_shows_the_month_that_was_found():
    with pytest.raises(InvalidMonthError, match=r"t\.json 'month' is no month: expected 1 to 12.*found 'foo'\."):
        sidecar(month="foo")


@pytest.mark.parametrize("biome", [0, 7, 15, 3.0])
def test_biomes_are_integers_to_fifteen(biome):
    assert sidecar(biome_code=biome).biome_code == biome and type(sidecar(biome_code=biome).biome_code) is int


@pytest.mark.parametrize("biome", [-1, 16, 99, 3.5, "forest", "3", True, [], math.nan])
def test_other_biomes_are_refused_and_named(biome):
    with pytest.raises(InvalidBiomeError) as caught:
        sidecar(biome_code=biome)
    parts = said(caught.value)
    assert parts["where"] == "t.json 'biome_code'" and parts["expected"] == "an integer from 0 to 15"
    assert parts["remedy"] == "Correct it, or remove the key to use 0 (unknown)." and caught.value.tile_id == "t"


@pytest.mark.parametrize("data", [None, b"{}", b'{"month": null, "biome_code": null}'])
def test_missing_values_get_the_published_defaults(data):
    meta = read_sidecar(data, "t")
    assert meta.defaults_used == ("month", "biome_code") and published(meta) == (6, 0)


def test_model_sees_the_same_june_in_all_its_forms_and_in_none():
    metas = [sidecar(**keys) for keys in ({"month": "jun"}, {"month": "June"}, {"month": 6}, {"month": "06"}, {})]
    sees = [(found.month, found.biome) for found in (model_inputs(meta, "published") for meta in metas)]
    assert sees == [(6, 0)] * 5
    assert ["month" in meta.defaults_used for meta in metas] == [False] * 4 + [True]


def test_unknown_policy_shows_the_model_unknown_classes():
    sees = model_inputs(sidecar(month=2), "unknown")
    assert (sees.month, sees.biome) == (2, 16)
    nothing, defaults = model_inputs(TileMeta(), "unknown"), model_inputs(TileMeta(), "published")
    assert (nothing.month, nothing.biome) == (0, 16) and (defaults.month, defaults.biome) == (6, 0)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"{month: 6}", "Expecting property name"),
        (b"", "Expecting value"),
        (b'{"month": 6', "Expecting"),
        (b'{"name": "\xff"}', "invalid start byte"),
        (b"[" * 70 + b"]" * 70, "more at"),
    ],
)
def test_broken_json_fails_the_tile_instead_of_giving_defaults(data, found):
    with pytest.raises(SidecarError) as caught:
        read_sidecar(data, "a b")
    parts = said(caught.value)
    assert parts["where"] == "a b.json" and found in parts["found"] and "JSON object in UTF-8" in parts["remedy"]
    assert caught.value.tile_id == "a b"


@pytest.mark.parametrize(
    ("data", "kind"), [(b"[1]", "an array"), (b"6", "a number"), (b"null", "null"), (b'"x"', "a string")]
)
def test_json_that_is_no_object_is_refused(data, kind):
    with pytest.raises(SidecarError) as caught:
        read_sidecar(data, "t")
    assert said(caught.value)["expected"] == "an object" and said(caught.value)["found"] == kind


def test_nan_and_infinity_are_kept_and_marked():
    meta = read_sidecar(b'{"month": 6, "cloud": NaN, "deep": [{"x": -Infinity}], "big": 1e400}', "t")
    assert (
        math.isnan(meta.extra["cloud"]) and meta.extra["deep"] == [{"x": -math.inf}] and meta.extra["big"] == math.inf
    )
    assert meta.nonfinite and not sidecar(month=6, cloud=0.1).nonfinite


def test_text_of_a_month_is_kept_where_it_was_no_integer():
    assert [sidecar(month=month).input_month for month in (6, "06", "Jun", 6.0, None)] == [
        None,
        "06",
        "Jun",
        "6.0",
        None,
    ]


@pytest.mark.parametrize(
    ("text", "day"),
    [("2021-01-01", 1), ("2020-12-31", 366), ("20210715", 196), ("2021-03-01T10:20:30Z", 60), ("2021-03-01 10:20", 60)],
)
def test_date_gives_year_and_day_of_year(text, day):
    meta = sidecar(date=text)
    assert (meta.year, meta.day_of_year) == (int(text[:4]), day)


def test_year_without_date_counts_as_the_middle_of_the_month():
    sees = model_inputs(sidecar(year=2020, month="March"), "published")
    assert (sees.year, sees.day_of_year) == (2020, 75)
    assert model_inputs(sidecar(year=2021, month=3), "published").day_of_year == 74


def test_without_a_year_or_a_day_no_time_is_known():
    no_year, no_month = model_inputs(sidecar(month=3), "published"), model_inputs(sidecar(year=2020), "unknown")
    assert all(map(math.isnan, (no_year.year, no_year.day_of_year, no_month.year, no_month.day_of_year)))


def test_place_is_known_with_both_coordinates_only():
    both, one = model_inputs(sidecar(lat=46.5, lon=11), "published"), model_inputs(sidecar(lat=46.5), "published")
    assert (both.lat, both.lon) == (46.5, 11.0) and math.isnan(one.lat) and math.isnan(one.lon)


@pytest.mark.parametrize(
    ("key", "value"),
    [("lat", 91), ("lat", "46N"), ("lon", -180.5), ("lon", True), ("nodata", "none"), ("nodata", 10**400),
     ("year", 2020.5), ("year", "abc"), ("year", 0), ("year", "12345"), ("year", True), ("date", "2021-02-30"),
     ("date", "1/2/2021"), ("date", 20210715)],
)  # fmt: skip
def test_other_fields_that_the_model_uses_are_checked(key, value):
    with pytest.raises(SidecarError) as caught:
        sidecar(**{key: value})
    parts = said(caught.value)
    assert parts["where"] == f"t.json '{key}'" and parts["what"] == "has no usable value"
    assert parts["remedy"] == "Correct it, or remove the key." and caught.value.tile_id == "t"


def test_absent_numbers_may_be_null_or_nan():
    meta = read_sidecar(b'{"lat": NaN, "lon": null, "year": NaN, "nodata": null, "date": null}', "t")
    assert (meta.lat, meta.lon, meta.year, meta.nodata) == (None, None, None, None)


def test_key_that_is_no_text_is_refused():
    with pytest.raises(SidecarError, match="is not Unicode text"):
        read_sidecar(b'{"\\ud800": 1}', "t")
