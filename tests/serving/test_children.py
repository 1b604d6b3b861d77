"""Children of a serve: ended with all that they started, mended with a growing pause."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tasks.orchestration.serving import children
from tasks.orchestration.serving.children import Child, descendants
from tests.engines.served import alive

SLEEPS = "import time; time.sleep(60)"
TELLS = f"print(1, flush=True); {SLEEPS}"
# A child that puts its own child into another session, as Prefect's workers do, and tells its number.
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SLEEPS!r}], start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def started(tmp_path):
    made = []

    def start(code, **options):
        child = Child("sample", (sys.executable, "-c", code), dict(os.environ), tmp_path / "log", **options)
        child.start()
        made.append(child)
        return child

    yield start
    for child in made:
        child.stop()


def wait_for(what, seconds=10.0):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)
    return found


def test_stop_ends_what_a_child_started_in_another_session(started):
    child = started(PARENT)
    grandchild = int(wait_for(child.tail))
    child.stop()
    assert not alive(grandchild)


def test_a_child_that_does_not_listen_is_killed(started):
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEPS}"
    child = started(deaf, grace_s=0.5)
    wait_for(child.tail)
    child.stop()
    assert child.process.returncode == -signal.SIGKILL


def test_a_dead_child_starts_again_after_a_pause_that_grows(started, monkeypatch):
    monkeypatch.setattr(children, "BACK_OFF_S", (0, 300))
    child = started("raise SystemExit(7)")
    child.process.wait()
    assert child.mend() == f"sample ended (7); starts again in 0 s; log: {child.log}"
    assert child.mend() == "sample started again"
    child.process.wait()
    assert "starts again in 300 s" in child.mend()
    assert child.mend() is None


def test_children_die_with_a_parent_that_was_killed(tmp_path):
    parent = f"""
import os, sys
from pathlib import Path
from tasks.orchestration.serving.children import Child
child = Child("sample", (sys.executable, "-c", {TELLS!r}), dict(os.environ), Path({str(tmp_path / "log")!r}))
child.start()
while not child.tail():  # from here on it knows whom it dies with
    pass
print(child.process.pid, flush=True)
child.process.wait()
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())
    process.kill()
    process.communicate()
    wait_for(lambda: not alive(pid))


def test_descendants_are_seen_through_sessions(started):
    child = started(PARENT)
    grandchild = int(wait_for(child.tail))
    assert grandchild in {pid for pid, _ in descendants(os.getpid())}
