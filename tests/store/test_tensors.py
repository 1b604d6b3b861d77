"""Safetensors come back; files that lie about themselves are refused."""

import json

import numpy as np
import pytest

from tasks.contracts.errors import UnsafeArchiveError
from tasks.store.tensors import TensorLimits, read_safetensors

safetensors = pytest.importorskip("safetensors.numpy", reason="the package safetensors is not installed")


def packed(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape: list, span: list, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": span}


def test_tensors_come_back():
    tensors = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3, np.int64), "e": np.zeros((0, 2))}
    read = read_safetensors(safetensors.save(tensors, metadata={"format": "np"}), name="w.safetensors")
    assert sorted(read) == ["e", "n", "w"]
    for key, array in tensors.items():
        np.testing.assert_array_equal(read[key], array)
        assert read[key].dtype == array.dtype


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is truncated"),
        (b"\xff" * 8, "is truncated"),
        ((100).to_bytes(8, "little") + b"{}", "is truncated"),
        (packed([]), "damaged header: expected an object"),
        ((2).to_bytes(8, "little") + b"{x", "damaged header"),
        (packed({"w": entry([2], [0, 8])}, bytes(4)), "overlap or leave gaps"),
        (packed({"w": entry([2], [0, 8])}, bytes(9)), "overlap or leave gaps"),
        (packed({"a": entry([1], [0, 4]), "b": entry([2], [0, 8])}, bytes(8)), "overlap or leave gaps"),
        (packed({"w": entry([2**40], [0, 8])}, bytes(8)), "'w' has another size than its shape says"),
        (packed({"w": entry([-1], [0, 8])}, bytes(8)), "'w' has a damaged header entry"),
        (packed({"w": entry([2], [0, 8], dtype="PICKLE")}, bytes(8)), "'w' has an unusable dtype"),
        (packed({"w": 3}), "'w' has a damaged header entry"),
        (packed({"w": {"dtype": [], "shape": [1], "data_offsets": [0, 4]}}, bytes(4)), "unusable dtype"),
    ],
)
def test_lies_are_refused_by_name(data, message):
    with pytest.raises(UnsafeArchiveError, match=rf"w\.safetensors.*{message}"):
        read_safetensors(data, name="w.safetensors")


def test_every_truncation_is_refused():
    data = safetensors.save({"w": np.arange(5.0)})
    for length in range(len(data)):
        with pytest.raises(UnsafeArchiveError):
            read_safetensors(data[:length], name="w.safetensors")


def test_limits_are_named():
    data = safetensors.save({"a": np.zeros(100), "b": np.zeros(1)})
    with pytest.raises(UnsafeArchiveError, match="claims too much: expected at most 100 bytes"):
        read_safetensors(data, name="w", limits=TensorLimits(max_bytes=100))
    with pytest.raises(UnsafeArchiveError, match="too many tensors: expected at most 1, found 2"):
        read_safetensors(data, name="w", limits=TensorLimits(max_tensors=1))
    with pytest.raises(UnsafeArchiveError, match="too long a header: expected at most 10 bytes"):
        read_safetensors(data, name="w", limits=TensorLimits(max_header_bytes=10))
