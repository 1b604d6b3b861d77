import numpy as np
import pytest

from tests.subsidence.audit_cases import Case, assert_said, audited, everywhere, in_array, in_manifest, setting
from tests.subsidence.mini_city import DYNAMIC, STATIC

DEPTH, CUMULATIVE, RAIN, FLAG = (
    DYNAMIC.index(name)
    for name in ("GWL_depth_bgs_m__si", "subsidence_cum__si", "rainfall_mm", "soil_thickness_censored")
)
Z_SURF = STATIC.index("z_surf_m__si")
PROVENANCE = "config.units_provenance"


def _channel(column, change, array="dynamic_features"):
    def changed(values):
        values = values.copy()
        values[..., column] = change(values[..., column])
        return values

    return everywhere(array, changed, part="inputs")


def _both(*hooks):
    return {"arrays": lambda bundles: [hook(bundles) for hook in hooks]}


def _head_as_depth(bundles):
    for split in ("train", "val", "test"):
        z_surf = bundles[f"{split}_inputs"]["static_features"][:, None, None, Z_SURF]
        bundles[f"{split}_targets"]["gwl_pred"] = z_surf - bundles[f"{split}_targets"]["gwl_pred"]


def _heads_of_shallow_water(bundles):
    """Depth divided by 100 in the history and, through the head, in the targets."""
    _channel(DEPTH, lambda depth: depth / 100)(bundles)
    for split in ("train", "val", "test"):
        z_surf = bundles[f"{split}_inputs"]["static_features"][:, None, None, Z_SURF]
        head = bundles[f"{split}_targets"]["gwl_pred"]
        bundles[f"{split}_targets"]["gwl_pred"] = z_surf - (z_surf - head) / 100


def _rates(bundles):
    for split in ("train", "val", "test"):
        last = bundles[f"{split}_inputs"]["dynamic_features"][:, -1:, CUMULATIVE, None]
        targets = bundles[f"{split}_targets"]
        targets["subs_pred"] = np.diff(targets["subs_pred"], axis=1, prepend=last)


def _swapped(values):
    return values[..., [CUMULATIVE, DEPTH, *range(2, len(DYNAMIC))]]


def _panel(column, factor):
    def spoil(names, rows):
        rows[:, names.index(column)] *= factor

    return {"panel": spoil}


MILLIMETRES = _both(
    _channel(CUMULATIVE, lambda metres: metres * 1000),
    everywhere("subs_pred", lambda metres: metres * 1000, part="targets"),
)

