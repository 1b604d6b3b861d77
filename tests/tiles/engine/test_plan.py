"""Batches are cut from the complete list, within one padded size and one shard."""

from tasks.tiles.plan import Header, make_plan, padded_size


def header(name: str, height: int = 32, width: int = 32) -> Header:
    return Header(name, height, width, f"/in/{name}.npz", None, "0" * 64)


def ids(plan) -> list[list[list[str]]]:
    return [[[tile.id for tile in batch.tiles] for batch in shard.batches] for shard in plan.shards]


def test_sizes_grow_to_the_next_multiple_of_the_patch():
    assert padded_size(120, 100, 16) == (128, 112)
    assert padded_size(224, 17, 14) == (224, 28)


def test_batch_holds_one_padded_size_in_the_order_of_names():
    tiles = [header("d"), header("b", 100, 90), header("c"), header("a", 99, 95), header("e")]
    plan = make_plan(tiles, patch=16, batch_size=2, shard_size=100)
    assert ids(plan) == [[["c", "d"], ["e"], ["a", "b"]]]
    assert plan.buckets == {(32, 32): 3, (112, 96): 2}
    assert [batch.padded for batch in plan.shards[0].batches] == [(32, 32), (32, 32), (112, 96)]


def test_batches_do_not_depend_on_the_order_of_the_list():
    tiles = [header(name) for name in "abcdefg"]
    assert make_plan(tiles, 16, 3, 4) == make_plan(tiles[::-1], 16, 3, 4)


def test_shard_takes_whole_batches_and_no_more_tiles_than_it_may():
    plan = make_plan([header(name) for name in "abcdefgh"], patch=16, batch_size=3, shard_size=4)
    assert ids(plan) == [[["a", "b", "c"]], [["d", "e", "f"]], [["g", "h"]]]
    assert [tile.id for tile in plan.shards[1].tiles] == ["d", "e", "f"]


def test_shard_smaller_than_a_batch_makes_smaller_batches():
    assert ids(make_plan([header(name) for name in "abc"], patch=16, batch_size=4, shard_size=2)) == [
        [["a", "b"]],
        [["c"]],
    ]


def test_tile_above_1024_px_is_a_batch_of_its_own():
    tiles = [header("a", 1024, 8), header("b", 1025, 8), header("c", 1025, 8), header("d", 1024, 8)]
    plan = make_plan(tiles, patch=16, batch_size=4, shard_size=9)
    assert ids(plan) == [[["a", "d"], ["b"], ["c"]]]
    assert [batch.windowed for batch in plan.shards[0].batches] == [False, True, True]


def test_names_are_ordered_by_their_bytes():
    assert ids(make_plan([header("é"), header("z"), header("Z")], 16, 4, 9)) == [[["Z", "z", "é"]]]


def test_no_tile_makes_no_shard():
    assert make_plan([], 16, 4, 512).shards == ()
