import numpy as np
import pytest

from tests.subsidence.audit_cases import Case, assert_said, audited, in_array, in_manifest, setting
from tests.subsidence.mini_city import fit, mini_city

SCALING = "config.scaling_kwargs"
RANGES = f"{SCALING}.coord_ranges"
SPAN = fit(mini_city()).span


def _moved(bundles, axis, by):
    """An `arrays` hook that adds to one stored axis of some bundles."""

    def spoil(arrays):
        for name in bundles:
            arrays[f"{name}_inputs"]["coords"][..., axis] += by

    return {"arrays": spoil}


def _no_span(record):
    del record["config"]["scaling_kwargs"]["coord_ranges"]


def _in_degrees(lon=104_000.0, lat=111_000.0, swapped=False):
    """Hooks that store longitude and latitude instead of metres."""
    city = mini_city()
    low = city.lonlat[city.split == "train"].min(axis=0)
    span = np.ptp(city.lonlat[city.split == "train"], axis=0)
    order = [1, 0] if swapped else [0, 1]

    def arrays(bundles):
        for split in ("train", "val", "test"):
            stored = (city.lonlat[city.split == split] - low) / span
            bundles[f"{split}_inputs"]["coords"][..., 1:] = stored[:, None, order]
        for bundle in ("future_inputs", "future_targets"):
            del bundles[bundle]

    def manifest(record):
        factors = {"deg_to_m_lon": lon, "deg_to_m_lat": lat}
        record["config"]["scaling_kwargs"].update(
            coords_in_degrees=True,
            coord_epsg_used=4326,
            coord_target_epsg=4326,
            coord_ranges={"t": 7.0, "x": float(span[order[0]]), "y": float(span[order[1]])},
            **{name: value for name, value in factors.items() if value is not None},
        )
        for bundle in ("future_inputs_npz", "future_targets_npz"):
            del record["artifacts"]["numpy"][bundle]

    def audit(record):
        record["coord_scaler"]["data_min_(t,x,y)"][1:] = low[order].tolist()
        record["coord_scaler"]["data_max_(t,x,y)"][1:] = (low + span)[order].tolist()

    return {"arrays": arrays, "manifest": manifest, "audit": audit}


