"""The whole flow: what a person gets, what is cached, what runs again."""

import csv
import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.errors import HandshakeError
from tests.flows.runs import TINY, run_flow, status_of
from tests.subsidence.small_twin import small_twin_request

REQUIRED_METRICS = ("mae_mm", "rmse_mm", "r2", "coverage80", "width80_mm", "crps_mm", "pinball_mm", "head_mae_m")


def files(report):
    return {path.name for path in Path(report.run_folder).iterdir()}


def rows(report, ending):
    (path,) = Path(report.run_folder).glob(f"*{ending}")
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_run_is_complete_and_every_metric_has_a_number(twin_run):
    _, report = twin_run
    assert report.status == "complete"
    assert report.missing == {}
    for split in ("test", "future"):
        for name in REQUIRED_METRICS:
            assert np.isfinite(report.metrics[f"{split}.{name}"]), (split, name)


def test_every_forecast_baseline_stands_beside_the_model(twin_run):
    _, report = twin_run
    for name in ("last_value", "last_rate", "mean_rate", "ridge", "gradient_boosting", "multi_origin_ridge"):
        assert np.isfinite(report.metrics[f"baselines.{name}.test.mae_mm"]), name
        assert np.isfinite(report.metrics[f"baselines.{name}.future.mae_mm"]), name
    for name in ("inverse_distance", "ridge_inverse_distance"):
        assert np.isfinite(report.metrics[f"baselines.{name}.test.mae_mm"]), name
        assert f"baselines.{name}.future.mae_mm" not in report.metrics


def test_run_folder_holds_the_family_under_its_public_names(twin_run):
    _, report = twin_run
    stem = "twin_GeoPriorSubsNet"
    wanted = {
        "stage2_handshake_audit.json", "config_resolved.json", "scaling_kwargs.json", "model_init_manifest.json",
        f"{stem}_H3_best.keras", f"{stem}_H3_final.keras", f"{stem}_H3_best.weights.h5", f"{stem}_H3.weights.h5",
        f"{stem}_architecture.json", f"{stem}_train_log.csv", f"{stem}_training_summary.json",
        f"{stem}_run_manifest.json", "interval_factors_80.npy",
        f"{stem}_forecast_TestSet_H3_eval.csv", f"{stem}_forecast_TestSet_H3_eval_calibrated.csv",
        f"{stem}_forecast_TestSet_H3_future.csv", f"{stem}_forecast_TestSet_H3_future_calibrated.csv",
        f"{stem}_calibration_stats_TestSet_H3.json", f"{stem}_eval_diagnostics_TestSet_H3.json",
        f"{stem}_eval_diagnostics_TestSet_H3_calibrated.json", "twin_phys_payload_run_test.npz",
        "twin_phys_payload_run_test.npz.meta.json", "twin_geopriorsubsnet_physical_parameters.csv",
        "twin_geopriorsubsnet_parameter_map.csv", "phys_maps.png", "cons_res_hist.png", "twin_subsidence_view_eval.png",
        "twin_subsidence_view_future.png", f"{stem}_reliability.png", f"{stem}_pit.png", f"{stem}_H3_epsilons.png",
        f"{stem}_H3_physics_terms.png", "oracle_evaluation.json", "registry_entry.json", "report.html", "request.json",
    }  # fmt: skip
    assert wanted - files(report) == set()
    assert [name for name in files(report) if re.fullmatch(r"geoprior_eval_phys_\d{8}-\d{6}\.json", name)]


def test_metrics_file_agrees_with_the_forecast_table(twin_run):
    _, report = twin_run
    table = rows(report, "_TestSet_H3_eval_calibrated.csv")
    error = [abs(float(row["subsidence_q50"]) - float(row["subsidence_actual"])) for row in table]
    assert np.mean(error) == pytest.approx(report.metrics["test.mae_mm"], abs=1e-3)


