"""Numbers that add up, and the exit code that follows from them."""

import pytest
from pydantic import ValidationError

from tasks.contracts.tiles import TileRecord
from tasks.tiles.infer import hopeless
from tasks.tiles.summary import last_line, summarise


def record(status: str, name: str = "a", **fields) -> TileRecord:
    return TileRecord(id=name, status=status, input_sha256="0" * 64, **fields)


def failed(message: str = "no", phase: str = "model") -> TileRecord:
    return record("failed", error="TileModelError", message=message, phase=phase)


@pytest.mark.parametrize(
    ("statuses", "outcome", "code"),
    [
        (["done", "resumed"], "complete", 0),
        (["empty"], "complete", 0),
        (["done", "failed"], "failures", 1),
        ([], "nothing_refined", 1),
        (["done", "not_run"], "stopped", 3),
    ],
)
def test_outcome_and_exit_code(statuses, outcome, code):
    summary = summarise([record(status) for status in statuses])
    assert (summary.outcome, summary.exit_code) == (outcome, code)
    assert summary.found == len(statuses)


def test_model_that_fails_everywhere_ends_with_1_and_a_broken_run_with_4():
    assert summarise([failed(), record("not_run")], outcome="model_fails").exit_code == 1
    assert summarise([record("not_run")], outcome="broken").exit_code == 4


def test_sum_that_does_not_add_up_is_no_summary():
    document = summarise([record("done")]).model_dump() | {"found": 2}
    with pytest.raises(ValidationError, match="sum of the states"):
        type(summarise([])).model_validate(document)


def test_no_tile_and_no_time_give_zero_tiles_per_second():
    assert summarise([], seconds=0.0).tiles_per_s == 0.0
    assert summarise([record("done")], seconds=0.0).tiles_per_s == 0.0
    assert summarise([record("done"), record("resumed")], seconds=0.5).tiles_per_s == 2.0


def test_precision_and_device_are_those_that_ran():
    done = [record("done", precision=p, device="cpu") for p in ("bf16", "fp32", "bf16")]
    assert summarise(done).precision == ("bf16", "fp32")
    assert summarise(done).device == ("cpu",)


def test_last_line_names_every_state():
    line = last_line(summarise([record("done"), failed()], seconds=2.0))
    assert line == "2 tiles: 1 done, 0 resumed, 1 failed, 0 empty, 0 not_run; 0.5 tiles/s with reading and writing"


def test_run_is_hopeless_when_two_shards_fail_alike_in_the_model():
    assert hopeless([[failed(), failed()], [failed()]])
    assert not hopeless([[failed()]])
    assert not hopeless([[failed()], [failed("other")]])
    assert not hopeless([[failed()], [failed(phase="read")]])
    assert not hopeless([[failed()], [failed(), record("done")]])
