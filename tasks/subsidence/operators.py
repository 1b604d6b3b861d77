"""Differential operators of the physics: analytic derivatives of small networks, groundwater flow, Terzaghi's series.

A `Jet` carries a value with its derivatives along time and the two horizontal axes. Pushing jets forward through
features, dense layers and tanh gives exact derivatives for the price of a wider batch, and the result is an ordinary
graph that reverse mode can differentiate once more with respect to the weights: no tape inside a tape.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

SECOND_OF = {"xx": "x", "yy": "y"}


class Jet(NamedTuple):
    """A field and its partial derivatives, all of one shape; None marks a derivative that is not carried.

    With value in [v]: t is [v]/s, x and y are [v]/m, xx and yy are [v]/m2.
    """

    value: tf.Tensor
    t: tf.Tensor | None = None
    x: tf.Tensor | None = None
    y: tf.Tensor | None = None
    xx: tf.Tensor | None = None
    yy: tf.Tensor | None = None

    def map(self, function) -> "Jet":
        """The same function on every member that is carried (reshape, slice, multiply by a constant)."""
        return Jet(*(None if member is None else function(member) for member in self))


def chain(inner: Jet, value: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> Jet:
    """f(inner) for an elementwise f, given f, f' and f'' at inner.value (Faa di Bruno, second order)."""

    def curvature(name: str) -> tf.Tensor | None:
        outer, slope = getattr(inner, name), getattr(inner, SECOND_OF[name])
        return None if outer is None else first * outer + second * tf.square(slope)

    slopes = (None if member is None else first * member for member in (inner.t, inner.x, inner.y))
    return Jet(value, *slopes, curvature("xx"), curvature("yy"))


def tanh(inner: Jet) -> Jet:
    """Hyperbolic tangent of a jet."""
    value = tf.tanh(inner.value)
    first = 1.0 - tf.square(value)
    return chain(inner, value, first, -2.0 * value * first)


def sine(inner: Jet) -> Jet:
    """Sine of a jet."""
    value = tf.sin(inner.value)
    return chain(inner, value, tf.cos(inner.value), -value)


def exponential(inner: Jet) -> Jet:
    """Exponential of a jet."""
    value = tf.exp(inner.value)
    return chain(inner, value, value, value)


def sigmoid(inner: Jet) -> Jet:
    """Logistic function of a jet."""
    value = tf.sigmoid(inner.value)
    first = value * (1.0 - value)
    return chain(inner, value, first, first * (1.0 - 2.0 * value))


def dense(inner: Jet, kernel: tf.Tensor, bias: tf.Tensor) -> Jet:
    """kernel and bias applied to a jet of shape (..., points, in): one product for value and all derivatives."""
    carried = [member for member in inner if member is not None]
    parts = tf.split(tf.matmul(tf.concat(carried, axis=-2), kernel), len(carried), axis=-2)
    out = iter([parts[0] + bias, *parts[1:]])
    return Jet(*(None if member is None else next(out) for member in inner))


def add(left: Jet, right: Jet) -> Jet:
    """Sum of two jets; a derivative is carried only where both carry it."""
    return Jet(*(None if a is None or b is None else a + b for a, b in zip(left, right, strict=True)))


def scale(inner: Jet, factor: float | tf.Tensor, shift: float | tf.Tensor = 0.0) -> Jet:
    """factor * jet + shift, with constants."""
    scaled = inner.map(lambda member: factor * member)
    return scaled._replace(value=scaled.value + shift)


def multiply(left: Jet, right: Jet) -> Jet:
    """Product of two jets that carry the same derivatives (Leibniz, second order)."""

    def slope(name: str) -> tf.Tensor | None:
        a, b = getattr(left, name), getattr(right, name)
        return None if a is None or b is None else a * right.value + left.value * b

    def curvature(name: str) -> tf.Tensor | None:
        a, b = getattr(left, name), getattr(right, name)
        if a is None or b is None:
            return None
        cross = getattr(left, SECOND_OF[name]) * getattr(right, SECOND_OF[name])
        return a * right.value + 2.0 * cross + left.value * b

    return Jet(left.value * right.value, slope("t"), slope("x"), slope("y"), curvature("xx"), curvature("yy"))


def coordinate_jets(t: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tuple[Jet, Jet, Jet]:
    """The three coordinates themselves as jets, in s and m: the start of a hand-built expression."""
    zero, one = tf.zeros_like(t), tf.ones_like(t)
    return (
        Jet(t, one, zero, zero, zero, zero),
        Jet(x, zero, one, zero, zero, zero),
        Jet(y, zero, zero, one, zero, zero),
    )


class GroundwaterTerms(NamedTuple):
    """The terms of the flow equation divided by the specific storage, m/s; residual = storage - lateral - source."""

    storage: tf.Tensor
    lateral: tf.Tensor
    source: tf.Tensor
    residual: tf.Tensor


def groundwater_terms(head: Jet, log_conductivity: Jet, log_storage: tf.Tensor, source: tf.Tensor) -> GroundwaterTerms:
    """dh/dt - (K/S) (h_xx + h_yy + grad log K . grad h) - Q/S.

    Shapes are equal; K in m/s, S in 1/m, source Q in 1/s. The log form keeps the conductivity gradient exact and
    free of a floor; dividing by S removes the trivial optimum where K, S and Q all vanish.
    """
    diffusivity = tf.exp(log_conductivity.value - log_storage)
    divergence = head.xx + head.yy + log_conductivity.x * head.x + log_conductivity.y * head.y
    lateral, inflow = diffusivity * divergence, source * tf.exp(-log_storage)
    return GroundwaterTerms(head.t, lateral, inflow, head.t - lateral - inflow)


def terzaghi_pressure(t: Jet, z: Jet, *, cv: float, drainage_m: float, terms: int = 200) -> Jet:
    """Excess pressure u(z,t)/u0 of a layer drained at z = 0, closed at z = drainage_m (Terzaghi 1943).

    t and z are jets of shape (points,), cv in m2/s. Early times need many terms: Tv >= 0.01 is exact with 200.
    """
    odd = tf.constant(np.pi * (2.0 * np.arange(terms) + 1.0) / 2.0, t.value.dtype)
    row = lambda jet: jet.map(lambda member: member[:, tf.newaxis])  # noqa: E731
    shape = sine(scale(row(z), odd / drainage_m))
    decay = exponential(scale(row(t), -tf.square(odd) * cv / drainage_m**2))
    return scale(multiply(shape, decay), 2.0 / odd).map(lambda member: tf.reduce_sum(member, axis=-1))


def terzaghi_degree(time_factor: np.ndarray, terms: int = 2000) -> np.ndarray:
    """Average degree of consolidation U(Tv) of the full series; numpy, float64, any shape."""
    odd = 2.0 * np.arange(terms) + 1.0
    tv = np.asarray(time_factor, float)[..., None]
    return 1.0 - np.sum(8.0 / (np.pi * odd) ** 2 * np.exp(-((np.pi * odd) ** 2) / 4.0 * tv), axis=-1)


def analytic_checks(quick: bool = True) -> dict[str, float]:
    """Largest error of every closed-form case in float64 (limits: `analytic.LIMITS`); below one second when quick."""
    from tasks.subsidence.ground.analytic import run_cases  # the cases import this module

    return run_cases(quick)