def test_future_rows_are_later_years_and_not_the_evaluation_rows_relabelled(twin_run):
    _, report = twin_run
    evaluation, future = rows(report, "_TestSet_H3_eval.csv"), rows(report, "_TestSet_H3_future.csv")
    assert {row["coord_t"] for row in evaluation} == {"2018", "2019", "2020"}
    assert {row["coord_t"] for row in future} == {"2021", "2022", "2023"}
    assert {row["origin_year"] for row in future} == {"2020"}
    place = {(row["longitude"], row["latitude"], row["forecast_step"]): float(row["subsidence_q50"]) for row in future}
    shared = [abs(place[key] - float(row["subsidence_q50"])) for row in evaluation
              if (key := (row["longitude"], row["latitude"], row["forecast_step"])) in place]  # fmt: skip
    assert len(shared) == len(evaluation)
    assert max(shared) > 0


def test_calibrated_twin_differs_in_intervals_only(twin_run):
    _, report = twin_run
    raw, twin = rows(report, "_TestSet_H3_eval.csv"), rows(report, "_TestSet_H3_eval_calibrated.csv")
    assert [row["subsidence_q50"] for row in raw] == [row["subsidence_q50"] for row in twin]
    assert [row["subsidence_q10"] for row in raw] != [row["subsidence_q10"] for row in twin]
    assert {row["is_calibrated"] for row in twin} == {"True"}


def test_reload_difference_is_recorded_and_small(twin_run):
    _, report = twin_run
    (path,) = Path(report.run_folder).glob("*_training_summary.json")
    check = json.loads(path.read_text())["reload_check"]
    assert check["max_abs_difference_m"] <= 1e-6
    assert check["passed"] is True


def test_no_absolute_path_of_this_machine_in_any_text_file(twin_run, twin_root):
    _, report = twin_run
    for path in Path(report.run_folder).iterdir():
        if path.suffix in (".json", ".csv", ".html"):
            assert str(twin_root) not in path.read_text(), path.name


def test_every_recorded_digest_is_that_of_the_file_in_the_folder(twin_run):
    _, report = twin_run
    folder = Path(report.run_folder)
    manifest = json.loads(next(folder.glob("*_run_manifest.json")).read_text())
    summary = json.loads(next(folder.glob("*_training_summary.json")).read_text())
    recorded = manifest["sha256"] | {name: row["sha256"] for name, row in summary["sha256"]["outputs"].items()}
    assert len(recorded) >= 10
    for name, digest in recorded.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


def test_years_after_training_have_factors_of_their_own(twin_run):
    _, report = twin_run
    known, future = (np.load(Path(report.run_folder) / f"interval_factors_80{name}.npy") for name in ("", "_future"))
    table = rows(report, "_TestSet_H3_future_calibrated.csv")
    found = {int(row["forecast_step"]): float(row["calibration_factor"]) for row in table}
    assert [found[step] for step in (1, 2, 3)] == pytest.approx(future.tolist())
    assert known.tolist() != future.tolist()


def test_second_run_takes_every_step_from_the_cache_and_writes_a_new_folder(twin_run, twin_root):
    first, report = twin_run
    again, second = run_flow(twin_root, twin=small_twin_request())
    assert set(status_of(again).values()) == {"cached"}
    assert again.cache_counts() == {"hits": len(first.steps), "misses": 0, "steps": len(first.steps)}
    assert second.metrics == report.metrics
    assert second.run_folder != report.run_folder
    assert files(second) >= {"report.html", "twin_GeoPriorSubsNet_run_manifest.json"}


def test_dry_run_after_a_run_says_cached_everywhere_and_writes_nothing(twin_run, twin_root):
    before = sorted(path.name for path in (twin_root / "runs").rglob("*"))
    dry, _ = run_flow(twin_root, dry=True, twin=small_twin_request())
    assert set(status_of(dry).values()) == {"cached"}
    assert sorted(path.name for path in (twin_root / "runs").rglob("*")) == before


def test_dry_run_with_another_setting_names_the_steps_below_it(twin_run, twin_root):
    dry, _ = run_flow(twin_root, dry=True, twin=small_twin_request(), seed=7)
    status = status_of(dry)
    assert [name for name, state in status.items() if state == "cached"] == [
        "simulate-subsidence", "load-manifest", "audit-handshake",
    ]  # fmt: skip
    (resolve,) = [step for step in dry.steps if step.step == "resolve-config"]
    assert resolve.why == "changed: inputs.seed"


