"""Models without torch. What a model does to a batch is decided by marks in its tiles: the first pixel of B02."""

import errno
import os
import signal
import time
from contextlib import ExitStack

import numpy as np

from tasks.tiles.batches import Inputs
from tasks.tiles.settings import Loading, WorkerSettings

RAISES, KILLS, NOT_FINITE, NOT_FINITE_IN_BF16, TOO_LARGE = 0.75, 0.8125, 0.875, 0.9375, 0.625


def marked(values: np.ndarray, mark: float) -> np.ndarray:
    values = values.copy()
    values[0, 0, 0] = mark
    return values


class OutOfMemoryError(RuntimeError):
    """Of the name that torch gives it."""


class StubModel:
    """Half of the input, plus a thousandth of month and biome."""

    def __init__(self, device: str = "cpu", precision: str = "fp32", pause_s: float = 0.0, room: int = 1 << 30):
        self.device, self.precision, self.pause_s, self.room = device, precision, pause_s, room
        self.batches: list[int] = []
        self.freed = 0

    def __call__(self, inputs: Inputs) -> np.ndarray:
        time.sleep(self.pause_s)
        marks = inputs.tiles[:, -1, 0, 0, 0]
        self.batches.append(len(marks))
        if len(marks) > self.room:
            raise OutOfMemoryError("CUDA out of memory")
        if (marks == RAISES).any():
            raise ValueError("a tile that I do not like")
        if (marks == TOO_LARGE).any():
            raise MemoryError
        if (marks == KILLS).any():
            os.kill(os.getpid(), signal.SIGKILL)
        output = inputs.tiles[:, -1] / 2 + ((inputs.month + inputs.biome) / 1000)[:, None, None, None]
        output[marks == NOT_FINITE, 1, 5, 5] = np.inf
        if self.precision == "bf16":
            output[marks == NOT_FINITE_IN_BF16, 1, 5, 5] = np.nan
        return output.astype(np.float32)

    def in_fp32(self) -> "StubModel":
        return StubModel(self.device, "fp32", self.pause_s, self.room)

    def on_cpu(self) -> "StubModel":
        return self if self.device == "cpu" else StubModel("cpu", "fp32", self.pause_s)

    def free(self) -> None:
        self.freed += 1


class AfterWarmUp(StubModel):
    """Raises on every call but the first."""

    def __call__(self, inputs: Inputs) -> np.ndarray:
        if self.batches:
            raise ValueError("no")
        return super().__call__(inputs)


def halving(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    return Loading(StubModel(), ("a note for people",))


def bf16(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    return Loading(StubModel(precision="bf16"))


def slow(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    return Loading(StubModel(pause_s=0.05))


def small_gpu(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    """One tile fits, two do not."""
    return Loading(StubModel("cuda:0", "bf16", room=1))


class RoomForWarmUp(StubModel):
    """Memory for one call, and for none after it."""

    def __call__(self, inputs: Inputs) -> np.ndarray:
        self.room = 0 if self.batches else 1
        return super().__call__(inputs)


def no_gpu_memory(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    return Loading(RoomForWarmUp("cuda:0", "bf16"))


def failing_after_warm_up(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    return Loading(AfterWarmUp())


def failing(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    model = AfterWarmUp()
    model.batches.append(0)
    return Loading(model)


def three_bands(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    class ThreeBands(StubModel):
        def __call__(self, inputs: Inputs) -> np.ndarray:
            return super().__call__(inputs)[:, :3]

    return Loading(ThreeBands())


def dying(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    os._exit(7)


class disk_full_after:
    """A loader whose worker can write so many tiles, each of two files, and then meets a full disk."""

    def __init__(self, tiles: int):
        self.tiles = tiles

    def __call__(self, settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
        from tasks.tiles import writer

        write, left = writer._write_file, [2 * self.tiles]

        def limited(path: object, content: object) -> None:
            if not left[0]:
                write(path, b"half")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left[0] -= 1
            write(path, content)

        writer._write_file = limited
        return Loading(StubModel())


def a_little_slow(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    return Loading(StubModel(pause_s=0.004))
