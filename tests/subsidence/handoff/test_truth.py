"""Observations that come later: joined by place and year, refused when they are something else."""

import gzip

import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer

from tasks.contracts.errors import HandshakeError, MissingInputError
from tasks.subsidence.handoff.truth import check_truth, own_truth, read_truth
from tests.subsidence.scored import (
    EPSG,
    EXTENT_M,
    HANDOFF,
    ORIGIN,
    needs_handoff,
    real_semantics,
    real_split,
    semantics,
    windows,
)

SEM = semantics()
FUTURE = windows("future", 30, first_year=2018)  # forecast years 2023-2025
SWAPPED = {"longitude": "latitude", "latitude": "longitude"}
DEGREES = Transformer.from_crs(EPSG, 4326, always_xy=True)


def panel(shift_m: float = 0.0, years=(2022, 2023, 2024, 2025)) -> pd.DataFrame:
    """One row per place and year, the targets of FUTURE in mm; 2022 is a year before them."""
    x, y = np.transpose(ORIGIN + FUTURE.coords[:, 0, 1:].astype(float) * EXTENT_M)
    lon, lat = DEGREES.transform(x + shift_m, y)
    frames = []
    for year in years:
        step = year - 2023
        cumulative = FUTURE.subsidence[:, step, 0] if step >= 0 else FUTURE.dynamic[:, -1, 1]
        head = FUTURE.head[:, max(step, 0), 0]
        columns = {"longitude": lon, "latitude": lat, "year": year, "subsidence_cum": 1e3 * cumulative.astype(float)}
        frames.append(pd.DataFrame({**columns, "head_m": head.astype(float)}))
    return pd.concat(frames, ignore_index=True)


def csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def read(frame: pd.DataFrame):
    return read_truth(csv(frame), FUTURE, SEM)


def test_truth_is_found_by_place_and_year_whatever_the_order_of_rows():
    found = read(panel().sample(frac=1.0, random_state=0))
    assert np.allclose(found.subsidence, FUTURE.subsidence[:, :, 0], atol=1e-6)
    assert np.allclose(found.head, FUTURE.head[:, :, 0], atol=1e-6)
    assert found.known_steps() == [1, 2, 3]


def test_years_and_places_without_a_row_are_unknown():
    frame = panel(years=(2022, 2023))
    found = read(frame.drop(index=range(30, 36)))  # six places of 2023
    assert found.known_steps() == [1]
    assert np.isnan(found.subsidence[:6, 0]).all() and np.isfinite(found.subsidence[6:, 0]).all()
    assert np.isnan(found.head[:, 1:]).all()


def test_half_a_metre_aside_is_the_same_place_and_two_metres_are_not():
    assert read(panel(shift_m=0.5)).known_steps() == [1, 2, 3]
    with pytest.raises(HandshakeError, match="30 of 30 windows and 30 of 30 places of the table without a partner"):
        read(panel(shift_m=2.0))


def test_head_comes_from_depth_and_surface_when_it_is_not_given():
    frame = panel().drop(columns="head_m")
    assert np.isnan(read(frame).head).all()
    surface = np.tile(FUTURE.static[:, 2].astype(float), 4)
    frame["GWL_depth_bgs_m"] = surface - panel()["head_m"]
    assert np.allclose(read(frame).head, FUTURE.head[:, :, 0], atol=1e-5)


