"""Delayed settlement: relaxation towards the equilibrium settlement in M modes of Terzaghi's series.

Mode m relaxes with tau / (2m+1)^2 and weight 8 / (pi (2m+1))^2; what the series has beyond M modes acts at once.
The recursion tracks the deficit d = s_eq - s of each mode, for which a ramp of s_eq over one step is exact:
d <- a d + (e_next - e) (1 - a) tau_m / dt with a = exp(-dt / tau_m).
"""

from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tasks.contracts.errors import ConfigError
from tasks.subsidence.fields import FieldBundle
from tasks.subsidence.ground.closure import drawdown, equilibrium_settlement, fill_history, reference_head
from tasks.subsidence.ground.physics import PhysicsSpec
from tasks.subsidence.operators import Jet


class Relaxation(NamedTuple):
    """A relaxation over N steps; M modes."""

    settlement: tf.Tensor  # (batch, N+1) m, since the empty state at the first time
    load: tf.Tensor  # (batch, N+1) m, what the modes relax to (pending settlement included)
    deficit: tf.Tensor  # (batch, N+1, M) m, unweighted distance of each mode from the load
    ratio: tf.Tensor  # (batch, N, M) dt / tau_m
    dt: tf.Tensor  # (batch, N) s


class Settlement(NamedTuple):
    """The physical mean of one batch."""

    s_phys: tf.Tensor  # (batch, H) m since the last observation
    drawdown: tf.Tensor  # (batch, H) m
    s_eq: tf.Tensor  # (batch, H) m
    h_ref: tf.Tensor  # (batch, 1) m
    path: Relaxation | None  # over the T-1 history steps and the H horizon steps; None without consolidation
    last: int  # index of the last observation in the path


def mode_weights(modes: int) -> np.ndarray:
    """Weights (modes,) of the series; a single mode carries everything (the public recursion)."""
    if modes < 1:
        raise ConfigError("relaxation needs a mode", where="CONSOLIDATION_MODES", expected=">= 1", found=modes)
    odd = 2.0 * np.arange(modes) + 1.0
    return np.ones(1) if modes == 1 else 8.0 / (np.pi * odd) ** 2


def step_lengths(t_stored: tf.Tensor, spec: PhysicsSpec) -> tf.Tensor:
    """Lengths (batch, T-1+H) in s: history and first target step one time unit each, then as the coordinates say.

    t_stored (batch, H) in stored units; no step is shorter than DT_MIN_UNITS.
    """
    unit = spec.scales.T_c
    steps = tf.maximum((t_stored[:, 1:] - t_stored[:, :-1]) * spec.coord_scale_si.t, spec.dt_min_units * unit)
    past = tf.zeros_like(t_stored[:, :1]) + unit
    return tf.concat([tf.repeat(past, spec.time_steps, axis=1), steps], axis=1)


def relax(
    s_eq: tf.Tensor,
    dt: tf.Tensor,
    tau: tf.Tensor,
    *,
    modes: int,
    step: Literal["ramp", "constant"] = "ramp",
    e0: tf.Tensor | None = None,
    state: tf.Tensor | None = None,
) -> Relaxation:
    """Settlement at N+1 times for an equilibrium settlement given at those times.

    s_eq (batch, N+1) m; dt (batch, N) s, zero allowed; tau (batch, 1 or N) s of the first mode; e0 (batch, 1) m is
    settlement pending at the first time; state (batch, modes) m is the modal settlement at the first time, before
    weights, default empty. `constant` holds s_eq at its new value over the step.
    """
    odd_squared = tf.constant((2.0 * np.arange(modes) + 1.0) ** 2, s_eq.dtype)
    load = s_eq if e0 is None else s_eq + e0
    ratio = dt[..., tf.newaxis] * odd_squared / tau[..., tf.newaxis]
    decay = tf.exp(-ratio)
    change = (load[:, 1:] - load[:, :-1])[..., tf.newaxis]
    gain = change * (mean_decay(ratio) if step == "ramp" else decay)
    deficit = load[:, :1] + tf.zeros_like(ratio[:, 0]) if state is None else load[:, :1] - state
    trail = [deficit]
    for n in range(dt.shape[1]):
        trail.append(trail[-1] * decay[:, n] + gain[:, n])
    deficit = tf.stack(trail, axis=1)
    return Relaxation(load - _weighted(deficit, modes), load, deficit, ratio, dt)


