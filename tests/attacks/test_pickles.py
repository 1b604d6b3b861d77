"""Archives that carry Python objects: refused, and nothing of them runs."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.errors import UnsafeArchiveError
from tasks.store.blobs import Store
from tasks.store.npz import read_headers, read_npz
from tasks.store.unpack import unpack_npz


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "executed"


def object_archive(mark: Path) -> bytes:
    buffer = io.BytesIO()
    array = np.empty(1, object)
    array[0] = Payload(mark)
    np.savez(buffer, x=array)
    return buffer.getvalue()


def raw_pickle_as_member(mark: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Payload(mark)))
    return buffer.getvalue()


def bare_pickle(mark: Path) -> bytes:
    return pickle.dumps(Payload(mark))


def structured_dtype_with_an_object(mark: Path) -> bytes:
    buffer = io.BytesIO()
    array = np.empty(1, np.dtype([("a", "f8"), ("b", object)]))
    array["b"][0] = Payload(mark)
    np.savez(buffer, x=array)
    return buffer.getvalue()


@pytest.mark.parametrize("attack", [object_archive, raw_pickle_as_member, bare_pickle, structured_dtype_with_an_object])
@pytest.mark.parametrize("read", ["read_npz", "read_headers", "unpack", "store"])
def test_nothing_runs(tmp_path, mark, attack, read):
    data = attack(mark)
    with pytest.raises(UnsafeArchiveError, match=r"val_targets\.npz"):
        if read == "read_npz":
            read_npz(data, name="val_targets.npz")
        elif read == "read_headers":
            read_headers(data, name="val_targets.npz")
        elif read == "unpack":
            unpack_npz(data, tmp_path / "maps", name="val_targets.npz")
        else:
            store = Store(tmp_path / "store")
            store.get_npz(store.put_bytes(data, name="val_targets.npz"))
    assert not mark.exists()


def test_object_array_is_named_for_what_it_is(mark):
    with pytest.raises(
        UnsafeArchiveError, match="'x' holds Python objects: expected a plain dtype, found dtype object"
    ):
        read_npz(object_archive(mark), name="val_targets.npz")


def test_the_attack_would_work_on_a_careless_reader(mark):
    with np.load(io.BytesIO(object_archive(mark)), allow_pickle=True) as archive:
        archive["x"]
    assert mark.is_dir()
