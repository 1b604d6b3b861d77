"""What the source Q of the flow equation means: kinds, and the flags that say in which units it is stored."""

import tensorflow as tf

from tasks.subsidence.ground.physics import PhysicsSpec, SourceTerm

MIN_SHARED_THICKNESS_M = 1.0


def seconds_per_source_time(spec: PhysicsSpec) -> float:
    """The time, in s, that a raw Q is 'per'."""
    term = spec.source
    if term.in_si or term.in_per_second:
        return 1.0
    return spec.coord_scale_si.t if term.wrt_normalized_time else spec.scales.T_c


def metres_per_source_length(term: SourceTerm) -> float:
    """Metres in the length of a raw Q; 1 where Q has no length."""
    return 1.0 if term.kind == "per_volume" or term.in_si or term.length_in_si else term.head_unit_m


def volumetric_source(Q: tf.Tensor, log_Sa: tf.Tensor, thickness: tf.Tensor, spec: PhysicsSpec) -> tf.Tensor:
    """Raw Q as a volumetric source in 1/s; all shapes equal.

    per_volume: Q is 1/time. recharge_rate: Q is length/time, spread over the aquifer thickness. head_rate: Q is the
    head change it causes, length/time, times the specific storage.
    """
    rate = Q * (metres_per_source_length(spec.source) / seconds_per_source_time(spec))
    if spec.source.kind == "head_rate":
        return tf.exp(log_Sa) * rate
    if spec.source.kind == "recharge_rate":
        return rate / _layer_thickness(thickness, spec)
    return rate


def characteristic_source(spec: PhysicsSpec) -> float:
    """Raw Q, in its own units, whose effect on head is the characteristic head change per time unit."""
    scales, term = spec.scales, spec.source
    per_second = {
        "per_volume": scales.Sa_c * scales.h_c / scales.T_c,
        "recharge_rate": scales.Sa_c * scales.h_c / scales.T_c * _typical_thickness(spec),
        "head_rate": scales.h_c / scales.T_c,
    }[term.kind]
    return per_second * seconds_per_source_time(spec) / metres_per_source_length(term)


def _layer_thickness(thickness: tf.Tensor, spec: PhysicsSpec) -> tf.Tensor | float:
    if spec.gw_layer == "two_layer":
        return spec.source.aquifer_thickness_m
    return tf.maximum(thickness, MIN_SHARED_THICKNESS_M)


def _typical_thickness(spec: PhysicsSpec) -> float:
    shared = spec.gw_layer == "shared"
    return max(spec.scales.L_c, MIN_SHARED_THICKNESS_M) if shared else spec.source.aquifer_thickness_m
