"""Safe reader of `.npz`: directory and headers are checked against limits before anything is allocated."""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tasks.contracts.errors import MissingInputError
from tasks.store.failures import typed
from tasks.store.npy import NpyHeader, read_header, unsafe

# One read of the archive. A directory of the permitted members fits; one of a hundred thousand does not.
_READ_BYTES = 128 << 10
_CHUNK_BYTES = 64 << 10
_MEMBER_NAME = re.compile(r"[^/\\\0]+\.npy")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
# What zipfile raises on bytes that are no zip archive, or a damaged one.
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True)
class NpzLimits:
    """What an archive may claim."""

    max_bytes: int = 2 << 30  # of all arrays together, unpacked
    max_ratio: float = 1000.0  # unpacked to packed; a member must stay below it
    max_members: int = 64
    # Constant arrays (all NaN, one thickness) reach the highest ratio that deflate knows: harmless while small.
    ratio_free_bytes: int = 4 << 20


DEFAULT_LIMITS = NpzLimits()


def read_npz(
    source: bytes | Path, *, name: str | None = None, limits: NpzLimits = DEFAULT_LIMITS
) -> dict[str, np.ndarray]:
    """All arrays of an archive, native and in C order, of the stored kind and width.

    `name` is what error messages call it. Raises UnsafeArchiveError, MissingInputError, StoreError.
    """
    return {key: array for key, _, array in iterate_npz(source, name=name, limits=limits)}


def read_headers(
    source: bytes | Path, *, name: str | None = None, limits: NpzLimits = DEFAULT_LIMITS
) -> dict[str, NpyHeader]:
    """How the arrays are stored (byte order, width, order of axes), without reading their data."""
    with _opened(source, name, limits) as (archive, label):
        return {_key(member): _header(archive, member, label, limits)[0] for member in archive.infolist()}


def iterate_npz(
    source: bytes | Path, *, name: str | None = None, limits: NpzLimits = DEFAULT_LIMITS
) -> Iterator[tuple[str, NpyHeader, np.ndarray]]:
    """Name, stored form and array of one member after the other, in the order of the archive."""
    with _opened(source, name, limits) as (archive, label):
        for member in archive.infolist():
            header, stream = _header(archive, member, label, limits)
            with stream:
                array = _array(stream, header, f"{label} '{_key(member)}'")
            yield _key(member), header, array


@contextmanager
def _opened(source: bytes | Path, name: str | None, limits: NpzLimits) -> Iterator[tuple[zipfile.ZipFile, str]]:
    label = name or (source.name if isinstance(source, Path) else "archive")
    with _stream(source, label) as stream:
        try:
            with zipfile.ZipFile(_SmallReads(stream, label)) as archive:
                _check_directory(archive, label, stream.seek(0, io.SEEK_END), limits)
                yield archive, label
        except _ZIP_FAULTS as error:
            raise unsafe("is not a readable zip archive", label, found=str(error) or type(error).__name__) from error


@contextmanager
def _stream(source: bytes | Path, label: str) -> Iterator[BinaryIO]:
    if not isinstance(source, Path):
        yield io.BytesIO(source)
        return
    if not source.is_file():
        raise MissingInputError("does not exist", where=str(source), remedy="Check the path.")
    with typed("read", str(source)), source.open("rb") as stream:
        yield stream


class _SmallReads:
    """A stream that refuses large reads, so that zipfile never holds a directory larger than the limits allow."""

    def __init__(self, stream: BinaryIO, label: str):
        self._stream, self._label = stream, label
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size if 0 <= size <= _READ_BYTES else _READ_BYTES + 1)
        if len(data) > _READ_BYTES:
            limit = f"at most {_READ_BYTES} bytes"
            raise unsafe("has too large a zip directory (too many members)", self._label, expected=limit)
        return data


def _check_directory(archive: zipfile.ZipFile, label: str, archive_bytes: int, limits: NpzLimits) -> None:
    members = archive.infolist()
    if len(members) > limits.max_members:
        raise unsafe("has too many members", label, expected=f"at most {limits.max_members}", found=len(members))
    for member in members:
        _check_member(member, f"{label} {member.filename[:80]!r}")
    names = [member.filename for member in members]
    if twice := {name for name in names if names.count(name) > 1}:
        raise unsafe("holds a member twice", label, found=", ".join(sorted(twice)))
    declared, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    if declared > limits.max_bytes:
        raise unsafe("claims too much", label, expected=f"at most {limits.max_bytes} bytes", found=declared)
    if packed > archive_bytes:
        raise unsafe("claims more packed bytes than it has", label, expected=archive_bytes, found=packed)
    _check_ratio(members, label, limits)


def _check_member(member: zipfile.ZipInfo, where: str) -> None:
    if not _MEMBER_NAME.fullmatch(member.filename):
        raise unsafe("is not a .npy member at the top level", where)
    if member.flag_bits & _ENCRYPTED:
        raise unsafe("is encrypted", where)
    if member.compress_type not in _METHODS:
        raise unsafe("is packed by an unusual method", where, expected="stored or deflated", found=member.compress_type)


def _check_ratio(members: list[zipfile.ZipInfo], label: str, limits: NpzLimits) -> None:
    dense = [m for m in members if m.file_size >= limits.max_ratio * max(m.compress_size, 1)]
    if sum(m.file_size for m in dense) <= limits.ratio_free_bytes:
        return
    worst = max(dense, key=lambda m: m.file_size)
    found = f"{worst.file_size} from {worst.compress_size} bytes"
    where = f"{label} '{_key(worst)}'"
    raise unsafe("unpacks to suspiciously much", where, expected=f"less than {limits.max_ratio:g}:1", found=found)


def _header(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, label: str, limits: NpzLimits
) -> tuple[NpyHeader, BinaryIO]:
    where = f"{label} '{_key(member)}'"
    stream = archive.open(member)
    header = read_header(stream, where, limits.max_bytes)
    if header.header_bytes + header.data_bytes != member.file_size:
        expected = f"{header.data_bytes} bytes for shape {header.shape} of {header.dtype}"
        found = f"{member.file_size - header.header_bytes} bytes"
        raise unsafe("has another size than its header says", where, expected=expected, found=found)
    return header, stream


def _array(stream: BinaryIO, header: NpyHeader, where: str) -> np.ndarray:
    raw = np.empty(header.data_bytes, np.uint8)
    filled = 0
    while chunk := stream.read(_CHUNK_BYTES):  # to its end, where the checksum is verified
        raw[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
        filled += len(chunk)
    if filled != header.data_bytes:
        raise unsafe("is truncated", where, expected=f"{header.data_bytes} bytes", found=filled)
    if header.data_bytes == 0:
        return np.zeros(header.shape, header.dtype.newbyteorder("="))
    stored = raw.view(header.dtype).reshape(header.shape, order="F" if header.fortran_order else "C")
    return np.asarray(stored, dtype=header.dtype.newbyteorder("="), order="C")


def _key(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")
