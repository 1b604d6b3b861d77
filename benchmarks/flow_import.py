"""Import of each flow beside the same import with its frameworks: what a worker, a form or a command line saves.

Each import is a process of its own; both sides take turns. CPU time is printed beside the wall clock, because a busy
machine stretches the latter. The import of Prefect alone, which both sides pay, bounds the ratio: it is printed, with
the ratio of what comes on top of it. Goal: importing any flow is at least 5 times faster than with the frameworks.

    python -m benchmarks.flow_import [--pairs 5] [--frameworks tensorflow,keras]
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import flows

GOAL = 5.0


def main() -> None:
    options = _options()
    names = sorted(path.stem for path in Path(flows.__file__).parent.glob("*.py") if path.stem != "__init__")
    _seconds("import prefect")
    floor = [statistics.median(column) for column in zip(*(_seconds("import prefect") for _ in range(options.pairs)))]
    print(f"Prefect alone: {floor[0]:.2f} s, {floor[1]:.2f} s of CPU")
    title = f"with {options.frameworks}"
    print(
        f"{'flow':22} {'s':>6} {'CPU s':>6} {title:>24} s {'CPU s':>6} {'ratio':>6} {'CPU':>5} {'beyond Prefect':>15}"
    )
    worst = min(_race(name, floor[1], options) for name in names)
    print(f"smallest ratio {worst:.1f}, goal >= {GOAL:.0f}: {'reached' if worst >= GOAL else 'missed'}")


def _race(name: str, floor_s: float, options: argparse.Namespace) -> float:
    alone = f"import flows.{name}"
    sides = (alone, f"{alone}, {options.frameworks}")
    pairs = []
    for number in range(options.pairs):
        order = sides if number % 2 == 0 else sides[::-1]
        seconds = {side: _seconds(side) for side in order}
        pairs.append((*seconds[sides[0]], *seconds[sides[1]]))
    ours, ours_cpu, peer, peer_cpu = (statistics.median(column) for column in zip(*pairs))
    ratio = statistics.median(pair[2] / pair[0] for pair in pairs)
    beyond = (peer_cpu - floor_s) / max(ours_cpu - floor_s, 1e-3)
    print(
        f"{name:22} {ours:6.2f} {ours_cpu:6.2f} {peer:26.2f} {peer_cpu:6.2f} {ratio:6.1f} {peer_cpu / ours_cpu:5.1f} "
        f"{beyond:15.1f}",
        flush=True,
    )
    return ratio


def _seconds(code: str) -> tuple[float, float]:
    """Wall clock and CPU time of a new Python process, in s."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"failed: {code}"
    return time.perf_counter() - began, used.ru_utime + used.ru_stime


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--frameworks", default="tensorflow,keras", help="modules, with commas between them")
    return parser.parse_args()


if __name__ == "__main__":
    main()
