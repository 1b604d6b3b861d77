"""Attention: slots start apart, and the short window sees the younger half alone."""

import numpy as np
import pytest
import tensorflow as tf

from tasks.subsidence.network.attention import HierarchicalAttention, MemoryAttention


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_memory_slots_start_apart():
    memory = MemoryAttention(8, 2, 50, seed=1, dropout=0.0)
    memory.build((None, 3, 8))
    assert memory.memory.numpy().std() == pytest.approx(1.0, abs=0.15)


def test_the_two_windows_of_hierarchical_attention_differ():
    """The short one looks at the younger half alone."""
    layer = HierarchicalAttention(8, 2, seed=1, dropout=0.0)
    layer.build((None, 3, 8), (None, 4, 8))
    queries, history, mask = tf.constant(draw(2, 3, 8)), tf.constant(draw(2, 4, 8)), tf.ones((2, 4))
    older = history + tf.constant([1.0, 1.0, 0.0, 0.0])[None, :, None]
    young = tf.constant([[0.0, 0.0, 1.0, 1.0]] * 2)
    np.testing.assert_allclose(layer.short(queries, history, young), layer.short(queries, older, young), atol=1e-6)
    assert np.abs(layer(queries, history, mask) - layer(queries, older, mask)).max() > 1e-3
