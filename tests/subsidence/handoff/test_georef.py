import numpy as np
import pytest
from pyproj import Transformer

from tasks.subsidence.handoff.georef import epsg_code, future_time_shift, georeference, project, scaler_of
from tasks.subsidence.handoff.manifest_model import Stage1Manifest
from tasks.subsidence.handoff.manifest_parse import parse_manifest
from tests.subsidence.mini import write_mini_handoff
from tests.subsidence.mini_city import fit, mini_audit, mini_bundles, mini_city, mini_holdout, mini_scalers

CITY = mini_city()
COORDS = mini_bundles(CITY)["train_inputs"]["coords"]
SCALE = fit(CITY)
SOURCES = {"scalers": mini_scalers(CITY), "stage1_scaling_audit": mini_audit(CITY)}
LONLAT = mini_holdout(CITY)["train"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Stage1Manifest:
    return parse_manifest(write_mini_handoff(tmp_path_factory.mktemp("handoff")).read_bytes())


@pytest.mark.parametrize(
    ("sources", "lonlat", "named"),
    [
        (SOURCES, LONLAT, "scalers.json"),
        ({"stage1_scaling_audit": SOURCES["stage1_scaling_audit"]}, LONLAT, "stage1_scaling_audit.json"),
        ({}, LONLAT, "holdout CSV"),
    ],
)
def test_minima_come_from_the_first_source_and_all_sources_agree(manifest, sources, lonlat, named):
    found = georeference(manifest, COORDS, sources, lonlat)
    assert found.source == named
    np.testing.assert_allclose(found.minimum, SCALE.minimum, atol=0.01)
    np.testing.assert_allclose(found.places(COORDS)[:, 0], CITY.xy[CITY.split == "train"], atol=0.01)
    np.testing.assert_allclose(found.years(COORDS)[0], [2020, 2021, 2022], atol=1e-4)


def test_without_a_source_years_are_known_and_places_are_not(manifest):
    found = georeference(manifest, COORDS, {}, None)
    assert (found.source, found.minimum) == ("none", None)
    assert found.places(COORDS) is None
    np.testing.assert_allclose(found.years(COORDS)[0], [2020, 2021, 2022], atol=1e-4)


def test_a_source_that_contradicts_the_ranges_is_passed_over(manifest):
    wrong = mini_scalers(CITY)
    wrong["coords"]["scale"][1] *= 2
    assert georeference(manifest, COORDS, {**SOURCES, "scalers": wrong}).source == "stage1_scaling_audit.json"


def test_groups_of_another_extent_give_no_minima(manifest):
    assert georeference(manifest, COORDS, {}, LONLAT[1:]).source == "none"  # its outermost group is gone


def test_metres_and_years_survive_single_precision(manifest):
    found = georeference(manifest, COORDS, SOURCES)
    assert np.abs(found.places(COORDS)[:, 0] - CITY.xy[CITY.split == "train"]).max() < 0.005


@pytest.mark.parametrize(
    ("first", "shift"),
    [(2023.0, 0.0), (2024.0, -1.0), (2023.9999, -1.0), (2021.0, 2.0), (2023.4, None), (2031.0, None)],
)
def test_whole_steps_are_mended_and_nothing_else(first, shift):
    years = np.tile(first + np.arange(3), (5, 1))
    assert future_time_shift(years, 2023) == shift


def test_one_window_off_is_not_mended():
    years = np.tile(2024.0 + np.arange(3), (5, 1))
    years[2] += 1
    assert future_time_shift(years, 2023) is None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (32649, 32649),
        (32649.0, 32649),
        ("32649", 32649),
        ("EPSG:32649", 32649),
        ("UTM", None),
        (True, None),
        (None, None),
        (32649.5, None),
        (float("nan"), None),
    ],
)
def test_epsg_codes_are_read_from_numbers_and_texts(value, code):
    assert epsg_code(value) == code


def test_projection_is_that_of_the_library():
    expected = Transformer.from_crs(4326, 32649, always_xy=True).transform(113.5, 22.5)
    np.testing.assert_allclose(project(np.array([[113.5, 22.5]]), 32649), [expected])


def test_scalers_are_found_at_the_top_or_one_level_below():
    assert scaler_of(SOURCES["scalers"], "rainfall_mm") == SCALE.rain
    assert scaler_of(SOURCES["scalers"]["coords"], "t") == (2015.0, 7.0)
    assert scaler_of({"kind": "minmax", "feature_names": ["a"], "min": ["x"], "scale": [1]}, "a") is None
    assert scaler_of(None, "a") is None


def test_a_converted_scaler_without_names_is_that_of_the_coordinates(manifest):
    nameless = {**SOURCES["scalers"]["coords"], "feature_names": []}
    assert georeference(manifest, COORDS, {"scalers": nameless}).source == "scalers.json"
    pair = {"kind": "minmax", "feature_names": [], "min": [0.0, 1.0], "scale": [1.0, 1.0]}
    assert scaler_of(pair, "t") is None