def mean_decay(ratio: tf.Tensor) -> tf.Tensor:
    """(1 - exp(-x)) / x, 1 at x = 0, with a finite gradient there."""
    safe = tf.where(ratio > 0.0, ratio, tf.ones_like(ratio))
    return tf.where(ratio > 0.0, -tf.math.expm1(-safe) / safe, tf.ones_like(ratio))


def predicted_step(path: Relaxation, excess: tf.Tensor, first: int, spec: PhysicsSpec) -> tf.Tensor:
    """Settlement (batch, H) that physics gives one step ahead of a published settlement, m.

    The modes stand where the recursion has them at the step's start; what is published beyond it, `excess`
    (batch, H) m, is spread over the modes by their weights. With one mode this is the one-step public recursion.
    """
    ratio = path.ratio[:, first:]
    decay = tf.exp(-ratio) if spec.residual_method == "exact" else 1.0 / (1.0 + ratio)
    kept = _weighted(decay, spec.modes) / float(mode_weights(spec.modes).sum())
    if spec.residual_method == "exact":
        return path.settlement[:, first + 1 :] + kept * excess
    load = path.load[:, first:]
    change = (load[:, 1:] - load[:, :-1])[..., tf.newaxis]
    deficit = (path.deficit[:, first:-1] + change) * decay
    return load[:, 1:] - _weighted(deficit, spec.modes) + kept * excess


def settle(
    bundle: FieldBundle,
    history: tf.Tensor,
    head: tf.Tensor,
    t_stored: tf.Tensor,
    spec: PhysicsSpec,
    valid: tf.Tensor | None = None,
) -> Settlement:
    """Physical mean of the horizon, with the history run through the same recursion.

    history (batch, T) m observed heads; head (batch, H) m forecast; t_stored (batch, H); valid (batch, T) is 1 where
    the history was observed (unobserved steps must come first; they add no load and no time).
    Heads are hydraulic heads, up positive: no conversion from depth happens here.
    """
    h_ref = reference_head(history, spec, valid)
    depth = drawdown(head, h_ref, spec)
    if not spec.consolidation:
        nothing = tf.zeros_like(head)
        return Settlement(nothing, depth, nothing, h_ref, None, spec.time_steps - 1)
    past = drawdown(fill_history(history, valid), h_ref, spec)
    log_Ss: Jet = bundle.log_Ss
    s_eq = equilibrium_settlement(depth, log_Ss.value, bundle.H)
    s_past = equilibrium_settlement(past, log_Ss.value[:, :1], bundle.H[:, :1])
    tau = tf.exp(bundle.log_tau)
    tau = tf.concat([tf.repeat(tau[:, :1], spec.time_steps - 1, axis=1), tau], axis=1)
    dt = _observed_steps(step_lengths(t_stored, spec), valid, spec)
    path = relax(tf.concat([s_past, s_eq], axis=1), dt, tau, modes=spec.modes, step=spec.step, e0=bundle.e0[:, :1])
    last = spec.time_steps - 1
    s_phys = path.settlement[:, last + 1 :] - path.settlement[:, last : last + 1]
    return Settlement(s_phys, depth, s_eq, h_ref, path, last)


def _observed_steps(dt: tf.Tensor, valid: tf.Tensor | None, spec: PhysicsSpec) -> tf.Tensor:
    """Steps that start before the first observation take no time."""
    if valid is None:
        return dt
    known = tf.cast(valid, dt.dtype)[:, :-1]
    return dt * tf.concat([known, tf.ones_like(dt[:, spec.time_steps - 1 :])], axis=1)


def _weighted(modal: tf.Tensor, modes: int) -> tf.Tensor:
    return tf.linalg.matvec(modal, tf.constant(mode_weights(modes), modal.dtype))
