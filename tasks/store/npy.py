"""The header of a `.npy` member, read within limits: three literals, nothing that names a type of Python.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import ast
import math
import re
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from tasks.contracts.errors import UnsafeArchiveError

MAX_HEADER_BYTES = 10_000
MAX_DIMENSIONS = 32
PLAIN_KINDS = "biufcmMSU"
REMEDY = "Make the file again with numpy.savez from plain numeric or string arrays."

_MAGIC = b"\x93NUMPY"
_LENGTH_FORMAT = {(1, 0): "<H", (2, 0): "<I"}
_MAX_LENGTH = 1 << 63
_KEYS = {"descr", "fortran_order", "shape"}
_PLAIN_DTYPE = re.compile(r"[<>|=]?[biufcmMSUVO]\d*(\[\w+\])?")
# What the Python parser raises on text that is no literal, or one that is nested without end.
_PARSER_FAULTS = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)


@dataclass(frozen=True)
class NpyHeader:
    """An array as it is stored: what a reader that converts to native C order has to warn about."""

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran_order: bool
    header_bytes: int

    @property
    def data_bytes(self) -> int:
        """Declared size of the data."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def native(self) -> bool:
        """Whether the stored bytes are those of a native C-order array."""
        return self.dtype.isnative and (not self.fortran_order or len(self.shape) < 2)


def read_header(stream: BinaryIO, where: str, max_bytes: int) -> NpyHeader:
    """Read and check a header; the stream then stands at the data.

    Raises UnsafeArchiveError for anything but a plain array of at most `max_bytes`.
    """
    start = stream.read(8)
    version = tuple(start[6:8])
    if start[:6] != _MAGIC or version not in _LENGTH_FORMAT:
        raise unsafe("is not a .npy array of version 1 or 2", where, found=start)
    length_bytes = stream.read(struct.calcsize(_LENGTH_FORMAT[version]))
    text = stream.read(_declared_length(length_bytes, _LENGTH_FORMAT[version], where))
    fields = _fields(text, where)
    header_bytes = len(start) + len(length_bytes) + len(text)
    header = NpyHeader(_dtype(fields["descr"], where), fields["shape"], fields["fortran_order"], header_bytes)
    _check_kind(header, where)
    _check_size(header, where, max_bytes)
    return header


def unsafe(what: str, where: str, *, expected: object = None, found: object = None) -> UnsafeArchiveError:
    """An UnsafeArchiveError with the advice that fits all of them."""
    return UnsafeArchiveError(what, where=where, expected=expected, found=found, remedy=REMEDY)


def _declared_length(length_bytes: bytes, layout: str, where: str) -> int:
    if len(length_bytes) < struct.calcsize(layout):
        raise unsafe("is truncated within its .npy header", where)
    length = struct.unpack(layout, length_bytes)[0]
    if length > MAX_HEADER_BYTES:
        raise unsafe("has too long a header", where, expected=f"at most {MAX_HEADER_BYTES} bytes", found=length)
    return length


def _fields(text: bytes, where: str) -> dict[str, Any]:
    try:
        fields = ast.literal_eval(text.decode("latin1").strip())
    except _PARSER_FAULTS as error:
        raise unsafe("has a damaged .npy header", where, found=type(error).__name__) from error
    if not isinstance(fields, dict) or set(fields) != _KEYS or type(fields["fortran_order"]) is not bool:
        raise unsafe("has a damaged .npy header", where, expected=f"keys {sorted(_KEYS)}", found=_short(fields))
    shape = fields["shape"]
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n < _MAX_LENGTH for n in shape):
        raise unsafe("has an impossible shape", where, found=_short(shape))
    return fields


def _dtype(descr: Any, where: str) -> np.dtype:
    if not isinstance(descr, str) or not _PLAIN_DTYPE.fullmatch(descr):
        raise unsafe("holds no plain numbers or strings", where, found=f"dtype {_short(descr)}")
    try:
        return np.dtype(descr)
    except (TypeError, ValueError, OverflowError) as error:
        raise unsafe("has a dtype that numpy does not know", where, found=_short(descr)) from error


def _check_kind(header: NpyHeader, where: str) -> None:
    if header.dtype.hasobject:
        raise unsafe("holds Python objects", where, expected="a plain dtype", found=f"dtype {header.dtype}")
    if header.dtype.kind not in PLAIN_KINDS:
        raise unsafe("holds no plain numbers or strings", where, found=f"dtype {_short(header.dtype)}")


def _check_size(header: NpyHeader, where: str, max_bytes: int) -> None:
    if len(header.shape) > MAX_DIMENSIONS:
        raise unsafe("has an impossible shape", where, found=_short(header.shape))
    # Axes of length 0 and items of 0 bytes count as 1, so that they hide no huge other axis.
    claimed = math.prod(max(length, 1) for length in header.shape) * max(header.dtype.itemsize, 1)
    if claimed > max_bytes:
        found = f"{claimed} bytes, shape {_short(header.shape)}"
        raise unsafe("claims too much", where, expected=f"at most {max_bytes} bytes", found=found)


def _short(value: object) -> str:
    text = str(value) or type(value).__name__
    return text if len(text) <= 120 else f"{text[:117]}..."
