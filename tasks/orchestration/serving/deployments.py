"""Work pools and deployments on a Prefect server, made from the table; making them again changes nothing.

`python -m tasks.orchestration.serving.deployments --yaml > deployments/prefect.yaml` writes the same table as a file.
"""

import logging
from typing import TYPE_CHECKING

from tasks.contracts.errors import ConfigError
from tasks.orchestration.runtimes import this_runtime
from tasks.orchestration.serving.images import is_built, runtime_of
from tasks.orchestration.serving.layout import Layout
from tasks.orchestration.serving.names import Accelerator, ImageKind, image_name
from tasks.orchestration.serving.table import (
    CUDA_POOLS,
    FLOWS_QUEUE,
    QUEUE_LIMITS,
    TIMEZONE,
    Row,
    pools,
    rows,
)
from tasks.orchestration.serving.templates import base_job_template

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.deployments.runner import RunnerDeployment

log = logging.getLogger(__name__)

RUNS_PER_GPU_POOL = 1


def deploy_all(layout: Layout, timezone: str = TIMEZONE) -> tuple[str, ...]:
    """Make every work pool and every deployment whose image is built; the names of the deployments.

    Raises EngineError where the core image is missing, ConfigError for a timezone that does not exist.
    """
    _check_timezone(timezone)
    make_pools(layout)
    return tuple(_deploy(row, _runtime(row), timezone) for row in rows(layout.engine) if _usable(row))


def make_pools(layout: Layout) -> tuple[str, ...]:
    """Make or refresh the work pools of a layout, with their queues; limits that somebody has changed stay."""
    from prefect.client.orchestration import get_client

    names = pools(layout.engine)
    with get_client(sync_client=True) as client:
        for name in names:
            _make_pool(client, name, layout)
            for queue, limit in QUEUE_LIMITS.items():
                _make_queue(client, name, queue, limit)
    return names


def _make_pool(client: "SyncPrefectClient", name: str, layout: Layout) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    template = base_job_template(name, layout)
    kind = "process" if layout.engine == "process" else "docker"
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        limit = RUNS_PER_GPU_POOL if name in CUDA_POOLS else None
        client.create_work_pool(
            WorkPoolCreate(name=name, type=kind, base_job_template=template, concurrency_limit=limit)
        )
        return
    client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))


def _make_queue(client: "SyncPrefectClient", pool: str, name: str, limit: int) -> None:
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_queue_by_name(name, work_pool_name=pool)
    except ObjectNotFound:
        client.create_work_queue(name, work_pool_name=pool, concurrency_limit=limit)


def _deploy(row: Row, runtime: str, timezone: str) -> str:
    deployment = _deployment(row, runtime, timezone)
    deployment.apply()
    return row.full_name


def _deployment(row: Row, runtime: str, timezone: str) -> "RunnerDeployment":
    from prefect.deployments.runner import EntrypointType
    from prefect.flows import load_flow_from_entrypoint
    from prefect.schedules import Cron

    flow = load_flow_from_entrypoint(row.entrypoint)
    return flow.to_deployment(
        name=row.name,
        schedules=[Cron(row.cron, timezone=timezone)] if row.cron else None,
        tags=list(row.tags),
        enforce_parameter_schema=True,
        work_pool_name=row.pool,
        work_queue_name=row.queue,
        job_variables=row.job_variables(runtime),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _usable(row: Row) -> bool:
    """Whether there is something to run it in. A flow without its image is an error, a step is only left out."""
    if row.image is None or row.queue == FLOWS_QUEUE or is_built(row.image):
        return True
    if row.accelerator is not Accelerator.CUDA:
        log.warning("%s is not built: no deployment %s", row.image, row.full_name)
    return False


def _runtime(row: Row) -> str:
    runtime = this_runtime() if row.image is None else runtime_of(row.image)
    return runtime.model_dump_json()


def _check_timezone(name: str) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError("timezone is unknown", expected="a name such as Europe/Berlin", found=name) from error


def runtime_placeholder(image: str) -> str:
    """The environment variable that a deployment file takes an image's runtime from: STAGEGATE_RUNTIME_TF_CPU."""
    return "STAGEGATE_RUNTIME_" + image.rpartition("/")[2].replace(":", "_").replace("-", "_").upper()


def runtimes() -> dict[str, str]:
    """Values of those variables for the images that this machine's engine holds."""
    images = [image_name(kind, accelerator) for kind in ImageKind for accelerator in Accelerator]
    return {runtime_placeholder(image): runtime_of(image).model_dump_json() for image in images if is_built(image)}


if __name__ == "__main__":
    from tasks.orchestration.serving.deployment_file import main

    main()
