"""Interval widths: positive distances around a median that stays where it is."""

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.subsidence.network.heads import Widths

LEVELS = st.lists(st.integers(1, 99).filter(lambda level: level != 50), max_size=8, unique=True).map(
    lambda levels: sorted([*(level / 100 for level in levels), 0.5])
)
STEPS = 3


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
