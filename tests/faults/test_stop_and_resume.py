"""A run that is stopped or killed in training loses no finished step and goes on from its last backup."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.flows.runs import TINY
from tests.subsidence.mini import write_mini_handoff

SECONDS_TO_TRAIN = 180


@pytest.fixture
def command(tmp_path):
    manifest = write_mini_handoff(tmp_path / "handoff")
    program = "from tasks.cli.main import run; run()"
    words = [
        sys.executable,
        "-c",
        program,
        "subsidence",
        "--stage1-manifest",
        str(manifest),
        "--out",
        str(tmp_path / "runs"),
        "--json",
    ]
    sets = [text for text in TINY if not text.startswith("EPOCHS")] + ["EPOCHS=60", "PATIENCE=60"]
    return words + [word for text in sets for word in ("--set", text)]


@pytest.fixture
def environment(tmp_path):
    return {**os.environ, "STAGEGATE_STORE": str(tmp_path / "store"), "PREFECT_HOME": str(tmp_path / "prefect")}


def start_and_wait_for_backups(command, environment, store: Path) -> subprocess.Popen:
    """The command, once training has saved progress twice."""
    # Files, not pipes: the embedded server outlives a killed parent and would hold a pipe open.
    with (store.parent / "out.txt").open("w") as out, (store.parent / "err.txt").open("w") as err:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=err, start_new_session=True)
    end = time.monotonic() + SECONDS_TO_TRAIN
    seen = set()
    while time.monotonic() < end and process.poll() is None and len(seen) < 2:
        seen |= {path.parent.name for path in store.glob("progress/train-*/*/*")}
        time.sleep(0.1)
    if len(seen) < 2:
        end_group(process)
        raise AssertionError((store.parent / "err.txt").read_text()[-2000:])
    return process


def end_group(process: subprocess.Popen) -> None:
    """Kill the command and the embedded server it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def finish(command, environment) -> dict:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def epochs_of(answer: dict) -> list[str]:
    (log,) = Path(answer["run_folder"]).glob("*_train_log.csv")
    return [line.split(",")[0] for line in log.read_text().splitlines()[1:]]


def test_sigterm_ends_training_with_exit_3_and_resume_completes_the_same_folder(command, environment, tmp_path):
    process = start_and_wait_for_backups(command, environment, tmp_path / "store")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 3, (tmp_path / "err.txt").read_text()[-2000:]
    answer = json.loads((tmp_path / "out.txt").read_text().strip().splitlines()[-1])
    assert answer["status"] == "stopped"
    assert answer["error"]["class"] == "InterruptedStepError"
    assert list((tmp_path / "store").glob("progress/train-*/*"))
    resumed = finish([*command[:4], "--resume", answer["run_folder"], "--json"], environment)
    assert resumed["run_folder"] == answer["run_folder"]
    assert resumed["cache"]["hits"] >= 5
    assert epochs_of(resumed) == [str(epoch) for epoch in range(60)]
    assert not list((tmp_path / "store").glob("progress/train-*/*/*"))


def test_kill_9_in_training_loses_nothing(command, environment, tmp_path):
    process = start_and_wait_for_backups(command, environment, tmp_path / "store")
    end_group(process)
    answer = finish(command, environment)
    assert answer["cache"]["hits"] >= 5
    assert epochs_of(answer) == [str(epoch) for epoch in range(60)]
