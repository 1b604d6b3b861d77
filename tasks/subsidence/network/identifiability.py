"""Which parameters the forecast can tell apart: correlation of its sensitivities over the windows of a split."""

from itertools import combinations

import numpy as np
import tensorflow as tf

from tasks.subsidence.arrays import Split
from tasks.subsidence.model import SubsidenceNetwork
from tasks.subsidence.network.datasets import batches
from tasks.subsidence.network.origins import stored_windows
from tasks.subsidence.network.start import add_neighbours

PARAMETERS = ("log_K", "log_Ss", "log_tau")


def gradient_correlation(model: SubsidenceNetwork, split: Split, *, batch: int = 512) -> dict[str, float | None] | None:
    """Pearson correlation of d(physical settlement)/d(parameter) of parameters, over the windows; None: no physics.

    The settlement is that of the last step. K acts through the closure's time alone and Ss through it and directly;
    tau is moved by itself. Near +1 or -1 the data cannot separate the pair; null where a sensitivity does not vary.
    """
    if not model.spec.consolidation:
        return None
    found = _sensitivities(model, split, batch)
    return {f"{a}~{b}": _pearson(found[a], found[b]) for a, b in combinations(PARAMETERS, 2)}


def _sensitivities(model: SubsidenceNetwork, split: Split, batch: int) -> dict[str, np.ndarray]:
    windows = add_neighbours(model, stored_windows(split, model.semantics, float(model.known_until.numpy())))
    inputs = {name: tf.constant(array) for name, array in windows.inputs.items()}
    size = min(batch, len(windows))

    def one(rows: tf.Tensor) -> list[tf.Tensor]:
        part = {name: tf.gather(held, rows) for name, held in inputs.items()}
        with tf.GradientTape() as tape:
            result = model.forward(part)
            settled = tf.reduce_sum(result.settlement.s_phys[:, -1])
        sources = [result.data.log_Ss.value, result.data.log_tau]
        direct, time = (tf.reduce_sum(slope, axis=-1) for slope in tape.gradient(settled, sources))
        # The closure is log tau = log Ss - log K + terms of the thickness.
        return [-time, direct + time, time]

    compiled = tf.function(one, autograph=False)

    rows, _ = batches(np.arange(len(windows)), size)
    parts = [compiled(tf.constant(chunk)) for chunk in rows]
    return {
        name: np.concatenate([part[i].numpy() for part in parts])[: len(windows)].astype(float)
        for i, name in enumerate(PARAMETERS)
    }


def _pearson(a: np.ndarray, b: np.ndarray) -> float | None:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return round(float(np.corrcoef(a, b)[0, 1]), 6)
