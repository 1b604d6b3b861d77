"""The loop: goes on bit for bit wherever it was killed, and chooses by data scores alone."""

import json

import numpy as np
import tensorflow as tf

from tasks.subsidence.network import trainer as module
from tasks.subsidence.network.checkpoints import BEST, STATE, VARIABLES, unpack, weights_bytes
from tasks.subsidence.network.session import Session
from tests.subsidence.network.tiny_training import (
    DATA_ONLY,
    LIGHT,
    OUTSIDE,
    column,
    reference,
    stand_still,
    trainer,
    twin_case,
)

STEPS = 6  # of an epoch


def scramble(loop) -> None:
    """Nothing that a resumed training needs may survive in the process."""
    for variable in (*loop.model.weights, *loop.engine.adam.state()):
        variable.assign(tf.convert_to_tensor(variable) + tf.ones_like(variable))
    loop.session, loop.set_gates, loop.source.year_effects = Session(loop.engine), {}, None


def left(loop) -> list:
    """Weights, optimizer, best weights and log rows at the end."""
    files = loop.session.files()
    return [*unpack(files[VARIABLES]), *unpack(files[BEST]), json.loads(files[STATE])["rows"]]


def test_a_training_killed_before_any_step_goes_on_bit_for_bit(tmp_path):
    """Among them the first step, one within an epoch, an epoch's end, and those around the opening of the gates."""
    states: list[dict[str, bytes]] = []
    case, result = reference()
    loop = trainer(case, tmp_path, stopping=lambda: states.append(loop.session.files()))
    loop.begin(None)
    loop.run()
    assert len(states) == 4 * STEPS
    assert weights_bytes(loop.model, tmp_path) == result.final_weights
    assert [row["loss"] for row in loop.session.counters.rows] == column(result, "loss")
    whole = left(loop)
    for place, state in [(place, states[place]) for place in (0, 3, 11, 12, 17, 18)]:
        scramble(loop)
        loop.here.progress.save(state)
        loop.begin(None)
        loop.run()
        for one, other in zip(left(loop), whole, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"killed before step {place}")


def test_progress_is_saved_every_so_many_steps_and_at_the_end_of_an_epoch(tmp_path, monkeypatch):
    stand_still(monkeypatch)
    monkeypatch.setattr(module, "BACKUP_STEPS", 4)
    loop, saved = trainer(twin_case(**DATA_ONLY), tmp_path), []
    monkeypatch.setattr(loop.here.progress, "save", lambda files: saved.append(json.loads(files[STATE])["step"]))
    loop.begin(None)
    loop.run()
    assert saved == [4, 6, 8, 12, 12]


def test_bounds_a_thousand_times_as_heavy_pick_the_same_epoch(tmp_path, monkeypatch):
    """Weights stand still, so that gates alone move the losses; the total would pick another epoch."""
    settings = {**LIGHT, **OUTSIDE, "PDE_MODE_CONFIG": "consolidation", "EPOCHS": 4}
    stand_still(monkeypatch)
    epochs, picked = [], []
    for weight in (0.05, 50.0):
        loop = trainer(twin_case(**settings, LAMBDA_BOUNDS=weight), tmp_path / str(weight))
        loop.begin(None)
        loop.run()
        epochs.append(loop.session.counters.rows)
        picked.append(loop.session.counters.best_epoch)
    for name in ("val_crps_subs", "val_data_loss"):
        assert [row[name] for row in epochs[0]] == [row[name] for row in epochs[1]]
    assert picked[0] == picked[1] != int(np.argmin([row["val_loss"] for row in epochs[1]]))
    assert epochs[1][-1]["val_loss"] > 10 * epochs[0][-1]["val_loss"]
