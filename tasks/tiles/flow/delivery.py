"""What the process of a flow keeps for the whole run: the output folder, the workers, the books."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from tasks.contracts.tiles import TileRecord
from tasks.tiles.job import Finding
from tasks.tiles.journal import Journal
from tasks.tiles.messages import MemoryShort, WorkerLost
from tasks.tiles.output_folder import OutputFolder
from tasks.tiles.run_watch import RunWatch
from tasks.tiles.workers import Workers


class Delivery:
    """Beside the steps; steps in containers have none."""

    def __init__(self, folder: OutputFolder, watch: RunWatch, own: Path, stack: ExitStack):
        self.folder, self.watch, self.own = folder, watch, own
        self.journal: Journal | None = None  # None until the run is accepted: those of an earlier run stay till then
        self.known: dict[str, Finding] = {}  # of the folder, before the run
        self.records: dict[str, TileRecord] = {}  # as they are delivered
        self.told: set[str] = set()  # tiles that are over, and in the folder if they are done
        self.computed = 0  # tiles that the model saw in this run
        self._stack = stack
        self._workers: Workers | None = None

    def workers(self, make: Callable[[], Workers]) -> Workers:
        """The pool of the run, made when the first step needs it and ended with the run."""
        if self._workers is None:
            self._workers = self._stack.enter_context(make())
        return self._workers

    def tile(self, record: TileRecord, processing_time_ms: float, warnings: tuple[str, ...]) -> None:
        """A tile of a step in this process is over; it stays in the books though its shard may break off."""
        self.computed += record.status == "done"
        self.over(record, processing_time_ms, warnings)

    def over(self, record: TileRecord, processing_time_ms: float = 0.0, warnings: tuple[str, ...] = ()) -> None:
        """Count a tile, once."""
        if record.id not in self.told:
            self.told.add(record.id)
            self.records[record.id] = record
            self.watch.tile(record, processing_time_ms, warnings)

    def open_books(self, run_config: Mapping[str, Any]) -> None:
        """From here on the books are those of this run."""
        self.journal = Journal(self.folder.path, run_config)

    def event(self, news: MemoryShort | WorkerLost) -> None:
        """Something out of the ordinary in this process."""
        self.watch.event(news)

    @property
    def pool_size(self) -> int:
        """Worker processes of this process; 0 where none was needed."""
        return 0 if self._workers is None else self._workers.size


_current: ContextVar[Delivery | None] = ContextVar("stagegate_tiles_delivery", default=None)


def current() -> Delivery | None:
    """The delivery of the flow around a step, if both are in one process."""
    return _current.get()


@contextmanager
def delivering(folder: OutputFolder, watch: RunWatch) -> Iterator[Delivery]:
    """Keep workers and folder for the block."""
    with tempfile.TemporaryDirectory(prefix="stagegate-tiles-") as own, ExitStack() as stack:
        delivery = Delivery(folder, watch, Path(own), stack)
        token = _current.set(delivery)
        try:
            yield delivery
        finally:
            _current.reset(token)
