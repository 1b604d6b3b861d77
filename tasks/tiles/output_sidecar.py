"""The JSON of a refined tile: all that its input said, what was done to it, and the digests that prove it."""

import json
import os
from datetime import UTC, datetime
from typing import Any

from tasks.contracts.base import Frozen
from tasks.contracts.refs import Digest
from tasks.contracts.tiles import STAGE, TileMeta, TileRecord
from tasks.tiles.metadata import published

OWN_KEYS = ("stage", "timestamp", "processing")
HISTORY = "history"


class RunFacts(Frozen):
    """What all sidecars of a run say alike. Paths are as the user gave them."""

    input_dir: str
    checkpoint: str
    device_requested: str
    checkpoint_id: Digest
    config_id: Digest
    code_version: str


def sidecar_document(
    meta: TileMeta,
    record: TileRecord,
    facts: RunFacts,
    *,
    timestamp: datetime | None = None,
    processing_time_ms: float = 0.0,
    worker: int = 0,
) -> dict[str, Any]:
    """The sidecar of a finished tile: keys of the input first and in their order, then ours.

    What an earlier run left in our keys moves into the list `history`.
    """
    document = {key: value for key, value in meta.extra.items() if key not in OWN_KEYS}
    document["month"], document["biome_code"] = published(meta)
    if earlier := {key: meta.extra[key] for key in OWN_KEYS if key in meta.extra}:
        document[HISTORY] = [*_listed(document, HISTORY), earlier]
    document["stage"] = STAGE
    document["timestamp"] = (timestamp or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    document["processing"] = _processing(meta, record, facts) | {
        "processing_time_ms": round(float(processing_time_ms), 3),
        "worker": worker,
    }
    return document


def sidecar_bytes(document: dict[str, Any]) -> bytes:
    """UTF-8 JSON in the order of the keys; NaN, Infinity and lone surrogates stay what they were."""
    try:
        text = json.dumps(document, indent=2, ensure_ascii=False)
        return f"{text}\n".encode()
    except UnicodeEncodeError:  # a lone surrogate can only be written as an escape
        return f"{json.dumps(document, indent=2)}\n".encode()


def _processing(meta: TileMeta, record: TileRecord, facts: RunFacts) -> dict[str, Any]:
    shown = record.model_dump(mode="json")
    kept = ("device", "precision", "batch_size", "oom_events", "input_layout", "padded_to", "clipped_fraction")
    return {
        "input_file": os.path.join(facts.input_dir, f"{record.id}.npz"),
        "checkpoint": facts.checkpoint,
        "device_requested": facts.device_requested,
        "use_amp": record.precision in ("bf16", "fp16"),
        **{key: shown[key] for key in kept},
        "valid_fraction": record.valid_fraction,
        "defaults_used": list(meta.defaults_used),
        "input_month": meta.input_month,
        "input_sha256": record.input_sha256,
        "sidecar_sha256": record.sidecar_sha256,
        "output_sha256": record.output.digest if record.output else None,
        "checkpoint_id": facts.checkpoint_id,
        "config_id": facts.config_id,
        "code_version": facts.code_version,
    }


def _listed(document: dict[str, Any], key: str) -> list[Any]:
    if key not in document:
        return []
    return document[key] if isinstance(document[key], list) else [document[key]]
