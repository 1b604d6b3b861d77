"""The network: quantiles that cannot cross, a median that is the physical mean, features of every step."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import ConfigError
from tasks.subsidence.ground.residuals import consolidation
from tasks.subsidence.losses import data_loss
from tasks.subsidence.model import CLASSES, architecture, damped, rebuild
from tasks.subsidence.network.checkpoints import put_values, values_of
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
FIELDS = {"fields", "space", "spacetime"}  # first parts of the paths of their weights


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
@given(levels=LEVELS, seed=st.integers(0, 1000), spread=st.sampled_from([0.1, 0.3, 2.0]))
def test_quantiles_of_a_network_with_random_weights_never_cross(levels, seed, spread):
    case = twin_case(**DATA_ONLY, QUANTILES=levels)
    result = forward(shaken(case.network(), seed, spread), case.val)
    for values in (result.subsidence, result.head):
        assert values.shape == (len(case.val), STEPS, len(levels))
        assert (np.diff(values.numpy().astype(np.float64), axis=-1) >= 0.0).all()


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
    """It reaches the fields and the data path; a step along the latter changes q50 and lowers the residual."""
    inputs = tensors_of(windows_of(started, light.train, slice(0, 16)).inputs)
    with tf.GradientTape() as tape:
        result = started.forward(inputs)
        misfit = tf.reduce_mean(tf.square(consolidation(result.settlement, result.judged, started.spec).scaled))
    every = slopes(tape, misfit, started)
    for weight in (started.fields.space.kernels[2], started.in_years.bias):
        assert np.abs(every[weight.path]).max() > 0.0
    slope = {path: values for path, values in every.items() if path.split("/")[0] not in FIELDS}
    steepest = max(np.abs(values).max() for values in slope.values())
    for weight in started.trainable_variables:
        if weight.path in slope:
            weight.assign(weight.numpy() - 1e-2 * slope[weight.path] / steepest)
    after = started.forward(inputs)
    assert np.abs((after.subsidence - result.subsidence).numpy()[..., 1]).max() > 1e-6
    again = consolidation(after.settlement, after.judged, started.spec).scaled
    assert float(tf.reduce_mean(tf.square(again))) < float(misfit)


@pytest.mark.parametrize(("gate", "learns"), [(0.0, False), (0.5, False), (1.0, True)])
def test_the_residual_gate_holds_back_what_the_data_path_adds_and_what_it_learns(light, started, gate, learns):
    """Closed, it leaves the physical mean alone; the data path learns once it is fully open."""
    model = shaken(started, spread=0.02)
    model.gates["subs_resid"].assign(gate)
    with tf.GradientTape() as tape:
        result = forward(model, light.val)
        settled = tf.reduce_sum(result.published)
    assert bool(np.abs(slopes(tape, settled, model)[model.in_years.bias.path]).max() > 0.0) is learns
    assert bool((result.residual.numpy() != 0.0).any()) is (gate > 0.0)
    if gate == 0.0:
        np.testing.assert_array_equal(result.published.numpy(), result.settlement.s_phys.numpy())


def test_what_physics_explains_decides_how_hard_it_pulls():
    value = tf.Variable([2.0, 3.0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(damped(value, 0.25) ** 2)
    np.testing.assert_allclose(tape.gradient(loss, value), [1.0, 1.5])
    np.testing.assert_allclose(loss, 13.0)


def test_settlement_does_not_bend_the_heads(light, started):
    model = shaken(started)
    with tf.GradientTape() as tape:
        settled = tf.reduce_sum(forward(model, light.train).settlement.s_phys)
    found = slopes(tape, settled, model)
    gradient = found[model.fields.spacetime.kernels[2].path]
    assert np.abs(gradient[model.spec.spacetime_names.index("h")]).max() == 0.0
    assert np.abs(found[model.fields.space.kernels[2].path]).max() > 0.0


def test_beyond_the_train_years_the_head_field_stands_still(light, started):
    model = shaken(started, spread=0.3)
    ahead, inside = (forward(model, light.splits[name]).data.h.value.numpy() for name in ("future", "train"))
    np.testing.assert_allclose(ahead, ahead[:, :1] + np.zeros((1, STEPS)), atol=1e-5)
    assert np.abs(inside[:, 0] - inside[:, 1]).max() > 1e-3


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


def test_permuting_the_steps_of_the_train_years_permutes_their_features(data_only):
    model = shaken(data_only.network(), spread=0.2)
    inputs = windows_of(model, data_only.train).inputs
    assert inputs["known"].min() == 1.0
    straight, turned = (
        model.trunk.call(model.features(tensors_of(each), model.common)).numpy()
        for each in (inputs, permuted(inputs, [2, 1, 0]))
    )
    assert np.abs(straight[:, 0] - straight[:, 1]).max() > 1e-3
    np.testing.assert_allclose(turned, straight[:, ::-1], rtol=0, atol=1e-5)


def test_without_drivers_steps_of_the_train_years_differ_by_their_lead_alone(data_only):
    sem = data_only.sem.model_copy(update={"future_names": ()})
    splits = {name: replace(split, future=split.future[..., :0]) for name, split in data_only.splits.items()}
    case = replace(data_only, sem=sem, splits=splits)
    model = shaken(case.network(), spread=0.2)
    inputs = windows_of(model, case.train).inputs
    straight, turned = (
        model.forward(tensors_of(each)).subsidence.numpy() for each in (inputs, permuted(inputs, [2, 1, 0]))
    )
    np.testing.assert_allclose(turned, straight[:, ::-1], rtol=0, atol=1e-5)


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


# Rebuilding


def test_equal_manifests_give_equal_weights_and_another_seed_others(light):
    first, second = light.network(), rebuild(light.manifest)
    for one, two in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy(), err_msg=one.path)
    other = twin_case(**LIGHT, SEED=7).network()
    kernels = [(a.numpy(), b.numpy()) for a, b in zip(first.weights, other.weights, strict=True) if "kernel" in a.path]
    assert sum(bool((a != b).any()) for a, b in kernels) > len(kernels) / 2


def test_no_two_kernels_of_one_network_start_equal():
    model, seen = twin_case().network(), {}
    for weight in model.trainable_variables:
        if weight.numpy().std() > 0 and weight.shape.rank > 1:
            seen.setdefault(weight.numpy().tobytes(), []).append(weight.path)
    assert [paths for paths in seen.values() if len(paths) > 1] == []


def test_an_unknown_class_in_a_manifest_is_refused(light):
    with pytest.raises(ConfigError, match=r"model_class is unknown: expected GeoPriorSubsNet or .*TransFlow"):
        rebuild({**light.manifest, "model_class": "TransFlowSubsNet"})


@pytest.mark.parametrize("flavour", list(CLASSES))
def test_a_flavour_is_rebuilt_as_its_own_class(flavour):
    assert type(twin_case(**LIGHT, MODEL_NAME=flavour).network()) is CLASSES[flavour]


def test_the_architecture_lists_every_weight_once_and_counts_what_is_trained(light):
    model, found = light.network(), architecture(light.manifest)
    assert [row["path"] for row in found["layers"]] == [weight.path for weight in model.weights]
    assert len({row["path"] for row in found["layers"]}) == len(model.weights)
    assert found["trainable_parameters"] == sum(weight.numpy().size for weight in model.trainable_variables)
    assert not {row["path"] for row in found["layers"] if "gate_" in row["path"] and row["trainable"]}


def test_keras_alone_rebuilds_the_network_from_the_architecture(light):
    again = keras.models.model_from_json(json.dumps(architecture(light.manifest)["keras"]))
    assert type(again) is CLASSES["GeoPriorSubsNet"]
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in light.network().weights]


def test_no_code_is_hidden_in_the_architecture(light):
    assert "Lambda" not in json.dumps(architecture(light.manifest))
