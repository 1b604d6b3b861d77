"""Pool and deployments of the workers in one image, run in that image: `python deploy.py cpu|cpu-tf|cuda-tf|...`.

Each image has a pool of processes of its own, named like its `run-step` deployment. Flows, the nightly schedule and the
automations come with `cpu`. Making all again changes nothing.
"""

import os
import sys
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.schedules import Cron

from tasks.orchestration.pools import FLOW, LOCAL
from tasks.orchestration.runtimes import this_runtime
from tasks.orchestration.serving.automations import make_automations
from tasks.orchestration.serving.layout import Layout
from tasks.orchestration.serving.table import CPU, CUDA_POOLS, FLOWS_QUEUE, QUEUE_LIMITS, TIMEZONE, Row, rows
from tasks.orchestration.serving.templates import base_job_template

AUTOMATIONS = Path("/etc/stagegate/automations.yaml")
RUNS_PER_GPU_POOL = 1


def layout() -> Layout:
    """Places inside the containers; store and links as the compose file says."""
    return Layout(
        home=Path("/tmp/stagegate"),
        store=os.environ["STAGEGATE_STORE"],
        results=Path("/srv/results"),
        results_url=os.environ["STAGEGATE_RESULTS_URL"],
        data_root=Path("/srv/data"),
        engine="process",
        host="server",
        port=4200,
    )


def rows_of(pool: str) -> list[Row]:
    """What the workers of a pool run: its steps, and with `cpu` every flow."""
    chosen = [row for row in rows("docker") if (row.name == pool if row.flow == FLOW else pool == CPU)]
    return [row.model_copy(update={"pool": pool, "image": None}) for row in chosen]


def make_pool(client: SyncPrefectClient, pool: str, queues: set[str]) -> None:
    """The pool with its queues; limits that somebody has changed stay."""
    template = base_job_template(LOCAL, layout())
    try:
        client.read_work_pool(pool)
        client.update_work_pool(pool, WorkPoolUpdate(base_job_template=template))
    except ObjectNotFound:
        limit = RUNS_PER_GPU_POOL if pool in CUDA_POOLS else None
        client.create_work_pool(
            WorkPoolCreate(name=pool, type="process", base_job_template=template, concurrency_limit=limit)
        )
    known = {queue.name for queue in client.read_work_queues(work_pool_name=pool)}
    for name in sorted(queues - known):
        client.create_work_queue(name, work_pool_name=pool, concurrency_limit=QUEUE_LIMITS[name])


def deployment(row: Row) -> RunnerDeployment:
    """One row, as it runs in this image."""
    timezone = os.environ.get("STAGEGATE_TIMEZONE") or TIMEZONE
    return load_flow_from_entrypoint(row.entrypoint).to_deployment(
        name=row.name,
        schedules=[Cron(row.cron, timezone=timezone)] if row.cron else None,
        tags=list(row.tags),
        enforce_parameter_schema=True,
        work_pool_name=row.pool,
        work_queue_name=row.queue,
        job_variables=row.job_variables(this_runtime().model_dump_json()),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def main(pool: str) -> None:
    """Everything of one pool."""
    chosen = rows_of(pool)
    if not chosen:
        sys.exit(f"no deployment is called {FLOW}/{pool}")
    if pool in CUDA_POOLS and any(row.job_variables("")["env"]["STAGEGATE_ACCELERATOR"] != "cuda" for row in chosen):
        sys.exit(f"pool {pool}: this container has no GPU")
    with get_client(sync_client=True) as client:
        make_pool(client, pool, {row.queue for row in chosen})
    for row in chosen:
        deployment(row).apply()
        print(row.full_name, flush=True)
    if any(row.queue == FLOWS_QUEUE for row in chosen):
        for name in make_automations(os.environ.get("STAGEGATE_NOTIFY_URL") or None, file=AUTOMATIONS):
            print(f"automation {name}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