CASES = [
    Case(
        "C-01",
        "train outside",
        ("train_inputs.npz 'coords' x spans 0..1.5", "[0, 1]"),
        in_array("train_inputs", "coords", setting(np.s_[5, :, 1], 1.5)),
    ),
    Case(
        "C-01",
        "others outside",
        ("val_inputs.npz 'coords' y", "future_inputs.npz 'coords' t spans 1.142857..1.428571"),
        _moved(["val"], 2, 0.2),
        status="warn",
    ),
    Case("C-02", "a range of zero", ("coord_ranges has x=0.0", "finite and positive"), in_manifest(f"{RANGES}.x", 0.0)),
    Case("C-02", "a range that is NaN", ("coord_ranges has t=nan",), in_manifest(f"{RANGES}.t", float("nan"))),
    Case(
        "C-02",
        "no ranges at all",
        ("lacks t, x, y, and neither scalers.json nor",),
        {"manifest": _no_span, "with_audit": False},
    ),
    Case(
        "C-02",
        "ranges in the scaling audit",
        ("recovered from stage1_scaling_audit.json",),
        {"manifest": _no_span},
        status="pass",
    ),
    Case(
        "C-03",
        "one percent off",
        ("coord_ranges.x", "stage1_scaling_audit.json spans", "relative difference 0.01"),
        in_manifest(f"{RANGES}.x", float(SPAN[1] * 1.01)),
    ),
    Case(
        "C-03",
        "ten parts in a million off",
        ("relative difference 1e-05",),
        in_manifest(f"{RANGES}.y", float(SPAN[2] * 1.00001)),
        status="warn",
    ),
    Case(
        "C-03",
        "the other source",
        ("scalers.json spans",),
        status="fail",
        spoil={**in_manifest(f"{RANGES}.x", float(SPAN[1] * 1.01)), "with_scalers": True, "with_audit": False},
    ),
    Case(
        "C-04",
        "degrees without factors",
        ("lacks deg_to_m_lat, deg_to_m_lon", "coords_in_degrees"),
        _in_degrees(lon=None, lat=None),
    ),
    Case("C-04", "feet in a degree", ("deg_to_m_lat is 364173 m", "111132 ± 1200 m"), _in_degrees(lat=364_173.0)),
    Case("C-04", "no cosine", ("deg_to_m_lon is 111000 m, at latitude 22.", "± 1 %"), _in_degrees(lon=111_000.0)),
    Case("C-04", "longitude and latitude swapped", ("no latitude", "look swapped"), _in_degrees(swapped=True)),
    Case("C-04", "proper degrees", (), _in_degrees(lon=102_800.0), status="pass"),
    Case(
        "C-05",
        "two years a step",
        ("advances by 2 time units", "expected 1"),
        in_array("test_inputs", "coords", setting(np.s_[..., 0], np.array([5, 7, 9]) / 7)),
    ),
    Case(
        "C-05",
        "several origins",
        ("takes 4 values, the horizon has 3",),
        in_array("train_inputs", "coords", setting(np.s_[0, :, 0], np.array([4, 5, 6]) / 7)),
    ),
    Case(
        "C-05",
        "a walking place",
        ("x or y changes over the horizon in 1 windows",),
        in_array("val_inputs", "coords", setting((3, 1, 2), 0.9)),
    ),
    Case(
        "C-06",
        "another last year",
        ("decodes to 2020.00, 2021.00, 2022.00", "TRAIN_END_YEAR 2021 asks for 2019..2021"),
        in_manifest("config.TRAIN_END_YEAR", 2021),
    ),
    Case("C-06", "one split a year late", ("val_inputs.npz",), _moved(["val"], 0, 1 / 7)),
    Case(
        "C-06",
        "a minimum of another panel",
        ("train_inputs.npz 'coords' t decodes to 2021.00",),
        {
            "audit": lambda record: [
                record["coord_scaler"][f"data_{end}_(t,x,y)"].__setitem__(0, year)
                for end, year in (("min", 2016), ("max", 2023))
            ]
        },
    ),
    Case(
        "C-07",
        "one step late",
        ("decodes to 2024.00..2026.00, FORECAST_START_YEAR asks for 2023..2025", "by -1 steps"),
        _moved(["future"], 0, 1 / 7),
        status="warn",
    ),
    Case("C-07", "half a step late", ("2023.50..2025.50", "no shift by whole steps"), _moved(["future"], 0, 0.5 / 7)),
    Case("C-07", "many steps late", ("no shift by whole steps",), _moved(["future"], 0, 9 / 7)),
    Case(
        "C-08",
        "groups elsewhere",
        ("test_inputs.npz decoded places", "20 of 20 lie more than 1 m"),
        status="warn",
        spoil={"holdout": lambda groups: groups["test"].__iadd__(0.0005)},
    ),
    Case(
        "C-08",
        "groups with latitude first",
        ("train_inputs.npz decoded places", "60 of 60"),
        status="warn",
        spoil={
            "holdout": lambda groups: [
                lonlat.__setitem__(slice(None), lonlat[:, ::-1].copy()) for lonlat in groups.values()
            ]
        },
    ),
    Case(
        "C-08",
        "x and y swapped",
        ("decoded x spans 2450000..2461600 m, expected within 100000..900000",),
        status="warn",
        spoil=in_manifest(f"{SCALING}.coord_order", ["t", "y", "x"])
        | {
            "audit": lambda record: [
                record["coord_scaler"][f"data_{end}_(t,x,y)"].__setitem__(slice(1, 3), [2_450_000 + add, 700_000 + add])
                for end, add in (("min", 0), ("max", float(SPAN[1])))
            ]
        },
    ),
    Case(
        "C-09",
        "no permutation",
        ("coord_order is ['t', 'x', 'x']",),
        in_manifest(f"{SCALING}.coord_order", ["t", "x", "x"]),
    ),
    Case(
        "C-09",
        "another target",
        ("coord_epsg_used is 32650, coord_target_epsg is 32649",),
        in_manifest(f"{SCALING}.coord_epsg_used", 32650),
    ),
    Case(
        "C-09",
        "no such system",
        ("is 99999, which no coordinate system has",),
        {"manifest": lambda m: m["config"]["scaling_kwargs"].update(coord_epsg_used=99999, coord_target_epsg=99999)},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_coordinates_are_judged(case, tmp_path):
    assert_said(case, audited(tmp_path, case))


def test_without_minima_places_are_not_judged_but_years_are(tmp_path):
    def unknown(record):
        del record["config"]["holdout"]["artifacts"]["train_groups_csv"]

    outcome = audited(tmp_path, manifest=unknown, with_audit=False)
    assert outcome.results["C-08"].status == "skipped"
    assert outcome.results["C-06"].status == "pass"
    assert outcome.report["georeference"]["source"] == "none"


def test_coordinates_stored_as_they_are_need_no_ranges(tmp_path):
    scale = fit(mini_city())

    def plain(record):
        record["config"]["scaling_kwargs"].update(
            coords_normalized=False, coord_shift_mins={"t": 0, "x": 700_000, "y": 2_450_000}
        )
        del record["config"]["scaling_kwargs"]["coord_ranges"]

    def shifted(bundles):
        for arrays in bundles.values():
            if "coords" in arrays:
                metres = arrays["coords"].astype(np.float64) * scale.span + scale.minimum
                arrays["coords"] = (metres - [0, 700_000, 2_450_000]).astype(np.float32)

    outcome = audited(tmp_path, manifest=plain, arrays=shifted)
    assert outcome.with_status("fail") == set()
    assert outcome.with_status("warn") == {"G-04"}
