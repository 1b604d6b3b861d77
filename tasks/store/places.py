"""Where bytes lie: named by keys under one root, a local folder or object storage."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 1 << 20
TEMP_PREFIX = ".tmp-"


@dataclass(frozen=True)
class Stamp:
    """What is known of stored bytes without reading them; it differs when they were written anew."""

    size: int
    modified_s: float | None  # seconds since 1970; None where the storage does not tell
    change: tuple[int | str, ...]  # opaque
    recent: bool = field(default=False, compare=False)  # so young that another write might leave an equal stamp


class Place(Protocol):
    """Bytes by key. Every method raises StoreError, or a subclass of it, and nothing else."""

    def stamp(self, key: str) -> Stamp | None:
        """Size and age, or None where nothing lies."""

    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes in pieces; BlobMissingError where nothing lies."""

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        """Make the bytes visible under the key all at once, replacing what lay there."""

    def create(self, key: str, data: bytes) -> bool:
        """Make the bytes visible all at once unless something lies there; whether they were written."""

    def move(self, key: str, target: str) -> None:
        """Give the bytes another key."""

    def touch(self, key: str) -> bool:
        """Make the bytes young, so that no clean-up takes them; false: write them again for that."""

    def remove(self, key: str) -> None:
        """Forget the bytes; nothing happens where none lie."""

    def prune(self, folder: str) -> None:
        """Remove a folder that has become empty, where the storage has folders."""

    def listing(self, folder: str) -> Iterator[tuple[str, Stamp]]:
        """Keys below a folder, sorted, files left by interrupted writes included."""


def open_place(root: str | Path, *, durable: bool = True) -> Place:
    """A local folder, or any fsspec URL such as s3://bucket/prefix. Nothing is created before the first write.

    durable: whether what was written outlives a loss of power; a local folder is faster without.
    """
    text = absolute_root(root)
    if "://" in text:
        from tasks.store.remote import open_remote

        return open_remote(text)
    from tasks.store.local import LocalPlace

    return LocalPlace(text, durable)


def absolute_root(root: str | Path) -> str:
    """A root that means the same in every working folder."""
    text = str(root).removeprefix("file://")
    return text if "://" in text else str(Path(text).absolute())


def is_temporary(key: str) -> bool:
    """Whether a key names what an interrupted write left behind."""
    return key.rpartition("/")[2].startswith(TEMP_PREFIX)
