"""Who owns a setting, which layer wins, and what is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import ConfigError
from tasks.subsidence.config import (
    OWNERSHIP,
    Config,
    active_gate,
    built_in,
    check_gate,
    read_layers,
    resolve,
)
from tasks.subsidence.manifest import parse_manifest
from tasks.subsidence.settings.key import checked
from tasks.subsidence.types import ConfigLayer, LiveConfig
from tests.subsidence.mini import write_mini_handoff


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return parse_manifest(write_mini_handoff(tmp_path_factory.mktemp("mini")).read_bytes())


@pytest.fixture
def settle(manifest):
    """Values and report (by key) for some --set options and file layers."""

    def run(*sets: str, layers: tuple[ConfigLayer, ...] = (), manifest=manifest, **options):
        live = LiveConfig(layers=(*layers, *read_layers(sets=sets).layers))
        values, report = resolve(manifest, live, **options)
        return values, {entry["key"]: entry for entry in report}

    return run


def changed(folder: Path, change):
    return parse_manifest(write_mini_handoff(folder, manifest=change).read_bytes())


def scaled(folder: Path, **values):
    """A mini manifest whose scaling block says these values."""
    return changed(folder, lambda record: record["config"]["scaling_kwargs"].update(values))


def test_each_default_lies_in_its_own_range():
    for key in OWNERSHIP.values():
        if key.owner in ("live", "merged"):
            assert checked(key, key.default) == key.default, key.name


def test_each_key_has_one_line_of_documentation():
    assert [key.name for key in OWNERSHIP.values() if not key.doc or "\n" in key.doc] == []


def test_without_live_values_every_live_setting_is_the_default(settle):
    values, report = settle()
    assert values["EMBED_DIM"] == 32 and values["QUANTILES"] == [0.1, 0.5, 0.9] and values["LAMBDA_Q"] == 5e-4
    assert values["PHYSICS_BOUNDS"]["Ka_max"] == 1e-3 and values["PHYSICS_BOUNDS"]["tau_max"] == 9_467_085_600.0
    assert report["EMBED_DIM"] == {
        "key": "EMBED_DIM",
        "value": 32,
        "source": "default",
        "owner": "live",
        "overridden": [],
        "used": True,
    }


def test_layers_win_in_the_order_default_flavour_manifest_regime_file_set(settle, tmp_path):
    strong = scaled(tmp_path, bounds={"K_min": 2e-8, "Ss_min": 3e-6})
    file = ConfigLayer(source="file:a.toml", values={"PHYSICS_BOUNDS": {"K_max": 5e-4, "Sa_min": 2e-6}})
    values, report = settle("PHYSICS_BOUNDS.K_max=6e-4", layers=(file,), manifest=strong, model="PoroElasticSubsNet")
    wanted = {"K_min": "manifest", "K_max": "set", "Ss_min": "manifest", "Sa_min": "file:a.toml", "H_max": "default"}
    assert {name: report[f"PHYSICS_BOUNDS.{name}"]["source"] for name in wanted} == wanted
    assert report["PHYSICS_BOUNDS.K_max"]["overridden"] == [
        {"source": "default", "value": 1e-7},
        {"source": "flavour:PoroElasticSubsNet", "value": 1e-3},
        {"source": "file:a.toml", "value": 5e-4},
    ]
    assert values["PHYSICS_BOUNDS"]["K_max"] == 6e-4 and values["PHYSICS_BOUNDS"]["H_max"] == 30.0


def test_a_manifest_value_of_a_merged_key_is_not_overridden_back(settle, tmp_path):
    strong = scaled(tmp_path, mv_weight=0.5, Q_kind="head_rate")
    assert settle(manifest=strong)[0]["MV_WEIGHT"] == 0.5
    values, report = settle("MV_WEIGHT=0.25", "Q_KIND=recharge_rate", manifest=strong)
    assert (values["MV_WEIGHT"], values["Q_KIND"]) == (0.25, "recharge_rate")
    assert {"source": "manifest", "value": 0.5} in report["MV_WEIGHT"]["overridden"]


def test_a_regime_is_a_named_layer_and_an_explicit_value_beats_it(settle):
    values, report = settle("IDENTIFIABILITY_REGIME=anchored", "LAMBDA_CONS=7")
    assert values["ALLOW_SUBS_RESIDUAL"] is False and report["LAMBDA_PRIOR"]["source"] == "regime:anchored"
    assert values["LAMBDA_CONS"] == 7.0
    assert {"source": "regime:anchored", "value": 50.0} in report["LAMBDA_CONS"]["overridden"]


@pytest.mark.parametrize(
    ("regime", "expected"),
    [
        ("base", {"LAMBDA_BOUNDS": 1, "LAMBDA_PRIOR": 1, "LAMBDA_Q": 0, "LAMBDA_MV": 0, "BOUNDS_LOSS_KIND": "barrier"}),
        ("anchored", {"BOUNDS_BETA": 30, "BOUNDS_W": 2, "LAMBDA_BOUNDS": 10, "PHYSICS_RAMP_FRACTION": 0.2}),
        (
            "closure_locked",
            {
                "LAMBDA_PRIOR": 100,
                "LAMBDA_CONS": 50,
                "PHYSICS_WARMUP_FRACTION": 0,
                "PHYSICS_RAMP_FRACTION": 0.15,
                "ALLOW_SUBS_RESIDUAL": False,
            },
        ),
        (
            "data_relaxed",
            {
                "BOUNDS_LOSS_KIND": "residual",
                "LAMBDA_PRIOR": 0,
                "LAMBDA_GW": 0,
                "LAMBDA_CONS": 1,
                "PHYSICS_WARMUP_FRACTION": 0.3,
                "PHYSICS_RAMP_FRACTION": 0.3,
            },
        ),
    ],
)
def test_regimes_set_what_they_are_named_for(settle, regime, expected):
    values, _ = settle(f"IDENTIFIABILITY_REGIME={regime}")
    assert {name: values[name] for name in expected} == expected


@pytest.mark.parametrize("option", ["LAMBDA_PRIOR=5", "ALLOW_SUBS_RESIDUAL=true"])
def test_a_value_that_undoes_a_locked_closure_is_an_error(settle, option):
    with pytest.raises(ConfigError, match=r"contradicts regime:closure_locked.*closure is frozen"):
        settle("IDENTIFIABILITY_REGIME=closure_locked", option)


def test_a_flavour_without_physics_refuses_equations(settle):
    assert settle(model="HybridAttn-NoPhysics")[0]["PDE_MODE_CONFIG"] == "none"
    with pytest.raises(ConfigError, match="contradicts flavour:HybridAttn-NoPhysics"):
        settle("PDE_MODE_CONFIG=on", model="HybridAttn-NoPhysics")
    with pytest.raises(ConfigError, match="contradicts flavour:PoroElasticSubsNet"):
        settle("PDE_MODE_CONFIG=both", model="PoroElasticSubsNet")


def test_poroelastic_flavour_has_its_own_weights_and_bounds(settle):
    values, _ = settle(model="PoroElasticSubsNet")
    wanted = {
        "PDE_MODE_CONFIG": "consolidation",
        "GEOPRIOR_KAPPA_MODE": "bar",
        "LAMBDA_PRIOR": 5,
        "LAMBDA_SMOOTH": 1,
        "LAMBDA_MV": 0.1,
    }
    assert {name: values[name] for name in wanted} == wanted
    assert (values["PHYSICS_BOUNDS"]["K_min"], values["PHYSICS_BOUNDS"]["K_max"]) == (1e-8, 1e-3)


def test_an_unknown_model_is_refused_with_suggestions(settle):
    with pytest.raises(ConfigError, match="Did you mean GeoPriorSubsNet"):
        settle(model="GeoPriorSubNet")


def test_another_model_than_the_manifests_is_recorded(settle):
    assert settle(model="PoroElasticSubsNet")[1]["MODEL_NAME"]["note"] == "the handoff was prepared for GeoPriorSubsNet"


def test_manifest_owned_values_may_be_confirmed_but_not_changed(settle):
    _, report = settle("TIME_STEPS=5", "cols.time=year")
    assert report["TIME_STEPS"]["source"] == "manifest" and report["TIME_STEPS"]["note"] == "confirmed by set"
    with pytest.raises(ConfigError, match=r"set TIME_STEPS is set by the handoff: expected 5 \(manifest\), found 7"):
        settle("TIME_STEPS=7")
    with pytest.raises(ConfigError, match="cols is set by the handoff"):
        settle("cols.time=month")


def test_a_null_leaves_the_say_to_the_manifest(settle):
    values, _ = settle("HEAD_SCALE_SI=null", "GWL_KIND=null", "GWL_DYN_INDEX=null")
    assert (values["HEAD_SCALE_SI"], values["GWL_KIND"], values["GWL_DYN_INDEX"]) == (1.0, "depth_bgs", 0)


def test_city_must_agree_without_regard_to_case(settle):
    assert settle("CITY=MINICITY", city="miniCity")[0]["CITY_NAME"] == "minicity"
    with pytest.raises(ConfigError, match=r"CITY_NAME must agree: expected 'minicity' \(manifest\), found 'nansha'"):
        settle(city="nansha")


def test_an_agreed_value_missing_on_one_side_is_taken_from_the_other(settle, tmp_path):
    silent = changed(tmp_path, lambda record: record["config"]["scaling_kwargs"].pop("coord_src_epsg"))
    values, report = settle("COORD_SRC_EPSG=4326", manifest=silent)
    assert values["COORD_SRC_EPSG"] == 4326 and report["COORD_SRC_EPSG"]["source"] == "set"


def test_stage1_settings_are_recorded_as_not_used(settle):
    _, report = settle("HOLDOUT_BLOCK_M=500", "DATA_DIR=/data/zhongshan")
    assert report["HOLDOUT_BLOCK_M"]["note"] == "not used by this stage" and report["HOLDOUT_BLOCK_M"]["used"] is False
    assert report["DATA_DIR"]["value"] == "zhongshan"


def test_the_report_names_no_folder(settle, tmp_path):
    def absolute(record):
        record["config"]["holdout"]["artifacts"] = {"train_groups_csv": "/data/x/train_groups.csv"}

    values, report = settle(manifest=changed(tmp_path, absolute))
    assert "/data" not in json.dumps([values, list(report.values())])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("EPOCHS=0", r"EPOCHS is out of range: expected a whole number in \[1, 100000\], found 0"),
        ("EPOCHS=2.0", "EPOCHS has the wrong type"),
        ("EPOCHS=true", "EPOCHS has the wrong type"),
        ('LEARNING_RATE="0.1"', "LEARNING_RATE has the wrong type: expected a number.*found '0.1'"),
        ("LEARNING_RATE=0", r"expected a number in \(0, 1\]"),
        ("LEARNING_RATE=NaN", "LEARNING_RATE is out of range"),
        ("DROPOUT_RATE=null", "DROPOUT_RATE cannot be empty"),
        ("USE_VSN=1", "USE_VSN has the wrong type: expected true or false"),
        ("QUANTILES=[0.9,0.5,0.1]", "QUANTILES.*sorted levels inside"),
        ("QUANTILES=[0.1,0.9]", "QUANTILES.*contain 0.5"),
        ("QUANTILES=[0.0,0.5]", "QUANTILES"),
        ("PHYSICS_BOUNDS.K_max=1e-13", "expected K_min < K_max, found 1e-12 and 1e-13"),
        ("PHYSICS_BOUNDS.K_mx=1e-6", r"unknown key 'PHYSICS_BOUNDS.K_mx'.*PHYSICS_BOUNDS.K_max"),
        ("SUBS_WEIGHTS.0.2=3", r"weighs levels that are not in QUANTILES.*\['0.2'\]"),
        ("SUBS_WEIGHTS.low=3", "index that is not a number"),
        ("SCALES=[1,1]", "SCALES must name each scale once"),
        ("LAMBDA_OFFSET=0", "LAMBDA_OFFSET is out of range while OFFSET_MODE is mul"),
        ("PHYSICS_RAMP_FRACTION=0.9", r"full strength too late.*0.05 \+ 0.9 = 0.95 \(step 38 of 40\)"),
        ("EPOCHES=3", "unknown key 'EPOCHES'. Did you mean EPOCHS"),
        ("Q_kind=head_rate", "unknown key 'Q_kind'. Did you mean Q_KIND"),
        ("GEOPRIOR_KAPPA_MODE=bat", "expected one of kb, bar.*Did you mean bar"),
        ("EPOCHS.x=3", "EPOCHS has no sub-keys"),
        ("EPOCHS", "is no KEY=VALUE"),
    ],
)
def test_wrong_settings_are_refused_with_the_reason(settle, option, message):
    with pytest.raises(ConfigError, match=message):
        settle(option)


@pytest.mark.parametrize(
    "option",
    ["CALIBRATION_METHOD=isotonic", "ENCODER=transformer", "PHYSICS_BOUNDS_MODE=hard", "ABLATION_RECORDS=true"],
)
def test_what_is_not_offered_is_refused_by_name(settle, option):
    name, _, value = option.partition("=")
    with pytest.raises(ConfigError, match=f"(?i){name} '?{value}'? is not in this version"):
        settle(option)


def test_two_values_for_one_set_key_are_an_error_that_names_both(settle):
    assert settle("EPOCHS=5", "EPOCHS=5")[0]["EPOCHS"] == 5
    with pytest.raises(ConfigError, match="EPOCHS=5 and EPOCHS=6"):
        settle("EPOCHS=5", "EPOCHS=6")
    with pytest.raises(ConfigError, match=r"PHYSICS_BOUNDS.K_max=1e-6 and PHYSICS_BOUNDS=\{"):
        settle("PHYSICS_BOUNDS.K_max=1e-6", 'PHYSICS_BOUNDS={"K_max": 1e-7}')
    with pytest.raises(ConfigError, match=r"SUBS_WEIGHTS\.0\.1=3 and SUBS_WEIGHTS\.0\.10=4"):
        settle("SUBS_WEIGHTS.0.1=3", "SUBS_WEIGHTS.0.10=4")


def test_options_count_as_set(settle):
    assert settle(seed=3)[0]["SEED"] == 3 and settle("SEED=3", seed=3)[1]["SEED"]["source"] == "set"
    with pytest.raises(ConfigError, match="--seed and --set SEED"):
        settle("SEED=4", seed=3)
    file = ConfigLayer(source="file:a.toml", values={"MODEL_NAME": "PoroElasticSubsNet"})
    assert settle(layers=(file,))[0]["MODEL_NAME"] == "PoroElasticSubsNet"
    assert settle(layers=(file,), model="GeoPriorSubsNet")[0]["MODEL_NAME"] == "GeoPriorSubsNet"


def test_steps_become_shares_of_the_planned_steps(settle):
    # 60 windows in batches of 32 are 2 steps an epoch, 40 in 20 epochs
    values, report = settle("PHYSICS_WARMUP_STEPS=4", "PHYSICS_RAMP_STEPS=8")
    assert (values["PHYSICS_WARMUP_FRACTION"], values["PHYSICS_RAMP_FRACTION"]) == (0.1, 0.2)
    assert report["PHYSICS_WARMUP_STEPS"]["used"] and report["PHYSICS_WARMUP_FRACTION"]["source"] == "set"
    with pytest.raises(ConfigError, match=r"500 of 40|step 1000 of 40"):
        settle("PHYSICS_WARMUP_STEPS=500", "PHYSICS_RAMP_STEPS=500")
    with pytest.raises(ConfigError, match="PHYSICS_WARMUP_STEPS and PHYSICS_WARMUP_FRACTION"):
        settle("PHYSICS_WARMUP_STEPS=4", "PHYSICS_WARMUP_FRACTION=0.1")


def test_a_later_share_beats_an_earlier_number_of_steps(settle):
    file = ConfigLayer(source="file:a.toml", values={"PHYSICS_WARMUP_STEPS": 4})
    assert settle("PHYSICS_WARMUP_FRACTION=0.2", layers=(file,))[0]["PHYSICS_WARMUP_FRACTION"] == 0.2


def test_the_full_strength_check_allows_sixty_percent_exactly():
    check_gate(0.3, 0.3)
    with pytest.raises(ConfigError, match=r"at most 0\.60"):
        check_gate(0.3, 0.31)


def test_only_the_variants_of_the_strategy_in_force_count(settle):
    options = ("LAMBDA_Q_DATA_FIRST=1", "LAMBDA_Q_PHYSICS_FIRST=2")
    assert settle(*options)[0]["LAMBDA_Q"] == 1.0
    values, report = settle(*options, "TRAINING_STRATEGY=physics_first")
    assert values["LAMBDA_Q"] == 2.0
    assert report["LAMBDA_Q_DATA_FIRST"]["used"] is False
    assert report["LAMBDA_Q_DATA_FIRST"]["note"] == "only in force while TRAINING_STRATEGY is data_first"


def test_a_later_plain_value_beats_an_earlier_variant(settle):
    file = ConfigLayer(source="file:a.toml", values={"LAMBDA_Q": 0.0, "LAMBDA_Q_DATA_FIRST": 5e-4})
    assert settle(layers=(file,))[0]["LAMBDA_Q"] == 5e-4
    values, report = settle("LAMBDA_Q=0.02", layers=(file,))
    assert values["LAMBDA_Q"] == 0.02 and values["LAMBDA_Q_DATA_FIRST"] is None
    assert {"source": "file:a.toml", "value": 5e-4} in report["LAMBDA_Q_DATA_FIRST"]["overridden"]


def test_defaults_follow_strategy_and_offset_mode(settle):
    assert settle("TRAINING_STRATEGY=physics_first")[0]["LAMBDA_Q"] == 1e-5
    values, _ = settle("OFFSET_MODE=log10")
    assert (values["LAMBDA_OFFSET"], values["LAMBDA_OFFSET_START"], values["LAMBDA_OFFSET_END"]) == (0.0, -1.0, 0.0)


def test_gates_come_from_the_strategy_in_force(settle):
    assert active_gate(Config(settle()[0]), "Q") == ("warmup_off", 2, 6)
    assert active_gate(Config(settle()[0]), "SUBS_RESID") == ("warmup_off", 1, 4)
    first = Config(settle("TRAINING_STRATEGY=physics_first")[0])
    assert active_gate(first, "Q") == active_gate(first, "SUBS_RESID") == ("warmup_off", 5, 5)


def test_defaults_cannot_be_changed_through_what_was_handed_out(settle):
    settle()[0]["QUANTILES"].append(0.99)
    built_in()["PHYSICS_BOUNDS"]["K_max"] = 1.0
    values, _ = settle()
    assert values["QUANTILES"] == [0.1, 0.5, 0.9] and values["PHYSICS_BOUNDS"]["K_max"] == 1e-7


def test_config_tracks_reads_and_refuses_unknown_names():
    cfg = Config(built_in())
    assert cfg["EPOCHS"] == 20 and "EPOCHS" in cfg and cfg.read == frozenset({"EPOCHS"})
    cfg.values()
    assert cfg.read == frozenset({"EPOCHS"})
    with pytest.raises(ConfigError, match=r"unknown key 'EPOCH'\. Did you mean EPOCHS"):
        cfg["EPOCH"]


@given(
    st.sampled_from(sorted(name for name, key in OWNERSHIP.items() if key.kind == "float" and key.owner == "live")),
    st.floats(allow_nan=True, allow_infinity=True),
)
def test_numbers_are_inside_their_range_or_refused(name, value):
    key = OWNERSHIP[name]
    try:
        found = checked(key, value)
    except ConfigError as error:
        assert name in str(error)
        return
    assert key.low <= found <= key.high and (found != key.low or not key.open_low)


@given(st.text(max_size=8), st.sampled_from(["EPOCHS", "LEARNING_RATE", "USE_VSN", "SCALES", "PHYSICS_BOUNDS"]))
def test_a_text_is_never_read_as_another_type(text, name):
    with pytest.raises(ConfigError, match=name):
        checked(OWNERSHIP[name], text)
