"""Whether an output of an earlier run still stands; that it exists means nothing."""

import hashlib
import os
from pathlib import Path
from typing import Any

from tasks.contracts.errors import HandshakeError
from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tiles import STAGE, TileRecord
from tasks.store.jsons import read_json
from tasks.tiles.job import Finding
from tasks.tiles.output_sidecar import RunFacts
from tasks.tiles.plan import Header
from tasks.tiles.writer import MEDIA_TYPE

_SHOWN = ("input_layout", "clipped_fraction", "valid_fraction", "precision", "device", "batch_size")
# In the order in which they are looked at: which difference is named when there are several.
_REASONS = (
    ("input_sha256", "input changed"),
    ("sidecar_sha256", "input changed"),
    ("checkpoint_id", "checkpoint changed"),
    ("config_id", "config changed"),
    ("code_version", "code changed"),
)


def find(folder: Path, header: Header, facts: RunFacts) -> Finding:
    """The record of a finished tile, or the reason why it is computed again."""
    document = _document(f"{folder}/{header.id}.json")
    if document is None:
        return Finding(None, "no commit marker" if os.path.lexists(f"{folder}/{header.id}.npz") else "new")
    made = document.get("processing")
    if document.get("stage") != STAGE or not isinstance(made, dict):
        return Finding(None, "no commit marker")
    wanted = {
        "input_sha256": header.input_sha256,
        "sidecar_sha256": header.sidecar_sha256,
        "checkpoint_id": facts.checkpoint_id,
        "config_id": facts.config_id,
        "code_version": facts.code_version,
    }
    for key, reason in _REASONS:
        if made.get(key, "") != wanted[key]:
            return Finding(None, reason)
    size = _intact(f"{folder}/{header.id}.npz", made.get("output_sha256"))
    return Finding(None, "output damaged") if size is None else _resumed(header, made, size)


def _resumed(header: Header, made: dict[str, Any], size: int) -> Finding:
    output = ArtifactRef(digest=made["output_sha256"], size=size, media_type=MEDIA_TYPE, name=f"{header.id}.npz")
    shown = {key: made[key] for key in _SHOWN if key in made}
    try:
        record = TileRecord(
            id=header.id,
            status="resumed",
            input_sha256=header.input_sha256,
            sidecar_sha256=header.sidecar_sha256,
            output=output,
            height=header.height,
            width=header.width,
            padded_to=tuple(made["padded_to"]),
            defaults_used=tuple(made["defaults_used"]),
            **shown,
        )
    except (KeyError, TypeError, ValueError):  # a marker that somebody edited
        return Finding(None, "no commit marker")
    return Finding(record, "")


def _document(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            document = read_json(file.read(), name=path)
    except (OSError, HandshakeError):
        return None
    return document if isinstance(document, dict) else None


def _intact(path: str, digest: object) -> int | None:
    """Size of a file with this digest, None of any other."""
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell() if found == digest else None
    except OSError:
        return None
