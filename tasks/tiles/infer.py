"""The engine: one shard of tiles through the workers into a sink."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from tasks.contracts.errors import StagegateError
from tasks.contracts.tiles import TileRecord
from tasks.tiles.job import Finding, Job, Sink
from tasks.tiles.messages import MemoryShort, News, TileOver, Unit, WorkerLost
from tasks.tiles.plan import Header, Shard
from tasks.tiles.workers import Workers

NOT_SKIPPED = Finding(None, "not skipped")
TELLING_SHARDS = 2


class Watch(Protocol):
    """Hears of every tile as it ends; durations and events are kept here and in no record."""

    def tile(self, record: TileRecord, processing_time_ms: float, warnings: tuple[str, ...]) -> None: ...

    def event(self, news: MemoryShort | WorkerLost) -> None: ...


class Unwatched:
    """Nobody looks."""

    def tile(self, record: TileRecord, processing_time_ms: float, warnings: tuple[str, ...]) -> None:
        pass

    def event(self, news: MemoryShort | WorkerLost) -> None:
        pass


def infer_shard(
    shard: Shard,
    job: Job,
    sink: Sink,
    workers: Workers,
    *,
    skip_existing: bool = True,
    stopping: Callable[[], bool] = lambda: False,
    watch: Watch = Unwatched(),  # noqa: B008
) -> list[TileRecord]:
    """A record for every tile of the shard, in its order; `not_run` where `stopping` came first.

    Batches are computed in full, and the tiles that an earlier run finished are not written again. Raises StoreError
    where nothing more can be written; what was committed stays.
    """
    findings = {tile.id: sink.finished(tile, job) if skip_existing else NOT_SKIPPED for tile in shard.tiles}
    records = {name: finding.record for name, finding in findings.items() if finding.record is not None}
    for record in records.values():
        watch.tile(record, 0.0, ())
    try:
        for news in workers.run(_units(shard, records), job, sink, stopping=stopping):
            _note(news, findings, records, sink, watch)
    finally:
        sink.settle()
    return [records.get(tile.id) or _not_run(tile, stopping()) for tile in shard.tiles]


def hopeless(shards: Sequence[Sequence[TileRecord]]) -> bool:
    """Whether every tile of the first two shards failed with the same error of the model."""
    first = [record for shard in shards[:TELLING_SHARDS] for record in shard]
    if len(shards) < TELLING_SHARDS or any(record.phase != "model" for record in first):
        return False
    return len({(record.status, record.error, record.message) for record in first}) == 1


def not_run(shards: Iterable[Shard], reason: str) -> list[TileRecord]:
    """Records of the tiles that a run never came to."""
    return [_left(tile, reason) for shard in shards for tile in shard.tiles]


def _units(shard: Shard, finished: dict[str, TileRecord]) -> list[Unit]:
    units = (Unit(b.number, b, frozenset(t.id for t in b.tiles if t.id not in finished)) for b in shard.batches)
    return [unit for unit in units if unit.write]


def _note(news: News, findings: dict[str, Finding], records: dict[str, TileRecord], sink: Sink, watch: Watch) -> None:
    if not isinstance(news, TileOver):
        watch.event(news)
        return
    record = news.record
    if record.status == "done":
        record = record.model_copy(update={"reason": findings[record.id].reason})
    else:
        sink.failed(record)
    records[record.id] = record
    watch.tile(record, news.processing_time_ms, news.warnings)


def _not_run(tile: Header, stopped: bool) -> TileRecord:
    if not stopped:
        remedy = "Run again: what was finished is kept. Please report it with the log."
        raise StagegateError("was given to a worker and never came back", where=tile.id, remedy=remedy)
    return _left(tile, "stopped")


def _left(tile: Header, reason: str) -> TileRecord:
    return TileRecord(
        id=tile.id,
        status="not_run",
        input_sha256=tile.input_sha256,
        sidecar_sha256=tile.sidecar_sha256,
        height=tile.height,
        width=tile.width,
        reason=reason,
    )
