"""A run in a process of its own, to be killed: `python -m tests.tiles.engine.driver TOP LOADER WORKERS`."""

import signal
import sys
import threading
from pathlib import Path

from tasks.tiles.refine_folder import refine_folder
from tasks.tiles.torch_model import load_refiner
from tests.tiles.engine import stubs
from tests.tiles.engine.cases import stub_run


def main(top: str, loader: str, workers: str) -> int:
    stop = threading.Event()
    for ask in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ask, lambda *_: stop.set())
    load = load_refiner if loader == "refiner" else getattr(stubs, loader)
    summary = refine_folder(stub_run(Path(top), load=load, workers=int(workers)), stopping=stop.is_set)
    print("torch" in sys.modules, summary.resumed)
    return summary.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
