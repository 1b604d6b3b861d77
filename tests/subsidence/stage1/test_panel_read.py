"""Numbers out of cells, and the rows that are lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import HandshakeError
from tasks.subsidence.stage1.panel_read import Rejects, parse_numbers, read_rows
from tests.subsidence.panel_cases import panel_rows, to_text


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.booleans())
def test_printed_floats_come_back(values, comma):
    cells = [repr(value).replace(".", ",") if comma else repr(value) for value in values]
    parsed, bad = parse_numbers([*cells, ""], decimal_comma=comma)
    np.testing.assert_array_equal(parsed[:-1], values)
    assert np.isnan(parsed[-1]) and not bad.any()


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_missing_or_refused(text):
    parsed, bad = parse_numbers([text, "1"], decimal_comma=False)
    assert parsed[1] == 1.0 and not bad[1]
    assert np.isfinite(parsed[0]) or np.isnan(parsed[0])


NOT_NUMBERS = ["12 mm", "1.5.2", "1,5", "1_000", "--3", "0x1f", "inf", "-inf", "1e999", "n.a.!", "\u0663"]


@pytest.mark.parametrize("beside", ["", "2.5"])
@pytest.mark.parametrize("cell", NOT_NUMBERS)
def test_not_numbers(cell, beside):
    _, bad = parse_numbers([cell, beside], decimal_comma=False)
    assert bad.tolist() == [True, False]


@pytest.mark.parametrize("cell", ["", " ", "NA", "n/a", "NaN", "null", "None", "-"])
def test_missing_cells(cell):
    values, bad = parse_numbers([cell, "2"], decimal_comma=False)
    assert np.isnan(values[0]) and not bad.any()


@pytest.mark.parametrize("cell", ["1,5", "1.5"])
def test_decimal_comma_and_point_both_read_where_the_delimiter_allows(cell):
    assert parse_numbers([cell, ""], decimal_comma=True)[0][0] == 1.5


def test_one_giant_cell_does_not_widen_the_column():
    values, bad = parse_numbers(["1"] * 1000 + ["x" * 100_000], decimal_comma=False)
    assert bad.sum() == 1 and values[:1000].sum() == 1000


def test_rejects_count_all_and_show_five_lines():
    rejects = Rejects()
    rejects.add("why", list(range(10, 13)))
    rejects.add("why", list(range(20, 30)))
    assert rejects.counts == {"why": 13} and rejects.lines == {"why": [10, 11, 12, 20, 21]}


def test_chunks_join_without_a_seam(monkeypatch):
    text = to_text(panel_rows())
    whole = read_rows(text, {}, Rejects())
    monkeypatch.setattr("tasks.subsidence.stage1.panel_read._CHUNK_ROWS", 7)
    pieces = read_rows(text, {}, Rejects())
    np.testing.assert_array_equal(whole.line, pieces.line)
    for role, values in whole.numbers.items():
        np.testing.assert_array_equal(values, pieces.numbers[role])


def test_unclosed_quote_names_the_line():
    text = to_text(panel_rows(10)) + '"' + "x" * 200_000
    with pytest.raises(HandshakeError, match=r"panel CSV line \d+ cannot be parsed"):
        read_rows(text, {}, Rejects())
