"""Bytes in object storage, through fsspec: an object becomes visible as a whole, by one put or one completed upload.

Address and credentials come from the environment as the storage's own client reads it (for S3: AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or a profile); none of them is ever kept, stored or shown.
"""

import errno
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import fsspec

from tasks.contracts.errors import ConfigError, DependencyError
from tasks.store.failures import typed
from tasks.store.places import CHUNK_BYTES, Stamp
from tasks.store.remote_failures import code_of, remote_error, was_dropped, without_user_info
from tasks.store.uploads import drop, is_upload, stamp_of, unfinished

PART_BYTES = 8 << 20  # the most that one put or one read moves; larger objects go in parts of this size
_S3 = ("s3", "s3a")
# Three attempts of which each may wait this long: a server that is gone or frozen is an error within 30 s.
_CLIENT = {
    "connect_timeout": 3,
    "read_timeout": 8,
    "retries": {"total_max_attempts": 3, "mode": "standard"},
    "max_pool_connections": 32,
    # Checksums of the transport that servers other than Amazon's may not know; every read is verified by sha256.
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}
_CREATE_ATTEMPTS = 3
_TAKEN = {"PreconditionFailed", "412", "ConditionalRequestConflict", "OperationAborted", "409"}
_CONDITION_UNKNOWN = {"NotImplemented", "501", ""}  # the last one: a client that does not tell the server's word


