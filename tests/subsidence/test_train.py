"""Training: same seed same bytes, resumable at any step, chosen by data scores, stopped by what it cannot use."""

import csv
import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from tasks.contracts.errors import InterruptedStepError, NonFiniteLossError, UnsafeCheckpointError
from tasks.subsidence.infer import load, predict
from tasks.subsidence.network import trainer as trainer_module
from tasks.subsidence.network.checkpoints import STATE, pack, unpack
from tasks.subsidence.network.logbook import SHARED
from tasks.subsidence.network.trainer import Trainer
from tasks.subsidence.train import train
from tests.subsidence.tiny_network import (
    NO_PHYSICS,
    MemoryProgress,
    tiny_config,
    tiny_manifest,
    tiny_split,
    workspace,
)

PLAIN = {**NO_PHYSICS, "USE_VSN": False}
CONSOLIDATING = {"PDE_MODE_CONFIG": "consolidation", "USE_VSN": False, "EPOCHS": 5}


def trained(folder, *, train_split=None, here=None, **changes):
    cfg = tiny_config(**changes)
    here = here or workspace(folder)
    select = np.arange(0, 24, 2)
    return train(
        train_split or tiny_split("train"), tiny_split("val"), select, tiny_manifest(**changes), cfg, here
    ), here


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("plain"), **PLAIN)


@pytest.fixture(scope="module")
def physical(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("physical"), **CONSOLIDATING)


def rows_of(result) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(result.log.decode())))


def test_the_same_seed_gives_the_same_bytes(plain, tmp_path):
    again, _ = trained(tmp_path, **PLAIN)
    for name in ("best_weights", "final_weights", "best_archive", "final_archive", "log"):
        assert getattr(again, name) == getattr(plain[0], name), name
    assert again.summary == plain[0].summary


def test_another_seed_gives_other_weights(plain, tmp_path):
    other, _ = trained(tmp_path, SEED=43, **{**PLAIN, "EPOCHS": 1})
    assert other.best_weights != plain[0].best_weights


@pytest.mark.parametrize("step", [4])
def test_a_stopped_training_resumes_to_the_same_bytes(physical, tmp_path, monkeypatch, step):
    monkeypatch.setattr(trainer_module, "BACKUP_STEPS", 2)
    progress = MemoryProgress()
    with pytest.raises(InterruptedStepError, match=rf"epoch {step // 3}, step {step}"):
        trained(tmp_path, here=workspace(tmp_path, progress=progress, stop_after=step), **CONSOLIDATING)
    resumed, _ = trained(tmp_path, here=workspace(tmp_path, progress=progress), **CONSOLIDATING)
    assert resumed.final_weights == physical[0].final_weights
    assert resumed.best_weights == physical[0].best_weights
    assert resumed.log == physical[0].log
    assert resumed.summary == physical[0].summary


def test_a_killed_training_resumes_from_its_last_backup(physical, tmp_path):
    lost = physical[1].progress.saved[1]
    resumed, _ = trained(tmp_path, here=workspace(tmp_path, progress=MemoryProgress(lost)), **CONSOLIDATING)
    assert json.loads(lost[STATE])["step"] == 6
    assert resumed.final_weights == physical[0].final_weights


def test_the_graph_is_traced_once_for_training_and_once_for_validation(tmp_path):
    cfg = tiny_config(**PLAIN)
    here = workspace(tmp_path)
    trainer = Trainer(tiny_split("train"), tiny_split("val"), tiny_manifest(**PLAIN), cfg, here)
    trainer.begin(None)
    trainer.run()
    assert trainer.engine.traces == {"train": 1, "val": 1}
    assert 40 % cfg["BATCH_SIZE"] != 0


def test_the_log_has_the_public_columns_for_both_passes(plain):
    rows = rows_of(plain[0])
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert set(SHARED) <= set(rows[0])
    assert {f"val_{name}" for name in SHARED} <= set(rows[0])
    assert {"physics_gate", "crps_subs", "lr", "grad_norm", "skipped_steps"} <= set(rows[0])
    assert not {"seconds", "rss_mib"} & set(rows[0])


