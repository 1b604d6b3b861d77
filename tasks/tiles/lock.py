"""One run for each output folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.contracts.tile_errors import OutputBusyError


@contextmanager
def locked(path: Path, folder: Path) -> Iterator[None]:
    """Hold the lock file; the kernel lets it go however the process ends. Raises OutputBusyError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _take(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        remedy = "Wait for it to end, or choose another output folder."
        raise OutputBusyError(
            "is in use by another run", where=str(folder), found=f"process {owner}", remedy=remedy
        ) from error
