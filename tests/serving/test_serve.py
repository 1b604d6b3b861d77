"""A real serve with a real database: closed to strangers, alive to workers, gone when it ends."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.states import Pending, Running
from ruamel.yaml import YAML
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tasks.orchestration.serving.automations import FILE, make_automations
from tasks.orchestration.serving.children import descendants
from tasks.orchestration.serving.layout import Layout
from tasks.orchestration.serving.left_behind import mark_ended, mark_silent
from tests.engines.docker_platform import open_folder
from tests.engines.served import STAGEGATE, Serve, alive
from tests.engines.trivial_flow import failing

pytestmark = pytest.mark.xdist_group("engines")

WORKERS, RUNS = 4, 40
TOLD = "stagegate-failed-flows-are-told"
SILENT = "stagegate-silent-runs-are-crashed"
NEVER_BEGUN = "stagegate-runs-that-never-begin-are-crashed"
ALWAYS = (SILENT, NEVER_BEGUN)
OPEN = {("get", "/health"), ("get", "/ready")}


def deploy(served, flow):
    """A deployment of a flow of the tests on the pool of processes; its id."""
    from prefect.deployments.runner import EntrypointType

    import tests.engines.trivial_flow as flows

    with served.client():
        return (
            getattr(flows, flow)
            .to_deployment(
                name="local",
                work_pool_name="local",
                work_queue_name="flows",
                entrypoint_type=EntrypointType.MODULE_PATH,
            )
            .apply()
        )


def wait_for(what, seconds):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.5)
    return found


def worker_pid(name):
    """The serve's or another worker process, by what stands on its command line."""
    for each in os.listdir("/proc"):
        if each.isdigit():
            with suppress(OSError):
                if name in Path(f"/proc/{each}/cmdline").read_text().split("\0"):
                    return int(each)
    return None


@pytest.fixture(scope="module")
def silent_run(served):
    """A run whose process and worker are killed at the same moment, so that nobody is left to tell."""
    with served.client() as client:
        run = client.create_flow_run_from_deployment(deploy(served, "endless"))
        wait_for(lambda: client.read_flow_run(run.id).state.is_running(), 120)
        time.sleep(2)  # its first beat
        (worker,) = (
            worker for worker in client.read_workers_for_work_pool("local") if worker.name.startswith("local-")
        )
    pid = worker_pid(worker.name)
    family = descendants(pid)
    for each in (pid, *(child for child, _ in family)):
        os.kill(each, signal.SIGKILL)
    return run.id


@pytest.fixture
def workers(served):
    """Workers as on other machines, each `stagegate worker local`; asked to end while their server is there."""
    started = [
        subprocess.Popen([*STAGEGATE, "worker", "local"], env=served.client_environment(), stdout=subprocess.DEVNULL)
        for _ in range(WORKERS)
    ]
    yield started
    for each in started:
        each.terminate()
    for each in started:
        each.wait(60)


def test_every_route_but_health_and_ready_wants_the_password(served, silent_run):
    schema = httpx.get(f"{served.api_url}/openapi.json", auth=served.auth).json()
    routes = [(method, path) for path, methods in schema["paths"].items() for method in methods]
    with httpx.Client(base_url=served.status["url"], timeout=30) as stranger:
        codes = {
            (method, path.removeprefix("/api")): stranger.request(
                method, path if path.startswith("/api") else f"/api{path}"
            ).status_code
            for method, path in routes
        }
        docs = {path: stranger.get(f"/api/{path}").status_code for path in ("openapi.json", "docs", "redoc")}
    assert len(codes) > 150
    assert {route for route, code in codes.items() if code not in (401, 403)} == OPEN
    assert set(docs.values()) == {401}


def test_a_wrong_password_is_none(served):
    assert httpx.get(f"{served.api_url}/version", auth=(served.auth[0], "wrong")).status_code == 401


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled"])
def test_streams_are_closed_to_strangers(served, path):
    url = f"{served.api_url.replace('http', 'ws')}/{path}"
    with pytest.raises(InvalidStatus) as refusal:
        connect(url)
    assert refusal.value.response.status_code == 403
    with connect(url, subprotocols=["prefect"]) as stranger, pytest.raises(ConnectionClosed):
        stranger.send('{"type": "auth", "token": "wrong"}')
        stranger.recv(timeout=10)