def test_durations_and_memory_are_told_beside_the_result(plain):
    told = plain[1].telemetry["train"]
    assert [entry["epoch"] for entry in told] == [0, 1, 2]
    assert all(entry["seconds"] > 0 and entry["rss_mib"] > 10 for entry in told)


def test_gates_are_equal_in_both_passes_and_reach_full_strength(physical):
    rows = rows_of(physical[0])
    for name in ("physics_gate", "subs_resid_gate", "q_gate", "lambda_offset"):
        assert [row[name] for row in rows] == [row[f"val_{name}"] for row in rows]
    assert float(rows[-1]["physics_gate"]) == 1.0
    assert float(rows[-1]["subs_resid_gate"]) == 1.0
    assert float(rows[0]["physics_gate"]) < 1.0


def test_a_heavier_bounds_loss_does_not_choose_another_checkpoint(tmp_path):
    soft = {**CONSOLIDATING, "PHYSICS_BOUNDS_MODE": "soft", "EPOCHS": 1}
    shown = {}
    for weight in (0.05, 50.0):
        cfg = tiny_config(**soft, LAMBDA_BOUNDS=weight)
        trainer = Trainer(tiny_split("train"), tiny_split("val"), tiny_manifest(**soft), cfg, workspace(tmp_path))
        trainer.begin(None)
        trainer.model.fields.class_offsets.assign(trainer.model.fields.class_offsets + 9.0)
        trainer.val_arrays = trainer_module.tensors(trainer.select)
        trainer.model.gates["physics"].assign(1.0)
        shown[weight] = trainer._validate()
    assert shown[50.0]["total_loss"] > shown[0.05]["total_loss"] + 100
    assert shown[50.0]["crps_subs"] == shown[0.05]["crps_subs"]
    assert shown[50.0]["data_loss"] == shown[0.05]["data_loss"]


def test_the_best_epoch_is_that_of_the_monitored_score(plain):
    result = plain[0]
    scores = [float(row["val_crps_subs"]) for row in rows_of(result)]
    assert result.summary["best_epoch"] == int(np.argmin(scores))
    assert result.summary["metrics_at_best"]["val_crps_subs"] == pytest.approx(min(scores))
    assert result.summary["compile"]["monitor"] == "val_crps_subs"


def test_only_the_selected_rows_choose_the_checkpoint(plain, tmp_path):
    val = tiny_split("val")
    noise = val.subsidence.copy()
    noise[1::2] += 5.0
    cfg = tiny_config(**PLAIN)
    select = np.arange(0, 24, 2)
    other = train(tiny_split("train"), replace(val, subsidence=noise), select, tiny_manifest(**PLAIN), cfg,
                  workspace(tmp_path))  # fmt: skip
    assert other.log == plain[0].log


def test_training_stops_without_progress(tmp_path):
    # A step too small to move a float leaves every epoch as good as the first.
    result, _ = trained(tmp_path, **{**PLAIN, "EPOCHS": 9}, PATIENCE=2, LEARNING_RATE=1e-30)
    assert result.summary["stop_reason"] == "early_stopping"
    assert result.summary["epochs_run"] == 3
    assert result.summary["best_epoch"] == 0


def test_unusable_steps_stop_the_training_and_keep_the_last_good_weights(tmp_path, monkeypatch):
    calls = []

    def spoilt(self, epoch):
        windows = original(self, epoch)
        calls.append(epoch)
        return replace(windows, subsidence=np.full_like(windows.subsidence, np.nan)) if epoch else windows

    original = trainer_module.EpochSource.windows
    monkeypatch.setattr(trainer_module.EpochSource, "windows", spoilt)
    here = workspace(tmp_path)
    with pytest.raises(NonFiniteLossError, match="4 unusable steps in a row"):
        trained(tmp_path, here=here, **{**PLAIN, "BATCH_SIZE": 8})
    after_first, at_end = here.progress.saved[0], here.progress.saved[-1]
    for a, b in zip(unpack(after_first["variables.npz"]), unpack(at_end["variables.npz"]), strict=True):
        np.testing.assert_array_equal(a, b)
    state = json.loads(at_end[STATE])
    assert (state["stop_reason"], state["skipped"]) == (None, 4)


