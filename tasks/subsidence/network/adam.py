"""Adam (Kingma and Ba 2015) as one fused operation per weight, with a step size multiplier per weight.

A step whose gradient is not finite changes nothing: neither weights nor moments nor the count of updates.
"""

import tensorflow as tf

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7


class Adam:
    """Moments of a fixed list of weights."""

    def __init__(self, variables: list, multipliers: list[float]):
        self.variables = [getattr(variable, "value", variable) for variable in variables]
        self.multipliers = multipliers
        self.first = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in self.variables]
        self.second = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in self.variables]
        self.updates = tf.Variable(0, dtype=tf.int64, trainable=False)

    def state(self) -> list[tf.Variable]:
        """Everything that resuming needs, in a fixed order."""
        return [self.updates, *self.first, *self.second]

    def apply(self, gradients, norm, sound, rate, clip_norm: float) -> None:
        """One update with the gradients scaled to a global norm of at most clip_norm; nothing unless `sound`."""
        one = tf.ones_like(norm)
        keep = tf.cast(sound, norm.dtype)
        shrink = tf.math.divide_no_nan(tf.minimum(norm, clip_norm), norm)
        count = tf.cast(self.updates + 1, norm.dtype)
        powers = (tf.pow(BETA1 * one, count), tf.pow(BETA2 * one, count))
        betas = [tf.where(sound, beta * one, one) for beta in (BETA1, BETA2)]
        self.updates.assign_add(tf.cast(sound, tf.int64))
        for place, gradient in enumerate(gradients):
            tf.raw_ops.ResourceApplyAdam(
                var=self.variables[place].handle,
                m=self.first[place].handle,
                v=self.second[place].handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate * keep * self.multipliers[place],
                beta1=betas[0],
                beta2=betas[1],
                epsilon=EPSILON * one,
                # A product with 0 that stays 0 for infinite gradients.
                grad=tf.math.multiply_no_nan(tf.convert_to_tensor(gradient), shrink * keep),
            )
