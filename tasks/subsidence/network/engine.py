"""The compiled steps of training and validation: one trace each, fixed shapes, randomness a function of the step."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tasks.subsidence.fields import Site
from tasks.subsidence.ground.collocation import collocation_pool, draw
from tasks.subsidence.ground.residuals import PhysicsLosses
from tasks.subsidence.losses import Losses, LossWeights, Targets, batch_losses, scores
from tasks.subsidence.model import Forward, SubsidenceNetwork
from tasks.subsidence.network.adam import Adam
from tasks.subsidence.network.origins import Windows

POOL_POINTS = 20_000
PHYSICS_TERMS = ("cons", "gw", "prior", "smooth", "bounds", "mv", "q")
PHYSICS_COLUMNS = {
    "consolidation_loss": "cons",
    "gw_flow_loss": "gw",
    "prior_loss": "prior",
    "smooth_loss": "smooth",
    "bounds_loss": "bounds",
    "mv_prior_loss": "mv",
    "q_reg_loss": "q",
    "q_rms": "q_rms",
    "epsilon_prior": "epsilon_prior",
    "epsilon_cons": "epsilon_cons",
    "epsilon_gw": "epsilon_gw",
    "epsilon_cons_raw": "epsilon_cons_raw",
    "epsilon_gw_raw": "epsilon_gw_raw",
}


class Arrays(NamedTuple):
    """The windows of one epoch as tensors."""

    inputs: dict[str, tf.Tensor]
    subsidence: tf.Tensor
    head: tf.Tensor
    weight: tf.Tensor


def tensors(windows: Windows) -> Arrays:
    """Windows as tensors in memory."""
    inputs = {name: tf.constant(array) for name, array in windows.inputs.items()}
    return Arrays(inputs, *(tf.constant(array) for array in (windows.subsidence, windows.head, windows.weight)))


class Options(NamedTuple):
    """What the graph depends on besides the model."""

    weights: LossWeights
    clip_norm: float
    multipliers: dict[str, float]  # of the step size, by part of the model
    seed: int
    debug_gradients: bool
    log_forcing: bool


class Engine:
    """Compiled steps around one model; `traces` counts how often each was traced."""

    def __init__(self, model: SubsidenceNetwork, options: Options, train: Windows):
        self.model, self.options = model, options
        self.adam = Adam(model.trainable_variables, _by_weight(model, options.multipliers))
        self.traces = {"train": 0, "val": 0}
        self.pool = self._pool(train) if model.spec.gw_flow else None
        self.train_names: list[str] = []
        self.val_names: list[str] = []
        self._train = tf.function(self._train_step, autograph=False)
        self._val = tf.function(self._val_step, autograph=False)

    def _pool(self, train: Windows) -> Site:
        """Points in the hull of the train places, from the first history step to the last target step."""
        inputs, steps = train.inputs, self.model.semantics.time_steps
        span = inputs["coords"][:, [0, -1]].copy()
        span[:, 0, 0] -= steps * self.model.features.step
        static = inputs["static_features"]
        thickness = np.broadcast_to(inputs["H_field"][:, :1, 0], span.shape[:2])
        return collocation_pool(span, static, thickness, size=POOL_POINTS, seed=self.options.seed).tensors()

    def train_step(self, arrays: Arrays, rows: np.ndarray, present: np.ndarray, step: int, rate: float) -> np.ndarray:
        """One update; the values of `train_names`."""
        return self._train(arrays, rows, present, tf.constant(step, tf.int32), tf.constant(rate)).numpy()

    def val_step(self, arrays: Arrays, rows: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Losses and scores of one batch; the values of `val_names`."""
        return self._val(arrays, rows, present).numpy()

    def _train_step(self, arrays: Arrays, rows, present, step, rate):
        self.traces["train"] += 1
        inputs, truth = _batch(arrays, rows, present)
        noise = tf.stack([tf.constant(self.options.seed, tf.int32), step])
        points = None if self.pool is None else draw(self.pool, rows.shape[0] * truth.weight.shape[1], noise)
        with tf.GradientTape(persistent=self.options.debug_gradients) as tape:
            result = self.model.forward(inputs, noise=noise, collocation=points, rows=truth.rows)
            losses = batch_losses(self.model, result, truth, inputs, self.options.weights)
        gradients = tape.gradient(losses.total, self.adam.variables, unconnected_gradients="zero")
        norm = tf.linalg.global_norm(gradients)
        sound = tf.math.is_finite(norm) & tf.math.is_finite(losses.total)
        self.adam.apply(gradients, norm, sound, rate, self.options.clip_norm)
        values = self._values(losses, result, truth)
        values |= {"grad_norm": norm, "skipped_steps": 1.0 - tf.cast(sound, tf.float32), "weight": _size(truth)}
        if self.options.debug_gradients:
            values |= self._gradient_norms(tape, losses)
        self.train_names = list(values)
        return tf.stack(list(values.values()))

    def _val_step(self, arrays: Arrays, rows, present):
        self.traces["val"] += 1
        inputs, truth = _batch(arrays, rows, present)
        result = self.model.forward(inputs)
        losses = batch_losses(self.model, result, truth, inputs, self.options.weights)
        values = self._values(losses, result, truth) | {"weight": _size(truth)}
        self.val_names = list(values)
        return tf.stack(list(values.values()))

    def _values(self, losses: Losses, result: Forward, truth: Targets) -> dict[str, tf.Tensor]:
        zero = tf.zeros_like(losses.total)
        physics = losses.physics or PhysicsLosses(*[zero] * len(PhysicsLosses._fields))
        values = {
            "loss": losses.total,
            "total_loss": losses.total,
            "data_loss": losses.data,
            "field_loss": losses.field,
            "physics_loss": losses.physics_sum,
            "physics_loss_scaled": losses.physics_scaled,
            "physics_mult": losses.multiplier,
        }
        values |= {column: getattr(physics, name) for column, name in PHYSICS_COLUMNS.items()}
        if self.options.log_forcing and result.data is not None and result.data.Q is not None:
            Q = result.data.Q
            values |= {"q_mean": tf.reduce_mean(Q), "q_min": tf.reduce_min(Q), "q_max": tf.reduce_max(Q)}
        return values | scores(self.model, result, truth)

    def _gradient_norms(self, tape, losses: Losses) -> dict[str, tf.Tensor]:
        """Global gradient norm of the data loss and of every physics loss before weights."""
        terms = {"data": losses.data}
        if losses.physics is not None:
            terms |= {name: getattr(losses.physics, name) for name in PHYSICS_TERMS}
        named = {}
        for name, term in terms.items():
            gradients = tape.gradient(term, self.adam.variables, unconnected_gradients="zero")
            named[f"grad_norm_{name}"] = tf.linalg.global_norm(gradients)
        return named


def _by_weight(model: SubsidenceNetwork, multipliers: dict[str, float]) -> list[float]:
    """A multiplier for every trained weight: that of its own name, else of the part of the model that holds it."""
    by_part = {
        id(weight): value
        for part, value in multipliers.items()
        if getattr(model, part, None) is not None
        for weight in getattr(model, part).trainable_variables
    }
    return [multipliers.get(weight.name, by_part.get(id(weight), 1.0)) for weight in model.trainable_variables]


def _batch(arrays: Arrays, rows, present) -> tuple[dict[str, tf.Tensor], Targets]:
    """Rows of the epoch's arrays; padded rows weigh nothing."""
    inputs = {name: tf.gather(array, rows) for name, array in arrays.inputs.items()}
    subsidence, head, weight = (tf.gather(array, rows) for array in arrays[1:])
    return inputs, Targets(subsidence, head, weight * present[:, tf.newaxis], present)


def _size(truth: Targets) -> tf.Tensor:
    return tf.reduce_sum(truth.weight)
