"""Base job templates of the work pools: what every container or process of a machine has in common.

Passwords never stand in them. The worker passes its own PREFECT_API_AUTH_STRING into what it starts, and placeholders
`{{ $NAME }}` are filled from the worker's environment at the moment of the start.
"""

from copy import deepcopy
from typing import Any

from tasks.orchestration.pools import LOCAL
from tasks.orchestration.serving.engine import HARDENED
from tasks.orchestration.serving.layout import Layout
from tasks.orchestration.serving.table import CUDA_POOLS

MEMORY = "4g"
PIDS = 1024  # a framework starts a few threads for each core
SHARED_MEMORY = "1g"
HEARTBEAT_S = 30
SCRATCH_TMPFS = "size=2g,mode=1777"
S3 = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL")
# Sums depend on the number of threads: whoever sets it for a worker means its containers too.
THREADS = ("OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")  # empty where it is not set
FROM_WORKER = (*S3, *THREADS)
# A worker hands its own Prefect settings down; what only the server needs stays behind.
NOT_INHERITED = (
    "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_API_DATABASE_PASSWORD",
    "PREFECT_SERVER_DATABASE_PASSWORD",
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_UI_STATIC_DIRECTORY",
    "PREFECT_SERVER_UI_STATIC_DIRECTORY",
    "PREFECT_PROFILES_PATH",
    "PREFECT_LOCAL_STORAGE_PATH",
)


def base_job_template(pool: str, layout: Layout) -> dict[str, Any]:
    """The template of a pool of this layout, in Prefect's own form."""
    template = _process_template() if pool == LOCAL else _docker_template()
    changes = {} if pool == LOCAL else _container(pool, layout)
    variables = template["variables"]["properties"]
    for name, value in changes.items():
        variables[name]["default"] = value
    variables["env"]["default"] = environment(layout) | (_in_container() if pool != LOCAL else {})
    # Values of a pool's env are merged with those of the deployment only where this is a table; null means unset.
    template["job_configuration"]["env"] = dict.fromkeys(NOT_INHERITED)
    return template


def environment(layout: Layout) -> dict[str, str]:
    """What a flow or step of this layout finds in its environment, without secrets."""
    values = {
        "PREFECT_API_URL": layout.api_url,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "STAGEGATE_STORE": layout.store,
        "STAGEGATE_DATA_ROOT": str(layout.data_root),
        "STAGEGATE_RESULTS": str(layout.results),
    }
    return values | ({"STAGEGATE_RESULTS_URL": layout.results_url} if layout.results_url else {})


def _in_container() -> dict[str, str]:
    from_worker = {name: f"{{{{ ${name} }}}}" for name in FROM_WORKER}
    return {"PREFECT_HOME": "/tmp/prefect", "TMPDIR": "/tmp", "MPLCONFIGDIR": "/tmp/matplotlib", **from_worker}


def _container(pool: str, layout: Layout) -> dict[str, Any]:
    return {
        "image_pull_policy": "Never",
        "auto_remove": True,
        "stream_output": True,  # only then does prefect-docker look at the exit code, and tell of a killed container
        "networks": [layout.network],
        "volumes": _volumes(layout),
        "mem_limit": MEMORY,
        "container_create_kwargs": _create_arguments(pool, layout),
    }


def _volumes(layout: Layout) -> list[str]:
    """The same paths inside and outside. A folder that is mounted twice is writable if either says so."""
    writable = [str(layout.results)] + ([] if "://" in layout.store else [layout.store])
    mounts = {str(layout.data_root): "ro"} | dict.fromkeys(writable, "rw")
    return [f"{path}:{path}:{mode}" for path, mode in mounts.items()]


def _create_arguments(pool: str, layout: Layout) -> dict[str, Any]:
    """Arguments of docker-py for the creation of a container."""
    hardened = {name: deepcopy(HARDENED[name]) for name in ("read_only", "cap_drop", "security_opt")}
    arguments = hardened | {
        "user": f"{layout.uid}:{layout.uid}",
        "tmpfs": {"/tmp": SCRATCH_TMPFS},
        "pids_limit": PIDS,
        "init": True,  # the first process of a container ignores a signal that it has no handler for
    }
    if pool in CUDA_POOLS:
        # prefect-docker has no field of its own for devices.
        gpu = {"driver": "nvidia", "count": 1, "capabilities": [["gpu"]]}
        arguments |= {"device_requests": [gpu], "shm_size": SHARED_MEMORY}
    return arguments


def _docker_template() -> dict[str, Any]:
    from prefect_docker.worker import DockerWorker

    return deepcopy(DockerWorker.get_default_base_job_template())


def _process_template() -> dict[str, Any]:
    from prefect.workers.process import ProcessWorker

    return deepcopy(ProcessWorker.get_default_base_job_template())
