"""SIGKILL at random moments of a run: nothing half-written is ever taken for done, and the result is the same."""

import hashlib
import random
import shutil
import time
from pathlib import Path

import pytest

from tasks.tiles.refine_folder import refine_folder
from tasks.tiles.sample import make_sample
from tasks.tiles.torch_model import load_refiner
from tests.tiles.engine import stubs
from tests.tiles.engine.cases import names, stub_run, write_tiles
from tests.tiles.engine.test_workers import drive

TILES, KILLS = 300, 4
NANO_TILES, NANO_KILLS = 200, 1


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npz")}


def kill_while_writing(top: Path, loader: str, workers: int, kills: int, step: int) -> list[int]:
    """Start a run `kills` times and kill it at a random moment after each `step` further tiles; tiles done by then."""
    random.seed(42)
    done = []
    for kill in range(1, kills + 1):
        process = drive(top, loader, workers)
        while len(names(top / "out", ".json")) < kill * step and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.05))
        process.kill()
        process.wait()  # and on at once: the workers of the killed run may still be there
        done.append(len(names(top / "out", ".json")))
    return done


@pytest.mark.parametrize(
    ("loader", "workers", "tiles", "kills"),
    [("a_little_slow", 1, TILES, KILLS), ("refiner", 2, NANO_TILES, NANO_KILLS)],
)
def test_killed_runs_end_up_with_the_bytes_of_an_undisturbed_one(tmp_path, loader, workers, tiles, kills):
    load = load_refiner if loader == "refiner" else getattr(stubs, loader)
    if loader == "refiner":
        sample = make_sample(tmp_path / "in", count=tiles, sizes=(32,), head_scale=0.1)
        shutil.move(sample.checkpoint, tmp_path / "checkpoint")
    else:
        write_tiles(tmp_path / "in", tiles)
    assert refine_folder(stub_run(tmp_path, load=load)).done == tiles
    (tmp_path / "out").rename(tmp_path / "undisturbed")
    done = kill_while_writing(tmp_path, loader, workers, kills, tiles // (kills + 2))
    assert done[0] > 0 and done[-1] < tiles
    summary = refine_folder(stub_run(tmp_path, load=load))
    assert summary.resumed + summary.done == tiles and summary.resumed > 0
    assert digests(tmp_path / "out") == digests(tmp_path / "undisturbed")
    assert len(digests(tmp_path / "out")) == tiles
    assert names(tmp_path / "out", ".json") == names(tmp_path / "undisturbed", ".json")
    assert list((tmp_path / "out/.stagegate/tmp").iterdir()) == []
