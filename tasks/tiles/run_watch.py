"""What a person sees while tiles are refined: the progress line, and a log line for all that is out of the ordinary."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.contracts.tile_errors import OutputDirError
from tasks.contracts.tiles import OomEvent, TileRecord
from tasks.tiles.messages import MemoryShort, WorkerLost
from tasks.tiles.progress_line import ProgressLine
from tasks.tiles.summary import Ledger

log = logging.getLogger(__name__)
_TOP = logging.getLogger("tasks.tiles")


class RunWatch:
    """Writes to the log and fills the ledger."""

    def __init__(self, progress: ProgressLine):
        self.ledger, self._progress = Ledger(), progress

    def tile(self, record: TileRecord, processing_time_ms: float, warnings: tuple[str, ...]) -> None:
        self.ledger.milliseconds[record.id] = processing_time_ms
        for warning in warnings:
            log.warning("%s: %s", record.id, warning)
        if record.status == "failed":
            log.error("%s failed (%s, %s): %s", record.id, record.phase, record.error, record.message)
        elif record.status == "done" and record.reason != "new":
            log.info("%s: %s", record.id, record.reason)
        self._progress.count(record.status)

    def event(self, news: MemoryShort | WorkerLost) -> None:
        if isinstance(news, WorkerLost):
            self.ledger.worker_restarts += 1
        else:
            self.ledger.events.append(news.event)
            log.warning(_said(news.event))


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Append what the workload logs to a text file; the logger is as before afterwards. Raises OutputDirError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        remedy = "Choose another --log_file."
        raise OutputDirError("cannot be written", where=str(path), found=error.strerror, remedy=remedy) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    before = _TOP.level
    _TOP.addHandler(handler)
    _TOP.setLevel(min(before or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        _TOP.removeHandler(handler)
        _TOP.setLevel(before)
        handler.close()


def _said(event: OomEvent) -> str:
    place = f"out of memory on {event.device} with {event.batch_size} at once"
    action = {"halve batch": "batch halved", "give up": "the tile fails"}.get(event.action, event.action)
    return f"{place}: {action} ({', '.join(event.tiles)})"
