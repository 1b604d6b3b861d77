"""One training pair and a set of them; numpy alone."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from tasks.store.jsons import canonical_json
from tasks.tiles.references import OracleStrength

UNKNOWN_MONTH, UNKNOWN_BIOME = 0, 16
NOT_KNOWN = float("nan")

Kind = Literal["target_dir", "synthetic"]


@dataclass(frozen=True)
class Pair:
    """A tile, what it should become, and what the model is told beside it."""

    id: str
    tile: np.ndarray  # (T, 4, H, W) float32 reflectance, invalid pixels filled
    target: np.ndarray  # (4, H, W) float32 reflectance, finite
    seen: np.ndarray  # (H, W) bool, valid in the tile: what the model is told
    valid: np.ndarray  # (H, W) bool, valid in both: what is judged
    month: int = UNKNOWN_MONTH
    biome: int = UNKNOWN_BIOME
    year: float = NOT_KNOWN
    day_of_year: float = NOT_KNOWN
    dated: bool = False  # the day is of a date, and not the middle of the month
    lat: float = NOT_KNOWN
    lon: float = NOT_KNOWN


@dataclass(frozen=True)
class PairInfo:
    """What is known of a pair without its pixels."""

    id: str
    scene: str
    height: int
    width: int
    digests: tuple[str, ...] = ()  # sha256 of the files that it is made of


@dataclass(frozen=True)
class Pairs:
    """Pairs that are loaded one at a time, with a record of where they come from."""

    infos: tuple[PairInfo, ...]
    load: Callable[[int], Pair]
    kind: Kind = "target_dir"
    oracle_strength: OracleStrength = "human_labels"
    record: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.infos)

    @property
    def scenes(self) -> tuple[str, ...]:
        """Scene of each pair."""
        return tuple(info.scene for info in self.infos)

    @property
    def data_id(self) -> str:
        """sha256 over ids, scenes and file digests in order, and over the record."""
        listed = [[info.id, info.scene, *info.digests] for info in self.infos]
        document = {"pairs": listed, "kind": self.kind, "oracle_strength": self.oracle_strength, "record": self.record}
        return hashlib.sha256(canonical_json(document, indent=None)).hexdigest()


def remembered(pairs: Pairs, max_bytes: int) -> Pairs:
    """The same pairs, loaded once each as long as there is room for them."""
    kept: dict[int, Pair] = {}
    room = max_bytes

    def load(place: int) -> Pair:
        nonlocal room
        if place in kept:
            return kept[place]
        pair = pairs.load(place)
        size = sum(array.nbytes for array in (pair.tile, pair.target, pair.seen, pair.valid))
        if size <= room:
            kept[place], room = pair, room - size
        return pair

    return replace(pairs, load=load)


def in_memory(pairs: Sequence[Pair], scenes: Sequence[str]) -> Pairs:
    """Pairs that are all there already; their pixels are their digests."""
    infos = tuple(
        PairInfo(pair.id, scene, *pair.valid.shape, digests=(_pixels_sha256(pair),))
        for pair, scene in zip(pairs, scenes, strict=True)
    )
    return Pairs(infos, pairs.__getitem__)


def _pixels_sha256(pair: Pair) -> str:
    digest = hashlib.sha256()
    for array in (pair.tile, pair.target, pair.seen, pair.valid):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
