"""Each duty of the compact first stage."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.contracts.errors import ConfigError, HandshakeError
from tasks.subsidence.prepare import PreparedHandoff, PrepareOptions
from tests.subsidence.panel_cases import (
    digests,
    panel_rows,
    prepare_rows,
    read_arrays,
    read_groups,
    read_record,
    spoil,
)

PANEL = Path(__file__).resolve().parents[2].parent / "shared/data/subsidence/zhongshan/zhongshan_panel.csv.gz"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> PreparedHandoff:
    return prepare_rows(tmp_path_factory.mktemp("prepared"))


def test_shapes_are_those_of_the_contract(prepared):
    sizes = {"train": 24, "val": 8, "test": 8, "future": 40}
    assert prepared.split_sizes == sizes
    for split, n in sizes.items():
        shapes = {name: values.shape for name, values in read_arrays(prepared, f"{split}_inputs").items()}
        assert shapes == {
            "coords": (n, 3, 3),
            "dynamic_features": (n, 5, 5),
            "static_features": (n, 4),
            "future_features": (n, 8, 1),
            "H_field": (n, 3, 1),
        }
    targets = read_arrays(prepared, "val_targets")
    assert {name: (values.shape, values.dtype.name) for name, values in targets.items()} == {
        "subs_pred": ((8, 3, 1), "float32"),
        "gwl_pred": ((8, 3, 1), "float32"),
    }


def test_pihal_like_shows_drivers_of_the_target_years_only(tmp_path):
    made = prepare_rows(tmp_path, mode="pihal_like")
    tft = prepare_rows(tmp_path, out="tft")
    np.testing.assert_array_equal(
        read_arrays(made, "train_inputs")["future_features"], read_arrays(tft, "train_inputs")["future_features"][:, 5:]
    )


def test_values_are_si_and_stand_in_the_right_years(prepared):
    rows = {(row["longitude"], row["latitude"], row["year"]): row for row in panel_rows()}
    inputs, targets = read_arrays(prepared, "test_inputs"), read_arrays(prepared, "test_targets")
    for at, (lon, lat) in enumerate(read_groups(prepared, "test")):
        history = [rows[lon, lat, year] for year in range(2015, 2020)]
        ahead = [rows[lon, lat, year] for year in range(2020, 2023)]
        np.testing.assert_allclose(
            inputs["dynamic_features"][at, :, 0], [r["GWL_depth_bgs_m"] for r in history], rtol=1e-6
        )
        np.testing.assert_allclose(
            inputs["dynamic_features"][at, :, 1], [r["subsidence_cum"] / 1e3 for r in history], rtol=1e-6
        )
        np.testing.assert_allclose(
            targets["subs_pred"][at, :, 0], [r["subsidence_cum"] / 1e3 for r in ahead], rtol=1e-6
        )
        np.testing.assert_allclose(targets["gwl_pred"][at, :, 0], [r["head_m"] for r in ahead], rtol=1e-6)
        np.testing.assert_allclose(inputs["H_field"][at, :, 0], min(history[0]["soil_thickness"], 30.0), rtol=1e-6)


def test_coordinates_decode_to_year_and_utm(prepared):
    from pyproj import Transformer

    scaler = read_record(prepared, "scalers.json")["coords"]
    scaling = read_record(prepared)["config"]["scaling_kwargs"]
    low, span = np.array(scaler["min"]), np.array(scaler["scale"])
    assert scaler["feature_names"] == ["t", "x", "y"] and scaling["coord_epsg_used"] == 32649
    assert list(scaling["coord_ranges"].values()) == scaler["scale"]
    forward = Transformer.from_crs(4326, 32649, always_xy=True)
    for split, first in (("train", 2020), ("val", 2020), ("future", 2023)):
        decoded = read_arrays(prepared, f"{split}_inputs")["coords"] * span + low
        np.testing.assert_allclose(decoded[:, :, 0], np.tile(np.arange(first, first + 3), (len(decoded), 1)), atol=1e-4)
        if split != "future":
            x_m, y_m = forward.transform(*read_groups(prepared, split).T)
            np.testing.assert_allclose(decoded[:, 0, 1:], np.stack([x_m, y_m], axis=1), atol=0.01)


def test_southern_city_falls_into_its_own_zone(tmp_path):
    rows = spoil(panel_rows(), lambda row: row.update(latitude=-row["latitude"]))
    assert read_record(prepare_rows(tmp_path, rows))["config"]["scaling_kwargs"]["coord_epsg_used"] == 32749


def test_minmax_is_fitted_on_train_points_only(tmp_path):
    base = prepare_rows(tmp_path)
    train = {tuple(place) for place in read_groups(base, "train")}
    rows = spoil(
        panel_rows(),
        lambda row: row.update(rainfall_mm=9000.0),
        where=lambda row: (row["longitude"], row["latitude"]) not in train,
    )
    wet = prepare_rows(tmp_path, rows, out="wet")
    assert read_record(wet, "scalers.json")["main"] == read_record(base, "scalers.json")["main"]
    column = read_record(wet)["config"]["features"]["dynamic"].index("rainfall_mm")
    rain = read_arrays(wet, "train_inputs")["dynamic_features"][..., column]
    assert rain.min() == 0.0 and rain.max() <= 1.0
    assert read_arrays(wet, "test_inputs")["dynamic_features"][..., column].min() > 1.0


def test_minmax_does_not_see_the_years_after_training(tmp_path):
    rows = spoil(panel_rows(), lambda row: row.update(rainfall_mm=9000.0), where=lambda row: row["year"] > 2022)
    base, wet = prepare_rows(tmp_path), prepare_rows(tmp_path, rows, out="wet")
    assert read_record(wet, "scalers.json")["main"] == read_record(base, "scalers.json")["main"]


def test_category_that_only_test_points_have_becomes_zeros(tmp_path):
    base = prepare_rows(tmp_path)
    test = {tuple(place) for place in read_groups(base, "test")}
    rows = spoil(
        panel_rows(),
        lambda row: row.update(lithology="Peat"),
        where=lambda row: (row["longitude"], row["latitude"]) in test,
    )
    made = prepare_rows(tmp_path, rows, out="peat")
    names = read_record(made)["config"]["features"]["static"]
    block = [at for at, name in enumerate(names) if name.startswith("lithology_") and "class" not in name]
    assert [names[at] for at in block] == ["lithology_Clay", "lithology_Sand"]
    assert not read_arrays(made, "test_inputs")["static_features"][:, block].any()
    assert (read_arrays(made, "train_inputs")["static_features"][:, block].sum(axis=1) == 1).all()
    assert "8 points have a 'lithology' that no train point has (Peat): all zeros" in made.warnings


def test_gaps_of_drivers_are_filled_from_train_points(tmp_path):
    base = prepare_rows(tmp_path)
    train = {tuple(place) for place in read_groups(base, "train")}
    lon, lat = read_groups(base, "test")[0]
    expected = np.median(
        [r["rainfall_mm"] for r in panel_rows() if (r["longitude"], r["latitude"]) in train and r["year"] == 2017]
    )
    rows = spoil(
        panel_rows(),
        lambda row: row.update(rainfall_mm=""),
        where=lambda row: (row["longitude"], row["latitude"], row["year"]) == (lon, lat, 2017),
    )
    made = prepare_rows(tmp_path, rows, out="gap")
    scaler = read_record(made, "scalers.json")["main"]
    rain = read_arrays(made, "test_inputs")["dynamic_features"][0, 2, 2] * scaler["scale"][0] + scaler["min"][0]
    assert rain == pytest.approx(expected, rel=1e-5)
    assert read_record(made, "prepare_report.json")["filled_driver_gaps"]["rainfall_mm"] == 1


def test_thickness_is_clipped_and_flagged(prepared):
    inputs = read_arrays(prepared, "future_inputs")
    flag, thickness = inputs["dynamic_features"][:, -1, 4], inputs["H_field"][:, 0, 0]
    assert thickness.max() == 30.0 and flag.sum() == 15
    np.testing.assert_array_equal(flag, thickness >= 30.0)
    censoring = read_record(prepared)["config"]["censoring"]["report"]["soil_thickness"]
    assert censoring["censored_rate"] == pytest.approx(15 / 40) and censoring["cap"] == 30.0


def test_thin_ground_is_lifted_to_ten_centimetres(tmp_path):
    rows = spoil(panel_rows(), lambda row: row.update(soil_thickness=0.02), where=lambda row: row["longitude"] == 113.3)
    assert read_arrays(prepare_rows(tmp_path, rows), "future_inputs")["H_field"].min() == np.float32(0.1)


def test_units_are_converted_and_recorded(tmp_path):
    base = prepare_rows(tmp_path)
    rows = spoil(
        panel_rows(),
        lambda row: row.update(
            subsidence_cum=row["subsidence_cum"] / 10,
            GWL_depth_bgs_m=row["GWL_depth_bgs_m"] * 100,
            head_m=row["head_m"] * 100,
            soil_thickness=row["soil_thickness"] * 100,
        ),
    )
    made = prepare_rows(tmp_path, rows, out="cm", unit_subs="cm", unit_depth="cm", unit_thickness="cm")
    for name in ("train_inputs", "train_targets"):
        for key, values in read_arrays(base, name).items():
            np.testing.assert_allclose(read_arrays(made, name)[key], values, rtol=1e-5, atol=1e-7)
    assert read_record(made)["config"]["units_provenance"] == {
        "subs_unit_to_si_applied_stage1": 0.01,
        "thickness_unit_to_si_applied_stage1": 0.01,
        "head_unit_to_si_assumed_stage1": 0.01,
        "z_surf_unit_to_si_assumed_stage1": 1.0,
    }


def test_future_uses_drivers_of_the_panel_and_holds_the_last_one_after_it(prepared):
    held = read_record(prepared)["config"]["future_drivers"]["rainfall_mm"]
    assert held == {
        "2023": {"panel": 40, "held_last": 0},
        "2024": {"panel": 0, "held_last": 40},
        "2025": {"panel": 0, "held_last": 40},
    }
    scaler = read_record(prepared, "scalers.json")["main"]
    rain = read_arrays(prepared, "future_inputs")["future_features"][:, :, 0] * scaler["scale"][0] + scaler["min"][0]
    np.testing.assert_allclose(rain[0, 5:], [1600.0 - 50 * 1, 1550.0, 1550.0], rtol=1e-6)
    assert "driver 'rainfall_mm' is held at its last value where the panel has no later one" in prepared.warnings


def test_future_history_is_the_last_years_of_training(prepared):
    depth = read_arrays(prepared, "future_inputs")["dynamic_features"][0, :, 0]
    np.testing.assert_allclose(depth, 2.0 + 0.2 * np.arange(3, 8), rtol=1e-6)
    assert np.isnan(read_arrays(prepared, "future_targets")["subsidence"]).all()


def test_nothing_after_the_last_training_year_reaches_the_arrays(tmp_path):
    """Rain may: it is a driver known ahead."""
    later = {
        "subsidence_cum": 9.0,
        "GWL_depth_bgs_m": 1.0,
        "head_m": 5.0,
        "soil_thickness": 1.0,
        "lithology": "Mud",
        "urban_load_global": 1.0,
    }
    rows = spoil(panel_rows(), lambda row: row.update(later), where=lambda row: row["year"] == 2023)
    base, changed = prepare_rows(tmp_path), prepare_rows(tmp_path, rows, out="later")
    for path in (base.manifest.parent / "artifacts").glob("*.npz"):
        assert path.read_bytes() == (changed.manifest.parent / "artifacts" / path.name).read_bytes(), path.name


def test_splits_share_no_point(prepared):
    groups = {split: {tuple(place) for place in read_groups(prepared, split)} for split in ("train", "val", "test")}
    assert len(set.union(*groups.values())) == sum(map(len, groups.values())) == 40
    assert [len(groups[name]) for name in ("train", "val", "test")] == [24, 8, 8]


def test_manifest_has_the_public_blocks_and_relative_paths(prepared):
    record = read_record(prepared)
    folder = prepared.manifest.parent
    assert record["schema_version"] == "stagegate-1" and record["stage"] == "stage1"
    assert record["timestamp"] == "1970-01-01 00:00:00"
    assert {
        "TIME_STEPS",
        "FORECAST_HORIZON_YEARS",
        "MODE",
        "TRAIN_END_YEAR",
        "FORECAST_START_YEAR",
        "cols",
        "features",
        "indices",
        "conventions",
        "scaler_info",
        "scaling_kwargs",
        "feature_registry",
        "censoring",
        "units_provenance",
        "holdout",
    } <= set(record["config"])
    named = [
        *record["artifacts"]["csv"].values(),
        *record["artifacts"]["numpy"].values(),
        *record["config"]["holdout"]["artifacts"].values(),
        record["artifacts"]["encoders"]["main_scaler"],
    ]
    for path in named:
        assert not Path(path).is_absolute() and (folder / path).is_file(), path
    assert str(folder) not in json.dumps(record)


def test_manifest_blocks_equal_those_of_the_public_tool(prepared):
    reference = PANEL.with_name("manifest.json")
    if not PANEL.parent.exists():
        pytest.skip("the real data are not beside this checkout")
    public, ours = json.loads(reference.read_bytes())["config"], read_record(prepared)["config"]
    assert set(public) <= set(ours)
    for block in (
        "cols",
        "features",
        "indices",
        "conventions",
        "scaling_kwargs",
        "censoring",
        "units_provenance",
        "holdout",
    ):
        assert set(public[block]) <= set(ours[block]), block
    same = ("cons_relu_beta", "Q_kind", "coord_order", "mv_weight", "gwl_target_col", "gw_scale_floor")
    assert {key: ours["scaling_kwargs"][key] for key in same} == {key: public["scaling_kwargs"][key] for key in same}


def test_every_file_is_recorded_with_its_digest(prepared):
    found = digests(prepared.manifest.parent)
    del found["manifest.json"]
    assert read_record(prepared)["artifacts"]["sha256"] == found


def test_scaling_audit_states_the_minima(prepared):
    block = read_record(prepared, "stage1_scaling_audit.json")["coord_scaler"]
    scaler = read_record(prepared, "scalers.json")["coords"]
    assert block["data_min_(t,x,y)"] == scaler["min"] and block["data_min_(t,x,y)"][0] == 2015.0
    assert list(block["coord_ranges(chain_rule)"].values()) == scaler["scale"]


def test_importing_loads_no_heavy_package():
    heavy = "{'pandas', 'scipy', 'sklearn', 'pyproj', 'tensorflow', 'keras', 'prefect', 'matplotlib'}"
    code = f"import sys, tasks.subsidence.twin; print(sorted({heavy} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_timestamp_is_the_callers(tmp_path):
    assert read_record(prepare_rows(tmp_path, timestamp="2031-05-06 07:08:09"))["timestamp"] == "2031-05-06 07:08:09"


def test_equal_inputs_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        prepare_rows(tmp_path / name)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_seed_changes_the_split_and_nothing_else(tmp_path):
    one, two = prepare_rows(tmp_path), prepare_rows(tmp_path, out="two", seed=7)
    assert not np.array_equal(read_groups(one, "test"), read_groups(two, "test"))
    assert digests(one.manifest.parent)["testville_01_raw.csv"] == digests(two.manifest.parent)["testville_01_raw.csv"]


def test_row_order_does_not_matter(tmp_path):
    rows = panel_rows()
    base, reverse = prepare_rows(tmp_path), prepare_rows(tmp_path, rows[::-1], out="reverse")
    for path in (base.manifest.parent / "artifacts").glob("*.npz"):
        assert path.read_bytes() == (reverse.manifest.parent / "artifacts" / path.name).read_bytes()


@pytest.mark.parametrize("year", [2021, 2024])
def test_train_end_year_outside_the_panel(tmp_path, year):
    with pytest.raises(HandshakeError, match=rf"train_end_year does not fit.*expected 2022 to 2023.*found {year}"):
        prepare_rows(tmp_path, train_end_year=year)


@pytest.mark.parametrize(
    ("epsg", "message"),
    [(999999, "EPSG 999999 is unknown"), (4326, "EPSG 4326 is no projected system in metres: found WGS 84")],
)
def test_unusable_projections(tmp_path, epsg, message):
    with pytest.raises(ConfigError, match=message):
        prepare_rows(tmp_path, epsg=epsg)


@pytest.mark.parametrize(
    "wrong",
    [
        {"city": "../up"},
        {"val_frac": 0.6, "test_frac": 0.4},
        {"unit_subs": "feet"},
        {"holdout": "blocks"},
        {"timestamp": "now"},
        {"horizons": 3},
    ],
)
def test_options_are_strict(wrong):
    with pytest.raises(ValidationError):
        PrepareOptions(**{"city": "x", **wrong})
