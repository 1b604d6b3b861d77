"""Processes killed while they write: nothing partial is visible, and nothing that was reported as done is lost.

This is what the out-of-memory killer and `docker kill` do. A loss of power is another matter: it is what the fsync
before and after each rename is for, and cannot be shown from inside the machine.
"""

import json
import os
import random
import signal
import time
from pathlib import Path

from tasks.contracts.refs import ArtifactRef
from tasks.store.blobs import BLOB_FOLDER, Store
from tasks.store.places import is_temporary
from tasks.store.progress import Progress
from tasks.store.refs import NamedRefs

ROUNDS = 200
LARGEST_BYTES = 2 << 20


def write_until_killed(root: Path, seed: int, reports: int) -> None:
    """Puts, names and checkpoints in turn; one line on a pipe after each turn that is done."""
    store, names, progress = Store(root), NamedRefs(root), Progress(root, "train")
    chance = random.Random(seed)
    for turn in range(1_000_000):
        data = chance.randbytes(chance.choice([0, 100, 10_000, LARGEST_BYTES]))
        ref = store.put_bytes(data, name=f"{turn}.bin")
        names.create(f"turn/{turn:07d}", ref.digest.encode())
        progress.save({"turn": b"%d" % turn, "weights": b"%d" % turn * 1000})
        os.write(reports, json.dumps({"turn": turn, "ref": ref.model_dump()}).encode() + b"\n")


def kill_somewhere(root: Path, seed: int) -> list[dict]:
    """Kill a child at a random moment within one of its first turns, and return what it reported as done."""
    chance = random.Random(-seed)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            write_until_killed(root, seed, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        start, turns = time.perf_counter(), chance.randint(1, 2)
        lines = [pipe.readline() for _ in range(turns)]
        one_turn_s = (time.perf_counter() - start) / turns  # so that a busy machine does not shift the moment
        time.sleep(chance.uniform(0, one_turn_s))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        lines += pipe.readlines()
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, "the child ended by itself"
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def visible(root: Path, folder: str) -> list[Path]:
    return [path for path in (root / folder).rglob("*") if path.is_file() and not is_temporary(path.as_posix())]


def assert_nothing_partial(root: Path) -> None:
    store, names = Store(root), NamedRefs(root)
    for path in visible(root, BLOB_FOLDER):
        digest = "".join(path.relative_to(root / BLOB_FOLDER).parts)
        ref = ArtifactRef(digest=digest, size=path.stat().st_size, media_type="x", name="x")
        assert len(store.get_bytes(ref)) == ref.size
    for name in names.list():
        assert len(names.get(name)) == 64


def assert_nothing_lost(root: Path, done: list[dict]) -> None:
    store, names, saved = Store(root), NamedRefs(root), Progress(root, "train").load()
    for entry in done:
        ref = ArtifactRef(**entry["ref"])
        assert len(store.get_bytes(ref)) == ref.size
        assert names.get(f"turn/{entry['turn']:07d}") == ref.digest.encode()
    if saved is not None:
        assert saved["weights"] == saved["turn"] * 1000
    if done:
        assert int(saved["turn"]) >= done[-1]["turn"]


def test_killed_writers_leave_nothing_partial_and_lose_nothing(tmp_path):
    interrupted = finished = 0
    for seed in range(1, ROUNDS + 1):
        root = tmp_path / str(seed)
        done = kill_somewhere(root, seed)
        assert_nothing_partial(root)
        assert_nothing_lost(root, done)
        finished += len(done)
        interrupted += any(is_temporary(path.as_posix()) for path in root.rglob("*"))
    assert finished >= ROUNDS and interrupted > ROUNDS / 20, "the kills came too early or too late to show anything"
