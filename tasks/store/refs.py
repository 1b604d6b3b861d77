"""Names that are created once and never change: the registry's pointers into the store."""

import hashlib
from pathlib import Path

from tasks.contracts.errors import BlobMissingError, DigestMismatchError, StoreError
from tasks.store.paths import safe_name
from tasks.store.places import is_temporary, open_place

_FOLDER = "refs"
_SEAL_BYTES = 65  # sha256 of the payload in hex, and a newline


class NamedRefs:
    """Create-only names below `refs/` of a store root. Each file starts with the digest of its payload."""

    def __init__(self, root: str | Path):
        self.place = open_place(root)

    def create(self, name: str, payload: bytes) -> bool:
        """Bind a name to a payload for good; whether it was new. The same payload again is no error.

        Raises StoreError where the name holds another payload, UnsafePathError for an unusable name.
        """
        created = self.place.create(_key(name), _seal(payload))
        # Read back always: a server that knows no conditional put lets the later of two writers win.
        found = self.get(name)
        if found != payload:
            expected, facts = f"a payload {_digest(payload)}", _digest(found)
            remedy = "Names are never rebound; choose a new one."
            raise StoreError("is taken", where=f"name '{name}'", expected=expected, found=facts, remedy=remedy)
        return created

    def get(self, name: str) -> bytes:
        """The payload. Raises BlobMissingError where the name is free, DigestMismatchError where it is damaged."""
        key = _key(name)
        if self.place.stamp(key) is None:
            raise BlobMissingError("does not exist", where=f"name '{name}'", remedy="List the names that do.")
        sealed = b"".join(self.place.chunks(key))
        payload = sealed[_SEAL_BYTES:]
        if sealed != _seal(payload):
            where, remedy = f"name '{name}'", f"Restore {key} from a copy; names are never written twice."
            expected, found = sealed[: _SEAL_BYTES - 1].decode("ascii", "replace"), _digest(payload)
            raise DigestMismatchError("is damaged", where=where, expected=expected, found=found, remedy=remedy)
        return payload

    def list(self, prefix: str = "") -> list[str]:
        """All names that start with a prefix, sorted."""
        keys = [key for key, _ in self.place.listing(_FOLDER) if not is_temporary(key)]
        names = (key.removeprefix(f"{_FOLDER}/") for key in keys)
        return sorted(name for name in names if name.startswith(prefix))


def _key(name: str) -> str:
    return f"{_FOLDER}/{safe_name(name)}"


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def _seal(payload: bytes) -> bytes:
    return f"{_digest(payload)}\n".encode() + payload
