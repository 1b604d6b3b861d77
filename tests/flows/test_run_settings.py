"""Settings of the run itself, end to end: device, audit detail, SavedModel, whose predictions are calibrated."""

import json
from pathlib import Path

import pytest

from tests.flows.runs import TINY, run_flow

SETS = (
    *TINY[1:], "EPOCHS=1", "MODEL_NAME=HybridAttn-NoPhysics", "TF_DEVICE_MODE=cpu", "TF_INTRA_THREADS=1",
    "TF_INTER_THREADS=1", "TF_GPU_ALLOW_GROWTH=false", "TF_GPU_MEMORY_LIMIT_MB=512", "AUDIT_STAGES=stage1",
    "USE_IN_MEMORY_MODEL=true", "USE_TF_SAVEDMODEL=true",
)  # fmt: skip
TAR = "HybridAttn-NoPhysics_H3_savedmodel.tar"


@pytest.fixture(scope="module")
def settings_run(mini_root, prefect_server):
    return run_flow(mini_root, sets=SETS, stage1_manifest=str(mini_root / "handoff" / "manifest.json"))


def document(report, ending: str) -> dict:
    (path,) = Path(report.run_folder).glob(f"*{ending}")
    return json.loads(path.read_text())


def test_the_saved_model_is_a_file_of_the_run(settings_run):
    _, report = settings_run
    assert report.status == "complete"
    (name,) = [name for name in report.artifacts if name.endswith("_savedmodel.tar")]
    assert name.endswith(TAR)
    assert name in document(report, "_run_manifest.json")["artifacts"].values()


def test_the_summary_names_the_device_of_the_training(settings_run):
    _, report = settings_run
    assert document(report, "_training_summary.json")["env"]["device"] == "cpu"


def test_the_reload_check_ran_although_the_trained_network_was_calibrated(settings_run):
    run, report = settings_run
    assert document(report, "_training_summary.json")["reload_check"]["passed"] is True
    assert run.store.get_json(calibrated(run).stats)["predictions"] == "in_memory"


def calibrated(run):
    from tasks.subsidence.types import Calibrated

    return next(output for output, _ in run.produced if isinstance(output, Calibrated))


def test_audit_detail_is_told_again_when_the_audit_is_cached(settings_run, mini_root, capsys):
    manifest = str(mini_root / "handoff" / "manifest.json")
    dry, _ = run_flow(mini_root, dry=True, sets=SETS, stage1_manifest=manifest)
    lines = capsys.readouterr().err.splitlines()
    assert {step.status for step in dry.steps} == {"cached"}
    assert any(line.startswith("pass    F-03") for line in lines) and not any("M-03" in line for line in lines)
    silent = tuple(text for text in SETS if not text.startswith("AUDIT_STAGES"))
    run_flow(mini_root, dry=True, sets=silent, stage1_manifest=manifest)
    assert "F-03" not in capsys.readouterr().err
