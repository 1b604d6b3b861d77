"""Units of a dead worker are redone; a unit that kills again runs tile by tile, and the tile that kills is given up."""

from tasks.tiles.dispatch import Dispatch
from tasks.tiles.messages import Unit
from tasks.tiles.plan import Header, PlannedBatch


def unit(number: int, names: str, write: str | None = None) -> Unit:
    tiles = tuple(Header(name, 32, 32, "", None, "0" * 64) for name in names)
    return Unit(number, PlannedBatch(number, (32, 32), tiles), frozenset(names if write is None else write))


def shown(one: Unit | None) -> tuple[str, str] | None:
    return one and ("".join(tile.id for tile in one.batch.tiles), "".join(sorted(one.write)))


def test_worker_holds_no_more_than_its_queues_take():
    dispatch = Dispatch([unit(number, "a") for number in range(6)])
    taken = [dispatch.take(0, 5) for _ in range(6)]
    assert taken[-1] is None and None not in taken[:-1]
    dispatch.unit_over(0, 0)
    assert dispatch.take(0, 5) is not None


def test_batch_of_a_dead_worker_is_computed_in_full_and_only_the_rest_is_written():
    dispatch = Dispatch([unit(0, "abcd"), unit(1, "ef")])
    dispatch.take(0, 5), dispatch.take(0, 5)
    dispatch.computing(0, 0)
    dispatch.tile_over("a")
    assert dispatch.died(0) == []
    assert shown(dispatch.take(1, 5)) == ("abcd", "bcd")
    assert shown(dispatch.take(1, 5)) == ("ef", "ef")


def test_unit_that_killed_twice_runs_tile_by_tile_and_only_the_killer_is_given_up():
    dispatch = Dispatch([unit(0, "ab")])
    for worker in (0, 1):
        dispatch.take(worker, 5)
        dispatch.computing(worker, 0)
        assert dispatch.died(worker) == []
    first, second = dispatch.take(2, 5), dispatch.take(2, 5)
    assert (shown(first), shown(second)) == (("a", "a"), ("b", "b"))
    dispatch.computing(2, first.number)
    assert [tile.id for tile in dispatch.died(2)] == ["a"]
    assert shown(dispatch.take(3, 5)) == ("b", "b")
    dispatch.unit_over(3, second.number)
    assert not dispatch.busy


def test_batch_of_one_tile_is_given_up_at_the_second_death():
    dispatch = Dispatch([unit(0, "a")])
    dispatch.take(0, 5), dispatch.computing(0, 0)
    assert dispatch.died(0) == []
    dispatch.take(1, 5), dispatch.computing(1, 0)
    assert [tile.id for tile in dispatch.died(1)] == ["a"]
    assert not dispatch.busy


def test_units_that_only_waited_in_a_dead_worker_are_not_blamed():
    dispatch = Dispatch([unit(0, "a"), unit(1, "b")])
    for worker in range(5):
        dispatch.take(worker, 5), dispatch.take(worker, 5)
        if worker < 2:
            dispatch.computing(worker, 0)
        dispatch.died(worker)
    assert shown(dispatch.take(9, 5)) == ("b", "b")


def test_after_a_stop_nothing_comes_back_to_be_handed_out():
    dispatch = Dispatch([unit(0, "a"), unit(1, "b"), unit(2, "c")])
    dispatch.take(0, 5), dispatch.take(0, 5)
    dispatch.stop()
    dispatch.dropped(0, 1)
    assert dispatch.take(0, 5) is None
    assert dispatch.busy
    dispatch.unit_over(0, 0)
    assert not dispatch.busy


def test_unit_handed_back_by_a_leaving_worker_goes_to_another():
    dispatch = Dispatch([unit(0, "a")])
    dispatch.take(0, 5)
    dispatch.dropped(0, 0)
    assert shown(dispatch.take(1, 5)) == ("a", "a")
