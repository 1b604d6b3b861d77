"""The init manifest: complete, plain, and refused where it cannot be built."""

import json

import pytest

from tasks.contracts.errors import ConfigError
from tasks.subsidence.build import init_manifest, physics_of, quantile_levels, semantics_of
from tasks.subsidence.config import Config
from tests.subsidence.network.tiny_training import DATA_ONLY, LIGHT, twin_case

PUBLIC_TOP = {"model_class", "dims", "config"}
PUBLIC_DIMS = {
    "static_input_dim", "dynamic_input_dim", "future_input_dim", "output_subsidence_dim", "output_gwl_dim",
    "forecast_horizon",
}  # fmt: skip
PUBLIC_CONFIG = {
    "quantiles", "pde_mode", "mode", "time_units", "embed_dim", "hidden_units", "lstm_units", "attention_units",
    "num_heads", "dropout_rate", "memory_size", "scales", "use_residuals", "use_batch_norm", "use_vsn", "vsn_units",
    "geoprior", "scaling_kwargs", "identifiability_regime",
}  # fmt: skip
PUBLIC_GEOPRIOR = {
    "init_mv", "init_kappa", "gamma_w", "h_ref_value", "h_ref_mode", "kappa_mode", "use_effective_h", "hd_factor",
    "offset_mode",
}  # fmt: skip
OURS = {"schema_version", "standardisation", "gates", "weights", "fields"}


def changed(case, **values) -> Config:
    """The configuration with values that no check has seen."""
    return Config({**case.cfg.values(), **values})


@pytest.fixture(scope="module")
def case():
    return twin_case(**LIGHT)


def test_every_public_key_is_there(case):
    manifest = case.manifest
    assert set(manifest) >= PUBLIC_TOP | OURS
    assert set(manifest["dims"]) == PUBLIC_DIMS
    assert set(manifest["config"]) >= PUBLIC_CONFIG
    assert set(manifest["config"]["geoprior"]) == PUBLIC_GEOPRIOR
    assert set(manifest["weights"]) == {"file", "sha256"} and manifest["fields"]["layers"]


def test_dimensions_are_those_of_the_handoff(case):
    assert case.manifest["dims"] == {
        "static_input_dim": case.train.static.shape[1], "dynamic_input_dim": case.train.dynamic.shape[2],
        "future_input_dim": case.train.future.shape[2], "output_subsidence_dim": 1, "output_gwl_dim": 1,
        "forecast_horizon": 3,
    }  # fmt: skip


def test_it_is_plain_json_and_equal_for_equal_inputs(case):
    first = json.dumps(init_manifest(case.sem, case.cfg), allow_nan=False)
    assert first == json.dumps(init_manifest(case.sem, case.cfg)) == json.dumps(json.loads(first))


def test_no_place_on_this_machine_is_written_down(case):
    assert "/tmp" not in json.dumps(case.manifest) and "/home/" not in json.dumps(case.manifest)


def test_scaling_and_physics_come_back_from_it(case):
    assert semantics_of(case.manifest) == case.sem
    assert physics_of(case.manifest).to_json() == case.manifest["physics"]


def test_sizes_are_those_of_the_configuration():
    manifest = twin_case(EMBED_DIM=3, LSTM_UNITS=5, NUMBER_HEADS=1, DROPOUT_RATE=0.2, SCALES=[1, 2, 3]).manifest
    config = manifest["config"]
    assert [config[name] for name in ("embed_dim", "lstm_units", "num_heads", "dropout_rate", "scales")] == [
        3, 5, 1, 0.2, [1, 2, 3],
    ]  # fmt: skip


@pytest.mark.parametrize(("flavour", "mode", "kappa"), [
    ("GeoPriorSubsNet", "both", "kb"), ("PoroElasticSubsNet", "consolidation", "bar"),
    ("HybridAttn-NoPhysics", "none", "kb"),
])  # fmt: skip
def test_a_flavour_brings_its_equations(flavour, mode, kappa):
    manifest = twin_case(MODEL_NAME=flavour).manifest
    assert manifest["model_class"] == flavour
    assert (manifest["config"]["pde_mode"], manifest["config"]["geoprior"]["kappa_mode"]) == (mode, kappa)
    assert bool(manifest["fields"]["layers"]) == (mode != "none")


