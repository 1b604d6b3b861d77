"""What the engine must know beside the tiles, and where it puts what it makes."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tasks.contracts.tiles import TileMeta, TileRecord, TilesConfig
from tasks.tiles.output_sidecar import RunFacts
from tasks.tiles.plan import Header
from tasks.tiles.zipped import Compression


@dataclass(frozen=True)
class Job:
    """One run; the three identities in `facts` decide whether an earlier output still stands."""

    facts: RunFacts
    config: TilesConfig
    num_frames: int = 1
    compression: Compression = "none"
    allow_empty: bool = False
    stored: bool = False  # inputs are bytes of the store: where they cannot be read, the store is at fault


class Effort(NamedTuple):
    """How one tile was made; recorded beside it and part of no identity."""

    processing_time_ms: float
    worker: int


class Finding(NamedTuple):
    """Whether an output of an earlier run still stands: its record, or why the tile is computed."""

    record: TileRecord | None
    reason: str = "new"


class Sink(Protocol):
    """Takes finished tiles. Travels to the workers by pickle, so it holds paths and settings only."""

    def finished(self, header: Header, job: Job) -> Finding:
        """What an earlier run left of this tile."""

    def commit(self, record: TileRecord, npz: bytes, meta: TileMeta, job: Job, effort: Effort) -> None:
        """Keep a finished tile; called in the worker, one tile at a time. Raises StoreError."""

    def failed(self, record: TileRecord) -> None:
        """Make sure that no output of this tile is left."""

    def settle(self) -> None:
        """Make everything durable; called once per shard."""
