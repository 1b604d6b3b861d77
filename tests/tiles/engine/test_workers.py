"""The pool: processes that die, are asked to end, or cannot begin."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.contracts.errors import PoolError
from tasks.contracts.tiles import TilesConfig
from tasks.tiles.infer import infer_shard
from tasks.tiles.job import Finding, Job
from tasks.tiles.listing import list_inputs
from tasks.tiles.messages import WorkerLost
from tasks.tiles.output_sidecar import RunFacts
from tasks.tiles.plan import make_plan
from tasks.tiles.refine_folder import refine_folder
from tasks.tiles.settings import WorkerSettings
from tasks.tiles.survey import survey
from tasks.tiles.workers import Workers
from tests.tiles.engine import stubs
from tests.tiles.engine.cases import errors, log_lines, manifest, names, stub_run, tile, write_tile, write_tiles
from tests.tiles.engine.stubs import marked

FACTS = RunFacts(
    input_dir="in", checkpoint="checkpoint", device_requested="cpu",
    checkpoint_id="0" * 64, config_id="0" * 64, code_version="1",
)  # fmt: skip


class FolderOfBytes:
    """A sink that knows nothing of sidecars and output folders."""

    def __init__(self, folder):
        self.folder, self.settled = str(folder), 0

    def finished(self, header, job):
        return Finding(None)

    def commit(self, record, npz, meta, job, effort):
        with open(f"{self.folder}/{record.id}.{os.getpid()}", "wb") as file:
            file.write(npz)

    def failed(self, record):
        pass

    def settle(self):
        self.settled += 1


class Heard:
    def __init__(self):
        self.lost = []

    def tile(self, record, processing_time_ms, warnings):
        pass

    def event(self, news):
        self.lost += [news] if isinstance(news, WorkerLost) else []


def settings(load) -> WorkerSettings:
    return WorkerSettings(checkpoint="", patch=16, load=load, config=TilesConfig())


def shards(folder, batch_size=2, shard_size=512):
    headers, _ = survey(list_inputs(folder).tiles)
    return make_plan(headers, 16, batch_size, shard_size).shards


def test_tile_that_kills_its_worker_fails_and_its_neighbours_do_not(tmp_path):
    write_tiles(tmp_path / "in", 10)
    write_tile(tmp_path / "in", "t005", marked(tile(), stubs.KILLS), {"month": 1})
    summary = refine_folder(stub_run(tmp_path, workers=2))
    assert (summary.done, summary.failed, summary.exit_code) == (9, 1, 1)
    line = errors(tmp_path / "out")["t005"]
    assert (line["error"], line["phase"]) == ("WorkerDiedError", "model")
    assert summary.worker_restarts == 3
    assert names(tmp_path / "out", ".npz") == [f"t00{n}" for n in range(10) if n != 5]
    assert sum("its tiles are redone" in text for text in log_lines(tmp_path / "out")) == 3


def test_tile_alone_in_its_batch_kills_exactly_two_workers(tmp_path):
    write_tiles(tmp_path / "in", 1)
    write_tile(tmp_path / "in", "bad", marked(tile(), stubs.KILLS))
    summary = refine_folder(stub_run(tmp_path, batch_size=1))
    assert (summary.done, summary.failed, summary.worker_restarts) == (1, 1, 2)


def test_shard_of_a_killed_worker_goes_on_with_half_of_them_and_loses_no_tile(tmp_path):
    write_tiles(tmp_path / "in", 60)
    pids, heard = [], Heard()

    def kill_one() -> bool:
        children = {child.pid for child in multiprocessing.active_children()}
        if not heard.lost and len(os.listdir(tmp_path / "out")) > 4:
            os.kill(min(children), signal.SIGKILL)
            time.sleep(0.3)
        if heard.lost:
            pids.append(len(children))
        return False

    (tmp_path / "out").mkdir()
    (shard,) = shards(tmp_path / "in")
    with Workers(settings(stubs.slow), lambda device: 4) as workers:
        records = infer_shard(shard, Job(FACTS, TilesConfig()), FolderOfBytes(tmp_path / "out"), workers,
                              stopping=kill_one, watch=heard)  # fmt: skip
        assert [record.status for record in records] == ["done"] * 60
        assert len(heard.lost) == 1 and heard.lost[0].exit_status == -signal.SIGKILL
        assert pids[-1] == 2
    assert {name.partition(".")[0] for name in os.listdir(tmp_path / "out")} == {f"t{n:03d}" for n in range(60)}


def test_pool_lives_for_all_shards_and_each_of_them_is_made_durable_once(tmp_path):
    write_tiles(tmp_path / "in", 12)
    (tmp_path / "out").mkdir()
    sink = FolderOfBytes(tmp_path / "out")
    with Workers(settings(stubs.slow), lambda device: 2) as workers:
        for shard in shards(tmp_path / "in", shard_size=4):
            infer_shard(shard, Job(FACTS, TilesConfig()), sink, workers)
        assert sink.settled == 3
        assert len(multiprocessing.active_children()) == 2
    assert len({name.partition(".")[2] for name in os.listdir(tmp_path / "out")}) == 2
    assert multiprocessing.active_children() == []


def test_gpu_worker_reads_and_writes_with_several_threads_and_loses_no_tile(tmp_path):
    write_tiles(tmp_path / "in", 40)
    (tmp_path / "out").mkdir()
    with Workers(settings(stubs.small_gpu), lambda device: 1) as workers:
        (shard,) = shards(tmp_path / "in", batch_size=1)
        records = infer_shard(shard, Job(FACTS, TilesConfig()), FolderOfBytes(tmp_path / "out"), workers)
    assert [record.status for record in records] == ["done"] * 40
    assert [record.id for record in records] == [f"t{number:03d}" for number in range(40)]
    assert len(os.listdir(tmp_path / "out")) == 40


def test_records_hold_no_path_time_or_worker(tmp_path):
    write_tiles(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    with Workers(settings(stubs.halving), lambda device: 1) as workers:
        (shard,) = shards(tmp_path / "in")
        (record,) = infer_shard(shard, Job(FACTS, TilesConfig()), FolderOfBytes(tmp_path / "out"), workers)
    assert str(tmp_path) not in record.model_dump_json()
    assert (record.padded_to, record.batch_size, record.precision) == ((32, 32), 1, "fp32")
    assert record.output.digest and record.output.name == "t000.npz"


def test_processes_that_end_before_they_are_ready_are_not_started_for_ever(tmp_path):
    write_tiles(tmp_path / "in", 1)
    with pytest.raises(PoolError, match="ends before it is ready"):
        refine_folder(stub_run(tmp_path, load=stubs.dying, workers=2))
    summary = json.loads((tmp_path / "out/.stagegate/summary.json").read_text())
    assert (summary["outcome"], summary["not_run"]) == ("broken", 1)
    assert multiprocessing.active_children() == []


def test_control_c_at_a_terminal_stops_the_run_and_not_the_workers(tmp_path):
    write_tiles(tmp_path / "in", 120)
    process = drive(tmp_path, "slow", 2)
    wait_for_outputs(tmp_path, 6)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 3
    summary = json.loads((tmp_path / "out/.stagegate/summary.json").read_text())
    assert (summary["outcome"], summary["worker_restarts"], summary["failed"]) == ("stopped", 0, 0)
    assert summary["done"] == len(names(tmp_path / "out", ".json")) < 120
    statuses = [line["status"] for line in manifest(tmp_path / "out").values()]
    assert statuses.count("not_run") == summary["not_run"] == 120 - summary["done"]


def test_workers_end_when_their_run_is_killed(tmp_path):
    write_tiles(tmp_path / "in", 120)
    process = drive(tmp_path, "slow", 2)
    wait_for_outputs(tmp_path, 4)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert members(process.pid) == []


def test_nothing_left_to_do_imports_no_torch_and_starts_no_process(tmp_path):
    write_tiles(tmp_path / "in", 3)
    assert refine_folder(stub_run(tmp_path)).done == 3
    process = drive(tmp_path, "refiner", 1)
    assert process.communicate(timeout=30)[0].split() == ["False", "3"]
    assert process.returncode == 0


def drive(top, loader: str, workers: int) -> subprocess.Popen:
    stub_run(top)
    command = [sys.executable, "-m", "tests.tiles.engine.driver", str(top), loader, str(workers)]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)


def wait_for_outputs(top, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(names(top / "out", ".json")) < count:
        assert time.monotonic() < deadline, "the run makes no progress"
        time.sleep(0.02)


def members(group: int) -> list[int]:
    """Processes of a group that still run."""
    alive = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.getpgid(int(entry)) == group:
                state = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
                alive += [] if state == "Z" else [int(entry)]
        except (ProcessLookupError, FileNotFoundError):
            continue
    return alive
