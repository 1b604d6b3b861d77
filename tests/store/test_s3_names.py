"""Names, progress, clean-up and listings on a real S3 server."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.contracts.errors import DigestMismatchError, StoreError
from tasks.store.blobs import Store, blob_key
from tasks.store.gc import delete, garbage
from tasks.store.progress import Progress
from tasks.store.refs import NamedRefs
from tasks.store.telemetry import load_telemetry, save_telemetry
from tests.engines import clients


def test_names_are_bound_once(s3_root):
    refs = NamedRefs(s3_root)
    assert refs.create("models/a", b"one") is True
    assert refs.create("models/a", b"one") is False
    with pytest.raises(StoreError, match="name 'models/a' is taken"):
        refs.create("models/a", b"two")
    assert NamedRefs(s3_root).list("models/") == ["models/a"]


def test_of_two_processes_that_bind_a_name_at_one_moment_exactly_one_wins(s3, s3_root):
    rounds = 50
    racers = clients.start(s3.environment(), *[("bind", s3_root, name, rounds) for name in ("one", "two")])
    clients.go(*racers, line=str(time.time() + 0.5))
    one, two = clients.answers(*racers)
    assert [first + second for first, second in zip(one, two)] == [1] * rounds
    winners = [NamedRefs(s3_root).get(f"slot/{i}") for i in range(rounds)]
    assert winners == [b"one" if first else b"two" for first in one]


def test_put_on_a_condition_refuses_by_itself(s3_root, monkeypatch):
    place = Store(s3_root).place
    place.create("refs/a", b"first")
    monkeypatch.setattr(type(place), "stamp", lambda *_: None)  # as if the other writer came between look and put
    assert place.create("refs/a", b"second") is False
    assert b"".join(place.chunks("refs/a")) == b"first"


@pytest.fixture
def no_conditions(s3_root, monkeypatch):
    """The server, as if it knew no conditional put."""
    fs = Store(s3_root).place.fs
    put = fs.pipe_file

    def unconditional(path, data, mode="overwrite"):
        if mode == "create":
            raise OSError(38, "A header you provided implies functionality that is not implemented")
        put(path, data)

    monkeypatch.setattr(fs, "pipe_file", unconditional)


def test_read_back_stands_in_for_conditions(no_conditions, s3_root):
    refs = NamedRefs(s3_root)
    assert refs.create("a", b"one")
    with pytest.raises(StoreError, match="is taken"):
        refs.create("a", b"two")


def test_damaged_name_is_refused(s3_root, objects):
    NamedRefs(s3_root).create("a", b"one")
    objects.pipe_file(f"{s3_root}/refs/a", objects.cat_file(f"{s3_root}/refs/a")[:-1])
    with pytest.raises(DigestMismatchError, match="name 'a' is damaged"):
        NamedRefs(s3_root).get("a")


def test_progress_survives_and_goes(s3_root, objects):
    Progress(s3_root, "train-1").save({"weights": b"1", "state": b"a"})
    Progress(s3_root, "train-1").save({"weights": b"2", "state": b"b"})
    assert Progress(s3_root, "train-1").load() == {"weights": b"2", "state": b"b"}
    assert len(objects.find(f"{s3_root}/progress")) == 3
    Progress(s3_root, "train-1").drop()
    assert Progress(s3_root, "train-1").load() is None and objects.find(s3_root) == []


def test_progress_without_its_marker_does_not_count(s3_root, objects):
    Progress(s3_root, "train-1").save({"weights": b"1"})
    objects.pipe_file(f"{s3_root}/progress/train-1/00000002-abcd/weights", b"half")
    assert Progress(s3_root, "train-1").load() == {"weights": b"1"}


def test_telemetry_is_replaced(s3_root):
    store = Store(s3_root)
    for seconds in (1.5, 2.5):
        save_telemetry(store, "train-1", {"wall_s": seconds})
    assert load_telemetry(store, "train-1") == {"wall_s": 2.5}


def test_unreachable_blobs_are_listed_then_deleted(s3_root):
    store = Store(s3_root)
    leaf, lose = store.put_bytes(b"leaf", name="leaf"), store.put_bytes(b"lose", name="lose")
    keep = store.put_json({"leaf": leaf.model_dump()}, name="keep.json")
    assert (garbage(store, [keep]).count, garbage(store, [keep]).young) == (0, 1)
    plan = garbage(store, [keep], min_age_s=0)
    assert [item.digest for item in plan.garbage] == [lose.digest] and store.holds(lose)
    assert delete(store, plan) == 1
    assert (store.holds(keep), store.holds(leaf), store.holds(lose)) == (True, True, False)


def test_gc_command_lists_and_deletes_unfinished_uploads_too(s3_root, objects, monkeypatch):
    from typer.testing import CliRunner

    from tasks.cli import store as command
    from tasks.store import gc

    key = f"{s3_root.removeprefix('s3://')}/{blob_key('a' * 64)}"
    bucket, _, name = key.partition("/")
    upload = objects.call_s3("create_multipart_upload", Bucket=bucket, Key=name)["UploadId"]
    objects.call_s3("upload_part", Bucket=bucket, Key=name, UploadId=upload, PartNumber=1, Body=b"half")
    Store(s3_root).put_bytes(b"lose", name="lose")
    monkeypatch.setenv("STAGEGATE_STORE", s3_root)
    monkeypatch.setattr(gc.garbage, "__kwdefaults__", {"min_age_s": 0})
    for options, deleted in ((["--dry-run"], False), (["--yes"], True)):
        done = CliRunner().invoke(command.app, ["gc", *options, "--json"])
        answer = json.loads(done.stdout.splitlines()[-1])
        assert (answer["count"], answer["bytes"], answer["deleted"]) == (2, 8, deleted), done.output
    assert objects.find(s3_root) == []
    assert list(Store(s3_root).place.listing("")) == []


def test_more_objects_than_one_page_of_a_listing_are_all_seen(s3_root):
    store, count = Store(s3_root), 1_100
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda i: store.place.write(f"refs/many/{i:04d}", (b"x",)), range(count)))
    assert NamedRefs(s3_root).list("many/") == [f"many/{i:04d}" for i in range(count)]


def test_another_process_is_seen_at_once(s3_root, s3):
    store = Store(s3_root)
    assert list(store.place.listing("sha256")) == [] and store.place.stamp("sha256") is None
    (client,) = clients.start(s3.environment(), ("put_own", s3_root, "a", 3))
    clients.go(client)
    (digests,) = clients.answers(client)
    assert [key for key, _ in store.place.listing("sha256")] == sorted(map(blob_key, digests))


def test_siblings_of_the_prefix_are_none_of_its_business(s3_root):
    inner, outer = Store(s3_root), Store(f"{s3_root}0")
    outer.put_bytes(b"other", name="x")
    assert list(inner.place.listing("")) == []
    assert garbage(inner, [], min_age_s=0).count == 0
