"""Our step beside a bare Prefect task: what one call more costs, in one flow on one embedded server.

Both do the same almost empty work and persist a small JSON result below the same folder; they take turns, and who goes
first alternates. The first table is calls that run, the second calls that are answered from the cache: ours by content,
the peer's by Prefect's own INPUTS policy. Goal: the median difference of calls that run is at most +2 ms.

    python -m benchmarks.step_overhead [--pairs 150] [--folder FOLDER] [--profile]
"""

import argparse
import cProfile
import logging
import pstats
import statistics
import tempfile
import time
from pathlib import Path

from tasks.cli import environment
from tasks.contracts.base import Frozen
from tasks.orchestration.step import Step, step
from tasks.store.workspace import Workspace

GOAL_MS = 2.0
WARM_UP = 5
Pair = tuple[tuple[float, float], tuple[float, float]]  # ours and the peer: wall clock, and CPU of the thread, in s
PAUSE_S = 0.02  # what one call leaves to threads in the background does not burden the next


class Number(Frozen):
    """The smallest output."""

    value: int


@step(title="plus one")
def plus_one(number: int, here: Workspace) -> Number:
    """Add one."""
    return Number(value=number + 1)


def main() -> None:
    options = _options()
    environment.set_defaults()
    logging.getLogger("prefect").setLevel(logging.WARNING)
    from prefect.testing.utilities import prefect_test_harness

    with tempfile.TemporaryDirectory(dir=options.folder) as folder, prefect_test_harness(server_startup_timeout=90):
        _report("ran", _race(Path(folder), options.pairs, profile=options.profile), GOAL_MS)
        _report("cached", _race(Path(folder), options.pairs), None)


def _race(folder: Path, pairs: int, *, profile: bool = False) -> list[Pair]:
    """Each pair of calls; a second race over the same folder is answered from the cache."""
    from prefect import flow

    from tasks.orchestration.run import Run, prepared
    from tasks.orchestration.settings import PlatformSettings

    sides = (plus_one, _bare_task(folder / "bare"))
    profiler = cProfile.Profile(time.thread_time) if profile else None

    @flow(name="step-overhead")
    def race() -> list[Pair]:
        for number in range(-WARM_UP, 0):
            for side in sides:
                _timed(side, number)
        return [_pair(sides, number, profiler) for number in range(pairs)]

    with prepared(Run(PlatformSettings(store=str(folder / "store")), "")):
        seconds = race()
    if profiler is not None:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats("tasks/", 40)
    return seconds


def _bare_task(folder: Path):
    from prefect import task
    from prefect.cache_policies import INPUTS

    def bare_plus_one(number: int) -> dict[str, int]:
        """Add one."""
        return {"value": number + 1}

    folder.mkdir(exist_ok=True)
    return task(
        bare_plus_one, persist_result=True, result_serializer="json", result_storage=folder, cache_policy=INPUTS
    )


def _pair(sides: tuple, number: int, profiler: cProfile.Profile | None) -> Pair:
    order = sides if number % 2 == 0 else sides[::-1]
    seconds = {id(side): _timed(side, number, profiler) for side in order}
    return seconds[id(sides[0])], seconds[id(sides[1])]


def _timed(side, number: int, profiler: cProfile.Profile | None = None) -> tuple[float, float]:
    time.sleep(PAUSE_S)
    profiled = profiler is not None and isinstance(side, Step)
    if profiled:
        profiler.enable()
    began, busy = time.perf_counter(), time.thread_time()
    side(number)
    seconds = time.perf_counter() - began, time.thread_time() - busy
    if profiled:
        profiler.disable()
    return seconds


def _report(title: str, pairs: list[Pair], goal_ms: float | None) -> None:
    print(f"{title:28} {'ours ms':>9} {'bare ms':>9} {'ours - bare':>12} {'quarters':>14}   ({len(pairs)} pairs)")
    wall = _row("wall clock", [[1000 * side[0] for side in pair] for pair in pairs])
    _row("CPU of the flow's thread", [[1000 * side[1] for side in pair] for pair in pairs])
    if goal_ms is not None:
        print(f"  goal <= +{goal_ms:.0f} ms of wall clock: {'reached' if wall <= goal_ms else 'missed'}")


def _row(name: str, pairs: list[list[float]]) -> float:
    difference = [ours - bare for ours, bare in pairs]
    ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    low, middle, high = statistics.quantiles(difference, n=4)
    print(f"  {name:26} {ours:9.2f} {bare:9.2f} {middle:+12.2f} {low:+7.2f}{high:+7.2f}")
    return middle


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--folder", help="where the store lies; a new folder below it is removed at the end")
    parser.add_argument("--profile", action="store_true", help="say where our side's time goes; slows it down")
    return parser.parse_args()


if __name__ == "__main__":
    main()
