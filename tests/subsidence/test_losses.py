"""Pinball and physics losses, their weights, and the scores that the log shows."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from tasks.contracts.errors import ConfigError
from tasks.subsidence.losses import (
    Targets,
    batch_losses,
    crps_weights,
    data_loss,
    loss_weights,
    masked_mean,
    physics_multiplier,
    pinball,
    scores,
)
from tasks.subsidence.model import rebuild
from tasks.subsidence.network.origins import stored_windows
from tests.subsidence.tiny_network import NO_PHYSICS, H, tiny_config, tiny_manifest, tiny_semantics, tiny_split

LEVELS = (0.1, 0.5, 0.9)


def prepared(**changes):
    model = rebuild(tiny_manifest(**changes))
    windows = stored_windows(tiny_split("train"), tiny_semantics(), 1.0)
    inputs = {name: tf.constant(array) for name, array in windows.inputs.items()}
    truth = Targets(*(tf.constant(a) for a in (windows.subsidence, windows.head, windows.weight)), rows=tf.ones(40))
    return model, inputs, truth


def test_pinball_weighs_the_two_sides_by_the_level():
    loss = pinball(tf.constant([[[1.0, 1.0, 1.0]]]), tf.constant([[3.0]]), LEVELS)
    np.testing.assert_allclose(loss[0, 0], [0.2, 1.0, 1.8], rtol=1e-6)
    loss = pinball(tf.constant([[[3.0, 3.0, 3.0]]]), tf.constant([[1.0]]), LEVELS)
    np.testing.assert_allclose(loss[0, 0], [1.8, 1.0, 0.2], rtol=1e-6)


def test_crps_of_many_gaussian_levels_is_the_closed_form():
    levels = tuple(np.arange(1, 100) / 100)
    forecast = tf.constant(norm.ppf(levels)[None, None], tf.float64)
    truth = 0.7
    loss = pinball(forecast, tf.constant([[truth]], tf.float64), levels).numpy()[0, 0]
    exact = truth * (2 * norm.cdf(truth) - 1) + 2 * norm.pdf(truth) - 1 / np.sqrt(np.pi)
    assert 2 * crps_weights(levels) @ loss == pytest.approx(exact, rel=0.01)


def test_crps_of_the_median_alone_is_the_absolute_error():
    np.testing.assert_array_equal(crps_weights((0.5,)), [1.0])
    np.testing.assert_allclose(crps_weights(LEVELS), [0.3, 0.4, 0.3])


def test_level_weights_are_normalised_and_keep_the_median_heavy():
    assert loss_weights(LEVELS, tiny_config()).subsidence == pytest.approx((1 / 3,) * 3)
    five = loss_weights((0.1, 0.25, 0.5, 0.75, 0.9), tiny_config()).subsidence
    assert five[2] == pytest.approx(1 / 3)
    given = loss_weights(LEVELS, tiny_config(SUBS_WEIGHTS={"0.1": 3.0, "0.9": 3.0})).subsidence
    assert given == pytest.approx((3 / 7, 1 / 7, 3 / 7))


def test_a_weight_for_a_level_that_is_not_forecast_is_refused():
    with pytest.raises(ConfigError, match="SUBS_WEIGHTS names levels that are not forecast"):
        loss_weights(LEVELS, tiny_config(SUBS_WEIGHTS={"0.2": 1.0}))


def test_each_lambda_reaches_its_loss():
    weights = loss_weights(LEVELS, tiny_config(LAMBDA_CONS=7.0, LAMBDA_MV=2.0, MV_WEIGHT=0.5, LOSS_WEIGHT_GWL=0.25))
    assert weights.physics["cons"] == 7.0
    assert weights.physics["mv"] == 1.0
    assert weights.gwl == 0.25


def test_data_loss_is_standardised_and_ignores_unknown_targets():
    model, inputs, truth = prepared(**NO_PHYSICS)
    weights = loss_weights(LEVELS, tiny_config())
    result = model.forward(inputs)
    first = truth._replace(weight=tf.concat([tf.ones((1, H)), tf.zeros((39, H))], axis=0))
    spoilt = first._replace(subsidence=tf.concat([truth.subsidence[:1], truth.subsidence[1:] + 9.0], axis=0))
    assert float(data_loss(model, result, first, weights)) == float(data_loss(model, result, spoilt, weights))
    assert 0.05 < float(data_loss(model, result, truth, weights)) < 20


def test_both_targets_have_a_say_at_the_start():
    model, inputs, truth = prepared(**NO_PHYSICS)
    weights = loss_weights(LEVELS, tiny_config())
    result = model.forward(inputs)
    perfect = result._replace(head=truth.head[..., None] + tf.zeros(3))
    both, subsidence = (float(data_loss(model, each, truth, weights)) for each in (result, perfect))
    assert 1 / 3 < subsidence / (both - subsidence) * weights.gwl < 3


def test_physics_enters_with_its_gate_multiplier_and_weights():
    model, inputs, truth = prepared()
    shut = batch_losses(model, model.forward(inputs), truth, inputs, loss_weights(LEVELS, tiny_config()))
    model.gates["physics"].assign(0.5)
    model.gates["offset"].assign(2.0)
    weights = loss_weights(LEVELS, tiny_config(LAMBDA_Q=0.0, LAMBDA_MV=0.0))
    half = batch_losses(model, model.forward(inputs), truth, inputs, weights)
    pending = 0.01 * float(half.physics.pending)
    assert float(shut.physics_scaled) == pytest.approx(pending, rel=1e-4)
    assert float(half.physics_scaled) == pytest.approx(0.5 * 2.0 * float(half.physics_sum) + pending, rel=1e-4)
    assert float(half.total) == pytest.approx(float(half.data + half.field + half.physics_scaled), rel=1e-5)


def test_the_multiplier_may_be_an_exponent_of_ten():
    model, _, _ = prepared(OFFSET_MODE="log10")
    model.gates["offset"].assign(-1.0)
    assert float(physics_multiplier(model)) == pytest.approx(0.1)


def test_the_field_loss_moves_the_head_field_and_nothing_of_the_data_path():
    model, inputs, truth = prepared()
    with tf.GradientTape() as tape:
        losses = batch_losses(model, model.forward(inputs), truth, inputs, loss_weights(LEVELS, tiny_config()))
    sources = [model.everywhere.bias, model.fields.head_plane]
    data_path, field = tape.gradient(losses.field, [getattr(s, "value", s) for s in sources])
    assert data_path is None or np.abs(data_path.numpy()).max() == 0
    assert np.abs(field.numpy()).max() > 0


def test_scores_are_those_of_the_known_targets():
    model, inputs, truth = prepared(**NO_PHYSICS)
    result = model.forward(inputs)
    forecast = result.subsidence.numpy().astype(float)
    y = truth.subsidence.numpy().astype(float)
    shown = {name: float(value) for name, value in scores(model, result, truth).items()}
    assert shown["subs_pred_mae_q50"] == pytest.approx(np.abs(forecast[..., 1] - y).mean(), rel=1e-4)
    assert shown["subs_pred_mse_q50"] == pytest.approx(((forecast[..., 1] - y) ** 2).mean(), rel=1e-4)
    assert shown["subs_pred_coverage80"] == pytest.approx(((y >= forecast[..., 0]) & (y <= forecast[..., 2])).mean())
    assert shown["subs_pred_sharpness80"] == pytest.approx((forecast[..., 2] - forecast[..., 0]).mean(), rel=1e-4)


def test_a_mean_over_nothing_is_zero():
    assert float(masked_mean(tf.constant([1.0, 2.0]), tf.zeros(2))) == 0.0
