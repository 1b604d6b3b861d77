"""Quality of the refined tiles of a run, from bytes in the store."""

import hashlib
from collections.abc import Iterator, Sequence

from pydantic import TypeAdapter

from tasks.contracts.errors import ConfigError
from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tile_errors import TileError
from tasks.contracts.tiles import TileInput, TileRecord, TilesConfig
from tasks.store.workspace import Workspace
from tasks.tiles.compared import pair_of
from tasks.tiles.evaluate import evaluate, flat_metrics
from tasks.tiles.flow.shards import INPUTS, by_id, get
from tasks.tiles.flow.types import Collected, Judged, JudgedScene
from tasks.tiles.quicklook import quicklooks
from tasks.tiles.references import Oracle, OracleStrength, oracle_of
from tasks.tiles.tile_quality import Figures, NotCompared, Pair

RECORDS = TypeAdapter(tuple[TileRecord, ...])
MAX_NAME_BYTES = 200  # of a picture; what writes it may add to it


class _Pairs:
    """Tiles before and after, read when they are asked for; scenes as they were judged."""

    def __init__(self, run: Collected, config: TilesConfig, here: Workspace):
        self.inputs = by_id(get(INPUTS, run.inputs, here.store))
        self.references = by_id(get(INPUTS, run.references, here.store)) if run.references else {}
        records = get(RECORDS, run.records, here.store)
        self.scenes = {judged.scene.id: judged for judged in run.scenes}
        self.outputs = {record.id: record.output for record in records if record.output is not None}
        self._config, self._store = config, here.store

    def digest(self, tile_id: str) -> str:
        """Of the input."""
        judged = self.scenes.get(tile_id)
        return (self.inputs[tile_id] if judged is None else judged.scene).file.digest

    def load(self, tile_id: str) -> Pair:
        """A tile in full, a scene as its smaller copy."""
        if tile_id in self.scenes:
            return Pair(tile_id, **self._store.get_npz(self.scenes[tile_id].preview), month=0, biome_code=0)
        given, reference = self.inputs[tile_id], self.references.get(tile_id)
        sidecar = None if given.sidecar is None else self._store.get_bytes(given.sidecar)
        target = None if reference is None else self._store.get_bytes(reference.file)
        tile, output = (self._store.get_bytes(ref) for ref in (given.file, self.outputs[tile_id]))
        return pair_of(tile_id, tile, sidecar, output, self._config, target)

    def each(self) -> Iterator[Pair | Figures | NotCompared]:
        for tile_id in self.outputs:
            if tile_id in self.scenes:
                yield self._figures(self.scenes[tile_id])
                continue
            try:
                yield self.load(tile_id)
            except TileError as error:
                yield NotCompared(tile_id, str(error))

    def _figures(self, judged: JudgedScene) -> Figures | NotCompared:
        if judged.figures is None:
            return NotCompared(judged.scene.id, judged.reason)
        return self._store.get_json(judged.figures)


def evaluate_tiles(run: Collected, strength: str, quicklook: int, config: TilesConfig, here: Workspace) -> Judged:
    """The quality document and the pictures. Raises ConfigError where no reference belongs to any tile."""
    pairs = _Pairs(run, config, here)
    _check_references(run.references, pairs.references, [name for name in pairs.outputs if name in pairs.inputs])
    count = max(1, len(pairs.outputs))
    seen: list[str] = []

    def tell(figures) -> None:
        seen.append(figures["id"])
        here.tell(len(seen) / count, f"{len(seen)}/{count} tiles evaluated")

    quality = evaluate(pairs.each(), _oracle(pairs, strength), each=tell)
    pictures = quicklooks(quality["per_tile"], pairs.load, quicklook)
    quality["quicklooks"] = [
        {"id": look.id, "role": look.role, "file": picture_name(look.id, look.role), "error": look.error}
        for look in pictures
    ]
    return Judged(
        quality=here.store.put_json(quality, name="quality.json"),
        quicklooks={
            picture_name(look.id, look.role): here.store.put_bytes(look.png, name="quicklook.png")
            for look in pictures
            if look.png is not None
        },
        metrics=flat_metrics(quality),
        verdict=quality["verdict"],
        oracle_strength=quality["oracle_strength"],
    )


def _oracle(pairs: _Pairs, strength: str) -> Oracle:
    compared = [name for name in pairs.outputs if name in pairs.references and name in pairs.inputs]
    if not compared:
        return oracle_of("heuristic", {name: pairs.digest(name) for name in pairs.outputs})
    wanted: OracleStrength = strength  # type: ignore[assignment]
    found = {name: pairs.references[name].file.digest for name in compared}
    return oracle_of(wanted, found)


def _check_references(given: ArtifactRef | None, references: dict[str, TileInput], outputs: Sequence[str]) -> None:
    if given is not None and outputs and not set(references) & set(outputs):
        raise ConfigError(
            "holds no reference of any tile",
            where="--reference_dir",
            expected=f"<id>.npz with the ids of the tiles, for example {next(iter(outputs))}.npz",
            found=", ".join(list(references)[:3]) or "no NPZ",
            remedy="Name the references as the tiles, or leave --reference_dir out.",
        )


def picture_name(tile_id: str, role: str) -> str:
    """Of a file in one folder: another one for every tile, and short enough for any file system."""
    digest = hashlib.sha256(tile_id.encode()).hexdigest()
    flat = tile_id if "/" not in tile_id else f"{tile_id.replace('/', '_')}-{digest[:8]}"
    name = f"{role}_{flat}.png"
    return name if len(name.encode()) <= MAX_NAME_BYTES else f"{role}_{digest[:16]}.png"
