"""What training minimises: pinball loss of both targets in standardised units, and the weighted physics losses.

L = L_subs + w_gwl L_gwl + field + multiplier (sum of weighted physics losses) + mv + q
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tasks.contracts.errors import ConfigError
from tasks.contracts.units import MM_PER_M
from tasks.subsidence.ground.residuals import PhysicsLosses, physics_losses
from tasks.subsidence.model import Forward, SubsidenceNetwork

PENDING_WEIGHT = 0.01
FIELD_WEIGHT = 0.1
LEAST_MEDIAN_SHARE = 1.0 / 3.0
WEIGHTS = ("LAMBDA_CONS", "LAMBDA_GW", "LAMBDA_PRIOR", "LAMBDA_SMOOTH", "LAMBDA_BOUNDS", "LAMBDA_MV", "LAMBDA_Q")


class LossWeights(NamedTuple):
    """Fixed weights of one run."""

    levels: tuple[float, ...]
    subsidence: tuple[float, ...]  # per level, sum 1
    head: tuple[float, ...]
    gwl: float
    physics: dict[str, float]  # cons, gw, prior, smooth, bounds, mv, q


def loss_weights(levels: tuple[float, ...], cfg) -> LossWeights:
    """Weights from the resolved configuration.

    Raises ConfigError where a weight names no level, or where nobody named weights and the median counts too little.
    """
    physics = {name.removeprefix("LAMBDA_").lower(): float(cfg[name]) for name in WEIGHTS}
    physics["mv"] *= float(cfg["MV_WEIGHT"])
    return LossWeights(
        levels=levels,
        subsidence=_level_weights(levels, cfg["SUBS_WEIGHTS"], "SUBS_WEIGHTS"),
        head=_level_weights(levels, cfg["GWL_WEIGHTS"], "GWL_WEIGHTS"),
        gwl=float(cfg["LOSS_WEIGHT_GWL"]),
        physics=physics,
    )


def _level_weights(levels: tuple[float, ...], named: dict[Any, float], where: str) -> tuple[float, ...]:
    given = {round(float(level), 9): float(weight) for level, weight in (named or {}).items()}
    unknown = sorted(set(given) - {round(level, 9) for level in levels})
    if unknown:
        raise ConfigError("names levels that are not forecast", where=where, expected=list(levels), found=unknown)
    weights = [given.get(round(level, 9), 1.0) for level in levels]
    if not given and weights[levels.index(0.5)] / sum(weights) < LEAST_MEDIAN_SHARE:
        weights[levels.index(0.5)] = LEAST_MEDIAN_SHARE / (1 - LEAST_MEDIAN_SHARE) * (len(levels) - 1)
    return tuple(weight / sum(weights) for weight in weights)


def pinball(forecast: tf.Tensor, truth: tf.Tensor, levels: tuple[float, ...]) -> tf.Tensor:
    """Pinball loss (B, H, Q) of forecast (B, H, Q) against truth (B, H), in their unit."""
    error = truth[..., tf.newaxis] - forecast
    level = tf.constant(levels, forecast.dtype)
    return tf.maximum(level * error, (level - 1.0) * error)


def crps_weights(levels: tuple[float, ...]) -> np.ndarray:
    """Trapezoid weights (Q,) of the levels on [0, 1] with flat ends: CRPS = 2 sum w pinball."""
    edges = np.concatenate([[0.0], (np.array(levels[:-1]) + np.array(levels[1:])) / 2.0, [1.0]])
    return np.diff(edges)


class Targets(NamedTuple):
    """Truth of one batch."""

    subsidence: tf.Tensor  # (B, H) m
    head: tf.Tensor  # (B, H) m
    weight: tf.Tensor  # (B, H) 1 where known and not padded
    rows: tf.Tensor  # (B,) 1 where not padded


class Losses(NamedTuple):
    """One batch; scalars."""

    total: tf.Tensor
    data: tf.Tensor
    field: tf.Tensor
    physics: PhysicsLosses | None
    physics_sum: tf.Tensor  # weighted sum before multiplier and gate
    physics_scaled: tf.Tensor  # what enters the total
    multiplier: tf.Tensor


def batch_losses(
    model: SubsidenceNetwork, result: Forward, truth: Targets, inputs: dict[str, Any], weights: LossWeights
) -> Losses:
    """All losses of one forward pass; gates are read from the model's saved variables."""
    data = data_loss(model, result, truth, weights)
    zero = tf.zeros_like(data)
    if not model.spec.active:
        return Losses(data, data, zero, None, zero, zero, zero)
    gates, share = model.gates, weights.physics
    at_home = truth.rows * tf.reduce_max(inputs["known"], axis=1)  # heads of other origins are forecast, not observed
    physics = physics_losses(
        result.data, result.collocation, result.settlement, result.judged, model.spec,
        q_gate=gates["q"], weight=at_home,
    )  # fmt: skip
    held = sum(share[name] * getattr(physics, name) for name in ("cons", "gw", "prior", "smooth", "bounds"))
    multiplier = physics_multiplier(model)
    scaled = gates["physics"] * (multiplier * held + share["q"] * physics.q)
    scaled += share["mv"] * gates["mv"] * physics.mv + PENDING_WEIGHT * physics.pending
    field = field_loss(model, result, truth, inputs)
    return Losses(data + field + scaled, data, field, physics, held, scaled, multiplier)


