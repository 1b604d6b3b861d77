"""Bytes in a local folder: nothing is visible before it is complete and on disk."""

import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from tasks.contracts.errors import StoreError
from tasks.store.failures import typed
from tasks.store.places import CHUNK_BYTES, TEMP_PREFIX, Stamp

_READ_ONLY = 0o444
_CLOCK_TICK_S = 0.1  # well above the step in which kernels advance the times of files


@dataclass(frozen=True)
class LocalPlace:
    """A folder. `durable=False` leaves out fsync, for copies that can be made again."""

    root: str
    durable: bool = True

    def path(self, key: str) -> str:
        """Where the bytes of a key lie."""
        return os.path.join(self.root, key)

    def stamp(self, key: str) -> Stamp | None:
        """Size and age, or None where nothing lies; StoreError where something lies that is no file."""
        path = self.path(key)
        with typed("look at", path):
            try:
                status = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                return None
        if not stat.S_ISREG(status.st_mode):
            raise StoreError("is not a regular file", where=path, remedy="Remove it; the store holds files only.")
        return _stamp(status)

    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes in pieces of at most CHUNK_BYTES."""
        path = self.path(key)
        with typed("read", path), open(path, "rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        """Temp name in the same folder, fsync, rename, fsync of the folder. The chunks may refuse by raising."""
        path = self.path(key)
        with typed("write", path):
            temp = self._finished_temp(path, chunks)
            try:
                os.rename(temp, path)
            except OSError:
                _discard(temp)
                raise
            self._sync_folder(os.path.dirname(path))

    def create(self, key: str, data: bytes) -> bool:
        """A hard link to a finished temp file: it fails where the name exists, and shows nothing partial."""
        path = self.path(key)
        with typed("create", path):
            temp = self._finished_temp(path, (data,))
            created = True
            try:
                os.link(temp, path)
            except FileExistsError:
                created = False
            finally:
                _discard(temp)
            self._sync_folder(os.path.dirname(path))
        return created

    def move(self, key: str, target: str) -> None:
        """Rename within the root."""
        source, destination = self.path(key), self.path(target)
        with typed("move", source):
            self._make_folder(os.path.dirname(destination))
            os.rename(source, destination)
            self._sync_folder(os.path.dirname(destination))
            self._sync_folder(os.path.dirname(source))

    def touch(self, key: str) -> bool:
        """Set the time of the file to now."""
        with suppress(OSError):  # in a store that is shared read-only the file keeps its time
            os.utime(self.path(key))
        return True

    def remove(self, key: str) -> None:
        """Unlink."""
        path = self.path(key)
        with typed("remove", path), suppress(FileNotFoundError):
            os.unlink(path)

    def prune(self, folder: str) -> None:
        """Remove a folder that has become empty."""
        with suppress(OSError):  # not empty, or in use again: it stays
            os.rmdir(self.path(folder))

    def listing(self, folder: str) -> Iterator[tuple[str, Stamp]]:
        """Regular files below a folder, sorted by key."""
        top = os.path.join(self.root, folder) if folder else self.root
        with typed("list", top):
            found = sorted(_files_below(top)) if os.path.isdir(top) else []
            for path in found:
                with suppress(FileNotFoundError):  # gone since it was listed
                    yield os.path.relpath(path, self.root), _stamp(os.stat(path, follow_symlinks=False))

    def _finished_temp(self, path: str, chunks: Iterable[bytes]) -> str:
        temp = os.path.join(os.path.dirname(path), f"{TEMP_PREFIX}{os.getpid()}-{secrets.token_hex(8)}")
        descriptor = self._open_new(temp)
        try:
            for chunk in chunks:
                _write_all(descriptor, chunk)
            os.fchmod(descriptor, _READ_ONLY)
            if self.durable:
                os.fsync(descriptor)
        except BaseException:
            _discard(temp)
            raise
        finally:
            os.close(descriptor)
        return temp

    def _open_new(self, temp: str) -> int:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        try:
            return os.open(temp, flags, 0o600)
        except FileNotFoundError:
            self._make_folder(os.path.dirname(temp))
            return os.open(temp, flags, 0o600)

    def _make_folder(self, folder: str) -> None:
        if os.path.isdir(folder):
            return
        parent = os.path.dirname(folder)
        self._make_folder(parent)
        with suppress(FileExistsError):
            os.mkdir(folder)
        self._sync_folder(parent)

    def _sync_folder(self, folder: str) -> None:
        if not self.durable:
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _stamp(status: os.stat_result) -> Stamp:
    # ctime cannot be set back by utime, so bytes replaced under an old mtime still show.
    change = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return Stamp(status.st_size, status.st_mtime, change, recent=time.time() - status.st_ctime < _CLOCK_TICK_S)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _discard(temp: str) -> None:
    with suppress(OSError):  # the failure that led here is the one to report
        os.unlink(temp)


def _files_below(top: str) -> Iterator[str]:
    with os.scandir(top) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry.path
