"""What the physics penalises: flow and consolidation residuals in non-dimensional form, priors and regularisers.

Residuals are scaled by fixed characteristic scales of the train split, never by the batch and never by a floor, so a
field that is wrong by ten per cent shows as a residual of order 0.1. Weights and schedules belong to the model.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from tasks.subsidence.fields import BOUND_OF, FieldBundle
from tasks.subsidence.ground.consolidation import Settlement, predicted_step
from tasks.subsidence.ground.physics import Barrier, PhysicsSpec
from tasks.subsidence.operators import GroundwaterTerms, groundwater_terms


class Groundwater(NamedTuple):
    """Flow residual at every point."""

    scaled: tf.Tensor  # non-dimensional
    raw: tf.Tensor  # 1/s
    terms: GroundwaterTerms  # m/s


class Consolidation(NamedTuple):
    """Consolidation residual of every step, (batch, H)."""

    scaled: tf.Tensor  # non-dimensional
    raw: tf.Tensor  # m/s
    step: tf.Tensor  # m, the same over the whole step


class PhysicsLosses(NamedTuple):
    """Unweighted physics losses (scalars) and the root mean squares that are reported beside them."""

    cons: tf.Tensor
    gw: tf.Tensor
    prior: tf.Tensor
    smooth: tf.Tensor
    bounds: tf.Tensor
    mv: tf.Tensor
    q: tf.Tensor
    pending: tf.Tensor
    epsilon_cons: tf.Tensor
    epsilon_gw: tf.Tensor
    epsilon_prior: tf.Tensor
    epsilon_cons_raw: tf.Tensor  # in CONS_RESIDUAL_UNITS
    epsilon_gw_raw: tf.Tensor  # in GW_RESIDUAL_UNITS
    q_rms: tf.Tensor  # source over Sa_c h_c / T_c


def groundwater(bundle: FieldBundle, spec: PhysicsSpec, q_gate: float | tf.Tensor = 1.0) -> Groundwater:
    """R = (T_c/h_c) (h_t - (Ka/Sa) (lap h + grad log Ka . grad h) - Q/Sa) at the points of a bundle."""
    terms = groundwater_terms(bundle.h, bundle.log_Ka, bundle.log_Sa.value, q_gate * bundle.source)
    scaled = spec.scales.T_c / spec.scales.h_c * terms.residual
    return Groundwater(scaled, tf.exp(bundle.log_Sa.value) * terms.residual, terms)


def consolidation(settlement: Settlement, published: tf.Tensor, spec: PhysicsSpec) -> Consolidation:
    """Residual of the published median (batch, H), m since the last observation, against one physical step each.

    Zero where the median is the physical mean; it measures the share of the forecast that physics does not explain.
    """
    path, last = settlement.path, settlement.last
    base = path.settlement[:, last : last + 1]
    excess = published - (path.settlement[:, last + 1 :] - base)
    before = tf.concat([tf.zeros_like(excess[:, :1]), excess[:, :-1]], axis=1)
    step = base + published - predicted_step(path, before, last, spec)
    raw = step / path.dt[:, last:]
    return Consolidation(raw * (spec.scales.T_c / spec.scales.s_c), raw, step)


def prior(bundle: FieldBundle, weight: tf.Tensor | None = None) -> tf.Tensor:
    """Mean square of the departure of log tau from the closure."""
    return _mean(tf.square(bundle.dlogtau), weight)


def smoothness(bundle: FieldBundle, spec: PhysicsSpec, weight: tf.Tensor | None = None) -> tf.Tensor:
    """L_xy^2 mean(|grad log K|^2 + |grad log Ss|^2): one square, in log space, without a floor."""
    steepness = sum(tf.square(field.x) + tf.square(field.y) for field in (bundle.log_K, bundle.log_Ss))
    return spec.scales.L_xy**2 * _mean(steepness, weight)


def bounds(bundle: FieldBundle, spec: PhysicsSpec, weight: tf.Tensor | None = None) -> tf.Tensor:
    """Penalty on log fields outside their limits; nothing in sigmoid mode, where fields cannot leave them."""
    if spec.bounds_mode == "sigmoid":
        return tf.zeros((), bundle.H.dtype)
    barrier = spec.barrier
    fields = [(getattr(bundle, name), limit) for name, limit in BOUND_OF.items()]
    terms = [(field.value, limit, barrier.weight) for field, limit in fields if field is not None]
    if barrier.include_tau and bundle.log_tau is not None:
        terms.append((bundle.log_tau, "tau", barrier.tau_weight))
    return sum(w * _mean(excess_penalty(value, *spec.bounds[limit], barrier), weight) for value, limit, w in terms)


def excess_penalty(log_field: tf.Tensor, low: float, high: float, barrier: Barrier) -> tf.Tensor:
    """Squared excess over the limits (`residual`), its softplus form (`barrier`), or both; log units squared.

    Beyond `guard` log units outside a limit the penalty grows linearly, so its gradient stays bounded.
    """
    sides = (math.log(low) - log_field, log_field - math.log(high))
    sharp = [tf.nn.relu(side) for side in sides] if barrier.kind in ("residual", "both") else []
    soft = [tf.nn.softplus(barrier.beta * side) / barrier.beta for side in sides]
    soft = soft if barrier.kind in ("barrier", "both") else []
    return sum(2.0 * _huber(excess, barrier.guard) for excess in sharp + soft)


def mv_prior(bundle: FieldBundle, spec: PhysicsSpec, weight: tf.Tensor | None = None) -> tf.Tensor:
    """huber(mean r) + dispersion * mean huber(r - mean r), r = log Ss - log(m_v gamma_w).

    `calibrate` moves m_v only, `field` moves the storage field as well, `off` is zero.
    """
    rule = spec.storage_prior
    log_Ss = bundle.log_Ss.value
    if rule.mode == "off":
        return tf.zeros((), log_Ss.dtype)
    log_Ss = tf.stop_gradient(log_Ss) if rule.mode == "calibrate" else log_Ss
    r = log_Ss - bundle.log_mv - math.log(spec.gamma_w)
    mean = _mean(r, weight)
    return _huber(mean, rule.huber_delta) + rule.dispersion * _mean(_huber(r - mean, rule.huber_delta), weight)


def q_regulariser(
    bundle: FieldBundle, spec: PhysicsSpec, q_gate: float | tf.Tensor = 1.0, weight: tf.Tensor | None = None
) -> tf.Tensor:
    """mean(Q^2) over the square of the source that moves the head by h_c in one time unit."""
    unit = spec.scales.Sa_c * spec.scales.h_c / spec.scales.T_c
    return _mean(tf.square(q_gate * bundle.source / unit), weight)


def pending(bundle: FieldBundle, spec: PhysicsSpec, weight: tf.Tensor | None = None) -> tf.Tensor:
    """Mean square of the pending settlement in units of the spread of the targets, averaged over the horizon."""
    spread = sum(spec.sigma_s) / len(spec.sigma_s)
    return _mean(tf.square(bundle.e0 / spread), weight)


def physics_losses(
    data: FieldBundle,
    collocation: FieldBundle | None,
    settlement: Settlement,
    published: tf.Tensor,
    spec: PhysicsSpec,
    *,
    q_gate: float | tf.Tensor = 1.0,
    weight: tf.Tensor | None = None,
) -> PhysicsLosses:
    """All physics losses of one batch, before any weight or schedule.

    published (batch, H) m since the last observation; weight (batch,) is 0 on padded rows. Losses of equations that
    are off are zero. Where scaling is off, `cons` and `gw` are mean squares in m/s and 1/s.
    """
    zero = tf.zeros((), published.dtype)
    rows = None if weight is None else weight[:, tf.newaxis] + tf.zeros_like(published)
    losses = dict.fromkeys(PhysicsLosses._fields, zero)
    if spec.gw_flow:
        losses |= _flow_losses(data, collocation, spec, q_gate, rows)
    if spec.consolidation:
        losses |= _settlement_losses(data, settlement, published, spec, rows)
    if data.log_Ss is not None:
        losses |= {"smooth": smoothness(data, spec, rows), "mv": mv_prior(data, spec, rows)}
    if spec.active:
        losses["bounds"] = bounds(data, spec, rows)
    return PhysicsLosses(**losses)


def _flow_losses(
    data: FieldBundle,
    collocation: FieldBundle | None,
    spec: PhysicsSpec,
    q_gate: float | tf.Tensor,
    rows: tf.Tensor | None,
) -> dict[str, tf.Tensor]:
    parts = [(data, rows), *([] if collocation is None else [(collocation, None)])]
    results = [(groundwater(bundle, spec, q_gate), weight) for bundle, weight in parts]
    scaled = sum(_mean(tf.square(r.scaled), weight) for r, weight in results) / len(results)
    raw = sum(_mean(tf.square(r.raw), weight) for r, weight in results) / len(results)
    source = sum(q_regulariser(bundle, spec, q_gate, weight) for bundle, weight in parts) / len(parts)
    return {
        "gw": scaled if spec.scale_residuals else raw,
        "epsilon_gw": tf.sqrt(scaled),
        "epsilon_gw_raw": tf.sqrt(raw) * (spec.scales.T_c if spec.gw_units == "time_unit" else 1.0),
        "q": source,
        "q_rms": tf.sqrt(source),
    }


def _settlement_losses(
    data: FieldBundle, settlement: Settlement, published: tf.Tensor, spec: PhysicsSpec, rows: tf.Tensor | None
) -> dict[str, tf.Tensor]:
    result = consolidation(settlement, published, spec)
    scaled, raw = _mean(tf.square(result.scaled), rows), _mean(tf.square(result.raw), rows)
    shown = {"second": raw, "time_unit": raw * spec.scales.T_c**2, "step": _mean(tf.square(result.step), rows)}
    departure = prior(data, rows)
    return {
        "cons": scaled if spec.scale_residuals else raw,
        "epsilon_cons": tf.sqrt(scaled),
        "epsilon_cons_raw": tf.sqrt(shown[spec.cons_units]),
        "prior": departure,
        "epsilon_prior": tf.sqrt(departure),
        "pending": pending(data, spec, rows),
    }


def lateral_share(terms: GroundwaterTerms) -> tf.Tensor:
    """Root mean square of the lateral term over the sum of those of all three terms, 0..1."""
    sizes = [tf.sqrt(tf.reduce_mean(tf.square(term))) for term in (terms.storage, terms.lateral, terms.source)]
    return sizes[1] / (sizes[0] + sizes[1] + sizes[2])


def shared_layer_warning(spec: PhysicsSpec, spacing_m: float) -> str | None:
    """Why one conductivity for clay and aquifer makes the flow equation blind, or None where it does not."""
    if not (spec.gw_flow and spec.gw_layer == "shared"):
        return None
    reach_m = math.sqrt(spec.scales.K_c / spec.scales.Ss_c * spec.scales.T_c)
    if reach_m >= spacing_m:
        return None
    return (
        f"GW_LAYER shared: head spreads {reach_m:.3g} m per time unit but points lie {spacing_m:.3g} m apart, so the "
        "flow equation reduces to storage = source. GW_LAYER two_layer gives the aquifer its own conductivity."
    )


def _huber(r: tf.Tensor, delta: float) -> tf.Tensor:
    size = tf.abs(r)
    near = tf.minimum(size, delta)
    return 0.5 * tf.square(near) + delta * (size - near)


def _mean(values: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    if weight is None:
        return tf.reduce_mean(values)
    return tf.math.divide_no_nan(tf.reduce_sum(weight * values), tf.reduce_sum(weight))