def physics_multiplier(model: SubsidenceNetwork) -> tf.Tensor:
    """lambda_offset, or 10 to its power."""
    offset = tf.convert_to_tensor(model.gates["offset"])
    return offset if model.manifest["config"]["geoprior"]["offset_mode"] == "mul" else tf.pow(10.0, offset)


def data_loss(model: SubsidenceNetwork, result: Forward, truth: Targets, weights: LossWeights) -> tf.Tensor:
    """Mean pinball over levels, steps and rows in units of sigma_s and sigma_h."""
    subs = pinball(result.subsidence, truth.subsidence, weights.levels) * tf.constant(weights.subsidence)
    head = pinball(result.head, truth.head, weights.levels) * tf.constant(weights.head)
    both = tf.reduce_sum(subs, -1) / model.sigma[0] + weights.gwl * tf.reduce_sum(head, -1) / model.sigma[1]
    return masked_mean(both, truth.weight)


def field_loss(model: SubsidenceNetwork, result: Forward, truth: Targets, inputs: dict[str, Any]) -> tf.Tensor:
    """How far the head field lies from the head, in units of sigma_h, where the field is known: moves the field only.

    Surface elevation differs between neighbours by more than a smooth field can follow, so the forecast takes the
    change of the field in time; its level is fitted here, linearly far out.
    """
    known = tf.concat([tf.ones_like(truth.rows)[:, tf.newaxis], inputs["known"]], axis=1) * truth.rows[:, tf.newaxis]
    scaled = result.field_gap / float(np.mean(model.sigma[1]))
    return FIELD_WEIGHT * masked_mean(2.0 * (tf.sqrt(1.0 + tf.square(scaled)) - 1.0), known)


def masked_mean(values: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Weighted mean; 0 where nothing weighs."""
    return tf.math.divide_no_nan(tf.reduce_sum(values * weight), tf.reduce_sum(weight))


def scores(model: SubsidenceNetwork, result: Forward, truth: Targets) -> dict[str, tf.Tensor]:
    """Scalars of one batch in m (head: m); means over known targets."""
    levels = model.levels
    middle, low, high = levels.index(0.5), 0, len(levels) - 1
    error = result.subsidence[..., middle] - truth.subsidence
    gwl = result.head[..., middle] - truth.head
    inside = (truth.subsidence >= result.subsidence[..., low]) & (truth.subsidence <= result.subsidence[..., high])
    loss = pinball(result.subsidence, truth.subsidence, levels)
    crps = 2.0 * tf.linalg.matvec(loss, tf.constant(crps_weights(levels), loss.dtype))
    named = {
        "subs_pred_mae_q50": tf.abs(error),
        "subs_pred_mse_q50": tf.square(error),
        "subs_pred_coverage80": tf.cast(inside, error.dtype),
        "subs_pred_sharpness80": result.subsidence[..., high] - result.subsidence[..., low],
        "gwl_pred_mae_q50": tf.abs(gwl),
        "gwl_pred_mse_q50": tf.square(gwl),
        "crps_subs": crps,
        "subs_pred_bias_q50": error,
        "gwl_pred_bias_q50": gwl,
    }
    return {name: masked_mean(values, truth.weight) for name, values in named.items()}


def millimetres(value_m: float) -> str:
    """For lines that people read."""
    return f"{value_m * MM_PER_M:.2f} mm"
