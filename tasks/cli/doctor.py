"""`stagegate doctor`: what is installed here, and what answers."""

import os
import shutil
import subprocess
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from tasks.cli.answers import answer, print_answer, without_passwords

PACKAGES = (
    "prefect",
    "numpy",
    "pandas",
    "scikit-learn",
    "tensorflow-cpu",
    "tensorflow",
    "keras",
    "torch",
    "matplotlib",
)
SECONDS_TO_ANSWER = 5.0


def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Say what is installed, where bytes are stored, and whether server, Docker, GPU and S3 answer."""
    rows = {
        **_packages(),
        **_store(),
        "prefect server": _server(),
        "docker": _docker(),
        "gpu": _gpu(),
        "s3": _s3(),
        "postgres": _postgres(),
    }
    rows = {name: without_passwords(finding) for name, finding in rows.items()}
    if as_json:
        print_answer(answer("complete", checks=rows))
        return
    for name, finding in rows.items():
        print(f"{name:<18} {finding}")


def _packages() -> dict[str, str]:
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _store() -> dict[str, str]:
    from tasks.orchestration.settings import read_settings

    settings = read_settings()
    if "://" in settings.store:
        return {"store": settings.store, "executor": settings.executor}
    folder = Path(settings.store)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free / 2**30
    state = "exists" if folder.exists() else "made at the first run"
    return {"store": f"{settings.store} ({state}, {free:.0f} GiB free)", "executor": settings.executor}


def _server() -> str:
    import httpx
    from prefect.settings.context import get_current_settings

    # The profile may be the one that `stagegate serve` writes.
    url = os.environ.get("PREFECT_API_URL") or get_current_settings().api.url
    if not url:
        return "embedded (PREFECT_API_URL is not set)"

    try:
        answer = httpx.get(f"{url}/health", timeout=SECONDS_TO_ANSWER)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{url} does not answer: {type(error).__name__}"
    return f"{url} answers {answer.status_code}; pools: {_pools()}"


def _pools() -> str:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    with get_client(sync_client=True) as client:
        try:
            return ", ".join(_pool(client, pool) for pool in client.read_work_pools()) or "none"
        except PrefectHTTPStatusError as error:
            return f"cannot be read ({error.response.status_code})"


def _pool(client: Any, pool: Any) -> str:
    workers = client.read_workers_for_work_pool(pool.name)
    online = sum(worker.status is not None and worker.status.value == "ONLINE" for worker in workers)
    return f"{pool.name} ({online} workers online)"


def _docker() -> str:
    return _answer(["docker", "info", "--format", "{{.ServerVersion}} {{.Driver}}"])


def _gpu() -> str:
    return _answer(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])


def _answer(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return f"{command[0]} not installed"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER, check=False)
    except subprocess.TimeoutExpired:
        return f"{command[0]} does not answer"
    return done.stdout.strip() if done.returncode == 0 else f"does not answer: {done.stderr.strip().splitlines()[-1:]}"


def _s3() -> str:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return "not configured (AWS_ENDPOINT_URL is not set)"
    import httpx

    try:
        return f"{endpoint} answers {httpx.get(endpoint, timeout=SECONDS_TO_ANSWER).status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{endpoint} does not answer: {type(error).__name__}"


def _postgres() -> str:
    url = os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL", "")
    if "postgresql" not in url:
        return _served_postgres() or "not configured (the embedded server keeps its runs in SQLite)"
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        place = make_url(url)
    except ArgumentError:
        return "PREFECT_API_DATABASE_CONNECTION_URL is no URL of a database"
    command = ["pg_isready", "-h", place.host or "127.0.0.1", "-p", str(place.port or 5432)]
    return f"{place.render_as_string(hide_password=True)}: {_answer(command)}"


def _served_postgres() -> str:
    """The cluster of `stagegate serve`; empty where there is none."""
    from tasks.orchestration.serving.folders import default_base

    file, parser = default_base() / "server" / "pg_service.conf", ConfigParser(interpolation=None)
    try:
        parser.read(file)
    except OSError:
        return f"{file} cannot be read"
    if not parser.has_section("stagegate"):
        return ""
    port = parser["stagegate"]["port"]
    return f"of stagegate serve: {_answer(['pg_isready', '-h', '127.0.0.1', '-p', port])}"
