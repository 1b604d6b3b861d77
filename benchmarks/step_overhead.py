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


def _race(folder: Path, pairs: int, *, profile: bool = False) -> list[tuple[float, float]]:
    """Seconds of (ours, peer) for each pair of calls; a second race over the same folder is answered from the cache."""
    from prefect import flow

    from tasks.orchestration.run import Run, prepared
    from tasks.orchestration.settings import PlatformSettings

    sides = (plus_one, _bare_task(folder / "bare"))
    profiler = cProfile.Profile() if profile else None

    @flow(name="step-overhead")
    def race() -> list[tuple[float, float]]:
        for number in range(-WARM_UP, 0):
            for side in sides:
                _timed(side, number)
        return [_pair(sides, number, profiler) for number in range(pairs)]

    with prepared(Run(PlatformSettings(store=str(folder / "store")), "")):
        seconds = race()
    if profiler is not None:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(110)
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


def _pair(sides: tuple, number: int, profiler: cProfile.Profile | None) -> tuple[float, float]:
    order = sides if number % 2 == 0 else sides[::-1]
    seconds = {id(side): _timed(side, number, profiler) for side in order}
    return seconds[id(sides[0])], seconds[id(sides[1])]


def _timed(side, number: int, profiler: cProfile.Profile | None = None) -> float:
    time.sleep(PAUSE_S)
    profiled = profiler is not None and isinstance(side, Step)
    if profiled:
        profiler.enable()
    began = time.perf_counter()
    side(number)
    seconds = time.perf_counter() - began
    if profiled:
        profiler.disable()
    return seconds


def _report(title: str, seconds: list[tuple[float, float]], goal_ms: float | None) -> None:
    ours, peer = ([1000 * one for one in column] for column in zip(*seconds, strict=True))
    difference = [a - b for a, b in zip(ours, peer, strict=True)]
    print(f"{title:10} {'ours ms':>9} {'bare ms':>9} {'ours - bare':>12}   ({len(seconds)} pairs)")
    for name, middle in (("median", statistics.median), ("fastest", min)):
        print(f"  {name:8} {middle(ours):9.2f} {middle(peer):9.2f} {middle(difference):+12.2f}")
    quarters = statistics.quantiles(difference, n=4)
    print(f"  {'quarters':8} {'':19} {quarters[0]:+6.2f} {quarters[2]:+6.2f}")
    if goal_ms is not None:
        found = statistics.median(difference)
        print(f"  goal <= +{goal_ms:.0f} ms: {'reached' if found <= goal_ms else 'missed'}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--folder", help="where the store lies; a new folder below it is removed at the end")
    parser.add_argument("--profile", action="store_true", help="say where our side's time goes; slows it down")
    return parser.parse_args()


if __name__ == "__main__":
    main()
