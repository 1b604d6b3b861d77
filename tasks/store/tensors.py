"""Safe reader of safetensors: the header is checked against limits and against the file before anything is loaded."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tasks.contracts.errors import DependencyError, HandshakeError, UnsafeArchiveError
from tasks.store.jsons import read_json

_ITEM_BYTES = {
    "BOOL": 1, "I8": 1, "U8": 1, "I16": 2, "U16": 2, "F16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8,
    "F64": 8,
}  # fmt: skip
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class TensorLimits:
    """What a safetensors file may claim."""

    max_bytes: int = 2 << 30
    max_header_bytes: int = 4 << 20
    max_tensors: int = 10_000


DEFAULT_LIMITS = TensorLimits()


def read_safetensors(data: bytes, *, name: str, limits: TensorLimits = DEFAULT_LIMITS) -> dict[str, np.ndarray]:
    """All tensors of a file. Raises UnsafeArchiveError; DependencyError where safetensors is not installed."""
    _check_header(data, name, limits)
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError as error:
        remedy = "Install the package safetensors."
        raise DependencyError("cannot be read", where=name, found=error, remedy=remedy) from error
    try:
        return load(data)
    except SafetensorError as error:
        raise _unsafe("is damaged", name, found=error) from error


def _check_header(data: bytes, name: str, limits: TensorLimits) -> None:
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if len(data) < _LENGTH_BYTES or length > len(data) - _LENGTH_BYTES:
        raise _unsafe("is truncated", name, expected=f"a header of {length} bytes", found=f"{len(data)} bytes in all")
    if length > limits.max_header_bytes:
        raise _unsafe("has too long a header", name, expected=f"at most {limits.max_header_bytes} bytes", found=length)
    tensors = _tensors(data[_LENGTH_BYTES : _LENGTH_BYTES + length], name, limits)
    _check_layout(tensors, len(data) - _LENGTH_BYTES - length, name, limits)


def _tensors(text: bytes, name: str, limits: TensorLimits) -> dict[str, Any]:
    try:
        header = read_json(text, name=f"{name} header", max_bytes=limits.max_header_bytes, max_depth=3)
    except HandshakeError as error:
        raise _unsafe("has a damaged header", name, found=error) from error
    if not isinstance(header, dict):
        raise _unsafe("has a damaged header", name, expected="an object", found=type(header).__name__)
    tensors = {key: value for key, value in header.items() if key != "__metadata__"}
    if len(tensors) > limits.max_tensors:
        raise _unsafe("has too many tensors", name, expected=f"at most {limits.max_tensors}", found=len(tensors))
    return tensors


def _check_layout(tensors: dict[str, Any], data_bytes: int, name: str, limits: TensorLimits) -> None:
    spans = sorted(_span(entry, f"{name} '{key}'") for key, entry in tensors.items())
    if sum(end - begin for begin, end in spans) > limits.max_bytes:
        raise _unsafe("claims too much", name, expected=f"at most {limits.max_bytes} bytes")
    edges = [(0, 0), *spans, (data_bytes, data_bytes)]
    if any(left[1] != right[0] for left, right in pairwise(edges)):
        raise _unsafe("has tensors that overlap or leave gaps", name, expected=f"{data_bytes} bytes of data")


def _span(entry: Any, where: str) -> tuple[int, int]:
    shape, offsets = (entry.get("shape"), entry.get("data_offsets")) if isinstance(entry, dict) else (None, None)
    if not (_counts(shape) and _counts(offsets) and len(offsets) == 2):
        raise _unsafe("has a damaged header entry", where)
    dtype = str(entry.get("dtype"))
    if dtype not in _ITEM_BYTES:
        raise _unsafe("has an unusable dtype", where, expected=", ".join(_ITEM_BYTES), found=dtype[:40])
    declared, found = math.prod(shape) * _ITEM_BYTES[dtype], offsets[1] - offsets[0]
    if declared != found:
        raise _unsafe("has another size than its shape says", where, expected=f"{declared} bytes", found=found)
    return offsets[0], offsets[1]


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _unsafe(what: str, where: str, *, expected: object = None, found: object = None) -> UnsafeArchiveError:
    remedy = "Make the file again with safetensors, or name the right file."
    return UnsafeArchiveError(what, where=where, expected=expected, found=found, remedy=remedy)
