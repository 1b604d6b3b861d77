"""A shard whose input is damaged in the store ends with StoreError, and goes on once the bytes are good again."""

from pathlib import Path

import pytest

from tasks.contracts.errors import DigestMismatchError
from tasks.contracts.tiles import TilesConfig
from tasks.tiles.infer import infer_shard
from tasks.tiles.job import Job
from tasks.tiles.workers import Workers
from tests.tiles.engine import stubs
from tests.tiles.engine.cases import write_tiles
from tests.tiles.engine.test_workers import FACTS, FolderOfBytes, settings, shards


def test_the_same_workers_finish_after_a_repair(tmp_path):
    (shard,) = shards(write_tiles(tmp_path / "in", 4))
    damaged, good = Path(shard.tiles[2].file), Path(shard.tiles[2].file).read_bytes()
    damaged.write_bytes(good[:-1] + b"\xff")
    (tmp_path / "out").mkdir()
    job, sink = Job(FACTS, TilesConfig(), stored=True), FolderOfBytes(tmp_path / "out")
    with Workers(settings(stubs.halving), lambda device: 1) as workers:
        with pytest.raises(DigestMismatchError, match=r"^t002\.npz is damaged in the store"):
            infer_shard(shard, job, sink, workers)
        damaged.write_bytes(good)
        records = infer_shard(shard, job, sink, workers)
    assert [record.status for record in records] == ["done"] * 4
