"""Machines that share nothing but an S3 store take each other's results, and leave no secret there."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.engines.ceph import HOST

SECONDS = 240


def begin(s3, home, store: str, text: str = "abc") -> subprocess.Popen:
    """A flow run of a machine of its own: own Prefect home, own server, own session."""
    env = s3.environment() | {"PREFECT_HOME": str(home), "STAGEGATE_STORE": store, "NO_PROXY": f"{HOST},localhost"}
    env.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "tests.engines.cached_flow", text]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def end(run: subprocess.Popen) -> tuple[dict, str]:
    """Its answer, and all that it logged."""
    try:
        out, told = run.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        raise
    assert run.returncode == 0, told.decode()[-3000:]
    return json.loads(out.splitlines()[-1]), told.decode()


def statuses(answer: dict) -> list[str]:
    return [status for _, status, _ in answer["steps"]]


def keys(answer: dict) -> list[str]:
    return [key for _, _, key in answer["steps"]]


@pytest.fixture(scope="module")
def machines(s3, bucket, tmp_path_factory):
    """What a first and a second machine say, and what they logged."""
    store = f"s3://{bucket}/shared"
    found = [end(begin(s3, tmp_path_factory.mktemp(name), store)) for name in ("first", "second")]
    return [answer for answer, _ in found], "".join(told for _, told in found), store


def test_second_machine_takes_every_step_from_the_first(machines):
    (first, second), _, _ = machines
    assert (statuses(first), statuses(second)) == (["ran", "ran"], ["cached", "cached"])
    assert keys(first) == keys(second)
    assert first["output"] == second["output"] == "6"


def test_no_secret_is_stored_or_logged(machines, s3, objects, tmp_path_factory):
    _, told, store = machines
    stored = b"".join(objects.cat_file(path) for path in objects.find(store))
    homes = [path for name in ("first0", "second0") for path in (tmp_path_factory.getbasetemp() / name).rglob("*")]
    kept = b"".join(path.read_bytes() for path in homes if path.is_file())
    assert len(stored) > 1000 and len(kept) > 1000
    for secret in (s3.secret, s3.key):
        assert secret.encode() not in stored + kept and secret not in told


def test_two_machines_at_one_time_give_the_same_result(s3, s3_root, tmp_path):
    runs = [begin(s3, tmp_path / name, s3_root) for name in ("first", "second")]
    (first, _), (second, _) = map(end, runs)
    assert keys(first) == keys(second) and first["output"] == second["output"] == "6"
