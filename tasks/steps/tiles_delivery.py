"""Between `infer_tiles` and the output folder: what is finished is skipped, what comes is put there at once."""

from collections import Counter
from collections.abc import Callable, Sequence

from tasks.contracts.errors import InterruptedStepError
from tasks.contracts.tiles import TileInput, TileRecord
from tasks.orchestration.fan_out import each
from tasks.orchestration.run import Pending, Run, current_run
from tasks.steps.infer import infer_tiles
from tasks.steps.tiles_given import Given
from tasks.steps.tiles_scenes import refined_scenes, would_refine
from tasks.steps.tiles_shown import show_audit
from tasks.store.telemetry import load_telemetry
from tasks.tiles.flow.delivery import Delivery
from tasks.tiles.flow.judged import RECORDS
from tasks.tiles.flow.shards import BATCHES, ROWS, BatchRow, divided, engine_shard, get, put
from tasks.tiles.flow.types import (
    Collected,
    JudgedScene,
    Listed,
    ModelRefs,
    TilesAudit,
    run_facts,
)
from tasks.tiles.infer import hopeless
from tasks.tiles.job import Effort, Job
from tasks.tiles.metadata import read_sidecar
from tasks.tiles.output_folder import OutputFolder

SHARD_HERE, SHARD_IN_POOLS = 512, 4096


def refined(given: Given, model: ModelRefs, listed: Listed, audit: TilesAudit) -> Collected | Pending:
    """Every tile through `infer_tiles`, shard by shard, and every scene through `infer_scene`.

    Each is put into the output folder as soon as it is there.
    """
    run = current_run()
    if isinstance(listed, Pending) or isinstance(model, Pending):
        return Pending("infer-tiles")
    show_audit(audit, run.label())
    rows = get(ROWS, listed.headers, run.store)
    parts = list(divided(rows, model.patch, given.settings.batch_size, _shard_size(given, run)))
    if run.dry:
        for part in parts:
            infer_tiles(
                put(BATCHES, part, "shard.json", run.store), model, given.settings.tiles, given.writing, given.manner
            )
        would_refine(given, model)
        return Pending("infer-tiles")
    given.delivery.open_books(given.request.model_dump(mode="json"))
    given.buckets = _buckets(parts)
    _note_failed((*given.lost, *listed.failed), given.delivery)
    each(_shard_call(given, model, run), parts)
    return _collected(given, refined_scenes(given, model), run)


def _buckets(parts: Sequence[tuple[BatchRow, ...]]) -> dict[str, int]:
    count: Counter[str] = Counter()
    for batch in (batch for part in parts for batch in part):
        count["x".join(map(str, batch.padded))] += len(batch.tiles)
    return dict(count)


def _note_failed(failed: Sequence[TileRecord], delivery: Delivery) -> None:
    for record in failed:
        delivery.folder.failed(record)
        delivery.over(record)
    delivery.journal.add(failed, {})


def _shard_call(given: Given, model: ModelRefs, run: Run) -> Callable[[tuple[BatchRow, ...]], None]:
    delivery, config = given.delivery, given.settings.tiles
    job = Job(
        run_facts(model, config, given.manner),
        config,
        model.num_frames,
        given.writing.compression,
        given.writing.allow_empty,
    )
    over: list[list[TileRecord]] = []

    def call(part: tuple[BatchRow, ...]) -> None:
        if hopeless(over):
            return
        tiles = engine_shard(part, lambda ref: "").tiles
        if given.request.skip_existing:
            for tile in tiles:
                refuse_stopped(run, tile.id)
                delivery.known[tile.id] = delivery.folder.finished(tile, job)
        found = {tile.id: delivery.known[tile.id].record for tile in tiles if tile.id in delivery.known}
        if all(found.get(tile.id) for tile in tiles):
            records = [_stored(found[tile.id], delivery.folder, run) for tile in tiles]
            for record in records:
                delivery.over(record)
        else:
            shard = put(BATCHES, part, "shard.json", run.store)
            before = delivery.computed
            result = infer_tiles(shard, model, config, given.writing, given.manner)
            if id(result) in run.made and delivery.computed == before:  # in a container
                delivery.computed += sum(record.status == "done" for record in result.records)
            records = _delivered(result.records, part, job, delivery, run, run.key_of(result))
        over.append(records)
        delivery.records |= {record.id: record for record in records}
        delivery.journal.add(records, delivery.watch.ledger.milliseconds)

    return call


def _stored(record: TileRecord, folder: OutputFolder, run: Run) -> TileRecord:
    """A tile that was finished before, with its bytes in the store."""
    if record.output is not None and not run.store.holds(record.output):
        run.store.put_file(folder.path / f"{record.id}.npz", name=record.output.name)
    return record


def _delivered(
    records: tuple[TileRecord, ...],
    part: tuple[BatchRow, ...],
    job: Job,
    delivery: Delivery,
    run: Run,
    key: str,
) -> list[TileRecord]:
    """Put into the folder what is not there yet: of a cached shard, or of one that ran in a container."""
    inputs = {row.input.id: row.input for batch in part for row in batch.tiles}
    times = load_telemetry(run.store, key).get("milliseconds", {})
    done = []
    for record in records:
        known = delivery.known.get(record.id)
        if known is not None and known.record is not None:
            done.append(known.record)
            continue
        record = record.model_copy(update={"reason": known.reason if known else "not skipped"})
        if record.id not in delivery.told:
            refuse_stopped(run, record.id)
            _commit(record, inputs[record.id], job, delivery, run, times.get(record.id, 0.0))
        done.append(record)
    delivery.folder.settle()
    return done


def _commit(record: TileRecord, given: TileInput, job: Job, delivery: Delivery, run: Run, milliseconds: float) -> None:
    if record.output is None:
        delivery.folder.failed(record)
    else:
        meta = read_sidecar(None if given.sidecar is None else run.store.get_bytes(given.sidecar), given.id)
        npz = run.store.get_bytes(record.output)
        delivery.folder.commit(record, npz, meta, job, Effort(milliseconds, 0))
    delivery.over(record, milliseconds)


def refuse_stopped(run: Run, name: str) -> None:
    """Raise InterruptedStepError once a signal asked the run to end."""
    if run.stop.is_set():
        remedy = "Run the same command again; what is finished is kept."
        raise InterruptedStepError("run was stopped by a signal", where=f"before {name}", remedy=remedy)


def _collected(given: Given, scenes: tuple[JudgedScene, ...], run: Run) -> Collected:
    records = sorted(map(_plain, given.delivery.records.values()), key=lambda record: record.id.encode())
    return Collected(
        records=put(RECORDS, records, "records.json", run.store),
        inputs=given.inputs,
        references=given.references,
        scenes=scenes,
    )


def _plain(record: TileRecord) -> TileRecord:
    """Without what differs between a run and its repetition."""
    status = "done" if record.status == "resumed" else record.status
    return record.model_copy(update={"status": status, "reason": ""})


def _shard_size(given: Given, run: Run) -> int:
    return given.request.shard_size or (SHARD_IN_POOLS if run.settings.executor == "pools" else SHARD_HERE)
