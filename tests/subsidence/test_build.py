"""The init manifest holds all that rebuilding needs, and refuses what cannot be built."""

import json

import pytest

from tasks.contracts.errors import ConfigError
from tasks.subsidence.build import init_manifest, physics_of, quantile_levels, semantics_of
from tests.subsidence.tiny_network import NO_PHYSICS, tiny_config, tiny_semantics


def test_the_manifest_has_the_public_keys_and_survives_json():
    manifest = init_manifest(tiny_semantics(), tiny_config())
    assert manifest["model_class"] == "GeoPriorSubsNet"
    assert manifest["dims"] == {
        "static_input_dim": 3, "dynamic_input_dim": 4, "future_input_dim": 1, "output_subsidence_dim": 1,
        "output_gwl_dim": 1, "forecast_horizon": 2,
    }  # fmt: skip
    assert set(manifest["config"]["geoprior"]) == {
        "init_mv", "init_kappa", "gamma_w", "h_ref_value", "h_ref_mode", "kappa_mode", "use_effective_h", "hd_factor",
        "offset_mode",
    }  # fmt: skip
    again = json.loads(json.dumps(manifest))
    assert again == manifest
    assert semantics_of(again) == tiny_semantics()
    assert physics_of(again).pde_mode == "both"


def test_a_fixed_reference_head_is_recorded_with_its_value():
    geoprior = init_manifest(tiny_semantics(), tiny_config(GEOPRIOR_H_REF=1.5))["config"]["geoprior"]
    assert (geoprior["h_ref_mode"], geoprior["h_ref_value"]) == ("fixed", 1.5)


def test_neighbour_context_is_labelled_as_filling_space():
    assert init_manifest(tiny_semantics(), tiny_config(NEIGHBOUR_CONTEXT=4))["protocol"] == "spatial_fill"
    assert init_manifest(tiny_semantics(), tiny_config())["protocol"] == "forecast"


def test_point_forecasts_have_the_median_alone():
    assert quantile_levels(None) == (0.5,)
    assert quantile_levels([0.5]) == (0.5,)


@pytest.mark.parametrize("levels", [[0.1, 0.9], [0.9, 0.5, 0.1], [0.0, 0.5], [0.5, 0.5]])
def test_levels_without_order_or_median_are_refused(levels):
    with pytest.raises(ConfigError, match="QUANTILES"):
        quantile_levels(levels)


def test_an_unknown_flavour_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="GeoPriorSubsNet"):
        init_manifest(tiny_semantics(), tiny_config(MODEL_NAME="GeoPriorNet"))


def test_physics_needs_the_depth_and_the_plain_network_does_not():
    blind = tiny_semantics(depth_index=None)
    with pytest.raises(ConfigError, match="depth to groundwater"):
        init_manifest(blind, tiny_config())
    assert init_manifest(blind, tiny_config(**NO_PHYSICS))["fields"]["layers"] == []


def test_the_plain_network_takes_no_equations():
    with pytest.raises(ConfigError, match="PDE_MODE_CONFIG none"):
        init_manifest(tiny_semantics(), tiny_config(MODEL_NAME="HybridAttn-NoPhysics"))
