"""What the process of a flow keeps for the whole run: the output folder, the workers, the books."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path

from tasks.contracts.tiles import TileRecord
from tasks.tiles.job import Finding
from tasks.tiles.journal import Journal
from tasks.tiles.messages import MemoryShort, WorkerLost
from tasks.tiles.output_folder import OutputFolder
from tasks.tiles.run_watch import RunWatch
from tasks.tiles.workers import Workers


class Delivery:
    """Beside the steps; steps in containers have none."""

    def __init__(self, folder: OutputFolder, journal: Journal, watch: RunWatch, own: Path, stack: ExitStack):
        self.folder, self.journal, self.watch, self.own = folder, journal, watch, own
        self.known: dict[str, Finding] = {}  # of the folder, before the run
        self.records: dict[str, TileRecord] = {}  # as they are delivered
        self.committed: set[str] = set()  # by workers of this process
        self.workers_used = 0
        self._stack = stack
        self._workers: Workers | None = None

    def workers(self, make: Callable[[], Workers]) -> Workers:
        """The pool of the run, made when the first step needs it and ended with the run."""
        if self._workers is None:
            self._workers = self._stack.enter_context(make())
        return self._workers

    def tile(self, record: TileRecord, processing_time_ms: float, warnings: tuple[str, ...]) -> None:
        """A tile of a step in this process is over; it stays in the books though its shard may break off."""
        self.records[record.id] = record
        if record.status == "done":
            self.committed.add(record.id)
        self.watch.tile(record, processing_time_ms, warnings)

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
def delivering(folder: OutputFolder, journal: Journal, watch: RunWatch) -> Iterator[Delivery]:
    """Keep workers and folder for the block."""
    with tempfile.TemporaryDirectory(prefix="stagegate-tiles-") as own, ExitStack() as stack:
        delivery = Delivery(folder, journal, watch, Path(own), stack)
        token = _current.set(delivery)
        try:
            yield delivery
        finally:
            _current.reset(token)