def changed_copy(root, name, key):
    """A copy of the mini handoff with one value of one array changed by a hair."""
    copy = root / "changed" / name
    shutil.copytree(root / "handoff", copy)
    path = copy / "artifacts" / f"{name}.npz"
    arrays = dict(np.load(path))
    arrays[key].flat[0] += np.float32(1e-3)
    np.savez_compressed(path, **arrays)
    return str(copy / "manifest.json")


def test_changed_validation_value_repeats_exactly_the_steps_below_it(mini_run, mini_root):
    run, _ = run_flow(mini_root, stage1_manifest=changed_copy(mini_root, "val_inputs", "dynamic_features"))
    status = status_of(run)
    assert [name for name, state in status.items() if state == "cached"] == [
        "resolve-config", "finalize-scaling", "build-subsidence",
    ]  # fmt: skip


def test_changed_test_value_leaves_training_and_calibration_alone(mini_run, mini_root):
    run, _ = run_flow(mini_root, stage1_manifest=changed_copy(mini_root, "test_targets", "subs_pred"))
    status = status_of(run)
    assert {name: status[name] for name in ("build-subsidence", "train-subsidence", "calibrate-subsidence")} == {
        "build-subsidence": "cached", "train-subsidence": "cached", "calibrate-subsidence": "cached",
    }  # fmt: skip
    assert {status[name] for name in ("load-manifest", "audit-handshake", "score-baselines", "export-subsidence")} == {
        "ran"
    }


def test_moved_handoff_is_the_same_handoff(mini_run, mini_root, tmp_path):
    shutil.copytree(mini_root / "handoff", tmp_path / "elsewhere")
    run, _ = run_flow(mini_root, stage1_manifest=str(tmp_path / "elsewhere" / "manifest.json"))
    assert set(status_of(run).values()) == {"cached"}


def test_flipped_byte_under_a_recorded_hash_is_refused_and_leaves_the_audit(twin_handoff, prefect_server):
    path = twin_handoff.parent / "artifacts" / "val_inputs.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    root = twin_handoff.parents[1]
    with pytest.raises(HandshakeError, match="F-02"):
        run_flow(root, stage1_manifest=str(twin_handoff))
    (audit,) = (root / "runs").rglob("stage2_handshake_audit.json")
    assert json.loads(audit.read_text())["verdict"] == "fail"


def test_registry_entry_is_found_by_its_hash(twin_run):
    from tasks.registry.entries import all_entries, find

    run, _ = twin_run
    (entry,) = all_entries(run.store)
    assert find(entry.artifact_hash()[:12], run.store) == entry
    assert (entry.role, entry.domain, entry.l_transition) == ("predictor", "twin", "L3_L4")
    assert {"weights", "init_manifest", "interval_factors"} <= set(entry.blobs)


def test_a_lost_registry_is_bound_again_by_a_cached_run(twin_run, twin_root):
    from tasks.registry.entries import all_entries

    run, _ = twin_run
    before = all_entries(run.store)
    shutil.rmtree(twin_root / "store" / "refs")
    again, _ = run_flow(twin_root, twin=small_twin_request())
    assert set(status_of(again).values()) == {"cached"}
    assert all_entries(run.store) == before != []


def test_settings_that_only_tell_more_train_nothing(twin_run, twin_root):
    told = (*TINY, "VERBOSE=0", "DEBUG=true", "AUDIT_STAGES=stage1")
    run, _ = run_flow(twin_root, sets=told, twin=small_twin_request())
    cached = {name for name, state in status_of(run).items() if state == "cached"}
    assert cached >= {"finalize-scaling", "build-subsidence", "train-subsidence", "calibrate-subsidence"}
    assert cached >= {"infer-subsidence", "score-baselines"}


def test_resume_of_a_complete_run_leaves_one_generation_of_its_files(twin_run, twin_root):
    _, report = run_flow(twin_root, twin=small_twin_request())
    before = files(report)
    _, again = run_flow(twin_root, resume=report.run_folder)
    assert again.run_folder == report.run_folder
    assert files(again) == before
