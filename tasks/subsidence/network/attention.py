"""The attention levels of the decoder: cross, hierarchical (short and long windows) and memory."""

import keras
import tensorflow as tf

from tasks.subsidence.network.blocks import EPSILON, SeededDropout, dense

HIDDEN_LOGIT = -1e9


class Attention(keras.layers.Layer):
    """Scaled dot-product attention with several heads; masked keys get no weight."""

    def __init__(self, units: int, heads: int, *, seed: int, dropout: float, **options):
        super().__init__(**options)
        self.units, self.heads, self.width = units, heads, max(units // heads, 1)
        self.query = dense(self.width * heads, seed, "query")
        self.key_value = dense(2 * self.width * heads, seed + 1, "key_value")
        self.merge = dense(units, seed + 2, "merge")
        self.drop = SeededDropout(dropout, seed, name="drop")

    def build(self, queries, keys):
        self.query.build(queries)
        self.key_value.build(keys)
        self.merge.build((*queries[:-1], self.width * self.heads))

    def call(self, queries, keys, mask=None, noise=None):
        """queries (batch, Q, a), keys (batch or 1, K, b), mask (batch, K) 1 where visible -> (batch, Q, units)."""
        query = self._split(self.query(queries))
        key, value = tf.split(self.key_value(keys), 2, axis=-1)
        logits = tf.matmul(query, self._split(key), transpose_b=True) * self.width**-0.5
        if mask is not None:
            logits += (1.0 - mask[:, tf.newaxis, tf.newaxis, :]) * HIDDEN_LOGIT
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(logits, axis=-1), self._split(value)), (0, 2, 1, 3))
        joined = tf.reshape(mixed, (-1, queries.shape[1], self.width * self.heads))
        return self.drop(self.merge(joined), noise)

    def _split(self, values):
        parts = tf.reshape(values, (-1, values.shape[1], self.heads, self.width))
        return tf.transpose(parts, (0, 2, 1, 3))


class HierarchicalAttention(keras.layers.Layer):
    """Two attentions over the history: its younger half, and all of it."""

    def __init__(self, units: int, heads: int, *, seed: int, dropout: float, **options):
        super().__init__(**options)
        self.short = Attention(units, heads, seed=seed, dropout=dropout, name="short")
        self.long = Attention(units, heads, seed=seed + 10, dropout=dropout, name="long")

    def build(self, queries, keys):
        self.short.build(queries, keys)
        self.long.build(queries, keys)

    def call(self, queries, history, mask, noise=None):
        """history (batch, T, a), mask (batch, T) -> (batch, Q, units)."""
        steps = history.shape[1]
        young = tf.constant([0.0] * (steps // 2) + [1.0] * (steps - steps // 2))
        return self.short(queries, history, mask * young, noise) + self.long(queries, history, mask, noise)


class MemoryAttention(keras.layers.Layer):
    """Attention over learned slots; slots start apart, for equal slots would stay equal."""

    def __init__(self, units: int, heads: int, slots: int, *, seed: int, dropout: float, **options):
        super().__init__(**options)
        self.units, self.slots, self.seed = units, slots, seed
        self.look = Attention(units, heads, seed=seed, dropout=dropout, name="look")

    def build(self, queries):
        start = keras.initializers.RandomNormal(stddev=1.0, seed=self.seed + 5)
        self.memory = self.add_weight(shape=(self.slots, self.units), initializer=start, name="memory")
        self.look.build(queries, (1, self.slots, self.units))

    def call(self, queries, noise=None):
        """(batch, Q, a) -> (batch, Q, units)"""
        # One copy a row: with oneDNN the CPU kernel of this TensorFlow miscounts a batch of keys that is broadcast.
        slots = tf.repeat(self.memory[tf.newaxis], tf.shape(queries)[0], axis=0)
        return self.look(queries, slots, None, noise)


class AttentionStack(keras.layers.Layer):
    """The chosen levels, each added to what came before it (or replacing it without residual connections)."""

    def __init__(self, levels, units, heads, slots, *, residual, seed, dropout, **options):
        super().__init__(**options)
        self.levels, self.residual = tuple(levels), residual
        common = {"dropout": dropout}
        makers = {
            "cross": lambda at: Attention(units, heads, seed=at, name="cross", **common),
            "hierarchical": lambda at: HierarchicalAttention(units, heads, seed=at, name="hierarchical", **common),
            "memory": lambda at: MemoryAttention(units, heads, slots, seed=at, name="memory", **common),
        }
        self.parts = [makers[level](seed + 100 * place) for place, level in enumerate(self.levels)]
        self.norms = [keras.layers.LayerNormalization(epsilon=EPSILON, name=f"norm_{level}") for level in self.levels]

    def build(self, queries, states, history):
        shapes = {"cross": (queries, states), "hierarchical": (queries, history), "memory": (queries,)}
        for level, part, norm in zip(self.levels, self.parts, self.norms, strict=True):
            part.build(*shapes[level])
            norm.build(queries)

    def call(self, queries, states, states_mask, history, history_mask, noise=None):
        """queries (batch, Q, units); states of all scales; history: the states of every step -> (batch, Q, units)."""
        for level, part, norm in zip(self.levels, self.parts, self.norms, strict=True):
            if level == "cross":
                seen = part(queries, states, states_mask, noise)
            elif level == "hierarchical":
                seen = part(queries, history, history_mask, noise)
            else:
                seen = part(queries, noise)
            queries = norm(queries + seen if self.residual else seen)
        return queries
