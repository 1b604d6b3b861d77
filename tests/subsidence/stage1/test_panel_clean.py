"""Tables as people deliver them: each flaw is repaired, or dropped with its reason, or refused with a remedy."""

import codecs
import gzip

import numpy as np
import pytest

from tasks.contracts.errors import ConfigError, HandshakeError, MissingInputError
from tasks.subsidence.prepare import prepare
from tests.subsidence.panel_cases import (
    options,
    panel_rows,
    prepare_rows,
    read_arrays,
    read_record,
    spoil,
    write_panel,
)

WRAPPINGS = {
    "gzip": gzip.compress,
    "bom": lambda data: codecs.BOM_UTF8 + data,
    "utf16": lambda data: data.decode().encode("utf-16"),
    "crlf": lambda data: data.replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_wrappings_of_one_table_give_the_same_arrays(tmp_path, wrap):
    base = prepare_rows(tmp_path)
    csv = tmp_path / "wrapped.csv"
    csv.write_bytes(wrap(write_panel(tmp_path).read_bytes()))
    made = prepare(csv, tmp_path / "wrapped", options())
    for path in (base.manifest.parent / "artifacts").glob("*.npz"):
        assert path.read_bytes() == (made.manifest.parent / "artifacts" / path.name).read_bytes()


@pytest.mark.parametrize(
    "style",
    [{"delimiter": ";", "decimal": ","}, {"delimiter": ";"}, {"delimiter": "\t"}],
    ids=["comma decimals", "semicolon", "tab"],
)
def test_delimiters_and_decimal_commas(tmp_path, style):
    base, made = prepare_rows(tmp_path), prepare_rows(tmp_path, out="styled", style=style)
    np.testing.assert_array_equal(
        read_arrays(base, "train_inputs")["dynamic_features"], read_arrays(made, "train_inputs")["dynamic_features"]
    )


def test_text_numbers_are_read(tmp_path):
    base = prepare_rows(tmp_path)
    rows = spoil(
        panel_rows(), lambda row: row.update(year=f" {row['year']}.0 ", subsidence_cum=f'"{row["subsidence_cum"]}"')
    )
    made = prepare_rows(tmp_path, rows, out="text")
    for name, values in read_arrays(base, "train_targets").items():
        assert read_arrays(made, "train_targets")[name].tobytes() == values.tobytes()


PLACES = [(row["longitude"], row["latitude"]) for row in panel_rows()[::9]]


def _at(point: int, year: int):
    return lambda row: (row["longitude"], row["latitude"], row["year"]) == (*PLACES[point], year)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"subsidence_cum": "n.a.!"}, "'subsidence_cum' is not a number"),
        ({"GWL_depth_bgs_m": "3.4 m"}, "'GWL_depth_bgs_m' is not a number"),
        ({"GWL_depth_bgs_m": ""}, "'GWL_depth_bgs_m' is empty"),
        ({"soil_thickness": "NaN"}, "'soil_thickness' is empty"),
        ({"year": 2018.5}, "'year' is not a whole year"),
        ({"GWL_depth_bgs_m": 5000.0}, "'GWL_depth_bgs_m' outside the plausible range (mixed units?)"),
        ({"subsidence_cum": 0.035}, "100 or 1000 times its neighbours in time (mixed units?)"),
        ({"soil_thickness": 700.0}, "100 or 1000 times its neighbours in time (mixed units?)"),
    ],
)
def test_bad_cell_drops_its_row_and_its_point_with_the_reason(tmp_path, change, reason):
    made = prepare_rows(tmp_path, spoil(panel_rows(), lambda row: row.update(change), where=_at(2, 2018)))
    assert made.dropped_rows == {reason: 1}
    assert made.dropped_groups == {"1 of the 8 years 2015-2022 missing": 1} and made.split_sizes["future"] == 39
    report = read_record(made, "prepare_report.json")["dropped_rows"][reason]
    assert report == {"count": 1, "first_lines": [2 + 9 * 2 + 3]}


def test_gaps_drop_points_by_how_many_years_they_miss(tmp_path):
    rows = [row for row in panel_rows() if not (_at(0, 2016)(row) or _at(1, 2016)(row) or _at(1, 2019)(row))]
    made = prepare_rows(tmp_path, rows)
    assert made.dropped_groups == {"1 of the 8 years 2015-2022 missing": 1, "2 of the 8 years 2015-2022 missing": 1}
    assert made.dropped_rows == {}


def test_gap_after_training_drops_nothing(tmp_path):
    made = prepare_rows(tmp_path, [row for row in panel_rows() if not _at(0, 2023)(row)])
    assert made.split_sizes["future"] == 40
    assert read_record(made)["config"]["future_drivers"]["rainfall_mm"]["2023"] == {"panel": 39, "held_last": 1}


