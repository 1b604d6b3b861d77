"""What a request may say, and what is refused with exit code 2 before any work."""

import json
from pathlib import Path

import pytest

from tests.cli.command import stagegate
from tests.subsidence.mini import write_mini_handoff

OTHERS = {
    "--config": "x.toml", "--config-root": "x", "--city": "x", "--model": "GeoPriorSubsNet", "--data-dir": "x",
    "--stage1-manifest": "x", "--set": "EPOCHS=2", "--out": "runs", "--seed": "42", "--truth": "x", "--init-from": "0",
    "--accelerator": "preferred",
}  # fmt: skip


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAGEGATE_STORE", str(tmp_path / "store"))
    return lambda *words: stagegate(monkeypatch, capsys, "subsidence", *words, "--json")


@pytest.mark.parametrize("name", OTHERS)
def test_resume_with_any_other_wish_is_refused_even_with_its_default(call, name):
    code, answer, text = call("--resume", "runs/one", name, OTHERS[name])
    assert code == 2, text
    assert answer["error"]["class"] == "ConfigError"
    assert f"{name} cannot be given together with --resume" in answer["error"]["message"]
    assert "start a new run without --resume" in answer["error"]["message"]


def test_resume_with_several_wishes_names_them_all(call):
    code, answer, _ = call("--resume", "runs/one", "--seed", "3", "--set", "EPOCHS=2", "--set", "SEED=1")
    assert code == 2
    assert "--seed, --set cannot be given" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "is no run folder"), ("{", "not valid JSON"), ("[]", "is no request"), ('{"color": 1}', "unknown color")],
)
def test_resume_of_a_damaged_folder_is_refused_without_a_traceback(call, tmp_path, text, message):
    if text is not None:
        (tmp_path / "request.json").write_text(text)
    code, answer, shown = call("--resume", str(tmp_path), "--dry-run")
    assert (code, answer["status"]) == (2, "refused"), shown
    assert message in answer["error"]["message"]
    assert "Traceback" not in shown


def test_resume_plans_what_the_folder_says_whatever_the_environment_names(call, tmp_path, monkeypatch, prefect_server):
    manifest = write_mini_handoff(tmp_path / "in")
    code, first, text = call("audit", "--stage1-manifest", str(manifest), "--city", "minicity")
    assert code == 0, text
    monkeypatch.setenv("STAGE1_MANIFEST", str(tmp_path / "other" / "manifest.json"))
    code, plan, text = call("--resume", first["run_folder"], "--dry-run")
    assert code == 0, text
    status = {row["step"]: row["status"] for row in plan["plan"]}
    assert (status["audit-handshake"], status["train-subsidence"]) == ("cached", "would run")


@pytest.mark.parametrize("words", [("--model", "Nope"), ("--set", "MODEL=Nope"), ("--set", "MODEL_NAME=Nope")])
def test_an_unknown_model_is_refused_before_planning(call, words):
    code, answer, text = call(*words, "--dry-run")
    assert code == 2, text
    assert answer["error"]["class"] == "ConfigError"
    assert "plan" not in answer
    assert "GeoPriorSubsNet" in answer["error"]["message"] or "MODEL_NAME" in answer["error"]["message"]


def test_a_named_city_that_is_nowhere_says_where_it_was_looked_for(call):
    code, answer, _ = call("--city", "zhongshan", "--dry-run")
    assert code == 2
    assert answer["error"]["class"] == "MissingInputError"
    assert "of city 'zhongshan', found looked in ./results (does not exist)" in answer["error"]["message"]


def test_candidates_that_were_not_taken_are_warned_of_and_written_down(call, tmp_path, prefect_server):
    write_mini_handoff(tmp_path / "results" / "good")
    write_mini_handoff(tmp_path / "results" / "bad", manifest=lambda manifest: manifest.update(stage="stage2"))
    code, answer, text = call("audit", "--city", "minicity")
    assert code == 0, text
    assert (
        "Stage-1 candidate bad/manifest.json in ./results was not taken: stage is 'stage2', not stage1"
        in (answer["warnings"])
    )
    folder = Path(answer["run_folder"])
    assert json.loads((folder / "stage1_candidates.json").read_text()) == {
        "folder": "./results",
        "chosen": "good/manifest.json",
        "rejected": {"bad/manifest.json": "stage is 'stage2', not stage1"},
        "notes": {},
    }
    assert "bad/manifest.json in ./results was not taken" in (folder / "report.html").read_text()
    code, plan, _ = call("--data-dir", str(tmp_path / "results"), "--dry-run")
    assert code == 0
    assert ["bad/manifest.json in --data-dir" in warning for warning in plan["warnings"]] == [True]


def test_a_bad_truth_file_is_refused_before_any_step(call, tmp_path):
    (tmp_path / "later.csv").write_text("lon,lat,year\n1,2,2021\n")
    code, answer, _ = call("--truth", str(tmp_path / "later.csv"))
    assert (code, answer["error"]["class"], answer["cache"]["steps"]) == (2, "HandshakeError", 0)
    assert "truth CSV later.csv lacks columns longitude, latitude, subsidence_cum" in answer["error"]["message"]
    assert "found lon, lat, year" in answer["error"]["message"]
