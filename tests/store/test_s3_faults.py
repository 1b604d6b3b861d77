"""A writer or a server that dies at a bad moment: nothing partial shows, what was finished stays, nobody hangs."""

import random
import threading
import time

import pytest

from tasks.contracts.errors import StoreError
from tasks.store.blobs import Store, blob_key
from tasks.store.gc import delete, garbage
from tasks.store.remote import PART_BYTES
from tests.engines import clients

LONGEST_S = 30
KEY = blob_key("a" * 64)


def test_writer_killed_between_parts_leaves_nothing_that_shows(s3, s3_root):
    (writer,) = clients.start(s3.environment(), ("upload", s3_root, "a" * 64, 50))
    clients.go(writer)
    while writer.stdout.readline() != "4\n":
        pass
    writer.kill()
    writer.wait()
    store = Store(s3_root)
    assert store.place.stamp(KEY) is None
    assert list(store.place.listing("sha256")) == []
    plan = garbage(store, [], min_age_s=0)
    assert [item.digest for item in plan.garbage] == [None] and plan.bytes >= 2 * PART_BYTES
    assert garbage(store, []).young == 1
    assert delete(store, plan) == 1
    assert garbage(store, [], min_age_s=0).count == 0


def test_writers_killed_at_random_moments_show_all_or_nothing(s3, s3_root):
    store, chance, size = Store(s3_root), random.Random(1), 3 * PART_BYTES
    writers = clients.start(s3.environment(), *[("put_same", s3_root, size)] * 3)
    ref = Store("memory://sizes").put_bytes(b"s" * size, name="same.bin")
    for writer in writers:
        clients.go(writer)
        time.sleep(chance.uniform(0.05, 0.6))
        writer.kill()
        writer.wait()
        stamp = store.place.stamp(blob_key(ref.digest))
        assert stamp is None or store.get_bytes(ref) == b"s" * size


@pytest.fixture
def fragile(s3, s3_root):
    """A store with one blob whose server may be killed or frozen; it runs again afterwards."""
    store = Store(s3_root)
    store.put_bytes(b"committed", name="x")
    yield store
    s3.thaw_gateway() if "rgw" in s3.daemons else s3.start_gateway()


def test_server_killed_during_an_upload(s3, fragile):
    def chunks():
        for i in range(6):
            if i == 3:
                s3.kill_gateway()
            yield bytes(PART_BYTES)

    began = time.monotonic()
    with pytest.raises(StoreError, match=r"could not write it: found no answer .*AWS_ENDPOINT_URL"):
        fragile.place.write(KEY, chunks())
    assert time.monotonic() - began < LONGEST_S
    s3.start_gateway()
    assert fragile.place.stamp(KEY) is None
    assert fragile.get_bytes(fragile.put_bytes(b"committed", name="x")) == b"committed"


def test_server_killed_during_a_read(s3, fragile):
    ref = fragile.put_bytes(bytes(2 * PART_BYTES), name="large")
    pieces = fragile.place.chunks(blob_key(ref.digest))
    next(pieces)
    s3.kill_gateway()
    began = time.monotonic()
    with pytest.raises(StoreError, match="could not read it"):
        list(pieces)
    assert time.monotonic() - began < LONGEST_S
    s3.start_gateway()
    assert fragile.get_bytes(ref) == bytes(2 * PART_BYTES)


def test_server_that_never_answers(s3, fragile):
    s3.freeze_gateway()
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"no answer \(ReadTimeoutError\)"):
        fragile.put_bytes(b"abc", name="y")
    assert time.monotonic() - began < LONGEST_S


def test_server_that_comes_back_in_time_is_no_failure(s3, fragile):
    s3.freeze_gateway()
    waker = threading.Timer(2, s3.thaw_gateway)
    waker.start()
    assert fragile.get_bytes(fragile.put_bytes(b"abc", name="y")) == b"abc"
    waker.join()
