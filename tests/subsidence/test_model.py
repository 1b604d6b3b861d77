"""One forward pass: monotone quantiles, per-step features, a median that equations can move, equal rebuilds."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tasks.contracts.errors import ConfigError
from tasks.subsidence.ground.residuals import physics_losses
from tasks.subsidence.model import GeoPriorSubsNet, architecture, damped, rebuild
from tasks.subsidence.network.blocks import SeededDropout
from tasks.subsidence.network.origins import stored_windows
from tasks.subsidence.network.start import add_neighbours, bank_rows
from tests.subsidence.tiny_network import NO_PHYSICS, H, tiny_manifest, tiny_semantics, tiny_split

ALL_LEVELS = {"ATTENTION_LEVELS": ["cross", "hierarchical", "memory"], "SCALES": [1, 2]}


def network(sem=None, **changes):
    return rebuild(tiny_manifest(sem, **{**ALL_LEVELS, **changes}))


def batch(name: str = "train", sem=None, known_until: float = 1.0) -> dict[str, tf.Tensor]:
    sem = sem or tiny_semantics()
    windows = stored_windows(tiny_split(name, sem), sem, known_until)
    return {key: tf.constant(array) for key, array in windows.inputs.items()}


def shake(model, scale: float = 1.0, seed: int = 0) -> None:
    """Random weights everywhere, so that nothing is zero or equal by construction."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign(scale * rng.standard_normal(weight.shape))


@pytest.mark.parametrize("levels", [[0.1, 0.5, 0.9], [0.05, 0.25, 0.5, 0.6, 0.75, 0.95], [0.5, 0.9]])
def test_quantiles_never_cross_on_random_weights(levels):
    model = network(QUANTILES=levels, **NO_PHYSICS)
    for seed, scale in enumerate((0.1, 0.3, 2.0)):
        shake(model, scale, seed)
        result = model.forward(batch())
        for forecast in (result.subsidence.numpy(), result.head.numpy()):
            assert forecast.shape[-1] == len(levels)
            assert (np.diff(forecast, axis=-1) >= 0).all()
            assert scale > 1 or (np.diff(forecast, axis=-1) > 0).all()


def test_widths_differ_between_windows():
    model = network(**NO_PHYSICS)
    shake(model, 0.5)
    width = np.ptp(model.forward(batch()).subsidence.numpy(), axis=-1)
    assert width.std() > 0.05 * width.mean()


def test_the_median_is_the_mean_path():
    model = network()
    shake(model, 0.1)
    result = model.forward(batch())
    last = tiny_split("train").dynamic[:, -1:, 1]
    np.testing.assert_allclose(result.subsidence.numpy()[:, :, 1], last + result.published.numpy(), atol=1e-7)
    physical = result.settlement.s_phys.numpy()
    np.testing.assert_allclose(result.published.numpy(), physical + result.residual.numpy(), atol=1e-7)


def test_the_consolidation_residual_moves_the_median_and_the_fields():
    model = network()
    shake(model, 0.1)
    with tf.GradientTape() as tape:
        result = model.forward(batch())
        loss = physics_losses(result.data, None, result.settlement, result.judged, model.spec).cons
    sources = [model.in_years.bias, model.fields.space.kernels[2]]
    into_median, into_fields = tape.gradient(loss, [getattr(source, "value", source) for source in sources])
    assert np.abs(into_median.numpy()).max() > 0
    assert np.abs(into_fields.numpy()).max() > 0


