"""The network: quantiles that cannot cross, a median that is the physical mean, features of every step."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.subsidence.ground.residuals import consolidation
from tasks.subsidence.losses import batch_losses, data_loss
from tasks.subsidence.network.checkpoints import put_values, values_of
from tasks.subsidence.network.heads import Widths
from tests.subsidence.network.tiny_training import (
    DATA_ONLY,
    LIGHT,
    open_gates,
    shaken,
    slopes,
    targets_of,
    tensors_of,
    twin_case,
    windows_of,
)

LEVELS = st.lists(st.integers(1, 99).filter(lambda level: level != 50), max_size=8, unique=True).map(
    lambda levels: sorted([*(level / 100 for level in levels), 0.5])
)
STEPS = 3


def forward(model, split, rows=slice(None), **changes):
    """One pass over windows of a split; `changes` replace inputs."""
    return model.forward(tensors_of({**windows_of(model, split, rows).inputs, **changes}))


@pytest.fixture(scope="module")
def whole():
    """All blocks, both equations."""
    return twin_case()


@pytest.fixture(scope="module")
def light():
    return twin_case(**LIGHT)


@pytest.fixture(scope="module")
def data_only():
    """All blocks, no equation."""
    return twin_case(MODEL_NAME="HybridAttn-NoPhysics")


@pytest.fixture(scope="module")
def start(light):
    """Values of a network with both equations at the start of training."""
    return values_of(light.started())


@pytest.fixture
def started(light, start):
    """Both equations, at the start of training, all gates open."""
    model = light.network()
    put_values(model, start)
    return open_gates(model)


# Quantiles


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(levels=LEVELS, seed=st.integers(0, 1000))
def test_quantiles_of_a_network_with_random_weights_never_cross(levels, seed):
    case = twin_case(**DATA_ONLY, QUANTILES=levels)
    result = forward(shaken(case.network(), seed, spread=0.3), case.val)
    for values in (result.subsidence, result.head):
        assert values.shape == (len(case.val), STEPS, len(levels))
        assert (np.diff(values.numpy().astype(np.float64), axis=-1) >= 0.0).all()


@settings(max_examples=40, deadline=None)
@given(levels=LEVELS, seed=st.integers(0, 1000), size=st.floats(1e-3, 30.0))
def test_widths_are_positive_and_the_median_stays_where_it_is(levels, seed, size):
    rng = np.random.default_rng(seed)
    widths = Widths(tuple(levels), seed=seed)
    widths.build((None, STEPS, 5))
    features, median = (rng.normal(0, size, shape).astype(np.float32) for shape in ((4, STEPS, 5), (4, STEPS)))
    known = rng.integers(0, 2, (4, STEPS)).astype(np.float32)
    distances = widths.call(tf.constant(features), tf.constant(known), tf.ones((4, STEPS)))
    assert distances.shape == (4, STEPS, len(levels) - 1) and (distances.numpy() >= 0.0).all()
    spread = widths.spread(tf.constant(median), distances).numpy()
    np.testing.assert_array_equal(spread[..., levels.index(0.5)], median)
    assert (np.diff(spread, axis=-1) >= 0.0).all()


def test_interval_width_varies_with_the_features(whole):
    """Width differs between windows, and another static class gives another width."""
    model = shaken(whole.network(), spread=0.05)
    windows = windows_of(model, whole.val)
    width = np.ptp(model.forward(tensors_of(windows.inputs)).subsidence.numpy(), axis=-1)
    assert (width.std(axis=0) > 0.01 * width.mean(axis=0)).all()
    static = windows.inputs["static_features"].copy()
    static[:, [0, 1]] = static[:, [1, 0]]
    other = np.ptp(forward(model, whole.val, static_features=static).subsidence.numpy(), axis=-1)
    moved = (windows.inputs["static_features"] != static).any(axis=1)
    assert moved.any() and (other[moved] != width[moved]).all()


def test_width_is_no_affine_function_of_the_median(whole):
    model = shaken(whole.network(), spread=0.3)
    result = forward(model, whole.train)
    for step in range(STEPS):
        width = np.ptp(result.subsidence.numpy()[:, step], axis=-1)
        assert abs(np.corrcoef(width, result.published.numpy()[:, step])[0, 1]) < 0.99


def test_point_forecasts_have_one_level():
    case = twin_case(**DATA_ONLY, QUANTILES=None)
    model = case.network()
    outputs = model(tensors_of(windows_of(model, case.val).inputs))
    shapes = {name: tuple(array.shape) for name, array in outputs.items()}
    assert shapes == dict.fromkeys(("subs_pred", "gwl_pred"), (len(case.val), STEPS, 1, 1))


# The mean path


def test_the_median_is_the_last_observation_and_the_mean_path(light, started):
    windows = windows_of(shaken(started, spread=0.02), light.val)
    result = started.forward(tensors_of(windows.inputs))
    last = windows.inputs["dynamic_features"][:, -1:, light.sem.subsidence_index]
    np.testing.assert_array_equal(result.subsidence[..., 1].numpy(), (last + result.published).numpy())
    np.testing.assert_array_equal(result.published.numpy(), (result.settlement.s_phys + result.residual).numpy())
    np.testing.assert_array_equal(result.head[..., 1].numpy(), result.head_mean.numpy())


def test_the_equations_are_held_against_the_published_median(light, started):
    result = forward(shaken(started, spread=0.02), light.val)
    np.testing.assert_allclose(result.judged.numpy(), result.published.numpy(), rtol=1e-6, atol=1e-9)


def test_the_gradient_of_the_consolidation_residual_moves_the_median(light, started):
    """It reaches the data path, and a step along it changes q50 and lowers the residual."""
    inputs = tensors_of(windows_of(started, light.train, slice(0, 16)).inputs)
    with tf.GradientTape() as tape:
        result = started.forward(inputs)
        misfit = tf.reduce_mean(tf.square(consolidation(result.settlement, result.judged, started.spec).scaled))
    slope = {path: values for path, values in slopes(tape, misfit, started).items() if "fields" not in path}
    steepest = max(np.abs(values).max() for values in slope.values())
    assert steepest > 0.0
    for weight in started.trainable_variables:
        if weight.path in slope:
            weight.assign(weight.numpy() - 1e-2 * slope[weight.path] / steepest)
    after = started.forward(inputs)
    assert np.abs((after.subsidence - result.subsidence).numpy()[..., 1]).max() > 1e-6
    again = consolidation(after.settlement, after.judged, started.spec).scaled
    assert float(tf.reduce_mean(tf.square(again))) < float(misfit)


def test_a_closed_residual_gate_leaves_the_physical_mean_alone(light, started):
    started.gates["subs_resid"].assign(0.0)
    result = forward(started, light.val)
    np.testing.assert_array_equal(result.published.numpy(), result.settlement.s_phys.numpy())
    np.testing.assert_array_equal(result.residual.numpy(), np.zeros_like(result.residual))


def test_the_forecast_sees_the_fields_that_the_residuals_see_bit_for_bit(light, started):
    """No path may clip or bound a field in its own way."""
    windows = windows_of(started, light.val)
    inputs = tensors_of({**windows.inputs, "known": np.ones_like(windows.inputs["known"])})
    there = [inputs[name] for name in ("coords", "static_features", "H_field")]
    used, told = started.forward(inputs).data, started.fields.bundle(*there)
    for name in ("log_K", "log_Ss", "log_Ka", "log_Sa"):
        pair = (getattr(bundle, name).value.numpy() for bundle in (used, told))
        np.testing.assert_array_equal(*pair, err_msg=name)
    np.testing.assert_array_equal(used.log_tau.numpy(), told.log_tau.numpy())


# Steps and slots


def permuted(inputs, order):
    """The target steps of windows in another order: times, drivers, knowledge and thickness."""
    turned = {name: array.copy() for name, array in inputs.items()}
    for name in ("coords", "known", "H_field"):
        turned[name] = turned[name][:, order]
    turned["future_features"][:, -STEPS:] = turned["future_features"][:, -STEPS:][:, order]
    return turned


@pytest.mark.parametrize("order", [[2, 1, 0], [1, 2, 0]])
def test_permuting_the_steps_ahead_permutes_the_forecast(data_only, order):
    """Steps differ by their drivers and their lead, not by their place in the list."""
    model = shaken(data_only.network(), spread=0.2)
    inputs = windows_of(model, data_only.val).inputs
    inputs["known"][:] = 0.0
    straight = model.forward(tensors_of(inputs))
    turned = model.forward(tensors_of(permuted(inputs, order)))
    for name in ("subsidence", "head"):
        expected = getattr(straight, name).numpy()[:, order]
        assert np.abs(expected - getattr(straight, name).numpy()).max() > 1e-3
        np.testing.assert_allclose(getattr(turned, name).numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("step", range(STEPS))
def test_the_driver_of_a_step_moves_that_step_alone(data_only, step):
    """Features of every step are used, not those of the last one."""
    model = shaken(data_only.network(), spread=0.2)
    inputs = windows_of(model, data_only.val).inputs
    inputs["known"][:] = 0.0
    before = model.forward(tensors_of(inputs)).subsidence.numpy()
    inputs["future_features"][:, -STEPS + step] += 0.5
    moved = np.abs(model.forward(tensors_of(inputs)).subsidence.numpy() - before).max(axis=(0, 2))
    assert moved[step] > 1e-5
    np.testing.assert_allclose(np.delete(moved, step), 0.0, atol=1e-7)


def test_every_memory_slot_learns_something_of_its_own():
    """Slots that start equal stay equal: their gradients must differ, and none may be dead."""
    case = twin_case(**DATA_ONLY)
    model = shaken(case.network(), spread=0.02)
    windows = windows_of(model, case.train, slice(0, 32))
    with tf.GradientTape() as tape:
        loss = data_loss(model, model.forward(tensors_of(windows.inputs)), targets_of(windows), case.weights(model))
    (slots,) = (values for path, values in slopes(tape, loss, model).items() if path.endswith("/memory"))
    assert slots.shape == (4, 8) and (np.abs(slots).max(axis=1) > 0.0).all()
    apart = np.abs(slots[:, None] - slots[None]).max(axis=2)
    assert (apart[~np.eye(4, dtype=bool)] > 0.01 * np.abs(slots).max()).all()


# Flavours, modes, regimes


def runs_and_is_finite(case):
    """One forward pass and its losses; (network, result, losses)."""
    model = open_gates(shaken(case.network(), spread=0.02))
    windows = windows_of(model, case.train, slice(0, 16))
    inputs = tensors_of(windows.inputs)
    result = model.forward(inputs)
    losses = batch_losses(model, result, targets_of(windows), inputs, case.weights(model))
    for value in (result.subsidence, result.head, losses.total):
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


def test_both_equations_are_judged_at_once(whole):
    _, result, losses = runs_and_is_finite(whole)
    assert float(losses.physics.gw) > 0.0 and float(losses.physics.cons) > 0.0
    assert result.data.Q is not None and result.data.log_tau is not None


def test_one_shared_layer_gives_the_aquifer_the_properties_of_the_clay():
    _, result, _ = runs_and_is_finite(twin_case(**LIGHT, GW_LAYER="shared"))
    np.testing.assert_array_equal(result.data.log_Ka.value.numpy(), result.data.log_K.value.numpy())


@pytest.mark.parametrize("regime", [None, "base", "data_relaxed"])
def test_a_regime_that_allows_a_residual_has_one(regime):
    _, result, _ = runs_and_is_finite(twin_case(**LIGHT, IDENTIFIABILITY_REGIME=regime))
    assert np.abs(result.residual.numpy()).max() > 0.0


@pytest.mark.parametrize("regime", ["anchored", "closure_locked"])
def test_an_anchored_regime_publishes_the_physical_mean(regime):
    _, result, _ = runs_and_is_finite(twin_case(**LIGHT, IDENTIFIABILITY_REGIME=regime))
    np.testing.assert_array_equal(result.residual.numpy(), np.zeros_like(result.residual))
    np.testing.assert_array_equal(result.published.numpy(), result.settlement.s_phys.numpy())


def test_a_locked_closure_has_no_departure_and_no_weight_for_one():
    model, result, _ = runs_and_is_finite(twin_case(**LIGHT, IDENTIFIABILITY_REGIME="closure_locked"))
    np.testing.assert_array_equal(result.data.dlogtau.numpy(), np.zeros_like(result.published))
    assert "dlogtau" not in model.spec.names


@pytest.mark.parametrize(("regime", "varies"), [(None, False), ("data_relaxed", True)])
def test_relaxed_fields_may_change_with_time_and_others_may_not(regime, varies):
    case = twin_case(**LIGHT, IDENTIFIABILITY_REGIME=regime)
    K = forward(shaken(case.network()), case.val).data.log_K.value.numpy()
    assert bool((np.ptp(K, axis=1) > 0.0).any()) is varies


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
