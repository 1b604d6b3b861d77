"""B7, B8: memory that does not grow with the number of tiles, nor with the height of a scene."""

import multiprocessing
import os
import resource
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.tiles_parts.ground import Engine, Ground
from benchmarks.tiles_parts.race import Goal, Race
from tasks.tiles.infer import Unwatched

VARIANT = "nano"
GROWTH_MB = 64
ROWS = 256


def b7(ground: Ground) -> None:
    """Resident memory and open files of each worker at tile 500 and at the end."""
    count, early = ground.count(10_000, 60), 20 if ground.quick else 500
    checkpoint = str(ground.random_model(VARIANT))
    watch = _Growth((early, count))
    with Engine(ground.run(ground.inputs(count), ground.folder, checkpoint=checkpoint)) as engine:
        engine.refine(ground.output(), watch)
    print(f"  memory over {count} tiles of 120 px, {VARIANT}, {len(watch.seen[early])} workers")
    for number, ((mb, files), (later_mb, later_files)) in enumerate(zip(watch.seen[early], watch.seen[count])):
        line = (
            f"    worker {number}: {mb:.0f} MB, {files} files at {early}; {later_mb:.0f} MB, {later_files} at {count}"
        )
        good = later_mb - mb <= GROWTH_MB and later_files <= files
        verdict = "" if ground.quick else f": {'met' if good else 'MISSED'}"
        print(f"{line}   growth {later_mb - mb:+.1f} MB, goal <= {GROWTH_MB} MB and no file more{verdict}")
    print(f"    the run itself: {watch.own[early]:.0f} MB, then {watch.own[count]:.0f} MB")


def b8(ground: Ground) -> None:
    """A scene as high as wide beside one of the same width and an eighth of the height, each in its own process."""
    width = 448 if ground.quick else 8192
    scenes = [_scene(ground, height, width) for height in (width, width // 8 if not ground.quick else 256)]
    checkpoint = ground.random_model(VARIANT)
    sides = [lambda scene=scene: _peak_mb(scene, checkpoint, ground.output()) for scene in scenes]
    title = f"peak memory, scene of {width} x {width}, {VARIANT}"
    race = Race(title, "MB", f"{scenes[1].stem}", Goal(1.2, at_least=False), rates=False)
    race.run(*sides, rounds=1).tell(quick=ground.quick)


class _Growth(Unwatched):
    """Looks at all workers when so many tiles are over."""

    def __init__(self, at: tuple[int, ...]):
        self._at, self._over = at, 0
        self.seen: dict[int, list[tuple[float, int]]] = {}
        self.own: dict[int, float] = {}

    def tile(self, record, processing_time_ms, warnings) -> None:
        self._over += 1
        if self._over in self._at:
            workers = sorted(multiprocessing.active_children(), key=lambda child: child.name)
            self.seen[self._over] = [_state(child.pid) for child in workers if child.name.startswith("tiles-worker")]
            self.own[self._over] = _state(os.getpid())[0]


def _state(process: int) -> tuple[float, int]:
    """Resident MB, and open files."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6, len(os.listdir(f"/proc/{process}/fd"))


def _scene(ground: Ground, height: int, width: int) -> Path:
    import rasterio

    path = ground.folder / f"scene-{height}x{width}" / f"{height}x{width}.tif"
    path.parent.mkdir()
    rows = np.random.default_rng(0).integers(500, 4000, (4, ROWS, width), np.uint16)
    shape = {"count": 4, "height": height, "width": width, "dtype": "uint16", "crs": "EPSG:32632"}
    blocks = {"tiled": True, "blockxsize": ROWS, "blockysize": ROWS}
    with rasterio.open(path, "w", "GTiff", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **shape, **blocks) as file:
        file.descriptions = ("B02", "B03", "B04", "B08")
        for first in range(0, height, ROWS):
            count = min(ROWS, height - first)
            file.write(rows[:, :count], window=((first, first + count), (0, width)))
    return path


def _peak_mb(scene: Path, checkpoint: Path, output: Path) -> float:
    command = [sys.executable, "-m", __name__, str(scene), str(checkpoint), str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.splitlines()[-1])


def _refine_one(scene: Path, checkpoint: Path, output: Path) -> None:
    from tasks.contracts.tiles import TilesConfig
    from tasks.tiles.batches import Refinery
    from tasks.tiles.folder_run import FolderRun, job_of, worker_settings
    from tasks.tiles.listing import list_inputs
    from tasks.tiles.memory import MemoryPolicy
    from tasks.tiles.refine_scenes import SceneWorker
    from tasks.tiles.scene import SceneOptions
    from tasks.tiles.scene_output import SceneRun
    from tasks.tiles.torch_model import load_refiner
    from tasks.tiles.which_model import which_model

    run = FolderRun(str(checkpoint), str(scene.parent), str(output))
    known = which_model(checkpoint)
    with ExitStack() as stack:
        model = load_refiner(worker_settings(run, known), 0, stack).model
        refinery = Refinery(model, MemoryPolicy(4, "cpu", lambda event: None), TilesConfig(), known.patch)
        scenes = SceneRun(output, TilesConfig(), SceneOptions(known.patch), job_of(run, known).facts)
        (record,) = SceneWorker(scenes, lambda: refinery).refine(list_inputs(scene.parent).scenes)
    if record.status != "done":
        raise SystemExit(record.message)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


if __name__ == "__main__":
    _refine_one(*map(Path, sys.argv[1:]))
