"""Cache records: JSON results in the store, trusted only after a look at every byte they point to."""

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from tasks.contracts.errors import BlobMissingError
from tasks.contracts.refs import ArtifactRef
from tasks.store.blobs import Store
from tasks.store.gc import refs_in
from tasks.store.places import absolute_root

if TYPE_CHECKING:
    from prefect.filesystems import RemoteFileSystem

# Records are plain JSON: nothing in them may name code that Prefect would import to rebuild an object.
SERIALIZER = {
    "type": "json",
    "jsonlib": "json",
    "object_encoder": None,
    "object_decoder": None,
    "dumps_kwargs": {},
    "loads_kwargs": {},
}
_FORBIDDEN_KEYS = ("__class__", "__exc_type__")
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)  # what a damaged record can raise
MAX_RECORD_BYTES = 16 * 2**20
_NOTES_READ = 50


class Records:
    """Reads what Prefect wrote under `results/`, and remembers under `keys/` what went into each key."""

    def __init__(self, store: Store, root: str):
        self.store, self.root = store, absolute_root(root).rstrip("/")
        self._notes: dict[str, deque[dict[str, Any]]] = {}  # of a step, newest first: read once, then kept up

    @cached_property
    def result_storage(self) -> "Path | RemoteFileSystem":
        """What Prefect should write results to: a folder, or a saved block for a URL."""
        if "://" in self.root:
            return self._block()
        folder = Path(self.root) / "results"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _block(self) -> "RemoteFileSystem":
        # Named after the URL, so that runs over different stores share a server; credentials stay in the environment.
        from prefect.filesystems import RemoteFileSystem

        from tasks.store.remote import client_options

        url = f"{self.root}/results"
        block = RemoteFileSystem(basepath=url, settings=client_options(url))
        block.save(f"stagegate-results-{hashlib.sha256(url.encode()).hexdigest()[:12]}", overwrite=True)
        return block

    def output(self, key: str, model: type[BaseModel]) -> tuple[BaseModel | None, str]:
        """The recorded output of a step, or None and the reason why the record does not count."""
        raw = self._read(f"results/{key}")
        if raw is None:
            return None, "no record"
        try:
            output = model.model_validate_json(json.dumps(_result_of(raw)))
        except UNREADABLE as error:
            return None, f"record unreadable ({type(error).__name__})"
        if not self._sealed(key, raw):
            return None, "record altered"
        gone = [ref.name for ref in refs_of(output) if not self.store.holds(ref)]
        return (None, f"bytes gone or altered: {', '.join(gone)}") if gone else (output, "same content")

    def all_refs(self) -> Iterator[ArtifactRef]:
        """Every reference of every readable record: what a clean-up must keep."""
        for key, _ in self.store.place.listing("results"):
            with suppress(*UNREADABLE):  # an unreadable record is no record
                yield from refs_in(_result_of(self._read(key) or b""))

    def forget(self, key: str) -> None:
        """Remove a record that does not count, so that nobody reads it again."""
        self.store.place.remove(f"results/{key}")

    def seal(self, key: str) -> None:
        """Remember the digest of a record that has just been written: nothing else will be believed under its key."""
        raw = self._read(f"results/{key}")
        if raw is not None:
            self._write(f"seals/{key}", _seal(key, raw))

    def _sealed(self, key: str, raw: bytes) -> bool:
        return self._read(f"seals/{key}") == _seal(key, raw)

    def note(self, key: str, document: dict[str, Any]) -> None:
        """Remember what went into a key; only used to explain later misses."""
        self._earlier(document["step"]).appendleft(document)
        self._write(f"keys/{document['step']}/{key}", json.dumps(document, sort_keys=True).encode())

    def why(self, document: dict[str, Any]) -> str:
        """Which part of the key differs from the nearest earlier run of the same step."""
        earlier = self._earlier(document["step"])
        if not earlier:
            return "never ran"
        if document in earlier:
            return "its record was removed"
        return "changed: " + ", ".join(_fewest(_changes(old, document) for old in earlier))

    def _earlier(self, step: str) -> deque[dict[str, Any]]:
        if step not in self._notes:
            self._notes[step] = deque(self._read_notes(step), maxlen=_NOTES_READ)
        return self._notes[step]

    def _read_notes(self, step: str) -> Iterator[dict[str, Any]]:
        notes = sorted(self.store.place.listing(f"keys/{step}"), key=lambda note: note[1].modified_s or 0, reverse=True)
        for key, _ in notes[:_NOTES_READ]:
            with suppress(*UNREADABLE):  # a damaged note explains nothing, and stops nothing
                yield dict(json.loads(self._read(key) or b""))

    def _write(self, name: str, data: bytes) -> None:
        # Records are written by Prefect, and a loss of power may cost the newest: then the step runs once more.
        self.store.notes.write(name, (data,))

    def _read(self, name: str) -> bytes | None:
        stamp = self.store.place.stamp(name)
        if stamp is None or stamp.size > MAX_RECORD_BYTES:
            return None
        try:
            return b"".join(self.store.place.chunks(name))
        except BlobMissingError:  # gone since the look
            return None


def _seal(key: str, raw: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\n" + raw).hexdigest().encode()


def refs_of(value: Any) -> list[ArtifactRef]:
    """Every reference inside a model, in order of appearance."""
    if isinstance(value, ArtifactRef):
        return [value]
    if isinstance(value, BaseModel):
        return [ref for name in type(value).model_fields for ref in refs_of(getattr(value, name))]
    if isinstance(value, dict):
        return [ref for part in value.values() for ref in refs_of(part)]
    if isinstance(value, list | tuple):
        return [ref for part in value for ref in refs_of(part)]
    return []


def _result_of(raw: bytes) -> dict[str, Any]:
    record = json.loads(raw)
    if record["metadata"]["serializer"] != SERIALIZER:
        raise ValueError("record was written by another serializer")
    result = json.loads(record["result"], object_pairs_hook=_plain)
    if not isinstance(result, dict):
        raise ValueError("record holds no object")
    return result


def _plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if any(name in _FORBIDDEN_KEYS for name, _ in pairs):
        raise ValueError("record names code to import")
    return dict(pairs)


def _fewest(found: Iterator[list[str]]) -> list[str]:
    best = next(found)
    while len(best) > 1 and (changes := next(found, None)) is not None:
        best = min(best, changes, key=len)
    return best


def _changes(old: Any, new: Any, where: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted(set(old) | set(new))
        return [
            change for name in names for change in _changes(old.get(name), new.get(name), f"{where}.{name}".lstrip("."))
        ]
    return [] if old == new else [where]
