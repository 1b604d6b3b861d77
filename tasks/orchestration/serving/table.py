"""The deployments there are: one row each, the same for every machine."""

from typing import Literal

from pydantic import Field

from tasks.contracts.base import Frozen
from tasks.orchestration.places import accelerator_here
from tasks.orchestration.pools import ACCELERATOR_VARIABLE, FLOW, LOCAL, RUNTIME_VARIABLE
from tasks.orchestration.serving.names import Accelerator, ImageKind, image_name

Engine = Literal["docker", "process"]

CPU = "cpu"
CUDA_POOLS = {"cuda-tf": ImageKind.TF, "cuda-torch": ImageKind.TORCH}
TIMEZONE = "UTC"
NIGHTLY = "0 2 * * *"
# Flows wait for steps. In one queue with a limit, waiting flows could take every place that their steps need.
FLOWS_QUEUE, STEPS_QUEUE = "flows", "steps"
QUEUE_LIMITS = {FLOWS_QUEUE: 8, STEPS_QUEUE: 4}  # containers at once, until somebody sets another limit


class Row(Frozen):
    """One deployment. What differs between machines (paths, addresses, networks) is in its pool, not here."""

    flow: str
    name: str
    pool: str
    queue: Literal["flows", "steps"]
    image: str | None = Field(description="None: a process of the machine itself")
    accelerator: Accelerator = Accelerator.CPU
    cron: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name by which a run is asked for."""
        return f"{self.flow}/{self.name}"

    @property
    def entrypoint(self) -> str:
        """Module path of the flow, importable in every image."""
        module = self.flow.replace("-", "_")
        return f"flows.{module}.{module}"

    def job_variables(self, runtime: str) -> dict[str, object]:
        """What the row adds to its pool. runtime: JSON of the image's Runtime, or a placeholder for it."""
        accelerator = accelerator_here("cuda", "preferred") if self.image is None else self.accelerator.value
        env = {RUNTIME_VARIABLE: runtime, ACCELERATOR_VARIABLE: accelerator}
        if self.queue == FLOWS_QUEUE:
            env["STAGEGATE_EXECUTOR"] = "pools"
        if self.image is not None:
            # A container that is asked to stop saves its progress and its run goes on in another one.
            env["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] = "reschedule"
        return {"env": env} | ({} if self.image is None else {"image": self.image})


def rows(engine: Engine) -> tuple[Row, ...]:
    """Every deployment of an engine."""
    pool = CPU if engine == "docker" else LOCAL
    image = image_name(ImageKind.CORE) if engine == "docker" else None

    def parent(flow: str, name: str = "default", cron: str | None = None) -> Row:
        return Row(flow=flow, name=name, pool=pool, queue=FLOWS_QUEUE, image=image, cron=cron, tags=("flow",))

    parents = (
        parent("forecast-subsidence"),
        parent("audit-subsidence"),
        parent("apply-forecaster"),
        parent("refine-tiles"),
        parent("train-tiles"),
        parent("nightly-retrain", "nightly", NIGHTLY),
    )
    if engine == "process":
        return (*parents, _step(LOCAL, LOCAL, None))
    return (
        *parents,
        _step(CPU, CPU, image),
        _step("cpu-tf", CPU, image_name(ImageKind.TF)),
        _step("cpu-torch", CPU, image_name(ImageKind.TORCH)),
        *(_step(pool, pool, image_name(kind, Accelerator.CUDA), Accelerator.CUDA) for pool, kind in CUDA_POOLS.items()),
    )


def pools(engine: Engine) -> tuple[str, ...]:
    """Work pools of an engine; those for GPUs exist before there are images and workers for them."""
    return (LOCAL,) if engine == "process" else (CPU, *CUDA_POOLS)


def _step(name: str, pool: str, image: str | None, accelerator: Accelerator = Accelerator.CPU) -> Row:
    return Row(flow=FLOW, name=name, pool=pool, queue=STEPS_QUEUE, image=image, accelerator=accelerator, tags=("step",))
