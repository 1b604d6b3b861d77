"""Ten SIGKILLs in a run over a thousand tiles with a real model leave no trace in the result."""

import hashlib
import os
import random
import shutil
import signal
import time
from pathlib import Path

from tasks.tiles.refine_folder import refine_folder
from tasks.tiles.sample import make_sample
from tasks.tiles.torch_model import load_refiner
from tests.tiles.engine.cases import manifest, names, stub_run
from tests.tiles.engine.test_workers import drive

TILES, KILLS = 1000, 10


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npz")}


def kill_at(top: Path, tiles: int, chance: random.Random) -> int:
    """Kill a run soon after so many tiles are done, every second time with its workers; tiles done by then."""
    process = drive(top, "refiner", 1)
    while len(names(top / "out", ".json")) < tiles and process.poll() is None:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.03))
    if chance.random() < 0.5:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    return len(names(top / "out", ".json"))


def test_killed_ten_times_the_result_is_that_of_an_undisturbed_run(tmp_path):
    sample = make_sample(tmp_path / "in", TILES, (32,), head_scale=0.1)
    shutil.move(sample.checkpoint, tmp_path / "checkpoint")
    run = stub_run(tmp_path, load=load_refiner)
    assert refine_folder(run).done == TILES
    (tmp_path / "out").rename(tmp_path / "undisturbed")
    chance = random.Random(42)
    moments = sorted(chance.sample(range(1, TILES - 100), KILLS))
    done = [kill_at(tmp_path, moment, chance) for moment in moments]
    assert done == sorted(done) and done[-1] < TILES
    summary = refine_folder(run)
    assert (summary.done + summary.resumed, summary.exit_code) == (TILES, 0) and 0 < summary.resumed < TILES
    assert digests(tmp_path / "out") == digests(tmp_path / "undisturbed")
    assert len(digests(tmp_path / "out")) == len(names(tmp_path / "out", ".json")) == TILES
    assert [path for path in (tmp_path / "out").rglob("*") if ".tmp" in path.name] == []
    assert list((tmp_path / "out/.stagegate/tmp").iterdir()) == []
    assert {line["status"] for line in manifest(tmp_path / "out").values()} == {"done", "resumed"}
