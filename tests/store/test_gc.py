"""Only what nothing reaches is listed, nothing is deleted unasked, and never in doubt."""

import os
from pathlib import Path

import pytest

from tasks.contracts.errors import StoreError
from tasks.contracts.refs import ArtifactRef
from tasks.store.blobs import Store, blob_key
from tasks.store.gc import delete, garbage, refs_in


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def put_old(store: Store, data: bytes, name: str = "blob") -> ArtifactRef:
    ref = store.put_bytes(data, name=name)
    age(Path(store.root) / blob_key(ref.digest))
    return ref


def put_old_json(store: Store, obj: object) -> ArtifactRef:
    ref = store.put_json(obj, name="record.json")
    age(Path(store.root) / blob_key(ref.digest))
    return ref


def age(path: Path) -> None:
    os.utime(path, (1_600_000_000, 1_600_000_000))


def digests(plan) -> set[str]:
    return {item.digest for item in plan.garbage}


def test_unreachable_blobs_are_listed_with_count_and_bytes(store):
    kept, lost, more = put_old(store, b"kept"), put_old(store, b"lost"), put_old(store, b"lost too")
    plan = garbage(store, [kept])
    assert digests(plan) == {lost.digest, more.digest}
    assert (plan.count, plan.bytes, plan.reachable, plan.young) == (2, 12, 1, 0)
    assert store.holds(lost)


def test_references_inside_json_are_followed_to_any_depth(store):
    leaf = put_old(store, b"leaf")
    middle = put_old_json(store, {"files": [{"ref": leaf.model_dump()}]})
    root = put_old_json(store, [{"middle": middle.model_dump() | {"note": "more keys"}}])
    lost = put_old(store, b"lost")
    assert digests(garbage(store, [root])) == {lost.digest}


def test_young_blobs_are_protected(store):
    young = store.put_bytes(b"young", name="x")
    plan = garbage(store, [])
    assert (plan.count, plan.young) == (0, 1)
    assert digests(garbage(store, [], min_age_s=0)) == {young.digest}


def test_delete_takes_what_the_plan_lists(store):
    kept, lost = put_old(store, b"kept"), put_old(store, b"lost")
    assert delete(store, garbage(store, [kept])) == 1
    assert store.holds(kept) and not store.holds(lost)


def test_blob_that_is_put_again_after_the_plan_stays(store):
    lost = put_old(store, b"lost")
    plan = garbage(store, [])
    store.put_bytes(b"lost", name="x")
    assert delete(store, plan) == 0
    assert store.get_bytes(lost) == b"lost"


@pytest.mark.parametrize("damage", ["missing", "tampered"])
def test_nothing_is_deleted_while_a_record_cannot_be_read(store, damage):
    leaf = put_old(store, b"leaf")
    root = put_old_json(store, {"leaf": leaf.model_dump()})
    path = Path(store.root) / blob_key(root.digest)
    if damage == "missing":
        path.unlink()
    else:
        path.chmod(0o644)
        path.write_bytes(b"{}")
    plan = garbage(store, [root])
    assert plan.unread == (f"record.json ({root.digest})",)
    with pytest.raises(StoreError, match=r"cannot delete safely.*found record\.json"):
        delete(store, plan)
    assert store.holds(leaf)


@pytest.mark.parametrize("foreign", [b"not json", b"[" * 100 + b"]" * 100])
def test_files_of_others_that_are_only_called_json_hold_no_references(store, foreign):
    kept, lost = put_old(store, foreign, name="manifest.json"), put_old(store, b"lost")
    plan = garbage(store, [kept])
    assert plan.unread == () and digests(plan) == {lost.digest}


def test_missing_weights_hide_nothing(store):
    lost = put_old(store, b"lost")
    gone = ArtifactRef(digest="0" * 64, size=1, media_type="application/x-hdf5", name="weights.h5")
    assert delete(store, garbage(store, [gone])) == 1
    assert not store.holds(lost)


def test_leavings_of_interrupted_writes_go_when_old(store):
    kept = put_old(store, b"kept")
    folder = (Path(store.root) / blob_key(kept.digest)).parent
    for name in (".tmp-1-old", ".tmp-2-new"):
        (folder / name).write_bytes(b"half")
    age(folder / ".tmp-1-old")
    plan = garbage(store, [kept])
    assert [(Path(item.key).name, item.digest) for item in plan.garbage] == [(".tmp-1-old", None)]
    assert delete(store, plan) == 1
    assert (folder / ".tmp-2-new").exists()


def test_files_of_other_kinds_are_none_of_its_business(store):
    for name in ("sha256/README", "sha256/ab/notes.txt", "refs/model", "progress/x/1/weights", "quarantine/x"):
        path = Path(store.root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        age(path)
    assert garbage(store, []).count == 0


def test_records_that_refer_to_each_other_end(store):
    a = put_old_json(store, {"x": 1})
    b = put_old_json(store, {"a": a.model_dump(), "again": [a.model_dump()] * 3})
    assert garbage(store, [b, a, b]).count == 0


def test_refs_in_plain_values():
    ref = ArtifactRef(digest="a" * 64, size=3, media_type="text/csv", name="x.csv")
    damaged = ref.model_dump() | {"digest": "short"}
    obj = {"one": ref.model_dump(), "two": [damaged, {"name": "x", "size": 1}], "three": None}
    assert list(refs_in(obj)) == [ref]


def test_answers_that_nobody_took_go_when_they_are_old(store):
    for name in ("old", "young"):
        store.place.write(f"answers/{name}.json", (b"{}",))
    age(Path(store.root) / "answers/old.json")
    plan = garbage(store, [])
    assert [item.key for item in plan.garbage] == ["answers/old.json"] and plan.young == 1
    assert digests(plan) == {None}
    assert delete(store, plan) == 1
