"""Compiled steps: traced once, without effect where they are unusable, with step sizes of their own."""

import json

import numpy as np
import pytest

from tasks.contracts.errors import NonFiniteLossError
from tasks.subsidence.network.checkpoints import STATE, VARIABLES, unpack
from tasks.subsidence.network.datasets import batches
from tasks.subsidence.network.engine import Engine, tensors
from tests.subsidence.network.tiny_training import (
    DATA_ONLY,
    LIGHT,
    column,
    trained,
    trainer,
    twin_case,
    windows_of,
    workspace,
)

STEPS = 6  # of an epoch


@pytest.fixture
def poisoned(monkeypatch):
    """A function that spoils the targets of chosen steps; the weights before and after each step are kept."""

    def poison(steps):
        healthy, seen = Engine.train_step, []

        def step(self, arrays, rows, present, number, rate):
            before = [np.array(weight) for weight in self.model.weights if "gate_" not in weight.path]
            if number in steps:
                arrays = arrays._replace(subsidence=arrays.subsidence * np.nan)
            values = healthy(self, arrays, rows, present, number, rate)
            after = [np.array(weight) for weight in self.model.weights if "gate_" not in weight.path]
            seen.append(all(np.array_equal(one, other) for one, other in zip(before, after, strict=True)))
            return values

        monkeypatch.setattr(Engine, "train_step", step)
        return seen

    return poison


def test_an_unusable_step_is_skipped_and_counted_and_changes_nothing(poisoned):
    """Three in a row are let pass."""
    unchanged = poisoned({1, 2, 3, 5})
    result = trained(twin_case(**DATA_ONLY, EPOCHS=1))
    assert unchanged == [False, True, True, True, False, True]
    assert result.summary["n_skipped"] == 4 and column(result, "skipped_steps") == [4.0]
    assert np.isfinite(result.val_prediction.subsidence).all()


def test_four_unusable_steps_in_a_row_stop_the_training_and_leave_the_last_good_weights(poisoned, tmp_path):
    """The same request again meets the same trouble, and does not complete."""
    unchanged, case = poisoned(set(range(2, 99))), twin_case(**DATA_ONLY)
    with pytest.raises(NonFiniteLossError, match=r"training step 6.*not finite.*found 4 unusable steps in a row"):
        trained(case, tmp_path)
    assert unchanged == [False, False, True, True, True, True]
    saved = workspace(tmp_path).progress.load()
    assert all(np.isfinite(array).all() for array in unpack(saved[VARIABLES]))
    state = json.loads(saved[STATE])
    assert (state["stop_reason"], state["skipped"]) == (None, 4)
    with pytest.raises(NonFiniteLossError):
        trained(case, tmp_path)


def test_each_step_is_traced_once_partial_batches_included(tmp_path):
    case = twin_case(**DATA_ONLY)
    loop = trainer(case, tmp_path)
    loop.begin(None)
    for epoch in (0, 1):
        arrays = tensors(loop.source.windows(epoch))
        for number, (rows, present) in enumerate(zip(*batches(loop.source.order(epoch), 16), strict=True)):
            loop.engine.train_step(arrays, rows, present, epoch * STEPS + number, 1e-3)
    assert present.sum() == 4.0  # the last batch of 84 windows
    held = tensors(windows_of(loop.model, case.val))
    rows, present = batches(np.arange(len(case.val)), 16)
    for chunk in zip(rows, present, strict=True):
        loop.engine.val_step(held, *chunk)
    assert loop.engine.traces == {"train": 1, "val": 1}
    filled = np.where(present[1] > 0, rows[1], 3).astype(np.int32)
    assert (filled != rows[1]).any()
    np.testing.assert_array_equal(loop.engine.val_step(held, filled, present[1]),
                                  loop.engine.val_step(held, rows[1], present[1]))  # fmt: skip


def test_step_sizes_of_the_closure_are_those_of_the_configuration(tmp_path):
    loop = trainer(twin_case(**LIGHT, MV_LR_MULT=7.0, KAPPA_LR_MULT=11.0), tmp_path)
    paths = [weight.path for weight in loop.model.trainable_variables]
    found = dict(zip(paths, loop.engine.adam.multipliers, strict=True))
    assert {path.rpartition("/")[2]: size for path, size in found.items() if "log_" in path} == {
        "log_mv": 7.0, "log_kappa": 11.0,
    }  # fmt: skip
