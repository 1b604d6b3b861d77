"""Flavours, equations, regimes and architecture settings: each gives a network that forecasts finite numbers."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tasks.subsidence.losses import batch_losses
from tests.subsidence.network.tiny_training import (
    DATA_ONLY,
    LIGHT,
    open_gates,
    shaken,
    targets_of,
    tensors_of,
    twin_case,
    windows_of,
)

STEPS = 3


@pytest.fixture(scope="module")
def data_only():
    """All blocks, no equation."""
    return twin_case(MODEL_NAME="HybridAttn-NoPhysics")


def runs_and_is_finite(case):
    """A forward pass with dropout, one without, and its losses; (network, result, losses)."""
    model = open_gates(shaken(case.network(), spread=0.02))
    windows = windows_of(model, case.train, slice(0, 16))
    inputs = tensors_of(windows.inputs)
    result = model.forward(inputs)
    losses = batch_losses(model, result, targets_of(windows), inputs, case.weights(model))
    noisy = model.forward(inputs, noise=tf.constant([1, 2]))
    for value in (result.subsidence, result.head, losses.total, noisy.subsidence, noisy.head):
        assert np.isfinite(value.numpy()).all()
    assert (np.diff(result.subsidence.numpy(), axis=-1) > 0.0).all()
    return model, result, losses


@pytest.mark.parametrize("settings", [
    {"MODEL_NAME": "HybridAttn-NoPhysics"}, {"PDE_MODE_CONFIG": "none"},
    {"MODEL_NAME": "PoroElasticSubsNet", "PDE_MODE_CONFIG": "none"},
])  # fmt: skip
def test_without_equations_the_forward_path_has_no_physics_term(settings):
    model, result, losses = runs_and_is_finite(twin_case(**LIGHT, **settings))
    assert model.fields is None and result.data is None and result.settlement is None
    assert not [weight.path for weight in model.weights if "fields" in weight.path]
    np.testing.assert_array_equal(result.published.numpy(), result.residual.numpy())
    assert losses.physics is None and float(losses.total) == float(losses.data)


def test_flow_alone_holds_the_head_and_leaves_settlement_to_the_data():
    _, result, losses = runs_and_is_finite(twin_case(**LIGHT, PDE_MODE_CONFIG="gw_flow"))
    np.testing.assert_array_equal(result.settlement.s_phys.numpy(), np.zeros_like(result.published))
    assert float(losses.physics.gw) > 0.0 and float(losses.physics.cons) == 0.0
    assert result.data.log_tau is None and result.data.Q is not None


@pytest.mark.parametrize("settings", [{"PDE_MODE_CONFIG": "consolidation"}, {"MODEL_NAME": "PoroElasticSubsNet"}])
def test_consolidation_alone_has_no_forcing_and_no_aquifer(settings):
    _, result, losses = runs_and_is_finite(twin_case(**LIGHT, **settings))
    assert np.abs(result.settlement.s_phys.numpy()).max() > 0.0
    assert result.data.Q is None and result.data.log_Ka is None
    assert float(losses.physics.gw) == 0.0 and float(losses.physics.cons) > 0.0


def test_both_equations_are_judged_at_once():
    _, result, losses = runs_and_is_finite(twin_case())
    assert float(losses.physics.gw) > 0.0 and float(losses.physics.cons) > 0.0
    assert result.data.Q is not None and result.data.log_tau is not None


def test_one_shared_layer_gives_the_aquifer_the_properties_of_the_clay():
    _, result, _ = runs_and_is_finite(twin_case(**LIGHT, GW_LAYER="shared"))
    np.testing.assert_array_equal(result.data.log_Ka.value.numpy(), result.data.log_K.value.numpy())


@pytest.mark.parametrize("regime", [None, "base", "data_relaxed"])
def test_a_regime_that_allows_a_residual_has_one(regime):
    _, result, _ = runs_and_is_finite(twin_case(**LIGHT, IDENTIFIABILITY_REGIME=regime))
    assert np.abs(result.residual.numpy()).max() > 0.0


@pytest.mark.parametrize("settings", [
    {"IDENTIFIABILITY_REGIME": "anchored"}, {"IDENTIFIABILITY_REGIME": "closure_locked"},
    {"ALLOW_SUBS_RESIDUAL": False},
])  # fmt: skip
def test_without_a_residual_the_physical_mean_is_published(settings):
    _, result, _ = runs_and_is_finite(twin_case(**LIGHT, **settings))
    assert np.abs(result.settlement.s_phys.numpy()).max() > 0.0
    np.testing.assert_array_equal(result.residual.numpy(), np.zeros_like(result.residual))
    np.testing.assert_array_equal(result.published.numpy(), result.settlement.s_phys.numpy())


def test_a_locked_closure_has_no_departure_and_no_weight_for_one():
    model, result, _ = runs_and_is_finite(twin_case(**LIGHT, IDENTIFIABILITY_REGIME="closure_locked"))
    np.testing.assert_array_equal(result.data.dlogtau.numpy(), np.zeros_like(result.published))
    assert "dlogtau" not in model.spec.names


@pytest.mark.parametrize(("regime", "varies"), [(None, False), ("data_relaxed", True)])
def test_relaxed_fields_may_change_with_time_and_others_may_not(regime, varies):
    case = twin_case(**LIGHT, IDENTIFIABILITY_REGIME=regime)
    model = shaken(case.network())
    K = model.forward(tensors_of(windows_of(model, case.val).inputs)).data.log_K.value.numpy()
    assert bool((np.ptp(K, axis=1) > 0.0).any()) is varies


@pytest.mark.parametrize("settings", [{"CONSOLIDATION_MODES": 1}, {"PHYSICS_BOUNDS_MODE": "soft"}])
def test_a_physics_setting_gives_a_network_that_forecasts(settings):
    runs_and_is_finite(twin_case(**LIGHT, PDE_MODE_CONFIG="consolidation", **settings))


@pytest.mark.parametrize("settings", [
    {"USE_VSN": True}, {"USE_BATCH_NORM": True, "USE_VSN": True}, {"USE_RESIDUALS": False}, {"ATTENTION_LEVELS": []},
    {"ATTENTION_LEVELS": ["cross", "hierarchical", "memory"], "SCALES": [1, 2, 3]}, {"NUMBER_HEADS": 3},
    {"QUANTILES": [0.05, 0.25, 0.5, 0.75, 0.95]}, {"QUANTILES": [0.5, 0.9]},
], ids=lambda settings: " ".join(settings))  # fmt: skip
def test_an_architecture_setting_gives_a_network_that_forecasts(settings):
    runs_and_is_finite(twin_case(**{**DATA_ONLY, **settings}))


def test_drivers_of_the_target_steps_alone_are_enough(data_only):
    """Handoffs of the other mode have no history of the future drivers."""
    sem = data_only.sem.model_copy(update={"mode": "pihal_like"})
    splits = {name: replace(split, future=split.future[:, -STEPS:]) for name, split in data_only.splits.items()}
    runs_and_is_finite(replace(data_only, sem=sem, splits=splits))


def test_a_city_without_static_features_or_depth_can_be_forecast(data_only):
    bare = {"static_names": (), "depth_index": None, "z_surf_index": None, "one_hot_blocks": {}}
    sem = data_only.sem.model_copy(update=bare)
    splits = {name: replace(split, static=split.static[:, :0]) for name, split in data_only.splits.items()}
    _, result, _ = runs_and_is_finite(replace(data_only, sem=sem, splits=splits))
    assert result.head.shape == (16, STEPS, 3)


def test_a_city_without_future_drivers_can_be_forecast(data_only):
    sem = data_only.sem.model_copy(update={"future_names": ()})
    splits = {name: replace(split, future=split.future[..., :0]) for name, split in data_only.splits.items()}
    runs_and_is_finite(replace(data_only, sem=sem, splits=splits))
