"""B10: how long until the first tile is on disk, beside reading the checkpoint's file once and importing torch."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.tiles_parts.ground import Engine, Ground
from benchmarks.tiles_parts.race import Goal, Race
from tasks.tiles.infer import Unwatched

IMPORT = "import time, numpy; start = time.perf_counter(); import torch; print(time.perf_counter() - start)"
READS = 3


class _First(Unwatched):
    """Notes when the first tile is over."""

    at = 0.0

    def tile(self, record, processing_time_ms, warnings) -> None:
        self.at = self.at or time.perf_counter()


def b10(ground: Ground) -> None:
    """Ours: from the call to the first committed tile, one worker, one tile in the batch."""
    inputs = ground.inputs(1)
    weights = ground.checkpoint / "model.safetensors"
    parts: list[tuple[float, float]] = []

    def ours() -> float:
        watch, start = _First(), time.perf_counter()
        with Engine(ground.run(inputs, ground.folder, workers=1, batch_size=1)) as engine:
            engine.refine(ground.output(), watch)
        return watch.at - start

    def limit() -> float:
        parts.append((_read(weights), _import()))
        return READS * parts[-1][0] + parts[-1][1]

    ours()
    size = weights.stat().st_size / 1e6
    title = f"time to the first tile, checkpoint of {size:.0f} MB, {ground.variant}"
    race = Race(title, "s", f"{READS} x reading the file + import torch", Goal(1.0, at_least=False), rates=False)
    race.run(ours, limit, ground.rounds).tell(quick=ground.quick)
    read, imported = (min(part) for part in zip(*parts, strict=True))
    print(f"    reading the file once {read:.2f} s, import torch in a new process {imported:.2f} s (bests)")
    beyond = min(race.ours) - imported
    print(f"    ours without the import {beyond:.2f} s = {beyond / read:.1f} x reading the file (bests)")


def _read(path: Path) -> float:
    start = time.perf_counter()
    path.read_bytes()
    return time.perf_counter() - start


def _import() -> float:
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    return float(done.stdout)
