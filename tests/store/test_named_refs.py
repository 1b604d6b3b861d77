"""Names are created once, whole, and for good."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.contracts.errors import BlobMissingError, DigestMismatchError, StoreError, UnsafePathError
from tasks.store.refs import NamedRefs

ONE = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
TWO = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"


@pytest.fixture
def refs(tmp_path: Path) -> NamedRefs:
    return NamedRefs(tmp_path)


def test_a_name_gives_its_payload(refs):
    assert refs.create("subsidence/zhongshan", b"one") is True
    assert refs.get("subsidence/zhongshan") == b"one"


def test_equal_payload_again_is_no_error(refs):
    refs.create("a", b"one")
    assert refs.create("a", b"one") is False


def test_other_payload_names_both_digests(refs):
    refs.create("a", b"one")
    with pytest.raises(StoreError, match=f"name 'a' is taken: expected a payload {TWO}, found {ONE}"):
        refs.create("a", b"two")
    assert refs.get("a") == b"one"


def test_free_name(refs):
    with pytest.raises(BlobMissingError, match="name 'a' does not exist"):
        refs.get("a")


def test_names_are_listed_by_prefix_without_leavings_of_writes(refs, tmp_path):
    for name in ("b/2", "b/1", "a"):
        refs.create(name, b"x")
    (tmp_path / "refs" / "b" / ".tmp-1-abc").write_bytes(b"half")
    assert refs.list() == ["a", "b/1", "b/2"]
    assert refs.list("b/") == ["b/1", "b/2"]


def test_list_of_an_empty_store_is_empty(tmp_path):
    assert NamedRefs(tmp_path / "none").list() == []


@pytest.mark.parametrize("name", ["", "../a", "/a", "a//b", ".a", "a/..", "a\0", "a\\b", "a\n", "x" * 300])
def test_unusable_names_are_refused(refs, name):
    with pytest.raises(UnsafePathError):
        refs.create(name, b"x")


@pytest.mark.parametrize("position", [0, 64, 65, 67])
def test_flipped_byte_is_noticed(refs, tmp_path, position):
    refs.create("a", b"one")
    path = tmp_path / "refs" / "a"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(DigestMismatchError, match="name 'a' is damaged"):
        refs.get("a")


def test_one_of_many_writers_wins_and_the_others_are_told(refs):
    def attempt(i: int) -> bool:
        try:
            return refs.create("slot", b"%d" % i)
        except StoreError:
            return False

    with ThreadPoolExecutor(8) as writers:
        outcomes = list(writers.map(attempt, range(32)))
    assert sum(outcomes) == 1
    assert refs.get("slot") == b"%d" % outcomes.index(True)


def test_only_the_name_is_left_on_disk(refs, tmp_path):
    refs.create("a", b"one")
    assert os.listdir(tmp_path / "refs") == ["a"]