def test_a_call_without_a_csrf_token_is_refused(served):
    answer = httpx.post(f"{served.api_url}/flows/filter", json={}, auth=served.auth)
    assert answer.status_code == 403 and "CSRF" in answer.text


def test_another_origin_is_not_let_in(served):
    answer = httpx.get(f"{served.api_url}/version", auth=served.auth, headers={"Origin": "http://evil.example"})
    assert answer.headers.get("Access-Control-Allow-Origin") is None


def test_secrets_are_readable_by_their_owner_only(served):
    private = [served.home / name for name in ("auth", "postgres.password", "pg_service.conf", "serve.json")]
    assert {path.stat().st_mode & 0o777 for path in (*private, served.folder / "user" / "profiles.toml")} == {0o600}


def test_the_database_is_on_loopback_and_wants_its_password(served, postgres_programs):
    env = {**os.environ, "PGSERVICEFILE": str(served.home / "pg_service.conf")}
    ask = [str(postgres_programs / "psql"), "service=stagegate", "-Atc", "show listen_addresses"]
    assert subprocess.run(ask, env=env, capture_output=True, text=True).stdout == "127.0.0.1\n"
    port = next(line for line in (served.home / "pg_service.conf").read_text().splitlines() if line.startswith("port="))
    stranger = [str(postgres_programs / "psql"), "-w", "-h", "127.0.0.1", "-p", port[5:], "-U", "stagegate", "prefect"]
    assert "no password supplied" in subprocess.run(stranger, capture_output=True, text=True).stderr


def test_pools_deployments_and_schedules_are_there(served):
    with served.client() as client:
        pool = client.read_work_pool("local")
        names = {deployment.name for deployment in client.read_deployments()}
        nightly = client.read_deployment_by_name("nightly-retrain/nightly")
    assert pool.type == "process" and {"default", "nightly", "local"} <= names
    assert nightly.schedules[0].schedule.cron == "0 2 * * *"
    assert "forecast-subsidence/default" in served.status["deployments"]


def test_the_nightly_run_gets_its_place_in_time(served):
    def scheduled():
        with served.client() as client:
            return [run for run in client.read_flow_runs(limit=200) if run.auto_scheduled]

    assert wait_for(scheduled, 90)


def test_automations_are_made_once(served):
    with served.client() as client:
        before = client.request("POST", "/automations/filter", json={}).json()
        assert make_automations() == ALWAYS
        after = client.request("POST", "/automations/filter", json={}).json()
    assert {(each["name"], each["enabled"]) for each in before} == {(name, True) for name in ALWAYS}
    assert after == before  # also `updated`: renewing one would forget the runs that it watches


@pytest.fixture
def hook():
    """Somebody who is told: (address, list of what was posted)."""
    posts = []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self):
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ear)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", posts
    server.shutdown()
    server.server_close()


def test_a_failed_flow_is_told_while_there_is_an_address(served, hook):
    address, posts = hook
    with served.client() as client:
        assert make_automations(address) == (*ALWAYS, TOLD)
        time.sleep(2)  # the server's triggers learn of it
        failing(return_state=True)
        post = wait_for(lambda: posts, 60)[0]
        assert make_automations(keep=True) == ALWAYS and client.read_automations_by_name(TOLD)
        make_automations()
        assert client.read_automations_by_name(TOLD) == []
    assert (post["flow"], post["state"]) == ("failing", "Failed")
    assert 'a "quoted" reason' in post["message"] and post["url"].startswith(served.status["url"])


def test_a_second_serve_of_the_same_folder_is_refused(served):
    again = subprocess.run(served.command(), env=served.environment(), capture_output=True, text=True, timeout=120)
    assert again.returncode == 2 and "is served already" in again.stderr


