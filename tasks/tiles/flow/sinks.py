"""Where refined tiles of a step go: into the store always, and at once into the user's folder where it is at hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from tasks.contracts.tiles import TileMeta, TileRecord
from tasks.store.blobs import Store
from tasks.tiles.job import Effort, Finding, Job
from tasks.tiles.output_folder import OutputFolder
from tasks.tiles.plan import Header
from tasks.tiles.writer import MEDIA_TYPE


@dataclass(frozen=True)
class StoreSink:
    """Keeps each tile in the store. `known` says what an earlier attempt left; workers do not need it."""

    store: str
    folder: OutputFolder | None = None
    known: Mapping[str, Finding] = field(default_factory=dict, compare=False)

    def finished(self, header: Header, job: Job) -> Finding:
        """What was found out before the step."""
        return self.known.get(header.id, Finding(None))

    def commit(self, record: TileRecord, npz: bytes, meta: TileMeta, job: Job, effort: Effort) -> None:
        """The store first, then the folder, whose sidecar says that the tile is done."""
        _store(self.store).put_bytes(npz, name=f"{record.id}.npz", media_type=MEDIA_TYPE)
        if self.folder is not None:
            self.folder.commit(record, npz, meta, job, effort)

    def failed(self, record: TileRecord) -> None:
        """No output of it may stay in the folder."""
        if self.folder is not None:
            self.folder.failed(record)

    def settle(self) -> None:
        """The store is durable at once; the folder once per shard."""
        if self.folder is not None:
            self.folder.settle()

    def __getstate__(self) -> dict[str, Any]:
        return vars(replace(self, known={})).copy()


@lru_cache(maxsize=4)
def _store(root: str) -> Store:
    return Store(root)
