"""A shard as a document in the store: which tiles are computed together, and their bytes."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tasks.contracts.base import Frozen
from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tiles import Side, TileInput
from tasks.store.blobs import Store
from tasks.tiles.plan import Header, PlannedBatch, Shard, make_plan


class TileRow(Frozen):
    """A tile whose header was read."""

    input: TileInput
    height: Side
    width: Side


class BatchRow(Frozen):
    """Tiles that the model sees together."""

    padded: tuple[Side, Side]
    tiles: tuple[TileRow, ...]


ROWS = TypeAdapter(tuple[TileRow, ...])
BATCHES = TypeAdapter(tuple[BatchRow, ...])
INPUTS = TypeAdapter(tuple[TileInput, ...])


def put(adapter: TypeAdapter, values: Any, name: str, store: Store) -> ArtifactRef:
    """Typed values as a JSON blob."""
    return store.put_json(adapter.dump_python(tuple(values), mode="json"), name=name)


def get(adapter: TypeAdapter, ref: ArtifactRef, store: Store) -> Any:
    """The values again, checked."""
    return adapter.validate_json(store.get_bytes(ref))


def header(row: TileRow, path: "LocalBytes") -> Header:
    """What the engine knows of a tile."""
    given = row.input
    return Header(
        id=given.id,
        height=row.height,
        width=row.width,
        file=path(given.file),
        sidecar=None if given.sidecar is None else path(given.sidecar),
        input_sha256=given.file.digest,
        sidecar_sha256=None if given.sidecar is None else given.sidecar.digest,
    )


def divided(rows: Iterable[TileRow], patch: int, batch_size: int, shard_size: int) -> Iterator[tuple[BatchRow, ...]]:
    """The batches of each shard. What is finished already plays no part."""
    by_id = {row.input.id: row for row in rows}
    headers = [header(row, lambda ref: "") for row in by_id.values()]
    for shard in make_plan(headers, patch, batch_size, shard_size).shards:
        yield tuple(
            BatchRow(padded=batch.padded, tiles=tuple(by_id[tile.id] for tile in batch.tiles))
            for batch in shard.batches
        )


def engine_shard(batches: Iterable[BatchRow], path: "LocalBytes") -> Shard:
    """The shard as the engine takes it."""
    planned = (
        PlannedBatch(number, batch.padded, tuple(header(row, path) for row in batch.tiles))
        for number, batch in enumerate(batches)
    )
    return Shard(0, tuple(planned))


class LocalBytes:
    """Where the bytes of a reference can be opened: in the store where that is a folder, else fetched to one."""

    def __init__(self, store: Store, folder: Path):
        self._store, self._folder = store, folder

    def __call__(self, ref: ArtifactRef) -> str:
        path = self._store.local_path(ref)
        if path is not None:
            return str(path)
        target = self._folder / f"{ref.digest}{Path(ref.name).suffix}"
        if not target.exists():
            self._store.fetch(ref.model_copy(update={"name": target.name}), self._folder)
        return str(target)


def fetch_all(batches: Iterable[BatchRow], path: LocalBytes) -> None:
    """Fetch the tiles of a remote store; the waits overlap."""
    from concurrent.futures import ThreadPoolExecutor

    refs = [ref for batch in batches for row in batch.tiles for ref in (row.input.file, row.input.sidecar) if ref]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(path, refs))


def by_id(inputs: Iterable[TileInput]) -> Mapping[str, TileInput]:
    """Inputs by their ids."""
    return {each.id: each for each in inputs}
