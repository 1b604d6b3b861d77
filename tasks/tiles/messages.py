"""What the run and its worker processes say to each other."""

from dataclasses import dataclass
from typing import NamedTuple

from tasks.contracts.tiles import OomEvent, TileRecord
from tasks.tiles.job import Job, Sink
from tasks.tiles.plan import PlannedBatch


@dataclass(frozen=True)
class Unit:
    """A batch and the tiles of it that are written; the others are computed beside them."""

    number: int
    batch: PlannedBatch
    write: frozenset[str]


class Assignment(NamedTuple):
    """To a worker: do this."""

    unit: Unit
    job: Job
    sink: Sink


class Halt(NamedTuple):
    """To a worker: finish the running batch, hand the others back."""


class Close(NamedTuple):
    """To a worker: finish everything, then end."""


class Ready(NamedTuple):
    """From a worker: the model is loaded and gave a good warm-up batch."""

    device: str
    precision: str
    notes: tuple[str, ...] = ()


class Refused(NamedTuple):
    """From a worker: it cannot work at all."""

    error: Exception


class Computing(NamedTuple):
    """From a worker: the model starts on this unit."""

    unit: int


class TileOver(NamedTuple):
    """From a worker: this tile is committed, or has failed."""

    unit: int
    record: TileRecord
    processing_time_ms: float = 0.0
    warnings: tuple[str, ...] = ()


class MemoryShort(NamedTuple):
    """From a worker: memory ran out, and what was done."""

    event: OomEvent


class WorkerLost(NamedTuple):
    """Of a worker: its process ended unasked; its units go to others."""

    worker: int
    exit_status: int | None


class UnitOver(NamedTuple):
    """From a worker: every tile of this unit is over."""

    unit: int


class UnitDropped(NamedTuple):
    """From a worker: this unit was not begun."""

    unit: int


class Broken(NamedTuple):
    """From a worker: it ends because it can write no more, or because of a fault of its own."""

    error: Exception


News = TileOver | MemoryShort | WorkerLost
