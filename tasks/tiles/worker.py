"""A worker process: it loads the model once, then reads, computes and writes side by side until it is told to end."""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import NamedTuple

from tasks.contracts.errors import StagegateError
from tasks.contracts.tile_errors import CheckpointError
from tasks.tiles.batches import Failed, Loaded, Refined, Refinery, warm_up
from tasks.tiles.finishing import finish
from tasks.tiles.job import Effort
from tasks.tiles.loading import load
from tasks.tiles.memory import MemoryPolicy
from tasks.tiles.messages import (
    Assignment,
    Broken,
    Close,
    Computing,
    Halt,
    MemoryShort,
    Ready,
    Refused,
    TileOver,
    UnitDropped,
    UnitOver,
)
from tasks.tiles.settings import Threads, WorkerSettings, threads_for


class _Read(NamedTuple):
    assignment: Assignment
    tiles: list[Loaded]
    failed: list[Failed]


class _Computed(NamedTuple):
    assignment: Assignment
    outcomes: list[Refined | Failed]
    share_ms: float


def serve(connection: Connection, settings: WorkerSettings, number: int) -> None:
    """What the process does: one compute thread on a CPU. Signals are left to the run, which says when to end."""
    for ask in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ask, signal.SIG_IGN)
    if settings.device == "cpu":
        os.environ["OMP_NUM_THREADS"] = "1"  # read by torch when it is imported
    with ExitStack() as stack:
        try:
            model, notes = settings.load(settings, number, stack)
            warm_up(model, settings.patch, settings.num_frames)
        except Exception as error:
            connection.send(Refused(_loading_error(error)))
            return
        worker = _Worker(connection, number, threads_for(model.device))
        policy = MemoryPolicy(settings.batch_size, model.device, lambda event: worker.say(MemoryShort(event)))
        worker.say(Ready(model.device, model.precision, notes))
        worker.run(Refinery(model, policy, settings.config, settings.patch))
    os._exit(0)  # everything is committed and said; taking torch apart in order costs more than a second


class _Worker:
    """Readers, the model and writers around two short queues, and a thread that listens."""

    def __init__(self, connection: Connection, number: int, threads: Threads):
        self._threads = threads.each
        self._connection, self._number, self._run = connection, number, os.getppid()
        self._sending = threading.Lock()
        self._halted = threading.Event()
        self._inbox: queue.SimpleQueue[Assignment | None] = queue.SimpleQueue()
        self._loaded: queue.Queue[_Read | None] = queue.Queue(threads.queued)
        self._computed: queue.Queue[_Computed | None] = queue.Queue(threads.queued)

    def say(self, message: object) -> None:
        with self._sending:
            self._connection.send(message)

    def run(self, refinery: Refinery) -> None:
        writers = [self._thread(self._write) for _ in range(self._threads)]
        for part in (self._listen, *[self._read] * self._threads):
            self._thread(part)
        self._guarded(lambda: self._compute(refinery))
        for writer in writers:
            writer.join()

    def _listen(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):  # the run is gone: nobody wants what is still being made
                os._exit(1)
            if isinstance(message, Halt):
                self._halted.set()
            else:
                for _ in range(self._threads if isinstance(message, Close) else 1):
                    self._inbox.put(None if isinstance(message, Close) else message)

    def _read(self) -> None:
        while (assignment := self._inbox.get()) is not None:
            read = [] if self._halted.is_set() else [load(tile, assignment.job) for tile in assignment.unit.batch.tiles]
            tiles = [tile for tile in read if isinstance(tile, Loaded)]
            self._loaded.put(_Read(assignment, tiles, [tile for tile in read if isinstance(tile, Failed)]))
        self._loaded.put(None)

    def _compute(self, refinery: Refinery) -> None:
        for read in self._all_read():
            unit = read.assignment.unit
            if self._halted.is_set():
                self.say(UnitDropped(unit.number))
                continue
            self.say(Computing(unit.number))
            start = time.perf_counter()
            outcomes = refinery.refine(unit.batch, read.tiles)
            share_ms = 1000 * (time.perf_counter() - start) / max(1, len(read.tiles))
            self._computed.put(_Computed(read.assignment, [*outcomes, *read.failed], share_ms))
        for _ in range(self._threads):
            self._computed.put(None)

    def _all_read(self) -> Iterator[_Read]:
        """Until the last reader has ended."""
        for _ in range(self._threads):
            while (read := self._loaded.get()) is not None:
                yield read

    def _write(self) -> None:
        while (computed := self._computed.get()) is not None:
            unit, job, sink = computed.assignment
            for outcome in computed.outcomes:
                tile = outcome.tile if isinstance(outcome, Refined) else outcome
                if os.getppid() != self._run:  # killed: its folder may belong to another run by now
                    os._exit(1)
                if tile.header.id in unit.write:
                    read_ms = tile.read_ms if isinstance(tile, Loaded) else 0.0
                    effort = Effort(read_ms + computed.share_ms, self._number)
                    record, elapsed_ms = finish(outcome, unit.batch, job, sink, effort)
                    warnings = tile.warnings if isinstance(tile, Loaded) else ()
                    self.say(TileOver(unit.number, record, elapsed_ms, warnings))
            self.say(UnitOver(unit.number))

    def _thread(self, part: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(part,), daemon=True)
        thread.start()
        return thread

    def _guarded(self, part: Callable[[], None]) -> None:
        """A thread that cannot go on says why and takes the process with it: no batch waits for it in vain."""
        try:
            part()
        except BaseException as error:
            try:
                self.say(Broken(portable(error)))
            finally:
                os._exit(1)


def portable(error: BaseException) -> Exception:
    """The error, or one with its text where it cannot travel."""
    told = StagegateError(f"a worker failed: {type(error).__name__}: {error}", remedy="See the log of the run.")
    if not isinstance(error, StagegateError):
        return told
    try:
        return ForkingPickler.loads(ForkingPickler.dumps(error))  # as the pipe to the run will
    except Exception:  # whatever its attributes raise on the way
        return told


def _loading_error(error: Exception) -> Exception:
    if isinstance(error, StagegateError):
        return portable(error)
    found = f"{type(error).__name__}: {error}"
    return CheckpointError("Error loading checkpoint: the worker could not make the model ready", found=found)
