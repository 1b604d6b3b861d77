"""The books grow with the run and are complete and ordered at its end."""

import json

import pytest

from tasks.contracts.tiles import TileRecord
from tasks.tiles.journal import Journal


def record(name: str, status: str = "done", **fields) -> TileRecord:
    return TileRecord(id=name, status=status, input_sha256="0" * 64, **fields)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ".stagegate/tmp").mkdir(parents=True)
    return tmp_path


def ids(folder, name: str = "manifest.jsonl") -> list[str]:
    return [json.loads(line)["id"] for line in (folder / ".stagegate" / name).read_text().splitlines()]


def test_lines_of_a_shard_are_there_before_the_run_ends(folder):
    journal = Journal(folder, {"batch_size": 4})
    journal.add([record("b")], {"b": 1.25})
    journal.add([record("a", "failed", error="TileReadError", message="gone", phase="read")], {})
    assert ids(folder) == ["b", "a"]
    assert ids(folder, "errors.jsonl") == ["a"]
    line = json.loads((folder / ".stagegate/manifest.jsonl").read_text().splitlines()[0])
    assert (line["processing_time_ms"], line["status"]) == (1.25, "done")


def test_at_the_end_everything_is_in_the_order_of_the_names(folder):
    journal = Journal(folder, {})
    journal.add([record("b")], {})
    journal.close([record("b"), record("é"), record("a"), record("c", "not_run")], {}, {"found": 4})
    assert ids(folder) == ["a", "b", "c", "é"]
    assert json.loads((folder / ".stagegate/summary.json").read_text()) == {"found": 4}
    assert list((folder / ".stagegate/tmp").iterdir()) == []


def test_nothing_is_written_before_there_is_something_to_say(folder):
    Journal(folder, {})
    assert list(folder.glob(".stagegate/*.json*")) == []


def test_next_run_starts_new_books(folder):
    Journal(folder, {}).add([record("old")], {})
    Journal(folder, {"workers": 2}).add([record("new")], {})
    assert ids(folder) == ["new"]
    assert json.loads((folder / ".stagegate/run_config.json").read_text()) == {"workers": 2}