def test_gzip_byte_order_mark_and_extra_columns_are_read():
    frame = panel()
    frame["city"] = "testville"
    marked = "﻿".encode() + csv(frame)
    assert read_truth(gzip.compress(marked), FUTURE, SEM).known_steps() == [1, 2, 3]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda f: f.drop(columns="subsidence_cum"),
            "lacks columns subsidence_cum: expected .*, found (?!.*subsidence_cum)",
        ),
        (lambda f: f.assign(year=f["year"] - 10), r"no row of the forecast years: expected 2023\.\.2025"),
        (lambda f: pd.concat([f, f.tail(2)]), "repeats places within a year.* found 2 repeated rows"),
        (lambda f: f.assign(subsidence_cum=f["subsidence_cum"] / 1e3), "another unit than mm"),
        (lambda f: f.assign(subsidence_cum=f["subsidence_cum"] * 10), "another unit than mm"),
        (lambda f: f.assign(subsidence_cum=f["subsidence_cum"] - 90), "falls below the last observation"),
        (lambda f: f.assign(subsidence_cum=np.nan), "knows no subsidence_cum"),
        (lambda f: f.rename(columns=SWAPPED), "column 'latitude' is not in degrees"),
        (lambda f: f.assign(longitude=f["longitude"] + 1), "belongs to other places"),
    ],
)
def test_a_table_that_is_something_else_is_refused(spoil, message):
    with pytest.raises(HandshakeError, match=message):
        read(spoil(panel()))


def test_text_in_a_number_column_is_refused_with_its_line():
    frame = panel().astype({"subsidence_cum": object})
    frame.loc[3, "subsidence_cum"] = "12,5"
    with pytest.raises(HandshakeError, match=r"line 5 column 'subsidence_cum' holds 1 cells.*found '12,5'"):
        read(frame)
    frame = panel()
    frame.loc[0, "year"] = np.nan
    with pytest.raises(HandshakeError, match="line 2 column 'year'"):
        read(frame)


def test_damaged_or_missing_files_are_typed_errors(tmp_path):
    with pytest.raises(MissingInputError, match=r"truth CSV none\.csv does not exist"):
        read_truth(tmp_path / "none.csv", FUTURE, SEM)
    with pytest.raises(HandshakeError, match="damaged gzip"):
        read_truth(gzip.compress(csv(panel()))[:60], FUTURE, SEM)
    with pytest.raises(HandshakeError, match="cannot be read as a table"):
        read_truth(b"", FUTURE, SEM)
    with pytest.raises(HandshakeError, match="cannot be read as a table"):
        read_truth(b"\xff\xfe\x00bad", FUTURE, SEM)


def test_a_handoff_without_georeference_cannot_be_joined():
    with pytest.raises(HandshakeError, match="expected a georeferenced handoff, found georeference none"):
        read_truth(csv(panel()), FUTURE, semantics(georeference="none"))


def test_the_targets_of_a_split_are_its_own_truth():
    test = windows("test", 4)
    assert np.allclose(own_truth(test).head, test.head[:, :, 0])
    from tasks.subsidence.handoff.groups import blind

    with pytest.raises(HandshakeError, match="split test holds no targets"):
        own_truth(blind(test))


@needs_handoff
def test_the_panel_of_the_real_city_knows_2023_at_every_window():
    future = real_split("future")
    found = read_truth(HANDOFF / "zhongshan_panel.csv.gz", future, real_semantics())
    assert found.known_steps() == [1]
    assert np.isfinite(found.subsidence[:, 0]).all() and np.isfinite(found.head[:, 0]).all()
    grown = found.subsidence[:, 0] - future.dynamic[:, -1, 1]
    assert np.median(grown) == pytest.approx(0.019, abs=0.003)


def test_a_bad_file_is_refused_before_any_window_is_known(tmp_path):
    path = tmp_path / "later.csv"
    path.write_bytes(csv(panel()))
    check_truth(path, None)
    check_truth(path, range(2025, 2028))
    with pytest.raises(HandshakeError, match=r"truth CSV later.csv has no row of the forecast years: expected 2030"):
        check_truth(path, range(2030, 2033))
    path.write_bytes(csv(panel().rename(columns={"year": "Jahr"})))
    with pytest.raises(HandshakeError, match=r"truth CSV later.csv lacks columns year: .*found longitude.*Jahr"):
        check_truth(path, None)
    path.write_bytes(csv(panel().astype({"year": object}).replace({"year": {2024: "soon"}})))
    with pytest.raises(HandshakeError, match=r"truth CSV later.csv line \d+ column 'year' .*expected numbers.*'soon'"):
        check_truth(path, None)