def test_the_poroelastic_flavour_brings_its_own_bounds():
    assert twin_case(MODEL_NAME="PoroElasticSubsNet").manifest["physics"]["bounds"]["K"] == [1e-8, 1e-3]


def test_an_unknown_flavour_is_refused_with_the_nearest_name(case):
    with pytest.raises(ConfigError, match=r"MODEL_NAME is unknown.*GeoPriorSubsnet.*Did you mean GeoPriorSubsNet\?"):
        init_manifest(case.sem, changed(case, MODEL_NAME="GeoPriorSubsnet"))


def test_the_flavour_without_physics_refuses_equations(case):
    with pytest.raises(ConfigError, match="HybridAttn-NoPhysics has no equations: expected PDE_MODE_CONFIG none"):
        init_manifest(case.sem, changed(case, MODEL_NAME="HybridAttn-NoPhysics"))


def test_physics_without_a_depth_to_groundwater_is_refused(case):
    dry = case.sem.model_copy(update={"depth_index": None})
    with pytest.raises(ConfigError, match=r"GeoPriorSubsNet needs the depth to groundwater.*HybridAttn-NoPhysics"):
        init_manifest(dry, case.cfg)
    assert init_manifest(dry, twin_case(**DATA_ONLY).cfg)["model_class"] == "HybridAttn-NoPhysics"


@pytest.mark.parametrize(("given", "levels"), [
    (None, (0.5,)), ([0.5], (0.5,)), ([0.1, 0.5, 0.9], (0.1, 0.5, 0.9)), ([0.02, 0.5], (0.02, 0.5)),
])  # fmt: skip
def test_levels_are_taken_as_given_and_null_means_the_median(given, levels):
    assert quantile_levels(given) == levels


@pytest.mark.parametrize("levels", [
    [0.9, 0.5, 0.1], [0.1, 0.9], [0.0, 0.5, 1.0], [0.5, 0.5], [0.1, 0.5, 0.5, 0.9], [-0.1, 0.5], [0.5, 1.2],
])  # fmt: skip
def test_levels_that_are_unsorted_doubled_outside_or_without_median_are_refused(levels):
    with pytest.raises(ConfigError, match=r"QUANTILES levels must ascend strictly inside \(0, 1\) and hold the median"):
        quantile_levels(levels)


@pytest.mark.parametrize(("settings", "allowed"), [
    ({}, True),
    ({"ALLOW_SUBS_RESIDUAL": False}, False),
    ({"IDENTIFIABILITY_REGIME": "anchored"}, False),
    ({"IDENTIFIABILITY_REGIME": "closure_locked"}, False),
    ({"IDENTIFIABILITY_REGIME": "data_relaxed"}, True),
    ({"ALLOW_SUBS_RESIDUAL": False, "PDE_MODE_CONFIG": "gw_flow"}, True),  # nothing else would forecast settlement
    ({"ALLOW_SUBS_RESIDUAL": False, "MODEL_NAME": "HybridAttn-NoPhysics"}, True),
])  # fmt: skip
def test_the_residual_may_be_forbidden_only_where_physics_forecasts_settlement(settings, allowed):
    assert twin_case(**settings).manifest["residual_allowed"] is allowed


@pytest.mark.parametrize(("count", "protocol"), [(0, "forecast"), (4, "spatial_fill")])
def test_neighbours_change_the_protocol(count, protocol):
    manifest = twin_case(NEIGHBOUR_CONTEXT=count).manifest
    assert (manifest["neighbour_context"], manifest["protocol"]) == (count, protocol)


def test_a_fixed_reference_head_is_a_value_and_a_rule_is_a_mode():
    fixed, ruled = (twin_case(GEOPRIOR_H_REF=value).manifest["config"]["geoprior"] for value in (2.5, "last"))
    assert (fixed["h_ref_mode"], fixed["h_ref_value"]) == ("fixed", 2.5)
    assert (ruled["h_ref_mode"], ruled["h_ref_value"]) == ("last", 0.0)
