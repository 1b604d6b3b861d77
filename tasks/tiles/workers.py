"""The pool of worker processes: alive for the whole run, each with the model loaded once."""

import atexit
import logging
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import wait

from tasks.contracts.errors import PoolError
from tasks.contracts.tile_errors import WorkerDiedError
from tasks.tiles.dispatch import STRIKES, Dispatch
from tasks.tiles.finishing import failure
from tasks.tiles.hand import Hand
from tasks.tiles.job import Job, Sink
from tasks.tiles.messages import (
    Assignment,
    Broken,
    Close,
    Computing,
    MemoryShort,
    News,
    Ready,
    Refused,
    TileOver,
    Unit,
    UnitDropped,
    UnitOver,
    WorkerLost,
)
from tasks.tiles.settings import WorkerSettings, threads_for

log = logging.getLogger(__name__)
POLL_S = 0.2  # between two looks at whether the run shall stop
GRACE_S = 30.0
FAILED_STARTS = 3


class Workers:
    """Starts when it is first needed; `close` or the end of a `with` block ends all processes."""

    def __init__(self, settings: WorkerSettings, count: Callable[[str], int]):
        self._settings, self._count = settings, count
        self._hands: dict[int, Hand] = {}
        self._numbers = iter(range(1 << 30))
        self._failed_starts = 0
        self.size = 0  # processes that the pool aims at; 0 before it is needed
        self.device, self.precision = "", ""  # of the first worker
        self.notes: tuple[str, ...] = ()

    def start(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """Load the model in every worker. Raises CheckpointError, ConfigError, PoolError; then no worker is left."""
        if self.size:
            return
        self.size = self._count(self._settings.device)
        atexit.register(self.close, grace_s=0.0)
        try:
            self._fill(self.size)
            while not all(hand.ready for hand in self._hands.values()) and not stopping():
                for hand, message in self._messages():
                    self._started(hand, message)
        except BaseException:
            self.close(grace_s=0.0)
            raise

    def run(
        self, units: Iterable[Unit], job: Job, sink: Sink, *, stopping: Callable[[], bool] = lambda: False
    ) -> Iterator[News]:
        """News of every tile that is written or fails. Raises what kept a worker from writing, after the others ended.

        Once `stopping` is true the running batches are finished, and the tiles of the others get no news.
        """
        dispatch = Dispatch(units)
        if not dispatch.busy:
            return
        self.start(stopping)
        self._fill(self.size)
        target, lost, broken = self.size, 0, None
        while dispatch.busy:
            if not dispatch.stopped and stopping():
                self._stop(dispatch)
            self._hand_out(dispatch, job, sink)
            for hand, message in self._messages():
                if isinstance(message, Broken):
                    broken = broken or message.error
                    self._stop(dispatch)
                    log.error("worker %d gave up: %s", hand.number, message.error)
                elif isinstance(message, WorkerLost):
                    lost += not hand.leaving
                    target = max(1, self.size // 2) if lost else target
                    yield from self._lost(dispatch, hand, message, job)
                    self._resize(0 if dispatch.stopped else target)
                elif isinstance(message, Ready | Refused):
                    self._started(hand, message)
                else:
                    yield from _told(dispatch, hand, message)
        if broken:
            raise broken

    def close(self, grace_s: float = GRACE_S) -> None:
        """End all workers: those that work finish what they have, within the grace."""
        atexit.unregister(self.close)
        for hand in self._hands.values():
            hand.say(Close())
        for hand in self._hands.values():
            hand.end(grace_s if hand.ready else 0.0)
        self._hands.clear()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self.close(GRACE_S if kind is None else 0.0)

    def _fill(self, count: int) -> None:
        while sum(not hand.leaving for hand in self._hands.values()) < count:
            number = next(self._numbers)
            self._hands[number] = Hand(self._settings, number)

    def _stop(self, dispatch: Dispatch) -> None:
        dispatch.stop()
        for hand in self._hands.values():
            hand.leave()

    def _resize(self, target: int) -> None:
        """Let the surplus go, replace what is missing."""
        staying = [hand for hand in self._hands.values() if not hand.leaving]
        for hand in staying[target:]:
            hand.leave()
        self._fill(target)

    def _hand_out(self, dispatch: Dispatch, job: Job, sink: Sink) -> None:
        hands = [hand for hand in self._hands.values() if hand.ready and not hand.leaving]
        given = True
        while given:
            given = False
            for hand in hands:
                if (unit := dispatch.take(hand.number, threads_for(hand.ready.device).in_flight)) is not None:
                    hand.say(Assignment(unit, job, sink))
                    given = True

    def _messages(self) -> Iterator[tuple[Hand, object]]:
        """What all workers have said; last of a worker that is gone comes WorkerLost."""
        lines = {hand.line: hand for hand in self._hands.values()}
        for line in wait(list(lines), POLL_S):
            hand = lines[line]
            try:
                for message in hand.heard():
                    yield hand, message
            except (EOFError, OSError):
                del self._hands[hand.number]
                yield hand, WorkerLost(hand.number, hand.end(GRACE_S))

    def _started(self, hand: Hand, message: object) -> None:
        match message:
            case Ready():
                hand.ready = message
                if not self.device:
                    self.device, self.precision, self.notes = message
                    self._fall_back()
                    for note in self.notes:
                        log.warning(note) if note.startswith("WARNING") else log.info(note)
            case Refused(error):
                raise error
            case WorkerLost():
                self._failed_to_start(message)
                self.size = max(1, self.size // 2)
                self._fill(self.size)

    def _fall_back(self) -> None:
        """Where the worker had to take the CPU, there are CPUs for more workers than there were GPUs."""
        if self.device == "cpu" and self._settings.device != "cpu":
            self.size = self._count("cpu")
            self._fill(self.size)

    def _failed_to_start(self, message: WorkerLost) -> None:
        self._failed_starts += 1
        if self._failed_starts >= FAILED_STARTS:
            found = f"exit status {message.exit_status}, {self._failed_starts} times"
            remedy = "It may lack memory: use fewer --workers, or a machine with more."
            raise PoolError("a worker process ends before it is ready", found=found, remedy=remedy)

    def _lost(self, dispatch: Dispatch, hand: Hand, message: WorkerLost, job: Job) -> Iterator[News]:
        if hand.leaving and not dispatch.holds(hand.number):
            return
        what = "" if dispatch.stopped else "; its tiles are redone"
        log.warning("worker %d ended (exit status %s)%s", hand.number, message.exit_status, what)
        if not hand.ready:
            self._failed_to_start(message)
        yield message
        for header in dispatch.died(hand.number):
            found = f"exit status {message.exit_status}, {STRIKES} times"
            yield TileOver(
                -1, failure(header, WorkerDiedError("killed the process that computed it", found=found), job)
            )


def _told(dispatch: Dispatch, hand: Hand, message: object) -> Iterator[News]:
    match message:
        case Computing(unit):
            dispatch.computing(hand.number, unit)
        case TileOver():
            dispatch.tile_over(message.record.id)
            yield message
        case MemoryShort():
            yield message
        case UnitOver(unit):
            dispatch.unit_over(hand.number, unit)
        case UnitDropped(unit):
            dispatch.dropped(hand.number, unit)