def test_equal_duplicates_count_once(tmp_path):
    rows = panel_rows()
    made = prepare_rows(tmp_path, [*rows, rows[5], rows[5], rows[100]])
    assert made.dropped_rows == {"the same row again": 3} and made.split_sizes["future"] == 40


def test_contradicting_duplicates_drop_the_point(tmp_path):
    rows = panel_rows()
    made = prepare_rows(tmp_path, [*rows, {**rows[5], "GWL_depth_bgs_m": 2.9, "head_m": 3.1}])
    assert made.dropped_rows == {"different rows for one point and year": 2} and made.split_sizes["future"] == 39


def test_row_with_another_number_of_fields(tmp_path):
    csv = write_panel(tmp_path)
    lines = csv.read_text().splitlines()
    lines[12] += ",surplus"
    csv.write_text("\n".join(lines) + "\n")
    made = prepare(csv, tmp_path / "out", options())
    assert made.dropped_rows == {"another number of fields than the header": 1} and made.split_sizes["future"] == 39


def test_other_cities_are_left_out(tmp_path):
    rows = spoil(panel_rows(), lambda row: row.update(city="Elsewhere"), where=lambda row: row["longitude"] == 113.3)
    made = prepare_rows(tmp_path, rows)
    assert made.dropped_rows == {"another city": 45} and made.split_sizes["future"] == 35


def test_one_year_per_point_is_explained(tmp_path):
    rows = [row for at, row in enumerate(panel_rows()) if at % 9 == (at // 9) % 9]
    with pytest.raises(HandshakeError) as error:
        prepare_rows(tmp_path, rows)
    message = str(error.value)
    assert "no point has enough years" in message and "T+H = 5+3 consecutive years at the same longitude" in message
    assert "7 of the 8 years 2015-2022 missing" in message and "one year per point makes no windows" in message


def _depth(row, depth, **more):
    row.update(GWL_depth_bgs_m=depth, **more)


WRONG_UNITS = {
    "subs in um": (
        lambda r: r.update(subsidence_cum=r["subsidence_cum"] * 1e3),
        "column 'subsidence_cum' is implausible.*--unit-subs",
    ),
    "subs in m": (
        lambda r: r.update(subsidence_cum=r["subsidence_cum"] / 1e3),
        "median annual change of subsidence is implausible.*--unit-subs",
    ),
    "depth/100": (
        lambda r: _depth(r, r["GWL_depth_bgs_m"] / 100, head_m=6 - r["GWL_depth_bgs_m"] / 100),
        "99th percentile of depth to water is implausible.*--unit-depth",
    ),
    "depth up": (
        lambda r: _depth(r, -r["GWL_depth_bgs_m"], head_m=6 + r["GWL_depth_bgs_m"]),
        "median depth to water is implausible.*positive down",
    ),
    "depth in feet": (lambda r: _depth(r, r["GWL_depth_bgs_m"] * 3.28084), "head, surface elevation and depth contra"),
    "head = depth": (
        lambda r: r.update(head_m=r["GWL_depth_bgs_m"]),
        "contradict each other.*head_m = z_surf_m - GWL_depth_bgs_m",
    ),
    "thickness in cm": (
        lambda r: r.update(soil_thickness=r["soil_thickness"] * 100),
        "column 'soil_thickness' is implausible.*--unit-thickness",
    ),
    "swapped": (
        lambda r: r.update(longitude=r["latitude"], latitude=r["longitude"]),
        "column 'latitude' is implausible.*swapped",
    ),
    "projected": (lambda r: r.update(longitude=r["longitude"] * 6000), "column 'longitude' is implausible.*projected"),
    "city": (lambda r: r.update(city="Atlantis"), "holds no row of the city: expected testville, found Atlantis"),
}


@pytest.mark.parametrize(("change", "message"), WRONG_UNITS.values(), ids=WRONG_UNITS)
def test_wrong_units_are_refused_with_a_remedy(tmp_path, change, message):
    with pytest.raises(HandshakeError, match=message):
        prepare_rows(tmp_path, spoil(panel_rows(), change))
    assert not (tmp_path / "out").exists()


def test_two_columns_of_one_quantity_in_two_units(tmp_path):
    rows = spoil(panel_rows(), lambda row: row.update(GWL_depth_bgs=row["GWL_depth_bgs_m"] * 100))
    with pytest.raises(HandshakeError, match=r"'GWL_depth_bgs' and 'GWL_depth_bgs_m' differ by a factor of 10\^2"):
        prepare_rows(tmp_path, rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no longitude"),
        (
            "longitude,latitude,year\n1,2,3\n",
            "has no subsidence_cum or subsidence_rate: expected one of subsidence_cum",
        ),
        ("longitude,longitude,year\n", "repeats columns: found longitude"),
    ],
)
def test_tables_without_the_needed_columns(tmp_path, text, message):
    (tmp_path / "panel.csv").write_text(text)
    with pytest.raises(HandshakeError, match=message):
        prepare(tmp_path / "panel.csv", tmp_path / "out", options())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x1f\x8b\x08broken", "damaged gzip"),
        (b"longitude\xff\xfa,latitude", "is not UTF-8 text: found byte 9"),
    ],
)
def test_damaged_files(tmp_path, data, message):
    (tmp_path / "panel.csv").write_bytes(data)
    with pytest.raises(HandshakeError, match=message):
        prepare(tmp_path / "panel.csv", tmp_path / "out", options())


