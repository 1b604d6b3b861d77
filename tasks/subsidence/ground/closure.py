"""How conductivity, storage and thickness make a relaxation time, and how a head makes a settlement to relax to."""

import math

import tensorflow as tf

from tasks.contracts.errors import ConfigError
from tasks.subsidence.ground.physics import Drawdown, PhysicsSpec

LOG_PI_SQUARED = 2.0 * math.log(math.pi)


def drainage_length(thickness: tf.Tensor, spec: PhysicsSpec) -> tf.Tensor:
    """Hd = factor * H, m."""
    return spec.drainage_factor * thickness


def log_tau_closure(
    log_K: tf.Tensor, log_Ss: tf.Tensor, thickness: tf.Tensor, log_kappa: tf.Tensor, spec: PhysicsSpec
) -> tf.Tensor:
    """Log of the relaxation time of the first mode in s; all inputs of one shape, log_kappa a scalar.

    kb: tau = Hd^2 Ss / (pi^2 kappa K). bar: tau = kappa H^2 Ss / (pi^2 K). Terzaghi's first mode with double
    drainage is H^2 Ss / (pi^2 K).
    """
    return _log_time_over_conductivity(log_Ss, thickness, log_kappa, spec) - log_K


def K_from_tau(
    log_tau: tf.Tensor, log_Ss: tf.Tensor, thickness: tf.Tensor, log_kappa: tf.Tensor, spec: PhysicsSpec
) -> tf.Tensor:
    """The conductivity in m/s that the closure needs for a given relaxation time."""
    return tf.exp(_log_time_over_conductivity(log_Ss, thickness, log_kappa, spec) - log_tau)


def kappa_terzaghi(kappa: float, spec: PhysicsSpec) -> float:
    """The learned factor measured against Terzaghi's first mode with double drainage, which is 1."""
    return kappa / spec.drainage_factor**2 if spec.kappa_mode == "kb" else 1.0 / kappa


def _log_time_over_conductivity(
    log_Ss: tf.Tensor, thickness: tf.Tensor, log_kappa: tf.Tensor, spec: PhysicsSpec
) -> tf.Tensor:
    if spec.kappa_mode == "bar":
        return log_kappa + 2.0 * tf.math.log(thickness) + log_Ss - LOG_PI_SQUARED
    return 2.0 * tf.math.log(drainage_length(thickness, spec)) + log_Ss - LOG_PI_SQUARED - log_kappa


def reference_head(history: tf.Tensor, spec: PhysicsSpec, valid: tf.Tensor | None = None) -> tf.Tensor:
    """Head (batch, 1) in m from which drawdown is counted; history (batch, T) m, valid (batch, T) 1 where observed.

    auto: highest head of the history, the stand-in for the preconsolidation head; last: last observed head;
    window_start: first observed head; a number: that head everywhere.
    """
    if isinstance(spec.h_ref, float):
        return tf.zeros_like(history[:, :1]) + spec.h_ref
    if spec.h_ref == "last":
        return history[:, -1:]
    filled = fill_history(history, valid)
    if spec.h_ref == "window_start":
        return filled[:, :1]
    if spec.h_ref == "auto":
        return tf.reduce_max(filled, axis=1, keepdims=True)
    raise ConfigError("unknown reference head", where="GEOPRIOR_H_REF", found=spec.h_ref)


def fill_history(history: tf.Tensor, valid: tf.Tensor | None) -> tf.Tensor:
    """History (batch, T) with unobserved leading steps replaced by the first observed value."""
    if valid is None:
        return history
    observed = tf.cast(valid, tf.bool)
    first = tf.gather(history, tf.argmax(observed, axis=1), axis=1, batch_dims=1)[:, tf.newaxis]
    return tf.where(observed, history, first)


def drawdown(head: tf.Tensor, h_ref: tf.Tensor, spec: PhysicsSpec) -> tf.Tensor:
    """How far the head lies below its reference, m, never negative; head (batch, steps), h_ref (batch, 1).

    `smooth_relu` is x (1 - exp(-beta x)): value and slope vanish at the origin, unlike a softplus, which would shift
    every real drawdown by ln 2 / beta.
    """
    rule: Drawdown = spec.drawdown
    reference = tf.stop_gradient(h_ref) if rule.stop_grad_ref else h_ref
    fall = reference - head if rule.rule == "ref_minus_mean" else head - reference
    depth = tf.nn.relu(fall)
    if rule.mode == "smooth_relu":
        depth = -depth * tf.math.expm1(-rule.beta_1_m * depth)
    return depth if rule.clip_max_m is None else tf.minimum(depth, rule.clip_max_m)


def equilibrium_settlement(depth: tf.Tensor, log_Ss: tf.Tensor, thickness: tf.Tensor) -> tf.Tensor:
    """s_eq = Ss * D * H, m: what a drawdown settles to when nothing delays it."""
    return tf.exp(log_Ss) * depth * thickness
