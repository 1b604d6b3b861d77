"""Training: what it leaves, what picks the checkpoint, what stops it, and where it goes on."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tasks.contracts.errors import InterruptedStepError
from tasks.subsidence.infer import load, predict
from tasks.subsidence.train import train
from tests.subsidence.network.tiny_training import (
    DATA_ONLY,
    LIGHT,
    column,
    digests,
    reference,
    rows_of,
    stand_still,
    stop_after,
    trained,
    twin_case,
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
    with pytest.MonkeyPatch.context() as patch:
        stand_still(patch)
        return trained(twin_case(**DATA_ONLY, EPOCHS=10, PATIENCE=2))


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
    assert found["seeds"] == dict.fromkeys(("python", "numpy", "tensorflow", "weights", "shuffle", "origins"), 42)
    best = rows_of(physical[1])[found["best_epoch"]]
    assert {name: best[name] for name in ("loss", "val_crps_subs")} == {
        name: found["metrics_at_best"][name] for name in ("loss", "val_crps_subs")
    }


def test_the_best_epoch_has_the_least_monitored_value(physical):
    assert physical[1].summary["best_epoch"] == int(np.argmin(column(physical[1], "val_crps_subs")))


def test_only_the_selected_rows_choose_the_checkpoint(tmp_path):
    case, noise = twin_case(**DATA_ONLY), twin_case(**DATA_ONLY).val.subsidence.copy()
    noise[np.setdiff1d(np.arange(len(case.val)), case.select)] += 5.0
    noisy = replace(case.val, subsidence=noise)
    other = train(case.train, noisy, case.select, case.manifest, case.cfg, workspace(tmp_path))
    assert other.log == plain().log and other.best_weights == plain().best_weights


def test_the_best_weights_are_those_of_the_best_epoch(physical, tmp_path):
    """They score on the selecting rows what the log says of that epoch."""
    case, result = physical
    (tmp_path / "best.weights.h5").write_bytes(result.best_weights)
    model = load(case.manifest, tmp_path / "best.weights.h5")
    truth = case.val.subsidence[case.select, :, 0]
    error = np.abs(predict(model, case.val).median()[case.select] - truth).mean()
    assert error == pytest.approx(result.summary["metrics_at_best"]["val_subs_pred_mae_q50"], rel=1e-4)


# The same again


def test_one_seed_gives_the_same_bytes_of_every_file():
    """With equations too: a loop that is killed and goes on ends with the bytes of the reference."""
    assert digests(trained(twin_case(**DATA_ONLY))) == digests(plain())


def test_another_seed_gives_other_bytes_of_every_file():
    other, first = digests(trained(twin_case(**DATA_ONLY, SEED=7))), digests(plain())
    assert [name for name in first if first[name] == other[name]] == []


def test_a_signal_stops_within_one_batch_and_the_resumed_training_is_the_uninterrupted_one(tmp_path):
    """Stopped in the middle of the second epoch."""
    case = twin_case(**DATA_ONLY)
    with pytest.raises(InterruptedStepError, match=r"epoch 1, step 9.*Run the same request again"):
        trained(case, tmp_path, stopping=stop_after(9))
    assert digests(trained(case, tmp_path)) == digests(plain())


def test_training_stops_after_as_many_epochs_without_progress_as_patience_says():
    """The first epoch is the best one; two more without progress end the training."""
    result = standstill()
    assert [row["epoch"] for row in rows_of(result)] == [0, 1, 2]
    assert (result.summary["stop_reason"], result.summary["best_epoch"]) == ("early_stopping", 0)
    assert result.summary["compile"]["patience"] == 2


def test_patience_longer_than_the_training_lets_it_finish():
    assert plain().summary["stop_reason"] == "all_epochs"
    assert plain().summary["compile"]["patience"] == 15


def test_an_exploding_gradient_is_clipped(physical):
    assert physical[1].summary["compile"]["clip_global_norm"] == 5.0
    assert max(column(physical[1], "grad_norm")) > 5.0  # and the training went on


# Other starts, other settings


def test_diagnostics_that_are_asked_for_become_columns_and_durations_are_told_beside_the_result(tmp_path):
    asked = {"LOG_Q_DIAGNOSTICS": True, "DEBUG_PHYSICS_GRADS": True, "TRACK_AUX_METRICS": True, "DEBUG": True}
    here, case = workspace(tmp_path), twin_case(**LIGHT, PDE_MODE_CONFIG="gw_flow", EPOCHS=1, VERBOSE=0, **asked)
    result = train(case.train, case.val, case.select, case.manifest, case.cfg, here)
    row = rows_of(result)[0]
    assert {"q_mean", "q_min", "q_max", "grad_norm_data", "grad_norm_gw", "val_subs_pred_bias_q50"} <= set(row)
    assert row["grad_norm_gw"] > 0.0
    assert [entry["epoch"] for entry in here.telemetry["train"]] == [0]
    assert all(entry["seconds"] > 0 and entry["rss_mib"] > 10 for entry in here.telemetry["train"])
    assert here.telemetry["told"] == []


def test_given_weights_are_the_start(tmp_path, monkeypatch):
    """The first epoch scores what the weights scored, not what least squares would give."""
    first = plain()
    (tmp_path / "first.weights.h5").write_bytes(first.best_weights)
    stand_still(monkeypatch)
    case = twin_case(**DATA_ONLY, EPOCHS=1)
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
