"""Durations and memory of a run: beside the results, never inside them, never addressed by content."""

from typing import Any

from tasks.contracts.errors import BlobMissingError, HandshakeError
from tasks.store.blobs import Store
from tasks.store.jsons import canonical_json, read_json
from tasks.store.paths import safe_name


def save_telemetry(store: Store, key: str, values: dict[str, Any]) -> None:
    """Replace what is recorded under a key."""
    store.notes.write(_key(key), (canonical_json(values),))


def load_telemetry(store: Store, key: str) -> dict[str, Any]:
    """What is recorded under a key; empty where nothing readable is."""
    try:
        return read_json(b"".join(store.place.chunks(_key(key))), name=_key(key))
    except (BlobMissingError, HandshakeError):  # never written, or cut short by a loss of power
        return {}


def _key(key: str) -> str:
    return f"telemetry/{safe_name(key)}.json"
