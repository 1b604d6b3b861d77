"""The Kubernetes work pools on the server that PREFECT_API_URL names, made from base-job-template.yaml.

`python infra/kubernetes/pools.py --store s3://bucket/prefix`; with `--print POOL` the template goes to stdout as JSON, for
the worker chart or `prefect work-pool create`.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from ruamel.yaml import YAML

from tasks.orchestration.serving.automations import make_automations
from tasks.orchestration.serving.table import CUDA_POOLS, QUEUE_LIMITS, pools
from tasks.orchestration.serving.templates import HEARTBEAT_S, NOT_INHERITED

FILE = Path(__file__).with_name("base-job-template.yaml")
SERVER = "http://prefect-server.stagegate.svc.cluster.local:4200/api"
# The worker hands its own settings down in plain text; these come from the Secret instead, or not at all.
NOT_IN_MANIFEST = (*NOT_INHERITED, "PREFECT_API_AUTH_STRING")
GPU = {"gpu": 1, "memory_request": "8Gi", "memory_limit": "32Gi", "shared_memory": "8Gi"}
RUNS_PER_GPU_POOL = 1


def template(pool: str, store: str, api_url: str = SERVER) -> dict[str, Any]:
    """The base job template of one pool."""
    made = json.loads(json.dumps(YAML(typ="safe").load(FILE)))
    variables = made["variables"]["properties"]
    for name, value in (GPU if pool in CUDA_POOLS else {}).items():
        variables[name]["default"] = value
    variables["env"]["default"] = environment(store, api_url)
    return made


def environment(store: str, api_url: str) -> dict[str, str]:
    """What a flow or step finds in its environment, without secrets."""
    return {
        "PREFECT_API_URL": api_url,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PREFECT_HOME": "/tmp/prefect",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "TMPDIR": "/tmp",
        "MPLCONFIGDIR": "/tmp/matplotlib",
        "STAGEGATE_STORE": store,
        "STAGEGATE_DATA_ROOT": "/srv/data",
        "STAGEGATE_RESULTS": "/srv/results",
    }
