"""Rows that only fill the last batch: nothing is learned from them, in no part of the network."""

import numpy as np
import pytest
import tensorflow as tf

from tasks.subsidence.losses import batch_losses
from tests.subsidence.network.tiny_training import (
    DATA_ONLY,
    LIGHT,
    open_gates,
    shaken,
    slopes,
    targets_of,
    tensors_of,
    twin_case,
    windows_of,
)

ROWS, FILLED = [0, 1, 2, 3], [0, 1, 2, 3, 70, 71]
PRESENT = [1.0] * 4 + [0.0] * 2


def gradient(case, model, rows, present, noise=None):
    """Slope of the training loss by the path of every weight."""
    windows = windows_of(model, case.train, rows)
    inputs, truth = tensors_of(windows.inputs), targets_of(windows, present)
    with tf.GradientTape() as tape:
        result = model.forward(inputs, noise=noise, rows=truth.rows)
        total = batch_losses(model, result, truth, inputs, case.weights(model)).total
    return slopes(tape, total, model)


@pytest.mark.parametrize("settings", [
    DATA_ONLY, {**LIGHT, "PDE_MODE_CONFIG": "gw_flow"}, {**LIGHT, "PDE_MODE_CONFIG": "consolidation"}, LIGHT,
], ids=["data", "flow", "consolidation", "both"])  # fmt: skip
def test_no_gradient_comes_from_padded_rows(settings):
    case = twin_case(**settings)
    model = open_gates(shaken(case.started(), spread=0.02))
    alone, filled = gradient(case, model, ROWS, None), gradient(case, model, FILLED, PRESENT)
    for path, slope in alone.items():
        size = max(np.abs(slope).max(), 1e-6)
        np.testing.assert_allclose(filled[path], slope, rtol=1e-3, atol=1e-3 * size, err_msg=path)


def test_batch_normalisation_takes_its_statistics_from_the_rows_that_are_not_padded():
    case = twin_case(**DATA_ONLY, USE_BATCH_NORM=True, DROPOUT_RATE=0.0)
    found = []
    for rows, present in ((ROWS, None), (FILLED, PRESENT)):
        model = shaken(case.network(), spread=0.02)
        slope = gradient(case, model, rows, present, tf.constant([1, 2]))
        moving = {weight.path: weight.numpy() for weight in model.weights if "moving" in weight.path}
        found.append((slope, moving))
    assert any(np.abs(values).max() > 0.0 for path, values in found[0][1].items() if "mean" in path)
    for alone, filled in zip(*found, strict=True):
        for path, values in alone.items():
            np.testing.assert_allclose(filled[path], values, rtol=1e-3, atol=1e-5, err_msg=path)