CASES = [
    Case(
        "U-01",
        "head above ground",
        ("gwl_pred' implies depths z_surf - head", "only 0.0%", "head (up positive)"),
        {"arrays": everywhere("gwl_pred", lambda head: head + 100, part="targets")},
    ),
    Case("U-01", "head given as depth", ("train_targets.npz 'gwl_pred'", ">= 99%"), _both(_head_as_depth)),
    Case(
        "U-02",
        "depth and subsidence swapped",
        ("depth channel has median", "ratio"),
        {"arrays": everywhere("dynamic_features", _swapped, part="inputs")},
    ),
    Case("U-02", "depth in decimetres", ("ratio 1/3..3",), _both(_channel(DEPTH, lambda depth: depth * 10))),
    Case(
        "U-02",
        "deep where it is shallow",
        ("correlates -1.00", "with the first implied target depth"),
        _both(_channel(DEPTH, lambda depth: depth.max() + depth.min() - depth)),
    ),
    Case(
        "U-03",
        "head given as depth",
        ("train_targets.npz 'gwl_pred' target looks like depth, not head", "z_surf - depth. Re-export"),
        _both(_head_as_depth),
    ),
    Case(
        "U-04",
        "millimetres given as metres",
        ("train cumulative subsidence reaches", "Looks like millimetres"),
        MILLIMETRES,
    ),
    Case(
        "U-04",
        "depth and subsidence swapped",
        ("changes by",),
        {"arrays": everywhere("dynamic_features", _swapped, part="inputs")},
    ),
    Case(
        "U-04",
        "kilometres",
        ("in a median year", "1e-5..0.5 m"),
        _both(
            _channel(CUMULATIVE, lambda metres: metres / 1e4),
            everywhere("subs_pred", lambda metres: metres / 1e4, part="targets"),
        ),
    ),
    Case("U-05", "rates as targets", ("train_targets.npz 'subs_pred'", "not rates"), _both(_rates)),
    Case(
        "U-05",
        "small rates as targets",
        ("looks like a rate",),
        _both(
            _rates,
            _channel(CUMULATIVE, lambda metres: metres / 3),
            everywhere("subs_pred", lambda metres: metres / 3, part="targets"),
        ),
    ),
    Case(
        "U-05",
        "a kind that is no cumulative",
        ("subsidence_kind is 'rate'",),
        in_manifest("config.scaling_kwargs.subsidence_kind", "rate"),
    ),
    Case(
        "U-06",
        "depth divided by 100",
        ("99th percentile of 0.0", "divided by 100"),
        _both(_heads_of_shallow_water),
        status="warn",
    ),
    Case(
        "U-06",
        "depth divided by 100, strictly",
        ("divided by 100",),
        _both(_heads_of_shallow_water),
        live={"STRICT_UNITS": True},
    ),
    Case(
        "U-07",
        "a column in centimetres",
        ("mini_panel.csv GWL_depth_bgs_m is GWL_depth_bgs times 1e+2",),
        _panel("GWL_depth_bgs_m", 100),
    ),
    Case("U-07", "one unit", ("4 pairs of columns compared",), status="pass"),
    Case(
        "U-08",
        "thickness in centimetres",
        ("'H_field' spans", "0.1..30 m"),
        status="warn",
        spoil={"arrays": everywhere("H_field", lambda metres: metres * 100, part="inputs")},
    ),
    Case(
        "U-08",
        "flags the wrong way round",
        ("soil_thickness_censored contradicts the thickness",),
        status="warn",
        spoil=_both(_channel(FLAG, lambda flag: 1 - flag)),
    ),
    Case(
        "U-08",
        "another share at the cap",
        ("censored_rate is 50.0%",),
        status="warn",
        spoil=in_manifest("config.censoring.report.soil_thickness.censored_rate", 0.5),
    ),
    Case(
        "U-09",
        "rain in centimetres",
        ("rainfall_mm spans", "mm/yr"),
        status="warn",
        spoil={"with_scalers": True, **_both(_channel(RAIN, lambda scaled: scaled - 3))},
    ),
    Case(
        "U-09",
        "ground above the mountains",
        ("z_surf spans", "-500..9000 m"),
        status="warn",
        spoil=in_array("val_inputs", "static_features", setting((0, Z_SURF), 20_000)),
    ),
    Case("U-09", "rain that nothing decodes", ("rainfall_mm cannot be decoded",), status="pass"),
    Case(
        "U-10",
        "feet",
        ("head_unit_to_si_assumed_stage1 is 0.3048", "1, 1e-2 or 1e-3"),
        in_manifest(f"{PROVENANCE}.head_unit_to_si_assumed_stage1", 0.3048),
    ),
    Case(
        "U-10",
        "converted twice",
        ("subs_scale_si, subs_bias_si are 0.001 and 0.0", "converted twice"),
        in_manifest("config.scaling_kwargs.subs_scale_si", 0.001),
    ),
    Case(
        "U-10",
        "a pair without its bias",
        ("H_scale_si, H_bias_si are 0.5 and None",),
        {
            "manifest": lambda m: (
                m["config"]["scaling_kwargs"].update(H_scale_si=0.5),
                m["config"]["scaling_kwargs"].pop("H_bias_si"),
            )
        },
    ),
    Case(
        "U-10",
        "millimetres that wait for their scale",
        (),
        status="pass",
        spoil={
            **MILLIMETRES,
            "manifest": lambda m: (
                m["config"]["scaling_kwargs"].update(subs_scale_si=0.001),
                m["config"]["units_provenance"].update(subs_unit_to_si_applied_stage1=1.0),
            ),
        },
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_units_and_signs_are_judged(case, tmp_path):
    assert_said(case, audited(tmp_path, case))


def test_a_documented_scale_is_applied_before_sizes_are_judged(tmp_path):
    case = next(case for case in CASES if case.name == "millimetres that wait for their scale")
    assert audited(tmp_path, case).with_status("fail") == set()


def test_without_surface_elevation_the_proxy_head_is_judged(tmp_path):
    def no_surface(record):
        config = record["config"]
        config["features"]["static"].pop()
        config["cols"]["z_surf_static"] = None
        for block in (config["indices"], config["scaling_kwargs"]):
            block["z_surf_static_index"] = None
        config["scaling_kwargs"]["z_surf_col"] = None
        config["conventions"]["use_head_proxy"] = True
        for shapes in record["artifacts"]["shapes"].values():
            shapes.pop("static_features", None)

    def proxy(bundles):
        for name, arrays in bundles.items():
            if name.endswith("_targets") and "gwl_pred" in arrays:
                z_surf = bundles[name.replace("targets", "inputs")]["static_features"][:, None, None, Z_SURF]
                arrays["gwl_pred"] = arrays["gwl_pred"] - z_surf
        for arrays in bundles.values():
            if "static_features" in arrays:
                arrays["static_features"] = arrays["static_features"][:, :-1]

    outcome = audited(tmp_path, manifest=no_surface, arrays=proxy)
    assert outcome.with_status("fail") == set()
    assert outcome.results["U-02"].status == "pass"
