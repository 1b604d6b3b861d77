"""Which unit goes to which worker, and what becomes of the units of a worker that died."""

from collections import Counter, deque
from collections.abc import Iterable

from tasks.tiles.messages import Unit
from tasks.tiles.plan import Header, PlannedBatch

STRIKES = 2


class Dispatch:
    """The units of one shard. A unit that killed its worker runs once more as it is, then tile by tile."""

    def __init__(self, units: Iterable[Unit]):
        self._waiting = deque(units)
        self._held: dict[int, dict[int, Unit]] = {}
        self._computing: dict[int, int] = {}
        self._over: set[str] = set()
        self._strikes: Counter[int] = Counter()
        self.stopped = False
        self._next = 1 + max((unit.number for unit in self._waiting), default=-1)

    @property
    def busy(self) -> bool:
        """Whether anything is waiting or held by a worker."""
        return bool(self._waiting) or any(self._held.values())

    def take(self, worker: int, in_flight: int) -> Unit | None:
        """The next unit for a worker, None where it holds `in_flight` already."""
        held = self._held.setdefault(worker, {})
        if not self._waiting or len(held) >= in_flight:
            return None
        unit = self._waiting.popleft()
        held[unit.number] = unit
        return unit

    def holds(self, worker: int) -> bool:
        """Whether a worker still has units."""
        return bool(self._held.get(worker))

    def computing(self, worker: int, unit: int) -> None:
        """The worker's model starts on this unit."""
        self._computing[worker] = unit

    def tile_over(self, tile: str) -> None:
        """This tile needs nothing more, whatever becomes of its worker."""
        self._over.add(tile)

    def unit_over(self, worker: int, unit: int) -> None:
        """All tiles of this unit are over."""
        self._held[worker].pop(unit, None)
        if self._computing.get(worker) == unit:
            del self._computing[worker]

    def dropped(self, worker: int, unit: int) -> None:
        """The worker hands this unit back."""
        self._return([self._held[worker].pop(unit)])

    def stop(self) -> None:
        """Hand out nothing more."""
        self.stopped = True
        self._waiting.clear()

    def died(self, worker: int) -> list[Header]:
        """Take the units of a dead worker back; the tiles that are given up because they killed it again."""
        held, blamed = self._held.pop(worker, {}), self._computing.pop(worker, None)
        again: list[Unit] = []
        lost: list[Header] = []
        for unit in held.values():
            rest = unit.write - self._over
            if not rest:
                continue
            if unit.number != blamed:
                again.append(Unit(unit.number, unit.batch, rest))
                continue
            kept, given_up = self._blame(unit, rest)
            again += kept
            lost += given_up
        self._return(again)
        self._over.update(tile.id for tile in lost)
        return lost

    def _return(self, units: list[Unit]) -> None:
        if not self.stopped:
            self._waiting.extendleft(reversed(units))

    def _blame(self, unit: Unit, rest: frozenset[str]) -> tuple[list[Unit], list[Header]]:
        self._strikes[unit.number] += 1
        if self._strikes[unit.number] < STRIKES:
            return [Unit(unit.number, unit.batch, rest)], []
        if len(unit.batch.tiles) == 1:
            return [], list(unit.batch.tiles)
        return [self._alone(unit.batch, tile) for tile in unit.batch.tiles if tile.id in rest], []

    def _alone(self, batch: PlannedBatch, tile: Header) -> Unit:
        number, self._next = self._next, self._next + 1
        self._strikes[number] = STRIKES - 1
        return Unit(number, PlannedBatch(batch.number, batch.padded, (tile,)), frozenset({tile.id}))