def test_what_physics_explains_decides_how_hard_it_pulls():
    value = tf.Variable([2.0, 3.0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(damped(value, 0.25) ** 2)
    np.testing.assert_allclose(tape.gradient(loss, value), [1.0, 1.5])
    np.testing.assert_allclose(loss, 13.0)


def test_settlement_does_not_bend_the_heads():
    model = network()
    shake(model, 0.1)
    with tf.GradientTape() as tape:
        settled = tf.reduce_sum(model.forward(batch()).settlement.s_phys)
    heads = model.fields.spacetime.kernels[2]
    gradient = tape.gradient(settled, getattr(heads, "value", heads), unconnected_gradients="zero").numpy()
    assert gradient[model.spec.spacetime_names.index("h")].max() == 0


def test_permuting_the_steps_permutes_the_outputs():
    model = network(**NO_PHYSICS)
    shake(model, 0.3)
    inputs = batch()
    turned = dict(inputs)
    for name in ("coords", "H_field", "known"):
        turned[name] = tf.reverse(inputs[name], [1])
    drivers = inputs["future_features"]
    turned["future_features"] = tf.concat([drivers[:, :-H], tf.reverse(drivers[:, -H:], [1])], axis=1)
    seen, turned_seen = (model.features(each, model.common) for each in (inputs, turned))
    features, turned_features = (model.trunk.call(each).numpy() for each in (seen, turned_seen))
    assert np.abs(features[:, 0] - features[:, 1]).max() > 1e-3
    np.testing.assert_allclose(turned_features, features[:, ::-1], atol=1e-5)


def test_the_plain_network_forecasts_each_step_by_its_lead_not_by_its_place():
    sem = tiny_semantics(future_names=())
    model = network(sem, **NO_PHYSICS)
    shake(model, 0.3)
    inputs = batch(sem=sem) | {"future_features": tf.zeros((40, 6, 0))}
    turned = inputs | {name: tf.reverse(inputs[name], [1]) for name in ("coords", "H_field", "known")}
    straight, reversed_ = (model.forward(each).subsidence.numpy() for each in (inputs, turned))
    np.testing.assert_allclose(reversed_, straight[:, ::-1], atol=1e-5)


def test_memory_slots_learn_apart():
    model = network(ATTENTION_LEVELS=["memory"], **NO_PHYSICS)
    model.from_features.kernel.assign(np.random.default_rng(0).standard_normal(model.from_features.kernel.shape))
    memory = model.trunk.attend.parts[0].memory
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.forward(batch()).published ** 2)
    gradient = tape.gradient(loss, getattr(memory, "value", memory)).numpy()
    assert np.abs(gradient).min(axis=1).max() > 0
    for a in range(3):
        for b in range(a):
            assert np.abs(gradient[a] - gradient[b]).max() > 1e-3 * np.abs(gradient).max()


def test_the_two_windows_of_hierarchical_attention_see_different_steps():
    model = network(ATTENTION_LEVELS=["hierarchical"], **NO_PHYSICS)
    level = model.trunk.attend.parts[0]
    queries = tf.constant(np.random.default_rng(0).standard_normal((2, H, 8)), tf.float32)
    history = np.random.default_rng(1).standard_normal((2, 4, 9)).astype(np.float32)
    changed = history.copy()
    changed[:, 0] += 1.0
    mask = tf.ones((2, 4))
    young = tf.constant([[0.0, 0.0, 1.0, 1.0]] * 2)
    before, after = (level.short.call(queries, tf.constant(each), mask * young) for each in (history, changed))
    np.testing.assert_array_equal(before, after)
    before, after = (level.long.call(queries, tf.constant(each), mask) for each in (history, changed))
    assert np.abs((before - after).numpy()).max() > 0


def test_unobserved_steps_do_not_count():
    model = network(**NO_PHYSICS)
    shake(model, 0.3)
    inputs = batch() | {"history_mask": tf.constant(np.tile([0.0, 1, 1, 1], (40, 1)), tf.float32)}
    inputs["known"] = tf.zeros((40, H))
    spoilt = inputs["dynamic_features"].numpy().copy()
    spoilt[:, 0] = 99.0
    before, after = model.forward(inputs), model.forward(inputs | {"dynamic_features": tf.constant(spoilt)})
    np.testing.assert_allclose(after.subsidence.numpy(), before.subsidence.numpy(), atol=1e-6)


def test_places_know_the_target_years_only_where_they_are_known():
    model = network(**NO_PHYSICS)
    shake(model, 0.3)
    moved = batch()
    moved["coords"] = moved["coords"] + tf.constant([0.0, 0.3, 0.1])
    hidden = {"known": tf.zeros((40, H))}
    seen = model.forward(moved).subsidence.numpy() - model.forward(batch()).subsidence.numpy()
    unseen = model.forward(moved | hidden).subsidence.numpy() - model.forward(batch() | hidden).subsidence.numpy()
    assert np.abs(seen).max() > 1e-4
    assert np.abs(unseen).max() == 0


def test_the_gate_holds_back_what_the_data_path_adds_and_what_it_learns():
    model = network()
    shake(model, 0.1)
    gradients = {}
    for gate in (0.0, 0.5, 1.0):
        model.gates["subs_resid"].assign(gate)
        with tf.GradientTape() as tape:
            result = model.forward(batch())
            settled = tf.reduce_sum(result.published)
        weight = model.in_years.bias
        gradients[gate] = np.abs(tape.gradient(settled, getattr(weight, "value", weight)).numpy()).max()
        if gate == 0.0:
            np.testing.assert_array_equal(result.published, result.settlement.s_phys)
    assert gradients[0.0] == gradients[0.5] == 0 < gradients[1.0]


def test_a_regime_without_residual_forecasts_the_physical_mean():
    model = network(ALLOW_SUBS_RESIDUAL=False)
    shake(model, 0.1)
    result = model.forward(batch())
    assert np.abs(result.residual.numpy()).max() == 0
    assert np.abs(result.settlement.s_phys.numpy()).max() > 0


def test_beyond_the_train_years_the_fields_stand_still():
    model = network()
    shake(model, 0.3)
    future = model.forward(batch("future"))
    head = future.data.h.value.numpy()
    np.testing.assert_allclose(head[:, 0], head[:, 1], atol=1e-5)
    inside = model.forward(batch("train")).data.h.value.numpy()
    assert np.abs(inside[:, 0] - inside[:, 1]).max() > 1e-3


def test_physics_off_leaves_no_physics_in_the_forward_path():
    model = network(PDE_MODE_CONFIG="none")
    result = model.forward(batch())
    assert model.fields is None and result.data is None and result.settlement is None


@pytest.mark.parametrize(
    "changes",
    [
        {"PDE_MODE_CONFIG": "gw_flow"},
        {"PDE_MODE_CONFIG": "consolidation", "MODEL_NAME": "PoroElasticSubsNet", "GEOPRIOR_KAPPA_MODE": "bar"},
        {"IDENTIFIABILITY_REGIME": "closure_locked"},
        {"IDENTIFIABILITY_REGIME": "data_relaxed"},
        {"GW_LAYER": "shared"},
        {"USE_VSN": False},
        {"USE_RESIDUALS": False},
        {"USE_BATCH_NORM": True},
        {"QUANTILES": None},
        {"CONSOLIDATION_MODES": 1},
        {"PHYSICS_BOUNDS_MODE": "soft"},
    ],
)
def test_every_variant_forecasts_finite_numbers(changes):
    model = network(**changes)
    result = model.forward(batch(), noise=tf.constant([1, 2]))
    assert np.isfinite(result.subsidence.numpy()).all()
    assert np.isfinite(result.head.numpy()).all()


def test_networks_need_neither_depth_nor_drivers_without_physics():
    sem = tiny_semantics(depth_index=None, z_surf_index=None)
    result = network(sem, **NO_PHYSICS).forward(batch(sem=sem))
    assert np.isfinite(result.subsidence.numpy()).all()


def test_pihal_windows_have_drivers_of_the_target_steps_only():
    sem = tiny_semantics(mode="pihal_like")
    result = network(sem, **NO_PHYSICS).forward(batch(sem=sem))
    assert np.isfinite(result.subsidence.numpy()).all()


def test_neighbours_start_as_inverse_distance_weights_of_residuals():
    manifest, train = tiny_manifest(NEIGHBOUR_CONTEXT=2, **NO_PHYSICS), tiny_split("train")
    model = rebuild(manifest, bank_rows(manifest, train))
    xy = np.arange(40)[:, None] * np.array([[100.0, 0.0]])
    increments = np.zeros((40, H, 2))
    increments[:, :, 0] = np.arange(40)[:, None]
    model.around.fill(xy, np.zeros((40, model.features.flat_size())), increments)
    index, distance = tf.constant([[3, 4]]), tf.constant([[100.0, 200.0]])
    nothing = lambda rows: tf.zeros((tf.shape(rows)[0], H, 2))  # noqa: E731
    mixed = model.around.call(tf.zeros((1, model.features.flat_size())), index, distance, tf.ones((1, 2)), nothing)
    np.testing.assert_allclose(mixed.numpy()[0, :, 0], (3 * 4 + 4) / 5, rtol=1e-5)
    alone = model.around.call(tf.zeros((1, model.features.flat_size())), index, distance, tf.zeros((1, 2)), nothing)
    np.testing.assert_array_equal(alone, np.zeros((1, H, 2)))


def test_a_place_is_never_its_own_neighbour():
    manifest, train, sem = tiny_manifest(NEIGHBOUR_CONTEXT=3, **NO_PHYSICS), tiny_split("train"), tiny_semantics()
    model = rebuild(manifest, bank_rows(manifest, train))
    model.around.xy.assign(train.coords[:, 0, 1:] * [8_000.0, 6_000.0])
    windows = add_neighbours(model, stored_windows(train, sem, 1.0))
    assert (windows.inputs["neighbour_index"] != np.arange(40)[:, None]).all()
    assert windows.inputs["neighbour_distance"].min() > 0.5


def test_equal_manifests_give_equal_weights_and_other_seeds_others():
    first, again = network(), network()
    for a, b in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    other = rebuild({**tiny_manifest(**ALL_LEVELS), "seed": 43})
    assert any((np.array(a) != np.array(b)).any() for a, b in zip(first.weights, other.weights, strict=True))


def test_an_unknown_class_is_refused():
    with pytest.raises(ConfigError, match="model_class"):
        rebuild({**tiny_manifest(), "model_class": "Other"})


def test_the_architecture_lists_every_weight():
    content = architecture(tiny_manifest())
    json.dumps(content)
    model = rebuild(tiny_manifest())
    assert [row["path"] for row in content["layers"]] == [weight.path for weight in model.weights]
    assert content["trainable_parameters"] == sum(int(np.prod(w.shape)) for w in model.trainable_variables)
    assert content["keras"]["class_name"] == "GeoPriorSubsNet"
    assert "Lambda" not in json.dumps(content["keras"])


def test_other_tools_can_load_the_keras_archive(tmp_path):
    model = network()
    shake(model, 0.1)
    model.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    assert isinstance(loaded, GeoPriorSubsNet)
    np.testing.assert_array_equal(loaded(batch())["subs_pred"], model(batch())["subs_pred"])


def test_dropout_is_a_function_of_seed_and_step():
    drop = SeededDropout(0.5, salt=3)
    values = tf.ones((100,))
    np.testing.assert_array_equal(drop(values, tf.constant([1, 7])), drop(values, tf.constant([1, 7])))
    assert (drop(values, tf.constant([1, 7])).numpy() != drop(values, tf.constant([1, 8])).numpy()).any()
    np.testing.assert_array_equal(drop(values, None), values)
