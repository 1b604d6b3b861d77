"""Small tanh networks of coordinates, several at once, with exact derivatives along time and space.

All networks of a stack share their input features, so a stack is three batched products for the values and the
derivatives together. Inputs are coordinates centred and scaled to the train box; derivatives come out in SI.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from tasks.subsidence.ground.physics import PhysicsSpec
from tasks.subsidence.operators import Jet, chain, dense, tanh

AXES = ("t", "x", "y")
GOLDEN_ANGLE = math.pi * (3.0 - math.sqrt(5.0))


def frequencies(spec: PhysicsSpec, with_time: bool) -> np.ndarray:
    """Angular frequencies (3 axes, features) per unit of the scaled coordinates, which span 2 across the box.

    Magnitudes are spaced geometrically and directions by the golden angle: an even cover without a random draw.
    """
    nets = spec.nets
    magnitude = math.pi * np.geomspace(nets.min_cycles, nets.max_cycles, nets.fourier)
    direction = GOLDEN_ANGLE * np.arange(nets.fourier)
    space = np.stack([np.zeros(nets.fourier), magnitude * np.cos(direction), magnitude * np.sin(direction)])
    if not with_time:
        return space
    time = np.zeros((3, len(nets.time_cycles)))
    time[0] = math.pi * np.asarray(nets.time_cycles)
    return np.concatenate([time, space], axis=1)


class Features:
    """Scaled coordinates with their sines and cosines: stored coordinates (points, 3) to a jet (points, features)."""

    def __init__(self, spec: PhysicsSpec, with_time: bool):
        self.with_time = with_time
        self.axes = AXES if with_time else AXES[1:]
        angular = frequencies(spec, with_time)
        self.angular = np.concatenate([angular, angular], axis=1)
        self.phase = np.repeat([0.0, math.pi / 2.0], angular.shape[1])
        self.center = np.array([getattr(spec.coord_center, axis) for axis in AXES])
        self.half = np.array([getattr(spec.coord_half, axis) for axis in AXES])
        self.per_si = 1.0 / (self.half * np.array([getattr(spec.coord_scale_si, axis) for axis in AXES]))

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.axes) + self.angular.shape[1]

    def scaled(self, points: tf.Tensor) -> tf.Tensor:
        """Coordinates (points, 3) in half widths of the train box."""
        return (points - tf.constant(self.center, points.dtype)) / tf.constant(self.half, points.dtype)

    def __call__(self, points: tf.Tensor) -> Jet:
        u = self.scaled(points)
        angle = tf.matmul(u, tf.constant(self.angular, u.dtype)) + tf.constant(self.phase, u.dtype)
        wave = self._waves(angle)
        plane = self._plane(u)
        return Jet(*(None if a is None else tf.concat([b, a], axis=1) for a, b in zip(wave, plane, strict=True)))

    def _waves(self, angle: tf.Tensor) -> Jet:
        slopes = tf.constant(self.angular * self.per_si[:, np.newaxis], angle.dtype)
        zero = tf.zeros_like(slopes[0]) if self.with_time else None
        inner = Jet(angle, slopes[0] if self.with_time else None, slopes[1], slopes[2], zero, zero)
        value = tf.sin(angle)
        return chain(inner, value, tf.cos(angle), -value)

    def _plane(self, u: tf.Tensor) -> Jet:
        columns = [AXES.index(axis) for axis in self.axes]
        value = tf.gather(u, columns, axis=1)

        def constant(axis: int) -> tf.Tensor:
            row = [self.per_si[axis] if column == axis else 0.0 for column in columns]
            return tf.zeros_like(value) + tf.constant(row, u.dtype)

        if not self.with_time:
            return Jet(value, None, constant(1), constant(2))
        zero = tf.zeros_like(value)
        return Jet(value, constant(0), constant(1), constant(2), zero, zero)


class NetStack(keras.layers.Layer):
    """Networks `names` of shared features: two tanh layers and a linear output each, batched along a leading axis.

    A stack with time carries all derivatives, one without carries value, d/dx and d/dy.
    """

    def __init__(self, spec: PhysicsSpec, names: tuple[str, ...], *, with_time: bool, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.names, self.features = names, Features(spec, with_time)
        count, width, hidden = len(names), self.features.width, spec.nets.hidden
        stds = (1.0 / math.sqrt(width), 1.0 / math.sqrt(hidden), spec.nets.init_scale)
        shapes = ((count, width, hidden), (count, hidden, hidden), (count, hidden, 1))
        self.kernels = [
            self._kernel(f"kernel_{layer}", shape, std, seed + layer)
            for layer, (shape, std) in enumerate(zip(shapes, stds, strict=True))
        ]
        self.biases = [
            self.add_weight(name=f"bias_{layer}", shape=(count, 1, shape[-1]), initializer="zeros")
            for layer, shape in enumerate(shapes)
        ]
        self.built = True

    def _kernel(self, name: str, shape: tuple[int, ...], std: float, seed: int):
        start = keras.initializers.RandomNormal(stddev=std, seed=seed)
        return self.add_weight(name=name, shape=shape, initializer=start)

    def hidden(self, points: tf.Tensor) -> Jet:
        """Last hidden layer of every network, (networks, points, hidden)."""
        first = tanh(dense(self.features(points), self.kernels[0], self.biases[0]))
        return tanh(dense(first, self.kernels[1], self.biases[1]))

    def call(self, points: tf.Tensor) -> dict[str, Jet]:
        """Jet (points,) of every network by name; points (points, 3) in stored units."""
        out = dense(self.hidden(points), self.kernels[2], self.biases[2])
        members = [None if member is None else tf.unstack(tf.squeeze(member, -1)) for member in out]
        return {
            name: Jet(*(None if member is None else member[k] for member in members))
            for k, name in enumerate(self.names)
        }