def test_a_single_unusable_step_is_skipped_and_counted(tmp_path, monkeypatch):
    def spoilt(self, epoch):
        windows = original(self, epoch)
        subsidence = windows.subsidence.copy()
        subsidence[0] = np.nan
        return replace(windows, subsidence=subsidence)

    original = trainer_module.EpochSource.windows
    monkeypatch.setattr(trainer_module.EpochSource, "windows", spoilt)
    result, _ = trained(tmp_path, **{**PLAIN, "EPOCHS": 2})
    assert result.summary["n_skipped"] == 2
    assert [row["skipped_steps"] for row in rows_of(result)] == ["1.0", "1.0"]
    assert np.isfinite(result.val_prediction.subsidence).all()


def test_given_weights_are_the_start(plain, tmp_path):
    path = tmp_path / "start.weights.h5"
    path.write_bytes(plain[0].final_weights)
    cfg = tiny_config(**{**PLAIN, "EPOCHS": 1})
    trainer = Trainer(tiny_split("train"), tiny_split("val"), tiny_manifest(**PLAIN), cfg, workspace(tmp_path))
    trainer.begin(path)
    expected = load(tiny_manifest(**PLAIN), path)
    for a, b in zip(trainer.model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_archive_is_free_of_dates(plain):
    with zipfile.ZipFile(io.BytesIO(plain[0].best_archive)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert json.loads(archive.read("metadata.json"))["date_saved"] == "1980-01-01@00:00:00"


def test_no_path_time_or_host_enters_the_summary(plain):
    text = json.dumps(plain[0].summary)
    assert "/tmp" not in text and "seconds" not in text
    assert plain[0].summary["seeds"] == dict.fromkeys(
        ("python", "numpy", "tensorflow", "weights", "shuffle", "origins"), 42
    )


def test_the_reloaded_network_is_the_trained_one(physical, tmp_path):
    path = tmp_path / "best.weights.h5"
    path.write_bytes(physical[0].best_weights)
    model = load(tiny_manifest(**CONSOLIDATING), path)
    again = predict(model, tiny_split("val"))
    np.testing.assert_array_equal(again.subsidence, physical[0].val_prediction.subsidence)
    best = rows_of(physical[0])[physical[0].summary["best_epoch"]]
    assert float(model.gates["physics"].numpy()) == pytest.approx(float(best["physics_gate"]))
    chosen = np.abs(again.median()[::2] - tiny_split("val").subsidence[::2, :, 0]).mean()
    assert chosen == pytest.approx(float(best["val_subs_pred_mae_q50"]), abs=1e-6)


def test_neighbour_context_trains_and_reloads(tmp_path):
    near = {**PLAIN, "NEIGHBOUR_CONTEXT": 3, "EPOCHS": 1}
    result, _ = trained(tmp_path, **near)
    path = tmp_path / "best.weights.h5"
    path.write_bytes(result.best_weights)
    model = load(tiny_manifest(**near), path)
    assert model.bank_rows == 40
    np.testing.assert_array_equal(predict(model, tiny_split("val")).head, result.val_prediction.head)


def test_diagnostics_that_are_asked_for_become_columns(tmp_path):
    extra = {"LOG_Q_DIAGNOSTICS": True, "DEBUG_PHYSICS_GRADS": True, "TRACK_AUX_METRICS": True, "DEBUG": True,
             "USE_VSN": False, "EPOCHS": 1}  # fmt: skip
    result, here = trained(tmp_path, **extra)
    row = rows_of(result)[0]
    assert {"q_mean", "q_min", "q_max", "grad_norm_data", "grad_norm_gw", "val_subs_pred_bias_q50"} <= set(row)
    assert float(row["grad_norm_gw"]) > 0
    assert here.told == []


def test_objects_in_saved_progress_are_refused():
    spoilt = io.BytesIO()
    np.savez(spoilt, a=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UnsafeCheckpointError, match="plain arrays"):
        unpack(spoilt.getvalue())
    np.testing.assert_array_equal(unpack(pack([np.arange(3)]))[0], [0, 1, 2])
