"""Workers: which pools get one on this machine, and how one is started."""

import os
import socket
import sys

from tasks.contracts.errors import ConfigError, PoolError
from tasks.orchestration.serving.children import Child
from tasks.orchestration.serving.layout import Layout
from tasks.orchestration.serving.network import ensure_network, has_gpu
from tasks.orchestration.serving.server import HEARTBEAT_S, QUERY_S, client_environment
from tasks.orchestration.serving.table import CUDA_POOLS, pools

PARKED_IMPORTS = {"PYTHONSAFEPATH": "1"}  # nothing is imported from the folder that a worker is started in


def pools_here(layout: Layout) -> tuple[str, ...]:
    """Pools that this machine can work for."""
    gpu = layout.engine == "docker" and has_gpu()
    return tuple(pool for pool in pools(layout.engine) if gpu or pool not in CUDA_POOLS)


def worker_child(pool: str, layout: Layout, auth: str) -> Child:
    """A worker of a served platform, not started."""
    environment = client_environment(layout, auth) | PARKED_IMPORTS
    log = layout.home / "logs" / f"worker-{pool}.log"
    # Prefect copies the folder that a worker stands in for each run: an empty one.
    return Child(f"worker {pool}", _command(pool, layout.engine), environment, log, folder=layout.home / "work")


def work_for(pool: str, *, force: bool = False) -> None:
    """Become a worker of a pool on the server that PREFECT_API_URL, or the Prefect profile in use, names.

    Never returns. Raises PoolError without such a pool, ConfigError for a GPU pool on a machine without one.
    """
    kind = _kind(pool)
    if kind == "docker":
        ensure_network(Layout.model_fields["network"].default, Layout.model_fields["subnet"].default)
    if pool in CUDA_POOLS and not force and not (kind == "docker" and has_gpu()):
        raise ConfigError(
            "this machine has no GPU for containers",
            where=f"pool {pool}",
            expected="a CUDA device, and the nvidia runtime in the Docker engine",
            remedy="Start the worker on a GPU machine, or insist with --force.",
        )
    settings = {
        "PREFECT_WORKER_QUERY_SECONDS": str(QUERY_S),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "DO_NOT_TRACK": "1",
        **_connection(),
    }
    command = _command(pool, kind)
    os.execve(command[0], list(command), {**os.environ, **settings, **PARKED_IMPORTS})


def _command(pool: str, kind: str) -> tuple[str, ...]:
    name = f"{pool}-{socket.gethostname()}-{os.getpid()}"
    options = ("--pool", pool, "--type", kind, "--name", name, "--install-policy", "never")
    return (sys.executable, "-m", "prefect", "worker", "start", *options, "--no-create-pool-if-not-found")


def _connection() -> dict[str, str]:
    """Address and password, wherever they were found: what the worker starts gets them from its environment."""
    from prefect.settings.context import get_current_settings

    api = get_current_settings().api
    auth = {} if api.auth_string is None else {"PREFECT_API_AUTH_STRING": api.auth_string.get_secret_value()}
    return {"PREFECT_API_URL": str(api.url)} | auth


def _kind(pool: str) -> str:
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
    from prefect.settings.context import get_current_settings

    url = get_current_settings().api.url
    remedy = "Set PREFECT_API_URL and PREFECT_API_AUTH_STRING to those of the machine where `stagegate serve` runs."
    if not url:
        raise ConfigError("no server is named", expected="PREFECT_API_URL", remedy=remedy)
    try:
        with get_client(sync_client=True) as client:
            return client.read_work_pool(pool).type
    except ObjectNotFound as error:
        known = f"one of {', '.join(pools('docker') + pools('process'))}"
        raise PoolError("does not exist on the server", where=f"pool {pool}", expected=known, remedy=url) from error
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        found = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise PoolError("server does not answer", where=url, found=found, remedy=remedy) from error
