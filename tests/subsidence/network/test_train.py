"""Training: what it leaves, what picks the checkpoint, what stops it, and where it goes on."""

import io
import json
import zipfile
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf

from tasks.contracts.errors import InterruptedStepError, NonFiniteLossError
from tasks.subsidence.infer import load, predict
from tasks.subsidence.network.checkpoints import BEST, STATE, VARIABLES, archive_bytes, unpack, weights_bytes
from tasks.subsidence.network.datasets import batches
from tasks.subsidence.network.engine import Engine, tensors
from tasks.subsidence.network.session import Session
from tests.subsidence.network.tiny_training import (
    DATA_ONLY,
    LIGHT,
    OUTSIDE,
    REFERENCE,
    STANDSTILL,
    column,
    digests,
    reference,
    rows_of,
    stop_after,
    tensors_of,
    trained,
    trainer,
    twin_case,
    windows_of,
    workspace,
)

PUBLIC_COLUMNS = [
    "loss",
    "total_loss",
    "data_loss",
    "physics_loss",
    "physics_loss_scaled",
    "physics_mult",
    "lambda_offset",
    "consolidation_loss",
    "gw_flow_loss",
    "prior_loss",
    "smooth_loss",
    "bounds_loss",
    "mv_prior_loss",
    "q_reg_loss",
    "q_rms",
    "q_gate",
    "subs_resid_gate",
    "epsilon_prior",
    "epsilon_cons",
    "epsilon_gw",
    "epsilon_cons_raw",
    "epsilon_gw_raw",
    "subs_pred_mae_q50",
    "subs_pred_mse_q50",
    "subs_pred_coverage80",
    "subs_pred_sharpness80",
    "gwl_pred_mae_q50",
    "gwl_pred_mse_q50",
]
GATES = ("physics_gate", "q_gate", "subs_resid_gate", "lambda_offset")
STEPS = 6  # of an epoch


@pytest.fixture(scope="module")
def physical():
    """Four epochs with both equations."""
    return reference()


@cache
def plain():
    """Two epochs without equations."""
    return trained(twin_case(**DATA_ONLY))


@cache
def standstill():
    """A training whose weights never move; it would last ten epochs."""
    return trained(twin_case(**DATA_ONLY, EPOCHS=10, PATIENCE=2, LEARNING_RATE=STANDSTILL))


# The log


def test_the_log_has_every_public_column_for_train_and_validation(physical):
    row = rows_of(physical[1])[0]
    wanted = [*PUBLIC_COLUMNS, "physics_gate", "crps_subs"]
    missing = {name for name in wanted for name in (name, f"val_{name}") if row.get(name) is None}
    assert missing == set()
    assert {"epoch", "lr", "grad_norm", "skipped_steps"} <= set(row)


def test_every_number_in_the_log_is_finite_and_every_epoch_is_there(physical):
    rows = rows_of(physical[1])
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert all(np.isfinite(value) for row in rows for value in row.values() if value is not None)


def test_nothing_in_the_log_tells_time_or_machine(physical):
    assert not [name for name in rows_of(physical[1])[0] if name in ("seconds", "rss_mib", "date", "host")]


@pytest.mark.parametrize("name", GATES)
def test_gates_are_equal_in_training_and_validation(physical, name):
    assert column(physical[1], name) == column(physical[1], f"val_{name}")


def test_physics_reaches_full_strength_and_stays(physical):
    gate = column(physical[1], "physics_gate")
    assert 0.0 < gate[0] < 1.0 and gate[1:] == [1.0, 1.0, 1.0]
    assert column(physical[1], "subs_resid_gate")[-1] == column(physical[1], "q_gate")[-1] == 1.0


def test_training_lowers_the_loss_of_the_data(physical):
    assert min(column(physical[1], "data_loss")) < column(physical[1], "data_loss")[0]


def test_equations_that_are_off_leave_zeros():
    names = [name for name in PUBLIC_COLUMNS if "physics" in name or "epsilon" in name]
    assert {value for name in names for value in column(plain(), name)} == {0.0}


# What it leaves


