"""What the nearest train groups did: their residuals in the target years, mixed by distance and likeness.

Only for filling space within the train years: nothing of a neighbour is used for a step whose year no train target has.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from tasks.subsidence.network.skip import TARGETS

SAME_PLACE_M = 0.5
NEAREST_M = 1.0
SPARE = 3  # places at the same spot that may have to be skipped


@dataclass(frozen=True)
class Neighbours:
    """The k nearest train groups of N windows; absent ones have weight 0."""

    index: np.ndarray  # (N, k) int32 row of the bank
    distance: np.ndarray  # (N, k) float32 m
    present: np.ndarray  # (N, k) float32 1 or 0


def nearest(xy: np.ndarray, bank_xy: np.ndarray, k: int) -> Neighbours:
    """Nearest rows of bank_xy (M, 2) m to xy (N, 2) m; the window's own place is never its neighbour."""
    from scipy.spatial import cKDTree

    asked = min(k + 1 + SPARE, len(bank_xy))
    distance, index = cKDTree(bank_xy).query(xy, k=np.arange(1, asked + 1))
    own = distance < SAME_PLACE_M
    order = np.argsort(own, axis=1, kind="stable")[:, :k]
    picked = [np.take_along_axis(array, order, axis=1) for array in (distance, index, ~own)]
    short = k - picked[0].shape[1]
    distance, index, present = (np.pad(array, [[0, 0], [0, max(short, 0)]]) for array in picked)
    return Neighbours(index.astype(np.int32), distance.astype(np.float32), present.astype(np.float32))


class NeighbourContext(keras.layers.Layer):
    """Attention over neighbours: inverse distance weights at the start, likeness of the places learned on top."""

    def __init__(self, rows: int, flat_size: int, horizon: int, units: int, *, seed: int, **options):
        super().__init__(**options)
        self.rows, self.horizon = rows, horizon
        fixed = {"initializer": "zeros", "trainable": False}
        self.xy = self.add_weight(shape=(rows, 2), name="xy", **fixed)
        self.flat = self.add_weight(shape=(rows, flat_size), name="flat", **fixed)
        self.increments = self.add_weight(shape=(rows, horizon * TARGETS), name="increments", **fixed)
        start = keras.initializers.Constant(2.0)
        self.power = self.add_weight(shape=(horizon, TARGETS), initializer=start, name="power")
        spread = keras.initializers.GlorotUniform(seed=seed)
        self.key = self.add_weight(shape=(flat_size, units), initializer=spread, name="key")
        self.query = self.add_weight(shape=(flat_size, units * TARGETS), initializer="zeros", name="query")
        self.units = units

    def fill(self, xy: np.ndarray, flat: np.ndarray, increments: np.ndarray) -> None:
        """The train groups: xy (M, 2) m, flat (M, P) scaled, increments (M, L, 2) standardised."""
        self.xy.assign(xy)
        self.flat.assign(flat)
        self.increments.assign(increments.reshape(len(increments), -1))

    def call(self, flat, index, distance, present, explain):
        """flat (B, P), neighbours (B, k); explain maps flat rows to (rows, L, 2) -> mixed residuals (B, L, 2)."""
        count = index.shape[1]
        there = tf.gather(tf.convert_to_tensor(self.flat), index)
        rows = tf.reshape(there, (-1, there.shape[-1]))
        shape = (-1, count, self.horizon, TARGETS)
        told = tf.reshape(tf.gather(tf.convert_to_tensor(self.increments), index), shape)
        residual = told - tf.reshape(explain(rows), shape)
        far = tf.math.log(tf.maximum(distance, NEAREST_M))[..., tf.newaxis, tf.newaxis]
        logits = -self.power * far + self._likeness(flat, there)[:, :, tf.newaxis, :]
        logits += (1.0 - present)[..., tf.newaxis, tf.newaxis] * -1e9
        weights = tf.nn.softmax(logits, axis=1) * present[..., tf.newaxis, tf.newaxis]
        return tf.reduce_sum(weights * residual, axis=1)

    def _likeness(self, flat, there):
        """(B, k, 2) dot products between this place and its neighbours."""
        asked = tf.reshape(tf.matmul(flat, self.query), (-1, self.units, TARGETS))
        return tf.matmul(tf.matmul(there, self.key), asked) * self.units**-0.5
