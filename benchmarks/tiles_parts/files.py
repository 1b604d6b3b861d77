"""B9: what the checks, digests and renames around a tile cost beside plain numpy: CPU time of one thread."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.tiles_parts.ground import Ground
from benchmarks.tiles_parts.race import Goal, Race
from tasks.contracts.tiles import TileRecord
from tasks.tiles.batches import Loaded
from tasks.tiles.folder_run import job_of
from tasks.tiles.listing import list_inputs
from tasks.tiles.loading import load
from tasks.tiles.output_sidecar import sidecar_document
from tasks.tiles.survey import survey
from tasks.tiles.which_model import which_model
from tasks.tiles.writer import TEMP_FOLDER, commit, output_bytes, output_ref

SIDES = (120, 224)


def b9(ground: Ground) -> None:
    """Write and read, beside numpy alone and beside numpy with the same JSON."""
    for side in (120,) if ground.quick else SIDES:
        probe, goal = Probe(ground, ground.count(64, 8), side), Goal(1.5, at_least=False)
        for name, ours, theirs, limit, bound in (
            ("write: check, NPZ, sha256, JSON, two renames", probe.write, probe.save, "np.savez and json.dumps", goal),
            ("read: sha256, checks, gaps, month and place", probe.read, probe.load, "np.load and json.loads", goal),
            ("write and read", probe.both, probe.plain_both, "numpy and json", goal),
            ("write", probe.write, probe.save_alone, "np.savez alone, no JSON", None),
            ("read", probe.read, probe.load_alone, "np.load alone, no JSON", None),
            ("write and read", probe.both, probe.hashed, "numpy, json and sha256", None),
        ):
            race = Race(f"{name}, {side} px", "ms per tile", limit, bound, rates=False)
            race.run(_ms(ours), _ms(theirs), ground.rounds).tell(quick=ground.quick)


class Probe:
    """The same tiles through our functions and through numpy; each call gives seconds per tile."""

    def __init__(self, ground: Ground, count: int, side: int = 120):
        self._inputs = ground.inputs(count, side)
        self._headers, _ = survey(list_inputs(str(self._inputs)).tiles)
        run = ground.run(self._inputs, ground.folder)
        self._job = job_of(run, which_model(Path(run.checkpoint)))
        self._ground = ground
        self._tiles = [self._loaded(header) for header in self._headers]
        for call in (self.write, self.save, self.read, self.load):
            call()

    def write(self) -> float:
        with self._folder() as folder:
            (folder / TEMP_FOLDER).mkdir(parents=True)
            return self._timed(lambda tile: self._write(tile, folder))

    def save(self) -> float:
        with self._folder() as folder:
            return self._timed(lambda tile: (_save(tile, folder), _write_json(tile, folder)))

    def save_alone(self) -> float:
        with self._folder() as folder:
            return self._timed(lambda tile: _save(tile, folder))

    def read(self) -> float:
        return self._timed(lambda tile: self._loaded(tile.header))

    def load(self) -> float:
        return self._timed(lambda tile: (self._load(tile), json.loads(Path(tile.header.sidecar).read_bytes())))

    def load_alone(self) -> float:
        return self._timed(self._load)

    def both(self) -> float:
        return self.write() + self.read()

    def plain_both(self) -> float:
        return self.save() + self.load()

    def hashed(self) -> float:
        """numpy and one digest of the bytes on each way: nothing that proves its bytes can be faster."""
        digest = self._timed(lambda tile: hashlib.sha256(Path(tile.header.file).read_bytes()))
        return self.plain_both() + 2 * digest

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A new one each time: file systems take care of their own when a file replaces another."""
        folder = self._ground.output()
        yield folder
        for path in folder.glob("*.npz"):
            path.unlink()

    def _timed(self, call: Callable[[Loaded], object]) -> float:
        start = time.thread_time()
        for tile in self._tiles:
            call(tile)
        return (time.thread_time() - start) / len(self._tiles)

    def _loaded(self, header) -> Loaded:
        loaded = load(header, self._job)
        if not isinstance(loaded, Loaded):
            raise SystemExit(f"the benchmark's own tile fails: {loaded.error}")
        return loaded

    def _write(self, tile: Loaded, folder: Path) -> None:
        npz = output_bytes(tile.values[0], tile.valid)
        record = self._record(tile, npz)
        document = sidecar_document(tile.meta, record, self._job.facts, processing_time_ms=1.0)
        commit(folder, tile.header.id, npz, document)

    def _record(self, tile: Loaded, npz: bytes) -> TileRecord:
        header = tile.header
        return TileRecord(
            id=header.id,
            status="done",
            input_sha256=header.input_sha256,
            sidecar_sha256=header.sidecar_sha256,
            output=output_ref(npz, header.id),
            height=header.height,
            width=header.width,
            padded_to=(header.height, header.width),
            precision="fp32",
            device="cpu",
            batch_size=4,
        )

    def _load(self, tile: Loaded) -> np.ndarray:
        with np.load(tile.header.file) as arrays:
            return arrays["opt_v1"]


def _save(tile: Loaded, folder: Path) -> None:
    np.savez(folder / f"{tile.header.id}.npz", opt_v2=tile.values[0])


def _write_json(tile: Loaded, folder: Path) -> None:
    text = json.dumps({**tile.meta.extra, "stage": "stage2_refined"}, indent=2)
    (folder / f"{tile.header.id}.json").write_text(text)


def _ms(side: Callable[[], float]) -> Callable[[], float]:
    return lambda: 1000 * side()
