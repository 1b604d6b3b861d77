"""Which tiles are computed together: buckets of one padded size, cut into batches, gathered in shards."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.tiles.windows import LARGEST_TILE_SIDE

Size = tuple[int, int]  # height, width, px


@dataclass(frozen=True)
class Header:
    """A tile before its pixels are read. Paths are local; digests are of the bytes that the plan saw."""

    id: str
    height: int
    width: int
    file: str
    sidecar: str | None
    input_sha256: str
    sidecar_sha256: str | None = None


@dataclass(frozen=True)
class PlannedBatch:
    """Tiles of one padded size that the model sees together."""

    number: int
    padded: Size
    tiles: tuple[Header, ...]

    @property
    def windowed(self) -> bool:
        """Whether its only tile is too large for one pass."""
        return max(self.tiles[0].height, self.tiles[0].width) > LARGEST_TILE_SIDE


@dataclass(frozen=True)
class Shard:
    """Batches that one call of the engine takes."""

    number: int
    batches: tuple[PlannedBatch, ...]

    @property
    def tiles(self) -> tuple[Header, ...]:
        """Its tiles in the order of its batches."""
        return tuple(tile for batch in self.batches for tile in batch.tiles)


@dataclass(frozen=True)
class Plan:
    """A whole run."""

    shards: tuple[Shard, ...]

    @property
    def buckets(self) -> dict[Size, int]:
        """Tiles per padded size."""
        return dict(Counter(b.padded for shard in self.shards for b in shard.batches for _ in b.tiles))

    @property
    def bucket_names(self) -> dict[str, int]:
        """The same for people, for example {"128x128": 40}."""
        return {f"{height}x{width}": count for (height, width), count in self.buckets.items()}


def make_plan(inputs: Sequence[Header], patch: int, batch_size: int, shard_size: int) -> Plan:
    """Cut the complete list; what is finished already plays no part, so a resumed run cuts the same batches.

    Batches never cross a shard; a tile above LARGEST_TILE_SIDE is a batch of its own.
    """
    size = min(batch_size, shard_size)
    buckets: defaultdict[tuple[bool, Size], list[Header]] = defaultdict(list)
    for tile in sorted(inputs, key=lambda tile: tile.id.encode()):
        large = max(tile.height, tile.width) > LARGEST_TILE_SIDE
        buckets[large, padded_size(tile.height, tile.width, patch)].append(tile)
    groups = [
        (padded, group)
        for (large, padded), tiles in sorted(buckets.items())
        for group in _chunks(tiles, 1 if large else size)
    ]
    batches = [PlannedBatch(number, padded, tuple(group)) for number, (padded, group) in enumerate(groups)]
    return Plan(tuple(Shard(number, tuple(part)) for number, part in enumerate(_shards(batches, shard_size))))


def padded_size(height: int, width: int, patch: int) -> Size:
    """The next multiples of the patch."""
    return -(-height // patch) * patch, -(-width // patch) * patch


def _chunks(tiles: list[Header], size: int) -> Iterator[list[Header]]:
    for start in range(0, len(tiles), size):
        yield tiles[start : start + size]


def _shards(batches: list[PlannedBatch], shard_size: int) -> Iterator[list[PlannedBatch]]:
    part: list[PlannedBatch] = []
    for batch in batches:
        if part and sum(len(b.tiles) for b in part) + len(batch.tiles) > shard_size:
            yield part
            part = []
        part.append(batch)
    if part:
        yield part
