"""The data path up to F: variable selection, multi-scale LSTM, attention levels; one feature vector per step ahead."""

from typing import Any

import keras
import tensorflow as tf

from tasks.subsidence.network.attention import AttentionStack
from tasks.subsidence.network.blocks import GatedResidual, MultiScaleLSTM, SeededDropout, VariableSelection, dense
from tasks.subsidence.network.features import Seen


class Block(keras.layers.Layer):
    """One group of variables: selection and a gated residual network, or a dense layer without selection."""

    def __init__(self, units: int, config: dict[str, Any], *, seed: int, **options):
        super().__init__(**options)
        self.selecting = config["use_vsn"]
        if self.selecting:
            dropout = config["dropout_rate"]
            self.select = VariableSelection(config["vsn_units"], seed=seed, dropout=dropout, name="select")
            common = {"dropout": dropout, "batch_norm": config["use_batch_norm"]}
            self.refine = GatedResidual(units, seed=seed + 20, name="refine", **common)
            self.inner = config["vsn_units"]
        else:
            self.plain = dense(units, seed, "plain", "elu")
            self.drop = SeededDropout(config["dropout_rate"], seed, name="drop")

    def build(self, shape):
        if self.selecting:
            self.select.build(shape)
            self.refine.build((*shape[:-1], self.inner))
        else:
            self.plain.build(shape)

    def call(self, values, noise=None):
        """(..., variables) -> (..., units)"""
        if not self.selecting:
            return self.drop(self.plain(values), noise)
        return self.refine(self.select(values, noise), noise)


class Trunk(keras.layers.Layer):
    """F (B, H, hidden_units). Steps ahead differ by their drivers and their lead, never by their place in a list."""

    def __init__(self, config: dict[str, Any], *, seed: int, has_future: bool, **options):
        super().__init__(**options)
        self.has_future = has_future
        hidden, embed, units = config["hidden_units"], config["embed_dim"], config["attention_units"]
        self.embed = embed
        self.statics = Block(hidden, config, seed=seed, name="statics")
        self.history = Block(embed, config, seed=seed + 1000, name="history")
        self.ahead = Block(embed, config, seed=seed + 2000, name="ahead") if has_future else None
        self.lstm = MultiScaleLSTM(config["lstm_units"], tuple(config["scales"]), seed=seed + 3000, name="lstm")
        self.decode = dense(units, seed + 4000, "decode", "elu")
        self.attend = AttentionStack(
            config["attention_levels"], units, config["num_heads"], config["memory_size"],
            residual=config["use_residuals"], seed=seed + 5000, dropout=config["dropout_rate"], name="attend",
        )  # fmt: skip
        common = {"dropout": config["dropout_rate"], "batch_norm": config["use_batch_norm"]}
        self.refine = GatedResidual(hidden, seed=seed + 6000, name="refine", **common)
        self.sizes = {"hidden": hidden, "units": units, "states": config["lstm_units"]}

    def build(self, seen: Seen):
        """From the shapes of a `Seen`."""
        steps, width = seen.dynamic[1], self.embed + 1
        self.statics.build(seen.static)
        self.history.build(seen.dynamic)
        if self.ahead is not None:
            self.ahead.build(seen.drivers)
            width += self.embed if seen.past_drivers is not None else 0
        self.lstm.build((None, steps, width))
        ahead = self.embed if self.ahead is not None else 0
        self.decode.build((None, seen.drivers[1], self.sizes["hidden"] + ahead + seen.lead[2]))
        queries = (None, seen.drivers[1], self.sizes["units"])
        self.attend.build(queries, (None, steps, self.sizes["states"]), (None, steps, width))
        self.refine.build(queries)

    def call(self, seen: Seen, noise=None):
        """-> (B, H, hidden)"""
        encoded = self._encode(seen, noise)
        states, states_mask = self.lstm(encoded, seen.mask)
        context = self.statics(seen.static, noise)
        context = tf.repeat(context[:, tf.newaxis], seen.lead.shape[1], axis=1)
        parts = [context, seen.lead] if self.ahead is None else [context, seen.lead, self.ahead(seen.drivers, noise)]
        queries = self.decode(tf.concat(parts, axis=-1))
        return self.refine(self.attend(queries, states, states_mask, encoded, seen.mask, noise), noise)

    def _encode(self, seen: Seen, noise):
        """(B, T, width): history, drivers of the past, and how long ago."""
        steps = seen.dynamic.shape[1]
        age = tf.range(steps - 1, -1, -1, dtype=seen.dynamic.dtype) / steps
        parts = [self.history(seen.dynamic, noise), tf.zeros_like(seen.dynamic[:, :, :1]) + age[:, tf.newaxis]]
        if self.ahead is not None and seen.past_drivers is not None:
            parts.append(self.ahead(seen.past_drivers, noise))
        return tf.concat(parts, axis=-1)
