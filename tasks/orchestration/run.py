"""What one flow run knows: its store, its cache records, what its steps did, whether it was asked to stop."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from prefect.context import FlowRunContext

from tasks.contracts.base import Frozen
from tasks.orchestration.places import Place
from tasks.orchestration.records import Records
from tasks.orchestration.run_folder import RunFolder
from tasks.orchestration.settings import PlatformSettings, read_settings
from tasks.store.blobs import Store

Tell = Callable[[str, float, str], None]  # step, share done, one line


class StepRecord(Frozen):
    """What one step did in this run."""

    step: str
    key: str
    status: Literal["cached", "ran", "would run"]
    why: str
    seconds: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    place: str = ""  # where it ran, or would run: this process, or the deployment; and on what


@dataclass(frozen=True)
class Pending:
    """Stands for the output of a step that a dry run would have to run."""

    step: str

    def __getattr__(self, name: str) -> "Pending":
        return self

    def __call__(self, *_: Any) -> "Pending":
        return self


@dataclass
class Run:
    """One flow run. Not a model: it holds live objects and never leaves the process."""

    settings: PlatformSettings
    flow_run_id: str
    dry: bool = False
    accelerator: Literal["required", "preferred", "none"] = "preferred"
    tell: Tell | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    steps: list[StepRecord] = field(default_factory=list)
    produced: list[tuple[Any, Any]] = field(default_factory=list)  # (output model, Prefect state), for the run graph
    keys: dict[int, str] = field(default_factory=dict)  # id of an output in `produced` → its key
    made: set[int] = field(default_factory=set)  # ids of those outputs in `produced` that were not cached
    places: dict[tuple[str, str], Place] = field(default_factory=dict)  # (pool, accelerator asked for)
    folder: RunFolder | None = None
    warnings: list[str] = field(default_factory=list)  # what a person should know that is no finding of a step
    clock: list[tuple[float, float]] = field(default_factory=list)  # begin and end of each step call, monotonic s

    def __post_init__(self) -> None:
        self.store = Store(self.settings.store)
        self.records = Records(self.store, self.settings.store)

    def state_of(self, value: Any) -> Any | None:
        """The Prefect state of the step that produced this very object."""
        return next((state for output, state in self.produced if output is value), None)

    def key_of(self, output: Any) -> str:
        """The cache key of the step that made this very object; empty for any other object."""
        return self.keys.get(id(output), "")

    def span_s(self) -> float:
        """From the call of the first step to the end of the last one."""
        return self.clock[-1][1] - self.clock[0][0] if self.clock else 0.0

    def label(self) -> str:
        """The name of the flow run, for people."""
        context = FlowRunContext.get()
        return context.flow_run.name if context is not None and context.flow_run is not None else ""

    def cache_counts(self) -> dict[str, int]:
        """`{hits, misses, steps}` of this run."""
        hits = sum(step.status == "cached" for step in self.steps)
        return {"hits": hits, "misses": len(self.steps) - hits, "steps": len(self.steps)}


_current: ContextVar[Run | None] = ContextVar("stagegate_run", default=None)


def current_run() -> Run:
    """The run around the caller; a flow that nobody prepared a run for gets one from the environment."""
    run, flow_run_id = _current.get(), _flow_run_id()
    if run is None or (run.flow_run_id and run.flow_run_id != flow_run_id):
        run = Run(read_settings(), flow_run_id)
        _current.set(run)
    run.flow_run_id = run.flow_run_id or flow_run_id
    return run


@contextmanager
def prepared(run: Run) -> Iterator[Run]:
    """Use this run for the flow called inside the block."""
    token = _current.set(run)
    try:
        yield run
    finally:
        _current.reset(token)


def _flow_run_id() -> str:
    context = FlowRunContext.get()
    return str(context.flow_run.id) if context is not None and context.flow_run is not None else ""
