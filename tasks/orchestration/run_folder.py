"""The human-readable export of one flow run. Clock times, hosts and paths live here and nowhere in the store."""

import errno
import itertools
import os
import uuid
from contextlib import suppress
from pathlib import Path

from tasks.contracts.errors import StorageFullError, StoreError
from tasks.contracts.refs import ArtifactRef
from tasks.store.blobs import Store


class RunFolder:
    """A folder whose files appear whole or not at all."""

    def __init__(self, path: Path):
        self.path = path
        self.written: dict[str, Path] = {}

    @classmethod
    def new(cls, parent: Path, name: str) -> "RunFolder":
        """A folder that nobody else writes to: the name, or the name with a number where it is taken."""
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _typed(error, parent) from error
        for path in (parent / (name if count == 1 else f"{name}-{count}") for count in itertools.count(1)):
            try:
                path.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                raise _typed(error, path) from error
            return cls(path)
        raise AssertionError("numbers do not end")

    def put(self, name: str, data: bytes) -> Path:
        """Write one file: temporary name, flush, rename. Raises StorageFullError or StoreError."""
        target = self.path / name
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise _typed(error, target) from error
        self.written[name] = target
        return target

    def put_ref(self, name: str, ref: ArtifactRef, store: Store) -> Path:
        """Write verified bytes from the store."""
        return self.put(name, store.get_bytes(ref))


def _typed(error: OSError, target: Path) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError(
            f"no space left for {target.name}",
            where=str(target.parent),
            found=os.strerror(error.errno),
            remedy="Free space or choose another --out; finished steps are cached, so run the same command again.",
        )
    return StoreError(
        f"cannot write {target.name}",
        where=str(target.parent),
        found=error.strerror or str(error),
        remedy="Choose an --out folder that you may write to, and run the same command again.",
    )
