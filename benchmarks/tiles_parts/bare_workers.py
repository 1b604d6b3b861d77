"""The limit of B4: as many processes as the engine has, each with the engine's model and nothing else to do."""

import multiprocessing
import os
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection

import numpy as np

from tasks.tiles.batches import Inputs, warm_up
from tasks.tiles.settings import WorkerSettings


class BareWorkers:
    """Processes that run the model on tiles which are in memory already."""

    def __init__(self, settings: WorkerSettings, count: int, side: int):
        context = multiprocessing.get_context("spawn")
        self._batch, self._lines, self._processes = settings.batch_size, [], []
        for number in range(count):
            line, far = context.Pipe()
            process = context.Process(target=_serve, args=(far, settings, number, side), daemon=True)
            process.start()
            self._lines.append(line)
            self._processes.append(process)
        for line in self._lines:
            line.recv()

    def rate(self, tiles: int) -> float:
        """Tiles per second of all together, from the first start to the last end."""
        each = max(1, round(tiles / self._batch / len(self._lines)))
        start = time.perf_counter()
        for line in self._lines:
            line.send(each)
        for line in self._lines:
            line.recv()
        return each * self._batch * len(self._lines) / (time.perf_counter() - start)

    def __enter__(self) -> "BareWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        for line, process in zip(self._lines, self._processes, strict=True):
            line.send(0)
            process.join()


def _serve(line: Connection, settings: WorkerSettings, number: int, side: int) -> None:
    if settings.device == "cpu":
        os.environ["OMP_NUM_THREADS"] = "1"
    with ExitStack() as stack:
        model, _ = settings.load(settings, number, stack)
        warm_up(model, settings.patch, settings.num_frames)
        inputs = _inputs(settings.batch_size, side, settings.patch)
        model(inputs)
        line.send("ready")
        while batches := line.recv():
            for _ in range(batches):
                model(inputs)
            line.send("done")
        line.close()
    os._exit(0)


def _inputs(batch: int, side: int, patch: int) -> Inputs:
    padded = -(-side // patch) * patch
    tiles = np.random.default_rng(42).random((batch, 1, 4, padded, padded), np.float32)
    codes = np.full(batch, 6), np.zeros(batch, np.int64)
    unknown = np.full(batch, np.nan, np.float32)
    return Inputs(tiles, np.ones((batch, padded, padded), bool), *codes, unknown, unknown, unknown, unknown)
