"""What a step body may touch beside its inputs: the store, a scratch folder, its saved progress."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasks.store.blobs import Store
from tasks.store.progress import Progress


@dataclass(frozen=True)
class Workspace:
    """Handed to every step as `here`; never part of a cache key."""

    store: Store
    scratch: Path
    progress: Progress
    tell: Callable[[float, str], None]  # share done in 0..1, one line for people
    stopping: Callable[[], bool]  # true once a signal asked the step to end
    accelerator: str  # "cpu" or "cuda": what the step may use, and what its cache key says
    telemetry: dict  # durations and memory of this run: kept beside the result, never inside an artifact
