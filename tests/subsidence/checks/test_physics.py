import numpy as np
import pytest

from tests.subsidence.audit_cases import Case, assert_said, audited, in_array, in_manifest

SCALING = "config.scaling_kwargs"


def _held(drivers):
    drivers[:, 5:] = drivers[:, 4:5]


def _no_surface(record):
    for block in (record["config"]["indices"], record["config"]["scaling_kwargs"]):
        block["z_surf_static_index"] = None
    record["config"]["cols"]["z_surf_static"] = None


CASES = [
    Case(
        "K-01",
        "an unknown time unit",
        ("time_units is 'fortnight'", "year"),
        in_manifest("config.conventions.time_units", "fortnight"),
    ),
    Case(
        "K-01",
        "a time step in words",
        ("dt_min_units is 'small'", "a number > 0"),
        in_manifest(f"{SCALING}.dt_min_units", "small"),
    ),
    Case("K-01", "no time step", ("dt_min_units is 0",), in_manifest(f"{SCALING}.dt_min_units", 0)),
    Case("K-01", "a floor below zero", ("gw_scale_floor is -1.0",), in_manifest(f"{SCALING}.gw_scale_floor", -1.0)),
    Case("K-01", "no floor", (), in_manifest(f"{SCALING}.gw_scale_floor", 0.0), status="pass"),
    Case(
        "K-01",
        "a zone by name",
        ("coord_epsg_used is 'UTM 49N'", "numeric EPSG"),
        in_manifest(f"{SCALING}.coord_epsg_used", "UTM 49N"),
    ),
    Case(
        "K-02",
        "rain held at the last value",
        ("rainfall_mm is held at one value over the 3 forecast steps",),
        in_array("future_inputs", "future_features", _held),
        status="warn",
    ),
    Case(
        "K-03",
        "no surface elevation",
        ("lacks a surface elevation", "GeoPriorSubsNet needs", "HybridAttn-NoPhysics"),
        {"manifest": _no_surface},
    ),
    Case(
        "K-03",
        "no surface elevation, no physics",
        (),
        {"manifest": _no_surface},
        model="HybridAttn-NoPhysics",
        status="pass",
    ),
    Case(
        "K-03",
        "the flavour of the live values",
        ("PoroElasticSubsNet needs",),
        {"manifest": _no_surface},
        live={"MODEL_NAME": "PoroElasticSubsNet"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_the_physics_needs_is_judged(case, tmp_path):
    assert_said(case, audited(tmp_path, case))


def test_drivers_of_the_horizon_alone_are_judged_too(tmp_path):
    def horizon_only(bundles):
        for arrays in bundles.values():
            if "future_features" in arrays:
                arrays["future_features"] = arrays["future_features"][:, -3:]
        bundles["future_inputs"]["future_features"][:] = np.float32(0.5)

    def recorded(record):
        record["config"]["MODE"] = "pihal_like"
        for shapes in record["artifacts"]["shapes"].values():
            shapes.pop("future_features", None)

    outcome = audited(tmp_path, arrays=horizon_only, manifest=recorded)
    assert outcome.with_status("fail") == set()
    assert outcome.results["K-02"].status == "warn"
