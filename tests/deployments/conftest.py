"""A real Prefect server with a password on loopback, a process pool on it and one worker."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

AUTH = "stagegate:not-a-secret"
READY_WITHIN_S = 180


@pytest.fixture(scope="module")  # no longer: its address would be that of every later test of the session
def served(tmp_path_factory):
    """The layout of a server that runs, with all deployments of a process pool; one run at a time in each queue."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from tasks.orchestration.serving.deployments import deploy_all

    layout = make_layout(tmp_path_factory.mktemp("served"))
    env = environment(layout)
    server = start("server", ["server", "start", "--host", layout.host, "--port", str(layout.port)], layout, env)
    try:
        wait_for(layout.api_url, server)
        updates = {PREFECT_API_URL: layout.api_url, PREFECT_API_AUTH_STRING: AUTH}
        with temporary_settings(updates=updates):
            deploy_all(layout)
            limit_queues(1)
            worker = start("worker", ["worker", "start", "--pool", "local", "--type", "process"], layout, env)
            try:
                yield layout
            finally:
                stop(worker)
    finally:
        stop(server)


def make_layout(root: Path):
    """One folder for everything, a free port."""
    from tasks.orchestration.serving.layout import Layout

    for name in ("home", "store", "results", "data", "tmp"):
        (root / name).mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Layout(
        home=root / "home",
        store=str(root / "store"),
        results=root / "results",
        data_root=root / "data",
        engine="process",
        host="127.0.0.1",
        port=port,
    )


def environment(layout) -> dict[str, str]:
    """Of the server and the worker; nothing of the caller's own Prefect."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "STAGEGATE_"))}
    return kept | {
        "PREFECT_HOME": str(layout.home),
        "PREFECT_API_URL": layout.api_url,
        "PREFECT_API_AUTH_STRING": AUTH,
        "PREFECT_SERVER_API_AUTH_STRING": AUTH,
        "PREFECT_UI_STATIC_DIRECTORY": str(layout.home / "ui"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "DO_NOT_TRACK": "1",
        "TMPDIR": str(layout.home.parent / "tmp"),
    }


def start(name: str, arguments: list[str], layout, env: dict[str, str]) -> subprocess.Popen:
    """A Prefect process of its own, with its log beside the layout."""
    with (layout.home.parent / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "prefect", *arguments], env=env, stdout=log, stderr=log, start_new_session=True
        )


def stop(process: subprocess.Popen) -> None:
    """Ask, then end."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(api_url: str, server: subprocess.Popen) -> None:
    """Until the server answers."""
    end = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx.get(f"{api_url}/health", timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    raise AssertionError("Prefect server did not start")


def limit_queues(limit: int) -> None:
    """So few places that a flow and its step in one queue would wait for each other for ever."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for queue in client.read_work_queues():
            if queue.name in ("flows", "steps"):
                client.update_work_queue(queue.id, concurrency_limit=limit)