@dataclass(frozen=True)
class RemotePlace:
    """A prefix of an fsspec file system."""

    fs: fsspec.AbstractFileSystem
    root: str

    def path(self, key: str) -> str:
        """Where the bytes of a key lie."""
        return f"{self.root}/{key}"

    def stamp(self, key: str) -> Stamp | None:
        """Size and age, or None where nothing lies."""
        with self._typed("look at", key):
            if not self._is_s3:
                return self._info(key)
            return stamp_of(self.fs, self.root, key) if is_upload(key) else self._head(key)

    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes in pieces of at most CHUNK_BYTES."""
        start, part = 0, b""
        while start == 0 or len(part) == PART_BYTES:
            with self._typed("read", key):
                part = self._part(self.path(key), start)
            start += PART_BYTES
            yield from (part[at : at + CHUNK_BYTES] for at in range(0, len(part), CHUNK_BYTES))

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        """One put, or parts that nobody sees before the last one is in. The chunks may refuse by raising."""
        with self._typed("write", key):
            parts = _regrouped(chunks)
            first = next(parts, b"")
            second = next(parts, None)  # asked for before the put: the chunks may refuse at their end
            if second is None:
                self.fs.pipe_file(self.path(key), first)
            else:
                parts = chain((first, second), parts)
                del first, second  # so that they go once they are uploaded
                self._upload(self.path(key), parts)

    def create(self, key: str, data: bytes) -> bool:
        """A put on the condition that nothing lies there, where the server knows such conditions."""
        for _ in range(_CREATE_ATTEMPTS):
            if self.stamp(key) is not None:
                return False
            with self._typed("create", key):
                if self._put_new(key, data):
                    return True
        return False

    def move(self, key: str, target: str) -> None:
        """Copy, then remove what was copied; what somebody else has put there meanwhile stays."""
        with self._typed("move", key):
            before = self.stamp(key)
            self.fs.cp_file(self.path(key), self.path(target))
            if self.stamp(key) == before:
                self.fs.rm_file(self.path(key))

    def touch(self, key: str) -> bool:
        """Objects cannot be made young in place; write them again."""
        return False

    def remove(self, key: str) -> None:
        """Delete the object, or the parts of an unfinished upload."""
        with self._typed("remove", key):
            if is_upload(key) and self._is_s3:
                drop(self.fs, self.root, key)
                return
            with suppress(FileNotFoundError):
                self.fs.rm_file(self.path(key))

    def prune(self, folder: str) -> None:
        """Nothing to do: object storage has no folders."""

    def listing(self, folder: str) -> Iterator[tuple[str, Stamp]]:
        """Objects below a folder, sorted by key; below the root also uploads that were never finished."""
        with self._typed("list", folder):
            found = self.fs.find(self.path(folder) if folder else self.root, detail=True)
            uploads = list(unfinished(self.fs, self.root)) if self._is_s3 and not folder else []
        objects = [(path[len(self.root) + 1 :], _stamp(info)) for path, info in found.items()]
        yield from sorted(objects + uploads, key=lambda item: item[0])

    @property
    def _is_s3(self) -> bool:
        return _protocol(self.fs) in _S3

    def _info(self, key: str) -> Stamp | None:
        try:
            info = self.fs.info(self.path(key))
        except FileNotFoundError:
            return None
        return _stamp(info) if info["type"] == "file" else None

    def _head(self, key: str) -> Stamp | None:
        # One request: the client's own `info` asks a second time whether a missing key is a folder.
        bucket, _, name = self.path(key).partition("/")
        try:
            found = self.fs.call_s3("head_object", Bucket=bucket, Key=name)
        except FileNotFoundError:
            _check_bucket(self.fs, bucket, name.removesuffix(key))
            return None
        return _stamp({**found, "size": found["ContentLength"]})

    def _part(self, path: str, start: int) -> bytes:
        try:
            return self._range(path, start)
        except Exception as error:
            if not was_dropped(error):
                raise
        return self._range(path, start)

    def _range(self, path: str, start: int) -> bytes:
        try:
            return self.fs.cat_file(path, start=start, end=start + PART_BYTES)
        except OSError as error:
            if code_of(error) in ("InvalidRange", "416"):  # at the end: nothing is left, or nothing ever was
                return b""
            raise

    def _upload(self, path: str, parts: Iterable[bytes]) -> None:
        file = self.fs.open(path, "wb", block_size=PART_BYTES, autocommit=False)
        try:
            for part in parts:
                file.write(part)
            file.close()
            file.commit()
        except BaseException:
            with suppress(Exception):  # the failure that led here is the one to report
                file.discard()
            raise

    def _put_new(self, key: str, data: bytes) -> bool:
        """Whether the put was ours; false where somebody else was first, or is at it."""
        try:
            self.fs.pipe_file(self.path(key), data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if code_of(error) in _TAKEN:
                return False
            if code_of(error) not in _CONDITION_UNKNOWN or error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            self.fs.pipe_file(self.path(key), data)
        return True

    def _typed(self, doing: str, key: str) -> AbstractContextManager[None]:
        # Storage clients raise classes of their own that share no base but Exception.
        url = self.fs.unstrip_protocol(self.path(key))
        return typed(doing, url, failures=Exception, translate=remote_error)


def client_options(url: str) -> dict[str, Any]:
    """How the client of a URL is set up; plain values, nothing secret."""
    # Listings are never remembered: another process may have written since.
    own = {"config_kwargs": _CLIENT} if url.partition("://")[0] in _S3 else {}
    return {"use_listings_cache": False} | own


def open_remote(url: str) -> RemotePlace:
    """A place in object storage; ConfigError for a URL that is no store, DependencyError for a missing client."""
    shown = without_user_info(url)
    if shown != url:
        remedy = "Leave user and password out; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        raise ConfigError("holds a user name or a password", where=shown, remedy=remedy)
    try:
        fs, root = fsspec.url_to_fs(url, **client_options(url))
    except ImportError as error:
        raise DependencyError("needs a package that is not installed", where=url, found=error) from error
    except ValueError as error:
        remedy = "Give a folder, or a URL such as s3://bucket/prefix."
        raise ConfigError("is not a store", where=url, found=error, remedy=remedy) from error
    if _protocol(fs) in _S3:
        fs.retries = 1  # the client below it makes the attempts
        if not urlsplit(url).netloc:
            raise ConfigError("names no bucket", where=url, remedy="Give a URL such as s3://bucket/prefix.")
    return RemotePlace(fs, root.rstrip("/"))


@cache
def _check_bucket(fs: fsspec.AbstractFileSystem, bucket: str, prefix: str) -> None:
    """Raise what the server says where the bucket is missing, which it cannot say in answer to a HEAD."""
    fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)


def _protocol(fs: fsspec.AbstractFileSystem) -> str:
    return fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]


def _regrouped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of PART_BYTES; the last one may be smaller."""
    waiting = bytearray()
    for chunk in chunks:
        for at in range(0, len(chunk), PART_BYTES):
            waiting += chunk[at : at + PART_BYTES]
            if len(waiting) >= PART_BYTES:
                yield bytes(waiting[:PART_BYTES])
                del waiting[:PART_BYTES]
    if waiting:
        yield bytes(waiting)


def _stamp(info: dict) -> Stamp:
    modified = next((info[key] for key in ("LastModified", "mtime", "created") if info.get(key)), None)
    seconds = modified.timestamp() if isinstance(modified, datetime) else modified
    return Stamp(info["size"], seconds, (str(info.get("ETag", "")), str(modified)))
