"""Output sidecars: everything the input said, what was done, and the history of earlier runs."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.tiles import OomEvent, TileMeta, TileRecord
from tasks.tiles.metadata import read_sidecar
from tasks.tiles.output_sidecar import RunFacts, sidecar_bytes, sidecar_document
from tasks.tiles.writer import output_ref

FACTS = RunFacts(
    input_dir="in/a", checkpoint="weights/x", device_requested="cuda", checkpoint_id="c" * 64, config_id="d" * 64,
    code_version="1.2",
)  # fmt: skip
RECORD = TileRecord(
    id="t", status="done", input_sha256="a" * 64, sidecar_sha256="b" * 64, output=output_ref(b"x", "t"), height=3,
    width=4, padded_to=(16, 16), input_layout="opt_v1", clipped_fraction=0.25, valid_fraction=0.5, precision="bf16",
    device="cpu", batch_size=4,
    oom_events=(OomEvent(action="halve batch", device="cuda:0", batch_size=8, tiles=("t",)),),
)  # fmt: skip
SURROGATES = st.characters(codec=None)  # all code points, halves of pairs too
SCALARS = st.none() | st.booleans() | st.integers(-(10**300), 10**300) | st.floats() | st.text(SURROGATES)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
KEYS = st.text().filter(lambda key: key not in {"month", "biome_code", "stage", "timestamp", "processing", "history",
                                                "year", "date", "lat", "lon", "nodata"})  # fmt: skip


def document_of(text: str | None, record: TileRecord = RECORD, **settings) -> dict:
    meta = read_sidecar(None if text is None else text.encode(), "t")
    return json.loads(sidecar_bytes(sidecar_document(meta, record, FACTS, **settings)))


def same(one, other) -> bool:
    """Equal in kind, value and order; NaN equals NaN."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return both_nan or (type(one) is type(other) and one == other)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_unknown_keys_keep_order_text_and_numbers(keys):
    source = json.dumps(keys | {"month": 3, "biome_code": 2})
    found = document_of(source)
    assert same(
        {key: found[key] for key in found if key not in ("stage", "timestamp", "processing")}, json.loads(source)
    )
    assert list(found)[: len(keys) + 2] == list(json.loads(source))


@pytest.mark.parametrize(
    ("number", "written"),
    [("1e400", "Infinity"), ("-1e400", "-Infinity"), ("NaN", "NaN"), ("0.1", "0.1"), ("1.0", "1.0"), ("-0.0", "-0.0"),
     ("12345678901234567890123", "12345678901234567890123"), ("5e-324", "5e-324")],
)  # fmt: skip
def test_numbers_are_written_as_they_were(number, written):
    meta = read_sidecar(f'{{"x": {number}}}'.encode(), "t")
    assert f'"x": {written},' in sidecar_bytes(sidecar_document(meta, RECORD, FACTS)).decode()


def test_text_is_written_as_it_is():
    meta = read_sidecar('{"höhe": "雪 😀"}'.encode(), "t")
    assert '"höhe": "雪 😀"' in sidecar_bytes(sidecar_document(meta, RECORD, FACTS)).decode()


def test_month_and_biome_become_integers_at_their_place():
    found = document_of('{"name": "x", "month": "Sept", "after": 1}')
    assert list(found)[:4] == ["name", "month", "after", "biome_code"]
    assert (found["month"], found["biome_code"]) == (9, 0)
    assert found["processing"]["defaults_used"] == ["biome_code"] and found["processing"]["input_month"] == "Sept"


def test_missing_sidecar_shows_the_defaults():
    found = document_of(None)
    assert (found["month"], found["biome_code"]) == (6, 0)
    assert found["processing"]["defaults_used"] == ["month", "biome_code"]


def test_stage_and_time_in_utc_to_the_second():
    moment = datetime(2026, 5, 4, 3, 2, 1, 999_999, timezone(timedelta(hours=2)))
    found = document_of("{}", timestamp=moment)
    assert (found["stage"], found["timestamp"]) == ("stage2_refined", "2026-05-04T01:02:01+00:00")
    now = datetime.fromisoformat(document_of("{}")["timestamp"])
    assert abs(datetime.now(UTC) - now) < timedelta(seconds=60)


def test_processing_says_what_ran():
    assert document_of("{}", processing_time_ms=12.34567, worker=3)["processing"] == {
        "input_file": "in/a/t.npz",
        "checkpoint": "weights/x",
        "device_requested": "cuda",
        "use_amp": True,
        "device": "cpu",
        "precision": "bf16",
        "batch_size": 4,
        "oom_events": [{"action": "halve batch", "device": "cuda:0", "batch_size": 8, "tiles": ["t"]}],
        "input_layout": "opt_v1",
        "padded_to": [16, 16],
        "clipped_fraction": 0.25,
        "valid_fraction": 0.5,
        "defaults_used": ["month", "biome_code"],
        "input_month": None,
        "input_sha256": "a" * 64,
        "sidecar_sha256": "b" * 64,
        "output_sha256": RECORD.output.digest,
        "checkpoint_id": "c" * 64,
        "config_id": "d" * 64,
        "code_version": "1.2",
        "processing_time_ms": 12.346,
        "worker": 3,
    }


@pytest.mark.parametrize(("precision", "use_amp"), [("fp32", False), ("bf16", True), ("fp16", True)])
def test_amp_is_what_ran(precision, use_amp):
    record = RECORD.model_copy(update={"precision": precision})
    assert document_of("{}", record)["processing"]["use_amp"] is use_amp


def test_values_of_earlier_runs_move_into_the_history():
    found = document_of('{"stage": "stage1", "x": 1, "timestamp": "then", "processing": {"a": 1}}')
    assert found["history"] == [{"stage": "stage1", "timestamp": "then", "processing": {"a": 1}}]
    assert list(found) == ["x", "month", "biome_code", "history", "stage", "timestamp", "processing"]
    assert found["stage"] == "stage2_refined" and found["x"] == 1


def test_history_grows_and_is_left_alone_without_need():
    grown = document_of('{"history": [{"stage": "stage0"}], "stage": "stage1"}')
    assert grown["history"] == [{"stage": "stage0"}, {"stage": "stage1"}]
    assert document_of('{"history": [{"stage": "stage0"}]}')["history"] == [{"stage": "stage0"}]
    assert document_of('{"history": "old town", "stage": null}')["history"] == ["old town", {"stage": None}]


def test_sidecar_of_a_sidecar_keeps_everything():
    first = document_of('{"month": "jun", "x": 1}')
    second = document_of(json.dumps(first))
    assert second["history"] == [{key: first[key] for key in ("stage", "timestamp", "processing")}]
    assert second["month"] == 6 and second["processing"]["input_month"] is None


def test_source_metadata_is_left_as_it_is():
    meta = TileMeta(extra={"history": [1], "stage": "stage1"})
    sidecar_document(meta, RECORD, FACTS)
    assert meta.extra == {"history": [1], "stage": "stage1"}
