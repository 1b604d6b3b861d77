"""Bytes in object storage, through fsspec: one put makes an object visible as a whole."""

import errno
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

import fsspec

from tasks.contracts.errors import ConfigError, DependencyError
from tasks.store.failures import typed
from tasks.store.places import CHUNK_BYTES, Stamp

_CONDITION_REFUSED = {errno.EINVAL, errno.ENOSYS}  # 412 and 501, as s3fs tells them


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
            try:
                info = self.fs.info(self.path(key))
            except FileNotFoundError:
                return None
        return _stamp(info) if info["type"] == "file" else None

    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes in pieces of at most CHUNK_BYTES."""
        with self._typed("read", key), self.fs.open(self.path(key), "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        """One put. The chunks may refuse by raising."""
        # Joined first: a file object that is closed by an exception would upload what it has got so far.
        data = b"".join(chunks)
        with self._typed("write", key):
            self.fs.pipe_file(self.path(key), data)

    def create(self, key: str, data: bytes) -> bool:
        """A put on the condition that nothing lies there, where the server knows such conditions."""
        if self.stamp(key) is not None:
            return False
        with self._typed("create", key):
            try:
                self.fs.pipe_file(self.path(key), data, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _CONDITION_REFUSED:
                    raise
                return self._create_unconditionally(key, data)
        return True

    def _create_unconditionally(self, key: str, data: bytes) -> bool:
        # Either somebody else was first, or the server does not know the condition.
        if self.stamp(key) is not None:
            return False
        self.fs.pipe_file(self.path(key), data)
        return True

    def move(self, key: str, target: str) -> None:
        """Copy, then remove."""
        with self._typed("move", key):
            self.fs.mv(self.path(key), self.path(target))

    def touch(self, key: str) -> bool:
        """Objects cannot be made young in place; write them again."""
        return False

    def remove(self, key: str) -> None:
        """Delete the object."""
        with self._typed("remove", key):
            try:
                self.fs.rm_file(self.path(key))
            except FileNotFoundError:
                return

    def prune(self, folder: str) -> None:
        """Nothing to do: object storage has no folders."""

    def listing(self, folder: str) -> Iterator[tuple[str, Stamp]]:
        """Objects below a folder, sorted by key."""
        with self._typed("list", folder):
            found = self.fs.find(self.path(folder) if folder else self.root, detail=True)
        for path, info in sorted(found.items()):
            yield path[len(self.root) + 1 :], _stamp(info)

    def _typed(self, doing: str, key: str) -> AbstractContextManager[None]:
        # Storage clients raise classes of their own that share no base but Exception.
        return typed(doing, self.fs.unstrip_protocol(self.path(key)), failures=Exception)


def open_remote(url: str) -> RemotePlace:
    """A place in object storage; ConfigError for an unknown protocol, DependencyError for a missing client."""
    try:
        fs, root = fsspec.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise DependencyError("needs a package that is not installed", where=url, found=error) from error
    except ValueError as error:
        remedy = "Give a folder, or a URL such as s3://bucket/prefix."
        raise ConfigError("is not a store", where=url, found=error, remedy=remedy) from error
    return RemotePlace(fs, root.rstrip("/"))


def _stamp(info: dict) -> Stamp:
    modified = next((info[key] for key in ("LastModified", "mtime", "created") if info.get(key)), None)
    seconds = modified.timestamp() if isinstance(modified, datetime) else modified
    return Stamp(info["size"], seconds, (str(info.get("ETag", "")), str(modified)))
