"""The Prefect server: its settings, and whether it answers."""

import os
import sys
import time

import httpx

from tasks.orchestration.serving.children import Child, PartError
from tasks.orchestration.serving.layout import Layout
from tasks.orchestration.serving.templates import HEARTBEAT_S

READY_WITHIN_S = 180.0  # the first start makes all tables
QUERY_S = 2
OWN = ("PREFECT_", "STAGEGATE_")


def quiet_environment(layout: Layout) -> dict[str, str]:
    """What every Prefect process of a serve gets; none of the caller's own Prefect settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    straight = ",".join(filter(None, (os.environ.get("NO_PROXY", ""), layout.host, "127.0.0.1", "localhost")))
    return kept | {
        "DO_NOT_TRACK": "1",
        "PREFECT_HOME": str(layout.home / "prefect"),
        "PREFECT_PROFILES_PATH": str(layout.home / "prefect" / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_COLORS": "false",
        "PREFECT_CLI_PROMPT": "false",
        "TMPDIR": str(layout.home / "tmp"),  # workers of two users must not share Prefect's folder there
        "NO_PROXY": straight,
        "no_proxy": straight,
    }


def client_environment(layout: Layout, auth: str) -> dict[str, str]:
    """For workers and what they start."""
    return quiet_environment(layout) | {
        "PREFECT_API_URL": layout.api_url,
        "PREFECT_API_AUTH_STRING": auth,
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PREFECT_WORKER_QUERY_SECONDS": str(QUERY_S),
    }


def server_environment(layout: Layout, auth: str, database: str) -> dict[str, str]:
    """Password and CSRF token on every call, one origin, nothing told to anybody."""
    return client_environment(layout, auth) | {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://{layout.host}:{layout.port}",
        "PREFECT_SERVER_UI_API_URL": layout.api_url,
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(layout.home / "ui"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }


def server_child(layout: Layout, auth: str, database: str) -> Child:
    """The server, not started."""
    command = (sys.executable, "-m", "prefect", "server", "start", "--host", layout.host, "--port", str(layout.port))
    return Child("server", command, server_environment(layout, auth, database), layout.home / "logs" / "server.log")


def wait_until_ready(child: Child, layout: Layout, auth: str) -> None:
    """Until the server answers to its password. Raises PartError with the end of its log."""
    end = time.monotonic() + READY_WITHIN_S
    while not answers(layout.api_url, auth):
        if not child.alive() or time.monotonic() > end:
            child.stop()
            where, remedy = f"Prefect server {layout.api_url}", f"Log: {child.log}"
            raise PartError("does not answer", where=where, found=child.tail(), remedy=remedy)
        time.sleep(0.3)


def answers(api_url: str, auth: str) -> bool:
    """Whether a server is ready there and takes this password."""
    user, _, password = auth.partition(":")
    try:
        with httpx.Client(timeout=5.0, trust_env=False, auth=(user, password)) as client:
            return client.get(f"{api_url}/ready").is_success and client.get(f"{api_url}/admin/version").is_success
    except httpx.HTTPError:
        return False
