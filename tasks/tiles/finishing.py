"""From what the model gave to a committed tile, or to the record of a failed one."""

import time

from tasks.contracts.tile_errors import TileEmptyError, TileError
from tasks.contracts.tiles import TileRecord
from tasks.tiles.batches import Failed, Refined
from tasks.tiles.job import Effort, Job, Sink
from tasks.tiles.plan import Header, PlannedBatch
from tasks.tiles.writer import output_bytes, output_ref


def finish(
    outcome: Refined | Failed, batch: PlannedBatch, job: Job, sink: Sink, effort: Effort
) -> tuple[TileRecord, float]:
    """Commit a refined tile; its record and its time in ms. `effort` holds the time before the write.

    A tile whose values cannot be written fails; StoreError ends the worker.
    """
    if isinstance(outcome, Failed):
        return failure(outcome.header, outcome.error, job, outcome.events), 0.0
    start = time.perf_counter()
    try:
        npz = output_bytes(outcome.values, outcome.tile.valid, job.compression)
    except TileError as error:
        return failure(outcome.tile.header, error, job, outcome.events), 0.0
    record = _done(outcome, batch, npz)
    elapsed = effort.processing_time_ms + 1000 * (time.perf_counter() - start)
    sink.commit(record, npz, outcome.tile.meta, job, effort._replace(processing_time_ms=elapsed))
    return record, effort.processing_time_ms + 1000 * (time.perf_counter() - start)


def failure(header: Header, error: TileError, job: Job, events: tuple = ()) -> TileRecord:
    """The record of a tile without output; `empty` where that was allowed."""
    empty = job.allow_empty and isinstance(error, TileEmptyError)
    return TileRecord(
        id=header.id,
        status="empty" if empty else "failed",
        input_sha256=header.input_sha256,
        sidecar_sha256=header.sidecar_sha256,
        height=header.height,
        width=header.width,
        oom_events=events,
        error=type(error).__name__,
        message=str(error),
        phase=error.phase,
    )


def _done(outcome: Refined, batch: PlannedBatch, npz: bytes) -> TileRecord:
    tile, header = outcome.tile, outcome.tile.header
    return TileRecord(
        id=header.id,
        status="done",
        input_sha256=header.input_sha256,
        sidecar_sha256=header.sidecar_sha256,
        output=output_ref(npz, header.id),
        height=header.height,
        width=header.width,
        padded_to=batch.padded,
        input_layout=tile.layout,
        clipped_fraction=tile.clipped_fraction,
        valid_fraction=tile.valid_fraction,
        defaults_used=tile.meta.defaults_used,
        precision=outcome.precision,
        device=outcome.device,
        batch_size=outcome.batch_size,
        oom_events=outcome.events,
    )