def test_forty_runs_on_four_workers_complete_without_an_error(served, workers, silent_run):
    deployment = deploy(served, "trivial")
    with served.client() as client:
        wanted = [client.create_flow_run_from_deployment(deployment).id for _ in range(RUNS)]

        def done():
            found = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=wanted)), limit=RUNS)
            return found if all(run.state.is_final() for run in found) else None

        runs = wait_for(done, 300)
        seen = {worker.name for worker in client.read_workers_for_work_pool("local")}
    assert [run.state.name for run in runs] == ["Completed"] * RUNS
    assert len(seen) >= WORKERS
    log = (served.home / "logs" / "server.log").read_text()
    assert [line for line in log.splitlines() if "ERROR" in line or "Traceback" in line] == []


def test_the_killed_worker_is_started_again(served, silent_run):
    wait_for(lambda: any("worker local started again" in line for line in served.said), 60)


def test_a_silent_run_is_marked_crashed_within_90_s(served, silent_run):
    with served.client() as client:
        wait_for(lambda: client.read_flow_run(silent_run).state.is_final(), 120)
        states = client.read_flow_run_states(silent_run)
    running = next(state for state in states if state.name == "Running")
    last = states[-1]
    assert last.name == "Crashed" and "has not told for 75 s" in last.message
    assert last.timestamp - running.timestamp < timedelta(seconds=30 + 90)


@pytest.fixture
def hurried(served, tmp_path):
    """The automation for runs that never begin, which waits for seconds and not for minutes."""
    file = tmp_path / "automations.yaml"
    (entry,) = (each for each in YAML(typ="safe").load(FILE) if each["name"] == NEVER_BEGUN)
    entry["name"], entry["trigger"]["within"] = "hurried", 10
    YAML().dump([entry], file)
    with served.client() as client:
        make_automations(file=file)
        time.sleep(2)  # the server's triggers learn of it
        yield client
        for known in client.read_automations_by_name("hurried"):
            client.delete_automation(known.id)


def test_a_run_whose_worker_was_killed_before_it_began_is_marked(hurried):
    """Pending, and then nothing: as a worker leaves it that is killed before the container is there."""
    left, begun = (hurried.create_flow_run(failing, state=Pending()) for _ in range(2))
    hurried.set_flow_run_state(begun.id, Running())
    wait_for(lambda: hurried.read_flow_run(left.id).state.is_crashed(), 60)
    assert hurried.read_flow_run(begun.id).state.is_running()
    hurried.delete_flow_run(begun.id)


def test_a_run_that_an_earlier_serve_left_is_marked_and_one_that_lives_is_not(served):
    auth, layout = ":".join(served.auth), Layout.model_validate_json(json.dumps(served.status["layout"]))
    with served.client() as client:
        left = client.create_flow_run(failing, state=Running())
        began = datetime.now(UTC)
        later = client.create_flow_run(failing, state=Running())
        mark_silent(began, layout, auth)
        assert [client.read_flow_run(run.id).state.name for run in (left, later)] == ["Crashed", "Running"]
        mark_ended([str(later.id)], layout, auth)
        assert client.read_flow_run(later.id).state.message == "stagegate serve was stopped."


def test_nothing_is_left_when_it_ends(postgres_programs):
    """In a folder of its own; SIGINT ignored by whoever started it, one process run going on."""
    serve = Serve(open_folder("ends")).start()
    deployment = deploy(serve, "endless")
    with serve.client() as client:
        run = client.create_flow_run_from_deployment(deployment)
        wait_for(lambda: client.read_flow_run(run.id).state.is_running(), 120)
    family = {serve.process.pid: "", **dict(descendants(serve.process.pid))}
    assert len(family) > 5
    assert serve.stop() == 0
    assert [pid for pid in family if alive(pid)] == []
    assert not (serve.home / "serve.json").exists()
    assert 'active = "ephemeral"' in (serve.folder / "user" / "profiles.toml").read_text()
    with socket.create_server(("127.0.0.1", serve.status["layout"]["port"])):
        pass
