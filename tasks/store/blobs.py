"""The store: bytes named by their sha256, verified whenever they are read."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tasks.contracts.errors import BlobMissingError, DigestMismatchError, MissingInputError, StoreError
from tasks.contracts.refs import ArtifactRef
from tasks.store.failures import typed
from tasks.store.jsons import canonical_json, read_json
from tasks.store.local import LocalPlace
from tasks.store.media import media_type_of
from tasks.store.npz import DEFAULT_LIMITS, NpzLimits, read_npz
from tasks.store.npz_writer import write_npz
from tasks.store.paths import resolve_inside
from tasks.store.places import CHUNK_BYTES, Place, Stamp, absolute_root, open_place

BLOB_FOLDER = "sha256"
QUARANTINE_FOLDER = "quarantine"
# A blob that is put again after this long is made young, so that no clean-up takes it before its user is recorded.
_REFRESH_S = 12 * 3600
_WRITERS = 8


class Store:
    """Content-addressed artifacts under a local folder or an fsspec URL; nothing is made there before the first put."""

    def __init__(self, root: str | Path):
        self.root = absolute_root(root)
        self.place: Place = open_place(self.root)
        self.notes: Place = open_place(self.root, durable=False)  # for what is no loss: made again, or not missed

    def put_bytes(self, data: bytes, *, name: str, media_type: str | None = None) -> ArtifactRef:
        """Store bytes; those that are there already are left alone."""
        digest = hashlib.sha256(data).hexdigest()
        ref = ArtifactRef(digest=digest, size=len(data), media_type=media_type or media_type_of(name), name=name)
        self._commit(ref, (data,))
        return ref

    def put_file(self, path: str | Path, *, name: str | None = None, media_type: str | None = None) -> ArtifactRef:
        """Store a file under its own name or another. Raises MissingInputError where there is none."""
        path = Path(path)
        name = name or path.name
        with typed("read", str(path)):
            if not path.is_file():
                raise MissingInputError("does not exist or is no file", where=str(path), remedy="Check the path.")
            small = path.read_bytes() if path.stat().st_size <= CHUNK_BYTES else None
        if small is not None:
            return self.put_bytes(small, name=name, media_type=media_type)
        digest, size = _digest_of(_file_chunks(path))
        ref = ArtifactRef(digest=digest, size=size, media_type=media_type or media_type_of(name), name=name)
        self._commit(ref, _checked(_file_chunks(path), ref, partial(_changed, path)))
        return ref

    def put_files(self, paths: Iterable[str | Path]) -> list[ArtifactRef]:
        """Store many files at once, under their own names; the waits for the disk overlap."""
        with ThreadPoolExecutor(_WRITERS) as writers:
            return list(writers.map(self.put_file, paths))

    def put_json(self, obj: Any, *, name: str) -> ArtifactRef:
        """Store plain values as canonical JSON."""
        return self.put_bytes(canonical_json(obj), name=name, media_type="application/json")

    def put_npz(self, arrays: dict[str, np.ndarray], *, name: str) -> ArtifactRef:
        """Store arrays in one archive whose bytes depend on nothing but the arrays."""
        return self.put_bytes(write_npz(arrays), name=name, media_type="application/x-npz")

    def get_bytes(self, ref: ArtifactRef) -> bytes:
        """The bytes of a reference.

        Raises BlobMissingError, or DigestMismatchError after the damaged bytes have been moved to quarantine.
        """
        return b"".join(self._verified(ref))

    def get_json(self, ref: ArtifactRef) -> Any:
        """Parsed JSON, within the limits of the safe reader."""
        return read_json(self.get_bytes(ref), name=ref.name)

    def get_npz(self, ref: ArtifactRef, *, limits: NpzLimits = DEFAULT_LIMITS) -> dict[str, np.ndarray]:
        """Arrays, within the limits of the safe reader."""
        return read_npz(self.get_bytes(ref), name=ref.name, limits=limits)

    def fetch(self, ref: ArtifactRef, folder: str | Path) -> Path:
        """A verified, read-only copy named `ref.name` in a folder, replacing a file of that name."""
        target = resolve_inside(Path(folder), ref.name)
        LocalPlace(str(target.parent), durable=False).write(target.name, self._verified(ref))
        return target

    def local_path(self, ref: ArtifactRef) -> Path | None:
        """Where the bytes lie on this machine, for readers that check the digest themselves; None in a remote store.

        Nobody may write there.
        """
        return Path(self.place.path(blob_key(ref.digest))) if isinstance(self.place, LocalPlace) else None

    def holds(self, ref: ArtifactRef) -> bool:
        """Whether the bytes are there with the right size and digest; damaged ones go to quarantine.

        The digest of bytes that did not change since this process last looked is not computed again.
        """
        stamp = self.place.stamp(blob_key(ref.digest))
        if stamp is None:
            return False
        try:
            look = _digest_at.__wrapped__ if stamp.recent else _digest_at
            found, size = look(self.place, blob_key(ref.digest), stamp)
        except BlobMissingError:  # gone since the look
            return False
        if found != ref.digest:
            self._quarantine(ref.digest, stamp)
        return found == ref.digest and size == ref.size

    def _commit(self, ref: ArtifactRef, chunks: Iterable[bytes]) -> None:
        key = blob_key(ref.digest)
        if self.holds(ref) and self._stays_young(key):
            return
        self.place.write(key, chunks)

    def _stays_young(self, key: str) -> bool:
        stamp = self.place.stamp(key)
        if stamp is None or stamp.modified_s is None:
            return stamp is not None
        return time.time() - stamp.modified_s < _REFRESH_S or self.place.touch(key)

    def _verified(self, ref: ArtifactRef) -> Iterator[bytes]:
        key = blob_key(ref.digest)
        stamp = self.place.stamp(key)
        if stamp is None:
            where, remedy = f"{ref.name} ({ref.digest})", "Run the step that makes it again, or choose its store."
            raise BlobMissingError("is not in the store", where=where, remedy=remedy)
        return _checked(self.place.chunks(key), ref, partial(self._refuse, ref, stamp))

    def _refuse(self, ref: ArtifactRef, stamp: Stamp, found: str, size: int) -> NoReturn:
        where = f"{ref.name} in the store"
        expected, facts = f"{ref.digest} of {ref.size} bytes", f"{found} of {size} bytes"
        if found == ref.digest:
            remedy = "The bytes are intact, the reference is wrong: use the one that the store gave."
            raise DigestMismatchError("has another size", where=where, expected=expected, found=facts, remedy=remedy)
        remedy = f"{self._quarantine(ref.digest, stamp)} Run the step that makes them again."
        raise DigestMismatchError("has another digest", where=where, expected=expected, found=facts, remedy=remedy)

    def _quarantine(self, digest: str, stamp: Stamp) -> str:
        """Move damaged bytes out of the way; where they are now, as a sentence."""
        key, away = blob_key(digest), f"{QUARANTINE_FOLDER}/{digest}.{time.time_ns()}"
        try:
            if self.place.stamp(key) != stamp:
                # Somebody else moved them, and may have put good ones in their place, since they were read.
                return "The damaged bytes have been replaced meanwhile."
            self.place.move(key, away)
        except StoreError as error:
            return f"The damaged bytes could not be moved away ({error})"
        return f"The damaged bytes are in {away}."


def blob_key(digest: str) -> str:
    """Where the bytes of a digest lie below the root of a store."""
    return f"{BLOB_FOLDER}/{digest[:2]}/{digest[2:]}"


@lru_cache(maxsize=1 << 16)
def _digest_at(place: Place, key: str, stamp: Stamp) -> tuple[str, int]:
    return _digest_of(place.chunks(key))


def _digest_of(chunks: Iterable[bytes]) -> tuple[str, int]:
    hasher, size = hashlib.sha256(), 0
    for chunk in chunks:
        hasher.update(chunk)
        size += len(chunk)
    return hasher.hexdigest(), size


def _checked(chunks: Iterable[bytes], ref: ArtifactRef, refuse) -> Iterator[bytes]:
    """Pass chunks on, never more than the reference names, and refuse at the end what is not what it names."""
    hasher, size = hashlib.sha256(), 0
    for chunk in chunks:
        hasher.update(chunk)
        size += len(chunk)
        if size <= ref.size:
            yield chunk
    if size != ref.size or hasher.hexdigest() != ref.digest:
        refuse(hasher.hexdigest(), size)


def _file_chunks(path: Path) -> Iterator[bytes]:
    with typed("read", str(path)), path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _changed(path: Path, found: str, size: int) -> NoReturn:
    remedy = "Wait until nobody writes it, then run again."
    raise StoreError("changed while it was being stored", where=str(path), found=f"{size} bytes", remedy=remedy)
