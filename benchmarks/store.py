"""Race: put, get and verify many files in the store, beside `dvc add` and `dvc checkout` of the same files.

    python -m benchmarks.store --files 10000 --bytes 1000000000 --pairs 3 [--dvc ELSEWHERE/bin/dvc]

Both start from nothing in every round, on the same disk, in turns. Ours puts every file, then fetches a copy whose
digest is checked while it is written. The peer adds a folder, and checks it out again after it has been removed.
"""

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tasks.store.blobs import Store

PEER = "dvc"
Side = Callable[[Path, Path], Callable[[], None]]  # of the source and a new folder: what is timed


def main() -> None:
    """Run the race and print a table of seconds and ratios."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="store-race-", dir=options.folder) as scratch:
        source = make_files(Path(scratch) / "source", options.files, options.bytes)
        if options.dvc is None:
            seconds = statistics.median(timed(ours, source, Path(scratch)) for _ in range(options.pairs))
            print(f"ours: {seconds:.2f} s for {options.files} files, {options.bytes / 1e6:.0f} MB (median)")
            print(f"peer not available: install {PEER} (in an environment of its own), and name it with --dvc")
            return
        report(race(source, Path(scratch), options.pairs, partial(peer, options.dvc)))


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000, help="how many files")
    parser.add_argument("--bytes", type=int, default=1_000_000_000, help="size of all files together")
    parser.add_argument("--pairs", type=int, default=3, help="rounds of both sides")
    parser.add_argument(
        "--dvc", default=find_dvc(), help="the peer's command; else the one beside this Python, or on PATH"
    )
    parser.add_argument("--folder", help="where to work; a new folder below it is removed at the end")
    return parser.parse_args()


def find_dvc() -> str | None:
    """The peer of this environment, or of the shell."""
    beside = Path(sys.executable).with_name(PEER)
    return str(beside) if beside.is_file() else shutil.which(PEER)


def make_files(folder: Path, files: int, total_bytes: int) -> Path:
    """Random files of equal size, a hundred to a folder."""
    chance = random.Random(0)
    for i in range(files):
        path = folder / f"{i // 100:04d}" / f"{i:06d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(total_bytes // files))
    return folder


def race(source: Path, scratch: Path, pairs: int, peer: Side) -> list[tuple[float, float]]:
    """Seconds of (ours, peer) for each pair; who goes first alternates."""
    results = []
    for pair in range(pairs):
        sides = [ours, peer] if pair % 2 == 0 else [peer, ours]
        seconds = {side: timed(side, source, scratch) for side in sides}
        results.append((seconds[ours], seconds[peer]))
    return results


def timed(side: Side, source: Path, scratch: Path) -> float:
    """Seconds of one side in a folder of its own; making and removing that folder does not count."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        run = side(source, Path(folder))
        start = time.perf_counter()
        run()
        return time.perf_counter() - start


def ours(source: Path, folder: Path) -> Callable[[], None]:
    """Put all files, then fetch verified copies."""
    store = Store(folder / "store")
    paths = sorted(path for path in source.rglob("*") if path.is_file())

    def run() -> None:
        for ref in store.put_files(paths):
            store.fetch(ref, folder / "out")

    return run


def peer(command: str, source: Path, folder: Path) -> Callable[[], None]:
    """`dvc add` of a folder, and `dvc checkout` after it has been removed."""
    shutil.copytree(source, folder / "data")
    dvc = partial(_dvc, command, folder)
    dvc("init", "--no-scm", "--quiet")

    def run() -> None:
        dvc("add", "data", "--quiet")
        shutil.rmtree(folder / "data")
        dvc("checkout", "--quiet")

    return run


def _dvc(command: str, folder: Path, *arguments: str) -> None:
    subprocess.run([command, *arguments], cwd=folder, check=True)


def report(results: list[tuple[float, float]]) -> None:
    """One line for each pair, and the median of the ratios."""
    print(f"{'pair':>6} {'ours s':>8} {PEER + ' s':>8} {'ratio':>6}")
    for number, (mine, theirs) in enumerate(results, start=1):
        print(f"{number:>6} {mine:>8.2f} {theirs:>8.2f} {theirs / mine:>6.2f}")
    middle = [statistics.median(column) for column in zip(*results, strict=True)]
    ratio = statistics.median(theirs / mine for mine, theirs in results)
    print(f"{'median':>6} {middle[0]:>8.2f} {middle[1]:>8.2f} {ratio:>6.2f}")


if __name__ == "__main__":
    main()