def test_the_summary_is_plain_json_that_names_neither_machine_nor_clock(physical):
    text = json.dumps(physical[1].summary, allow_nan=False)
    assert not [
        word for word in ("/tmp", "/home/", "seconds", "rss", "host") if word in text.replace("seconds_per", "")
    ]


def test_the_summary_says_how_the_training_went(physical):
    found = physical[1].summary
    assert (found["epochs_run"], found["epochs_planned"], found["steps_per_epoch"]) == (4, 4, STEPS)
    assert (found["stop_reason"], found["n_skipped"]) == ("all_epochs", 0)
    assert (found["compile"]["monitor"], found["compile"]["clip_global_norm"]) == ("val_crps_subs", 5.0)
    assert set(found["seeds"].values()) == {42}
    best = rows_of(physical[1])[found["best_epoch"]]
    assert {name: best[name] for name in ("loss", "val_crps_subs")} == {
        name: found["metrics_at_best"][name] for name in ("loss", "val_crps_subs")
    }


def test_the_best_epoch_has_the_least_monitored_value(physical):
    assert physical[1].summary["best_epoch"] == int(np.argmin(column(physical[1], "val_crps_subs")))


def test_the_best_weights_are_those_of_the_best_epoch(physical, tmp_path):
    """They score on the selecting rows what the log says of that epoch."""
    case, result = physical
    (tmp_path / "best.weights.h5").write_bytes(result.best_weights)
    model = load(case.manifest, tmp_path / "best.weights.h5")
    truth = case.val.subsidence[case.select, :, 0]
    error = np.abs(predict(model, case.val).median()[case.select] - truth).mean()
    assert error == pytest.approx(result.summary["metrics_at_best"]["val_subs_pred_mae_q50"], rel=1e-4)


def test_weights_that_are_loaded_and_written_again_are_the_same_bytes(physical, tmp_path):
    case, result = physical
    (tmp_path / "best.weights.h5").write_bytes(result.best_weights)
    model = load(case.manifest, tmp_path / "best.weights.h5")
    assert weights_bytes(model, tmp_path) == result.best_weights
    assert archive_bytes(model, tmp_path) == archive_bytes(model, tmp_path) == result.best_archive


