"""A cached hit on 100 MB of arrays: our reference beside Prefect's default result, a pickle of the arrays.

The two give the caller different things: ours a reference whose bytes have been checked, the peer the arrays in memory.
So the table has rows where our consumer opens the arrays as well. "Same process": the digest of a blob that has not
changed (by path, size, times and inode) is remembered, and no bytes are hashed. "New process": all bytes are hashed.
Only the call of the step or task is timed, inside a flow, in turns. Goal: the hit in the same process is 20 times
faster.

    python -m benchmarks.cached_hit [--megabytes 100] [--pairs 7] [--cold 3] [--folder FOLDER]
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tasks.cli import environment
from tasks.contracts.base import Frozen
from tasks.contracts.refs import ArtifactRef
from tasks.orchestration.step import step
from tasks.store.unpack import unpack_npz
from tasks.store.workspace import Workspace

GOAL = 20.0
MEMBERS = 4
OURS = ("a reference", "arrays, read and checked", "arrays, memory-mapped")


class Arrays(Frozen):
    """An archive in the store."""

    ref: ArtifactRef


def random_arrays(megabytes: int) -> dict[str, np.ndarray]:
    """Arrays of equal size that do not compress."""
    chance = np.random.default_rng(0)
    return {f"part{i}": chance.random(megabytes * 250_000 // MEMBERS, dtype=np.float32) for i in range(MEMBERS)}


@step(title="arrays")
def make_arrays(megabytes: int, here: Workspace) -> Arrays:
    """Arrays in the store."""
    return Arrays(ref=here.store.put_npz(random_arrays(megabytes), name="arrays.npz"))


def main() -> None:
    options = _options()
    environment.set_defaults()
    logging.getLogger("prefect").setLevel(logging.WARNING)
    if options.child:
        print(json.dumps(_hits(Path(options.folder), options.megabytes, 1)[0]))
        return
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with tempfile.TemporaryDirectory(dir=options.folder) as folder, prefect_test_harness(server_startup_timeout=90):
        _hits(Path(folder), options.megabytes, 1)
        _report("same process", _hits(Path(folder), options.megabytes, 1 + options.pairs)[1:], GOAL)
        cold = [_in_new_process(folder, options.megabytes, PREFECT_API_URL.value()) for _ in range(options.cold)]
        _report("new process", cold, None)


def _hits(folder: Path, megabytes: int, rounds: int) -> list[dict[str, float]]:
    """Seconds by side and round; the first call over a fresh folder is no hit, but makes the arrays."""
    from prefect import flow

    from tasks.orchestration.run import Run, prepared
    from tasks.orchestration.settings import PlatformSettings

    run, peer = Run(PlatformSettings(store=str(folder / "store")), ""), _pickled_task(folder / "pickled")

    @flow(name="cached-hit")
    def race() -> list[dict[str, float]]:
        return [_round(run, peer, megabytes, folder, number) for number in range(rounds)]

    with prepared(run):
        return race()


def _round(run, peer, megabytes: int, folder: Path, number: int) -> dict[str, float]:
    found = {}

    def ours() -> None:
        began = time.perf_counter()
        ref = make_arrays(megabytes).ref
        found[OURS[0]] = hit = time.perf_counter() - began
        _sum(run.store.get_npz(ref))
        found[OURS[1]] = time.perf_counter() - began
        began = time.perf_counter()
        _sum(unpack_npz(Path(run.store.place.path(f"sha256/{ref.digest[:2]}/{ref.digest[2:]}")), folder / "unpacked"))
        found[OURS[2]] = hit + time.perf_counter() - began

    def theirs() -> None:
        began = time.perf_counter()
        arrays = peer(megabytes)
        found["peer"] = time.perf_counter() - began
        _sum(arrays)

    for side in (ours, theirs) if number % 2 else (theirs, ours):
        side()
    return found


def _sum(arrays: dict[str, np.ndarray]) -> float:
    return float(sum(array[::1024].sum() for array in arrays.values()))  # touches every page


def _pickled_task(folder: Path):
    from prefect import task
    from prefect.cache_policies import INPUTS

    folder.mkdir(exist_ok=True)
    return task(random_arrays, persist_result=True, result_storage=folder, cache_policy=INPUTS)


def _in_new_process(folder: str, megabytes: int, api_url: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.cached_hit", "--child"]
    command += [f"--folder={folder}", f"--megabytes={megabytes}"]
    done = subprocess.run(
        command, env=os.environ | {"PREFECT_API_URL": api_url}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def _report(title: str, rounds: list[dict[str, float]], goal: float | None) -> None:
    peer = statistics.median(each["peer"] for each in rounds)
    print(f"{title:32} {'ms':>9} {'times faster':>13}   (medians of {len(rounds)} pairs)")
    print(f"  {'Prefect, arrays in memory':30} {1000 * peer:9.1f}")
    for name in OURS:
        ratio = statistics.median(each["peer"] / each[name] for each in rounds)
        seconds = statistics.median(each[name] for each in rounds)
        told = "" if goal is None or name != OURS[0] else f"   goal >= {goal:.0f}: {_word(ratio >= goal)}"
        print(f"  {'ours, ' + name:30} {1000 * seconds:9.1f} {ratio:13.1f}{told}", flush=True)


def _word(reached: bool) -> str:
    return "reached" if reached else "missed"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--cold", type=int, default=3)
    parser.add_argument("--folder", help="where to work; a new folder below it is removed at the end")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
