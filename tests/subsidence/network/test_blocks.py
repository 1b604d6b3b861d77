"""Blocks of the data path: masks hide, every variable counts, dropout can be redone."""

import numpy as np
import pytest
import tensorflow as tf

from tasks.subsidence.network.blocks import GatedResidual, MultiScaleLSTM, Noise, SeededDropout, VariableSelection


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_steps_without_observation_leave_no_trace_in_the_lstm():
    layer = MultiScaleLSTM(4, (1, 2), seed=1)
    layer.build((None, 5, 3))
    values, mask = draw(2, 5, 3), tf.constant([[0.0, 0.0, 1.0, 1.0, 1.0]] * 2)
    clean = layer(tf.constant(values), mask)[0].numpy()
    values[:, :2] += 9.0
    np.testing.assert_array_equal(layer(tf.constant(values), mask)[0].numpy(), clean)


def test_the_last_history_step_is_among_those_of_every_scale():
    layer = MultiScaleLSTM(4, (1, 2, 3), seed=1)
    layer.build((None, 5, 3))
    values = np.zeros((1, 5, 3), np.float32)
    states, mask = layer(tf.constant(values), tf.ones((1, 5)))
    assert states.shape == (1, 5 + 3 + 2, 4) and mask.shape == (1, 10)
    values[:, -1] = 1.0
    moved = np.abs(layer(tf.constant(values), tf.ones((1, 5)))[0].numpy() - states.numpy()).max(axis=(0, 2))
    assert [place for place, change in enumerate(moved) if change > 0] == [4, 7, 9]


def test_dropout_depends_on_seed_and_step_alone():
    drop, values = SeededDropout(0.5, salt=3), tf.ones((4, 50))
    first, again = (drop(values, Noise(tf.constant([42, 7]))).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (drop(values, Noise(tf.constant([42, 8]))).numpy() != first).any()
    assert (SeededDropout(0.5, salt=4)(values, Noise(tf.constant([42, 7]))).numpy() != first).any()
    assert 0.3 < (first == 0).mean() < 0.7


def test_without_noise_nothing_is_dropped():
    values = tf.ones((4, 50))
    np.testing.assert_array_equal(SeededDropout(0.5, salt=3)(values).numpy(), values.numpy())


def test_variable_selection_is_a_mixture_that_every_variable_can_move():
    layer, values = VariableSelection(6, seed=1, dropout=0.0), draw(3, 4)
    layer.build((None, 4))
    before = layer(tf.constant(values)).numpy()
    assert before.shape == (3, 6)
    for variable in range(4):
        changed = values.copy()
        changed[:, variable] += 1.0
        assert (layer(tf.constant(changed)).numpy() != before).any(axis=1).all()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_gated_residual_keeps_the_leading_axes(batch_norm):
    layer = GatedResidual(6, seed=1, dropout=0.1, batch_norm=batch_norm)
    layer.build((None, 3, 4))
    assert layer(tf.ones((2, 3, 4)), Noise(tf.constant([1, 1]))).shape == (2, 3, 6)
    assert any("moving" in weight.path for weight in layer.weights) is batch_norm