def test_header_without_rows(tmp_path):
    csv = write_panel(tmp_path)
    csv.write_text(csv.read_text().splitlines()[0])
    with pytest.raises(HandshakeError, match="has a header and no rows"):
        prepare(csv, tmp_path / "out", options())


def test_columns_can_be_named(tmp_path):
    base = prepare_rows(tmp_path)
    rows = [
        {("wasserstand" if name == "GWL_depth_bgs_m" else name): value for name, value in row.items()}
        for row in panel_rows()
    ]
    made = prepare_rows(tmp_path, rows, out="named", columns={"depth": "wasserstand"})
    assert (
        read_arrays(made, "train_inputs")["dynamic_features"].tobytes()
        == read_arrays(base, "train_inputs")["dynamic_features"].tobytes()
    )
    with pytest.raises(ConfigError, match=r"unknown role 'dept'.*Did you mean depth"):
        prepare_rows(tmp_path, rows, out="other", columns={"dept": "wasserstand"})
    with pytest.raises(HandshakeError, match="has no column 'nope' chosen for depth"):
        prepare_rows(tmp_path, rows, out="other", columns={"depth": "nope"})


def test_rates_are_summed_where_the_total_is_missing(tmp_path):
    rows = panel_rows()
    total = {(r["longitude"], r["latitude"], r["year"]): r["subsidence_cum"] for r in rows}
    for row in rows:
        row["subsidence"] = row["subsidence_cum"] - total.get((row["longitude"], row["latitude"], row["year"] - 1), 0.0)
    base = prepare_rows(tmp_path, panel_rows())
    rates = [{k: v for k, v in row.items() if k != "subsidence_cum"} for row in rows]
    made = prepare_rows(tmp_path, rates, out="rate")
    np.testing.assert_allclose(
        read_arrays(made, "train_targets")["subs_pred"], read_arrays(base, "train_targets")["subs_pred"], rtol=1e-6
    )


@pytest.mark.parametrize("absent", ["head_m", "GWL_depth_bgs_m", "z_surf_m"])
def test_head_surface_and_depth_complete_each_other(tmp_path, absent):
    base = prepare_rows(tmp_path)
    rows = [{k: v for k, v in row.items() if k != absent} for row in panel_rows()]
    made = prepare_rows(tmp_path, rows, out="derived")
    for name in ("train_inputs", "train_targets"):
        for key, values in read_arrays(base, name).items():
            np.testing.assert_allclose(read_arrays(made, name)[key], values, rtol=1e-5, atol=1e-6)


def test_without_surface_and_head_the_proxy_is_recorded(tmp_path):
    rows = [{k: v for k, v in row.items() if k not in ("z_surf_m", "head_m")} for row in panel_rows()]
    made = prepare_rows(tmp_path, rows)
    config = read_record(made)["config"]
    assert config["conventions"]["use_head_proxy"] is True and config["indices"]["z_surf_static_index"] is None
    depth = read_arrays(made, "train_inputs")["dynamic_features"][..., 0]
    assert read_arrays(made, "train_targets")["gwl_pred"].max() < 0 < depth.min()


def test_without_optional_columns_the_arrays_are_narrow(tmp_path):
    absent = ("rainfall_mm", "urban_load_global", "lithology", "lithology_class")
    rows = [{k: v for k, v in row.items() if k not in absent} for row in panel_rows()]
    inputs = read_arrays(prepare_rows(tmp_path, rows), "train_inputs")
    assert inputs["future_features"].shape == (24, 8, 0) and inputs["static_features"].shape == (24, 1)
    assert inputs["dynamic_features"].shape == (24, 5, 3)


def test_load_beyond_one_is_scaled(tmp_path):
    rows = spoil(panel_rows(), lambda row: row.update(urban_load_global=100 * row["urban_load_global"]))
    made = prepare_rows(tmp_path, rows)
    assert read_record(made)["artifacts"]["encoders"]["scaled_ml_numeric_cols"] == ["rainfall_mm", "urban_load_global"]
    assert read_record(made)["config"]["scaler_info"]["urban_load_global"]["idx"] == 1
    assert read_arrays(made, "train_inputs")["dynamic_features"][..., 3].max() <= 1.0


def test_missing_csv(tmp_path):
    with pytest.raises(MissingInputError, match=r"panel CSV nothing\.csv does not exist"):
        prepare(tmp_path / "nothing.csv", tmp_path / "out", options())
