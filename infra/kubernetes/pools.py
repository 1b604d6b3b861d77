"""The Kubernetes work pools on the server that PREFECT_API_URL names, made from base-job-template.yaml.

`python infra/kubernetes/pools.py --store s3://bucket/prefix`; with `--print POOL` the template goes to stdout as JSON,
for the worker chart or `prefect work-pool create`.
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
from tasks.orchestration.serving.templates import HEARTBEAT_S

FILE = Path(__file__).with_name("base-job-template.yaml")
SERVER = "http://prefect-server.stagegate.svc.cluster.local:4200/api"
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


def make_pool(client: SyncPrefectClient, pool: str, base: dict[str, Any]) -> None:
    """The pool with its queues; limits that somebody has changed stay."""
    try:
        client.read_work_pool(pool)
        client.update_work_pool(pool, WorkPoolUpdate(base_job_template=base))
    except ObjectNotFound:
        limit = RUNS_PER_GPU_POOL if pool in CUDA_POOLS else None
        client.create_work_pool(
            WorkPoolCreate(name=pool, type="kubernetes", base_job_template=base, concurrency_limit=limit)
        )
    known = {queue.name for queue in client.read_work_queues(work_pool_name=pool)}
    for name in sorted(QUEUE_LIMITS.keys() - known):
        client.create_work_queue(name, work_pool_name=pool, concurrency_limit=QUEUE_LIMITS[name])


def main(
    store: Annotated[str, typer.Option(help="s3://bucket/prefix, reachable from every pod.")],
    api_url: Annotated[str, typer.Option(help="Of the server, as pods see it.")] = SERVER,
    only_print: Annotated[str | None, typer.Option("--print", metavar="POOL", help="Make nothing.")] = None,
    notify: Annotated[str | None, typer.Option(envvar="STAGEGATE_NOTIFY_URL", help="Webhook for failed flows.")] = None,
) -> None:
    """Make or renew all pools and the automations."""
    if only_print is not None:
        print(json.dumps(template(only_print, store, api_url), indent=2))
        return
    with get_client(sync_client=True) as client:
        for pool in pools("docker"):
            make_pool(client, pool, template(pool, store, api_url))
            print(f"pool {pool}")
    for name in make_automations(notify):
        print(f"automation {name}")


if __name__ == "__main__":
    typer.run(main)
