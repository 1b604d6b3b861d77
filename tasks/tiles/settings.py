"""What a worker process must know to load its model."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from tasks.contracts.tiles import Precision, TilesConfig
from tasks.tiles.batches import TileModel


class Loading(NamedTuple):
    """A model that is ready, and what a person should know about it."""

    model: TileModel
    notes: tuple[str, ...] = ()


Loader = Callable[["WorkerSettings", int, ExitStack], Loading]  # the number of the worker; what to undo at its end


class Threads(NamedTuple):
    """How a worker reads and writes beside its model."""

    each: int  # readers, and as many writers
    queued: int  # batches between readers and model, and between model and writers

    @property
    def in_flight(self) -> int:
        """Batches a worker can hold: read, queued, in the model, queued, being written."""
        return 2 * self.each + self.queued + 1


def threads_for(device: str) -> Threads:
    """One reader and one writer keep a CPU model busy; a GPU waits for several of each."""
    return Threads(4, 8) if device.startswith("cuda") else Threads(1, 2)


@dataclass(frozen=True)
class WorkerSettings:
    """Travels to the workers by pickle; the weights do not, each worker maps them from the file itself."""

    checkpoint: str
    patch: int
    load: Loader
    config: TilesConfig
    checkpoint_sha256: str | None = None
    num_frames: int = 1
    batch_size: int = 4
    device: str = "cpu"
    require_device: bool = False
    precision: Precision = "auto"
    no_amp: bool = False
