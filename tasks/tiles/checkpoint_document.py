"""What `config.json` of a checkpoint says, and the id that follows from it; needs no torch."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.contracts.errors import StoreError
from tasks.contracts.tile_errors import CheckpointError
from tasks.store.jsons import canonical_json
from tasks.tiles.variants import ModelConfig

FORMAT = "stagegate-tiles-1"
_BESIDE_SIZES = ("format", "weights_sha256", "training", "origin")
_OTHER_STAGE = "Name a checkpoint of this stage, made by train, import-backbone or make-sample."


def checked_document(document: Any, path: Path) -> dict[str, Any]:
    """A document whose format and keys are those of this stage. Raises CheckpointError."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = repr(document.get("format")) if isinstance(document, dict) else type(document).__name__
        what = "is of another stage or program"
        raise refusal(path, what, expected=f"format '{FORMAT}'", found=found, remedy=_OTHER_STAGE)
    config_of(document, path)
    return document


def config_of(document: dict[str, Any], path: Path) -> ModelConfig:
    """The model's config in a document. Raises CheckpointError that names the wrong keys."""
    sizes = {key: value for key, value in document.items() if key not in _BESIDE_SIZES}
    try:
        return ModelConfig.model_validate_json(json.dumps(sizes))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'sizes'}: {fault['msg']}" for fault in error.errors()]
        raise refusal(path, "describes no model", found="; ".join(faults), remedy=_OTHER_STAGE) from error
    except (TypeError, ValueError) as error:  # a `.pt` may hold more than JSON can
        raise refusal(path, "describes no model", found=error, remedy=_OTHER_STAGE) from error


def document_of(config: ModelConfig, weights_sha256: str, beside: dict[str, Any]) -> dict[str, Any]:
    """What `config.json` holds; `beside` may give `training` and `origin`. Raises CheckpointError for other keys."""
    if extra := sorted(set(beside) - {"training", "origin"}):
        raise CheckpointError("takes no such keys", where="config.json", expected="training, origin", found=extra)
    shared = {"training": {}, "origin": {}, **beside}
    return {"format": FORMAT, **config.model_dump(mode="json"), "weights_sha256": weights_sha256, **shared}


def checkpoint_id(document: dict[str, Any]) -> str:
    """Digest of the canonical JSON of a document, which holds the digest of the weights."""
    try:
        return hashlib.sha256(canonical_json(document)).hexdigest()
    except StoreError as error:
        raise CheckpointError("Error loading checkpoint: the config has no canonical form", found=error) from error


def refusal(
    path: Path, what: str, *, expected: object = None, found: object = None, remedy: str = ""
) -> CheckpointError:
    """The error for a checkpoint that cannot be used."""
    remedy = remedy or "Check the path, and copy or make the checkpoint again."
    text = f"Error loading checkpoint: {path} {what}"
    return CheckpointError(text, expected=expected, found=found, remedy=remedy)
