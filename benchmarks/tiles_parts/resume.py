"""B6: a finished folder once more, from the plan to the summary, beside one sha256 over the same bytes."""

import hashlib
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.tiles_parts.ground import Ground
from benchmarks.tiles_parts.race import Race
from tasks.tiles.batches import Inputs, TileModel
from tasks.tiles.refine_folder import refine_folder
from tasks.tiles.settings import Loading, WorkerSettings

GOAL_S = 3.0
TILES = 1000


def b6(ground: Ground) -> None:
    """Which model filled the folder does not matter to a resume, so that a copy of the input stands in for it."""
    count = ground.count(TILES, 20)
    inputs, output = ground.inputs(count), ground.output()
    refine_folder(ground.run(inputs, output, load=same))
    again = ground.run(inputs, output)

    def resume() -> float:
        start = time.perf_counter()
        summary = refine_folder(again)
        if summary.resumed != count:
            raise SystemExit(f"{summary.resumed} of {count} tiles were resumed")
        return time.perf_counter() - start

    files = [path for folder in (inputs, output, ground.checkpoint) for path in sorted(folder.iterdir())]
    files = [path for path in files if path.suffix in (".npz", ".json", ".safetensors")]
    size = sum(path.stat().st_size for path in files) / 1e6
    limit = f"sha256 over {size:.0f} MB in {len(files)} files"
    race = Race(f"resume of {count} tiles of 120 px", "s", limit, rates=False)
    race.run(resume, lambda: _hashed(files), ground.rounds)
    race.tell(quick=ground.quick)
    slowest = max(race.ours)
    verdict = "" if ground.quick else f": {'met' if slowest < GOAL_S else 'MISSED'}"
    print(f"    slowest round {slowest:.2f} s   goal < {GOAL_S:g} s for {TILES} tiles{verdict}")


def _hashed(files: list[Path]) -> float:
    start = time.perf_counter()
    for path in files:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256").hexdigest()
    return time.perf_counter() - start


class _Same:
    """Gives tiles back."""

    device, precision = "cpu", "fp32"

    def __call__(self, inputs: Inputs) -> np.ndarray:
        return inputs.tiles[:, -1]

    def in_fp32(self) -> TileModel:
        return self

    def on_cpu(self) -> TileModel:
        return self

    def free(self) -> None:
        pass


def same(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    """A loader that needs no torch."""
    return Loading(_Same())
