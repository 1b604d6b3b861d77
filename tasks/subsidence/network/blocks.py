"""Dense building blocks: seeded dropout, gated residual networks, variable selection, multi-scale LSTM.

Every block takes `noise`, with the two-number seed of the step, or None for inference: dropout is a function of
(seed, step), so that a resumed training draws what the uninterrupted one would have drawn.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

EPSILON = 1e-6


class Noise(NamedTuple):
    """What one training step draws from, and the rows that it learns from."""

    seed: tf.Tensor  # (2,) int32
    rows: tf.Tensor | None = None  # (B,) 1 where not padded; all of them where None


def glorot(seed: int) -> keras.initializers.Initializer:
    """Glorot uniform with an explicit seed."""
    return keras.initializers.GlorotUniform(seed=seed)


def dense(units: int, seed: int, name: str, activation: str | None = None, **options) -> keras.layers.Dense:
    """A dense layer with an explicit seed."""
    return keras.layers.Dense(units, activation=activation, kernel_initializer=glorot(seed), name=name, **options)


class SeededDropout(keras.layers.Layer):
    """Dropout whose mask depends on (noise, salt) alone."""

    def __init__(self, rate: float, salt: int, **options):
        super().__init__(**options)
        self.rate, self.salt = rate, salt

    def call(self, values, noise=None):
        """values of any shape; noise or None."""
        if noise is None or self.rate == 0.0:
            return values
        return tf.nn.experimental.stateless_dropout(
            values, self.rate, seed=noise.seed + [self.salt, 0], rng_alg="philox"
        )


class GatedResidual(keras.layers.Layer):
    """Gated residual network (Lim et al. 2021): dense, ELU, dense, dropout, gated linear unit, skip, normalisation."""

    def __init__(self, units: int, *, seed: int, dropout: float, batch_norm: bool, **options):
        super().__init__(**options)
        self.units, self.seed, self.batch_norm = units, seed, batch_norm
        self.rise = dense(units, seed, "rise", "elu")
        self.gates = dense(2 * units, seed + 1, "gates")
        self.drop = SeededDropout(dropout, seed, name="drop")
        self.skip = dense(units, seed + 2, "skip", use_bias=False)
        self.norm = normalisation(batch_norm)

    def build(self, shape):
        self.rise.build(shape)
        inner = (*shape[:-1], self.units)
        self.gates.build(inner)
        if shape[-1] != self.units:
            self.skip.build(shape)
        self.norm.build(inner)

    def call(self, values, noise=None):
        """(..., any) -> (..., units)"""
        value, gate = tf.split(self.gates(self.drop(self.rise(values), noise)), 2, axis=-1)
        carried = values if values.shape[-1] == self.units else self.skip(values)
        return normalised(self.norm, carried + value * tf.sigmoid(gate), noise, self.batch_norm)


def normalisation(batch_norm: bool) -> keras.layers.Layer:
    """Layer normalisation, or batch normalisation where asked for."""
    kind = keras.layers.BatchNormalization if batch_norm else keras.layers.LayerNormalization
    return kind(epsilon=EPSILON if not batch_norm else 1e-3, name="norm")


def normalised(norm: keras.layers.Layer, values, noise, batch_norm: bool):
    """Apply a normalisation; batch statistics are used while there is noise, that is, while training.

    They are those of the rows that are not padded.
    """
    if not batch_norm:
        return norm(values)
    if noise is None or noise.rows is None:
        return norm(values, training=noise is not None)
    rows = tf.reshape(noise.rows, (-1, *[1] * (values.shape.rank - 2)))
    return norm(values, training=True, mask=tf.broadcast_to(rows, tf.shape(values)[:-1]))


class VariableSelection(keras.layers.Layer):
    """One small gated network per scalar variable, mixed by softmax weights; all variables in one product."""

    def __init__(self, units: int, *, seed: int, dropout: float, **options):
        super().__init__(**options)
        self.units, self.seed = units, seed
        self.weigh = dense(units, seed + 1, "weigh", "elu")
        self.drop = SeededDropout(dropout, seed, name="drop")
        self.norm = keras.layers.LayerNormalization(epsilon=EPSILON, name="norm")

    def build(self, shape):
        count, units = shape[-1], self.units
        uniform = keras.initializers.RandomUniform(-1.0, 1.0, seed=self.seed + 2)
        spread = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform", seed=self.seed + 3)
        final = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform", seed=self.seed + 4)
        self.lift = self.add_weight(shape=(count, units), initializer=uniform, name="lift")
        self.shift = self.add_weight(shape=(count, units), initializer="zeros", name="shift")
        self.inner = self.add_weight(shape=(count, units, units), initializer=spread, name="inner")
        self.inner_bias = self.add_weight(shape=(count, 1, units), initializer="zeros", name="inner_bias")
        self.outer = self.add_weight(shape=(count, units, 2 * units), initializer=final, name="outer")
        self.outer_bias = self.add_weight(shape=(count, 1, 2 * units), initializer="zeros", name="outer_bias")
        self.weigh.build((None, count))
        self.choose = dense(count, self.seed + 5, "choose")
        self.choose.build((None, units))
        self.norm.build((None, count, units))

    def call(self, values, noise=None):
        """(..., variables) -> (..., units)"""
        lead = tf.shape(values)[:-1]
        flat = tf.reshape(values, (-1, values.shape[-1]))
        lifted = flat[..., tf.newaxis] * self.lift + self.shift
        by_variable = tf.transpose(lifted, (1, 0, 2))
        inner = tf.nn.elu(tf.matmul(by_variable, self.inner) + self.inner_bias)
        value, gate = tf.split(tf.matmul(inner, self.outer) + self.outer_bias, 2, axis=-1)
        processed = lifted + tf.transpose(value * tf.sigmoid(gate), (1, 0, 2))
        weights = tf.nn.softmax(self.choose(self.drop(self.weigh(flat), noise)), axis=-1)
        mixed = tf.reduce_sum(self.norm(processed) * weights[..., tf.newaxis], axis=-2)
        return tf.reshape(mixed, tf.concat([lead, [self.units]], axis=0))


class MultiScaleLSTM(keras.layers.Layer):
    """One LSTM per scale s over every s-th step, the last step always among them; unobserved steps leave the state."""

    def __init__(self, units: int, scales: tuple[int, ...], *, seed: int, **options):
        super().__init__(**options)
        self.units, self.scales, self.seed = units, tuple(scales), seed

    def build(self, shape):
        width, units = shape[-1], self.units
        self.kernels, self.recurrents, self.biases = [], [], []
        for place, scale in enumerate(self.scales):
            into = glorot(self.seed + 2 * place)
            around = keras.initializers.Orthogonal(seed=self.seed + 2 * place + 1)
            self.kernels.append(self.add_weight(shape=(width, 4 * units), initializer=into, name=f"kernel_{scale}"))
            self.recurrents.append(
                self.add_weight(shape=(units, 4 * units), initializer=around, name=f"recurrent_{scale}")
            )
            self.biases.append(self.add_weight(shape=(4 * units,), initializer="zeros", name=f"bias_{scale}"))

    def call(self, values, mask):
        """values (batch, T, width), mask (batch, T) -> states (batch, sum of steps, units), and their mask."""
        steps = values.shape[1]
        runs = []
        weights_by_scale = zip(self.kernels, self.recurrents, self.biases, strict=True)
        for scale, weights in zip(self.scales, weights_by_scale, strict=True):
            picked = list(range(steps - 1, -1, -scale))[::-1]
            part, seen = tf.gather(values, picked, axis=1), tf.gather(mask, picked, axis=1)
            runs.append((self._run(part, seen, *weights), seen))
        states, masks = zip(*runs, strict=True)
        return tf.concat(states, axis=1), tf.concat(masks, axis=1)

    def _run(self, values, mask, kernel, recurrent, bias):
        driven = tf.unstack(tf.matmul(values, kernel) + bias, axis=1)
        kept = tf.unstack(mask[..., tf.newaxis], axis=1)
        hidden = cell = tf.zeros_like(driven[0][:, : self.units])
        states = []
        for drive, keep in zip(driven, kept, strict=True):
            into, forget, candidate, out = tf.split(drive + tf.matmul(hidden, recurrent), 4, axis=-1)
            fresh = tf.sigmoid(forget + 1.0) * cell + tf.sigmoid(into) * tf.tanh(candidate)
            cell = keep * fresh
            hidden = keep * tf.sigmoid(out) * tf.tanh(cell)
            states.append(hidden)
        return tf.stack(states, axis=1)