def test_the_archive_holds_no_date(physical):
    with zipfile.ZipFile(io.BytesIO(physical[1].best_archive)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert json.loads(archive.read("metadata.json"))["date_saved"] == "1980-01-01@00:00:00"
        assert archive.namelist() == sorted(archive.namelist())


def test_keras_alone_opens_the_archive(physical, tmp_path):
    case, result = physical
    (tmp_path / "best.keras").write_bytes(result.best_archive)
    model = keras.saving.load_model(tmp_path / "best.keras")
    outputs = model(tensors_of(windows_of(model, case.val).inputs))
    np.testing.assert_allclose(outputs["subs_pred"][..., 0], result.val_prediction.subsidence, atol=1e-6)


# The same again


def test_one_seed_gives_the_same_bytes_of_every_file(physical):
    assert digests(trained(twin_case(**REFERENCE))) == digests(physical[1])


def test_another_seed_gives_other_bytes_of_every_file(physical):
    other, first = digests(trained(twin_case(**REFERENCE, SEED=7))), digests(physical[1])
    assert [name for name in first if first[name] == other[name]] == []


def test_a_signal_stops_within_one_batch_and_the_resumed_training_is_the_uninterrupted_one(physical, tmp_path):
    """Stopped in the middle of the third epoch."""
    case = twin_case(**REFERENCE)
    with pytest.raises(InterruptedStepError, match=r"epoch 2, step 15.*Run the same request again"):
        trained(case, tmp_path, stopping=stop_after(15))
    assert digests(trained(case, tmp_path)) == digests(physical[1])


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
    case = twin_case(**LIGHT, EPOCHS=3, PDE_MODE_CONFIG="consolidation")
    loop = trainer(case, tmp_path, stopping=lambda: states.append(loop.session.files()))
    loop.begin(None)
    loop.run()
    assert len(states) == 3 * STEPS
    whole, places = left(loop), (0, 3, 6, 11, 12, 16)
    for place, state in [(place, states[place]) for place in places]:
        scramble(loop)
        loop.here.progress.save(state)
        loop.begin(None)
        loop.run()
        for one, other in zip(left(loop), whole, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"killed before step {place}")


# What picks the checkpoint


def test_bounds_a_thousand_times_as_heavy_pick_the_same_epoch(tmp_path):
    """Weights stand still, so that gates alone move the losses; the total would pick another epoch."""
    settings = {**LIGHT, **OUTSIDE, "PDE_MODE_CONFIG": "consolidation", "EPOCHS": 4, "LEARNING_RATE": STANDSTILL}
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


def test_training_stops_after_as_many_epochs_without_progress_as_patience_says():
    """The first epoch is the best one; two more without progress end the training."""
    result = standstill()
    assert [row["epoch"] for row in rows_of(result)] == [0, 1, 2]
    assert (result.summary["stop_reason"], result.summary["best_epoch"]) == ("early_stopping", 0)
    assert result.summary["compile"]["patience"] == 2


def test_patience_longer_than_the_training_lets_it_finish():
    assert plain().summary["stop_reason"] == "all_epochs"
    assert plain().summary["compile"]["patience"] == 15


# What stops it


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
    unchanged, case = poisoned(set(range(2, 99))), twin_case(**DATA_ONLY)
    with pytest.raises(NonFiniteLossError, match=r"training step 6.*not finite.*found 4 unusable steps in a row"):
        trained(case, tmp_path)
    assert unchanged == [False, False, True, True, True, True]
    saved = workspace(tmp_path).progress.load()
    assert all(np.isfinite(array).all() for array in unpack(saved[VARIABLES]))
    assert json.loads(saved[STATE])["skipped"] == 4


def test_an_exploding_gradient_is_clipped(physical):
    assert physical[1].summary["compile"]["clip_global_norm"] == 5.0
    assert max(column(physical[1], "grad_norm")) > 5.0  # and the training went on


# One trace


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


# Other starts, other settings


def test_given_weights_are_the_start(tmp_path):
    """The first epoch scores what the weights scored, not what least squares would give."""
    first = plain()
    (tmp_path / "first.weights.h5").write_bytes(first.best_weights)
    case = twin_case(**DATA_ONLY, EPOCHS=1, LEARNING_RATE=STANDSTILL)
    again = trained(case, init_from=tmp_path / "first.weights.h5")
    assert column(again, "val_crps_subs") == pytest.approx([min(column(first, "val_crps_subs"))], rel=1e-5)
    np.testing.assert_array_equal(again.val_prediction.subsidence, first.val_prediction.subsidence)
    assert column(standstill(), "val_crps_subs")[0] != pytest.approx(column(again, "val_crps_subs")[0], rel=1e-3)
    assert again.summary["start"] == {"init_from": "weights"}


def test_point_forecasts_train_and_reload(tmp_path):
    case = twin_case(**DATA_ONLY, QUANTILES=None, EPOCHS=1)
    result = trained(case)
    (tmp_path / "best.weights.h5").write_bytes(result.best_weights)
    again = predict(load(case.manifest, tmp_path / "best.weights.h5"), case.val)
    assert again.levels == (0.5,) and again.subsidence.shape == (len(case.val), 3, 1)
    np.testing.assert_array_equal(again.subsidence, result.val_prediction.subsidence)
    assert column(result, "subs_pred_sharpness80") == [0.0]


def test_running_a_training_again_that_ended_in_non_finite_losses_does_not_complete_it(tmp_path, monkeypatch):
    healthy = Engine.train_step

    def spoilt(self, arrays, rows, present, number, rate):
        factor = np.nan if number >= 2 else 1.0
        return healthy(self, arrays._replace(subsidence=arrays.subsidence * factor), rows, present, number, rate)

    monkeypatch.setattr(Engine, "train_step", spoilt)
    for _ in range(2):
        with pytest.raises(NonFiniteLossError):
            trained(twin_case(**DATA_ONLY), tmp_path)
