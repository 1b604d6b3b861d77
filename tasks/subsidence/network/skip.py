"""The linear part of the forecast: one map that holds from every origin, one that knows the target years.

Both are linear in fixed features, are set by ridge on the train windows before training, and stay trainable.
"""

import keras
import tensorflow as tf

TARGETS = 2  # subsidence, head


class FlatScaler(keras.layers.Layer):
    """Centres and scales the flat features with train statistics; unknown features become 0, the train mean."""

    def __init__(self, size: int, **options):
        super().__init__(**options)
        self.size = size
        self.mean = self.add_weight(shape=(size,), initializer="zeros", trainable=False, name="mean")
        self.inverse_std = self.add_weight(shape=(size,), initializer="ones", trainable=False, name="inverse_std")

    def call(self, flat, valid):
        """(..., P), (..., P) -> (..., P)"""
        return (flat - self.mean) * self.inverse_std * valid


class LeadLinear(keras.layers.Layer):
    """A linear map with its own weights for every step ahead."""

    def __init__(self, size: int, horizon: int, **options):
        super().__init__(**options)
        self.size, self.horizon = size, horizon
        self.kernel = self.add_weight(shape=(size, horizon * TARGETS), initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=(horizon * TARGETS,), initializer="zeros", name="bias")

    def call(self, features):
        """(B, P) -> (B, L, 2) increments per lead, standardised; subsidence then head."""
        return tf.reshape(tf.matmul(features, self.kernel) + self.bias, (-1, self.horizon, TARGETS))


class SpaceFeatures(keras.layers.Layer):
    """Random Fourier features of the position; frequencies are set by `ridge.initialise` and never trained."""

    def __init__(self, count: int, **options):
        super().__init__(**options)
        self.count = count
        self.frequency = self.add_weight(shape=(2, count), initializer="zeros", trainable=False, name="frequency")
        self.phase = self.add_weight(shape=(count,), initializer="zeros", trainable=False, name="phase")

    def call(self, xy):
        """(B, 2) m -> (B, count), each of mean square 1 over space."""
        return 2.0**0.5 * tf.cos(tf.matmul(xy, self.frequency) + self.phase)


def at_lead(per_lead, lead):
    """(B, L, c) values per lead and (B, H, L) one-hot leads -> (B, H, c)."""
    return tf.matmul(lead, per_lead)
