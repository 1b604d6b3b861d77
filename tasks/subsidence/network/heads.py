"""From decoder features to increments and to quantiles that cannot cross."""

import math

import keras
import tensorflow as tf

from tasks.subsidence.network.blocks import dense

START_WIDTH = 0.5  # standardised; replaced by `ridge.initialise`


class Widths(keras.layers.Layer):
    """Distances between neighbouring quantiles, positive and different from window to window.

    Level k outwards from the median adds softplus(w_k F + b_k) sigma, so that levels are monotone by construction.
    The bias differs between windows that know maps of the target years and windows that do not.
    """

    def __init__(self, levels: tuple[float, ...], *, seed: int, **options):
        super().__init__(**options)
        self.levels = tuple(levels)
        self.middle = self.levels.index(0.5)
        self.count = len(self.levels) - 1
        self.seed = seed

    def build(self, shape):
        small = keras.initializers.RandomNormal(stddev=0.01, seed=self.seed)
        start = keras.initializers.Constant(inverse_softplus(START_WIDTH))
        self.kernel = self.add_weight(shape=(shape[-1], self.count), initializer=small, name="kernel")
        self.unknown = self.add_weight(shape=(self.count,), initializer=start, name="unknown")
        self.known = self.add_weight(shape=(self.count,), initializer=start, name="known")

    def call(self, features, known, sigma):
        """features (B, H, u), known (B, H) 1 or 0, sigma (B, H) m -> distances (B, H, Q-1) m, all > 0."""
        known = known[..., tf.newaxis]
        logits = tf.matmul(features, self.kernel) + known * self.known + (1.0 - known) * self.unknown
        return tf.nn.softplus(logits) * sigma[..., tf.newaxis]

    def spread(self, median, distances):
        """median (B, H) m and distances (B, H, Q-1) -> levels (B, H, Q) m, ascending."""
        below = tf.cumsum(distances[..., : self.middle], axis=-1, reverse=True)
        above = tf.cumsum(distances[..., self.middle :], axis=-1)
        centre = median[..., tf.newaxis]
        return tf.concat([centre - below, centre, centre + above], axis=-1)


def inverse_softplus(value: float) -> float:
    """x with softplus(x) = value > 0."""
    return math.log(math.expm1(value))


class YearMap(keras.layers.Layer):
    """What only windows inside the train years may use: position and decoder features, mixed without a bound."""

    def __init__(self, units: int, *, seed: int, **options):
        super().__init__(**options)
        self.units = units
        self.place = dense(units, seed, "place", use_bias=False)
        self.mix = dense(units, seed + 1, "mix", "elu")

    def build(self, decoded, space):
        self.place.build(space)
        self.mix.build((*decoded[:-1], decoded[-1] + self.units))

    def call(self, decoded, space, known):
        """decoded (B, H, u), space (B, m), known (B, H) -> (B, H, units), zero where nothing is known."""
        steps = decoded.shape[1]
        place = tf.tanh(self.place(space) * space.shape[-1] ** -0.5)
        here = tf.repeat(place[:, tf.newaxis], steps, axis=1)
        return self.mix(tf.concat([decoded, here], axis=-1)) * known[..., tf.newaxis]
