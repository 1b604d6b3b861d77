"""Whether the output of an earlier run on a scene still stands; that it exists means nothing."""

import hashlib
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.contracts.errors import HandshakeError
from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tiles import STAGE, TileRecord
from tasks.store.jsons import read_json
from tasks.tiles.job import Finding
from tasks.tiles.listing import InputFile
from tasks.tiles.scene_input import SceneDigests
from tasks.tiles.scene_output import MEDIA_TYPE, SceneRun, requested

_SHOWN = ("clipped_fraction", "valid_fraction", "precision", "device", "batch_size")


def find_scene(found: InputFile, digests: SceneDigests, run: SceneRun) -> Finding:
    """The record of a finished scene, or the reason why it is computed again."""
    name = f"{found.id}{found.path.suffix}"
    document = _document(run.folder / f"{found.id}.json")
    made = document.get("processing")
    if document.get("stage") != STAGE or not isinstance(made, dict):
        return Finding(None, "no commit marker" if os.path.lexists(run.folder / name) else "new")
    wanted = (
        ("input_sha256", digests.scene, "input changed"),
        ("sidecar_sha256", digests.sidecar, "input changed"),
        ("checkpoint_id", run.facts.checkpoint_id, "checkpoint changed"),
        ("config_id", run.facts.config_id, "config changed"),
        ("code_version", run.facts.code_version, "code changed"),
    )
    for key, value, reason in wanted:
        if made.get(key, "") != value:
            return Finding(None, reason)
    scene = made.get("scene")
    if not isinstance(scene, dict) or scene.get("requested") != requested(run.options):
        return Finding(None, "config changed")
    size = _intact(run.folder / name, made.get("output_sha256"))
    return Finding(None, "output damaged") if size is None else _resumed(found.id, name, made, size)


def _resumed(scene_id: str, name: str, made: dict[str, Any], size: int) -> Finding:
    try:
        output = ArtifactRef(digest=made["output_sha256"], size=size, media_type=MEDIA_TYPE, name=name)
        record = TileRecord(
            id=scene_id,
            status="resumed",
            input_sha256=made["input_sha256"],
            sidecar_sha256=made["sidecar_sha256"],
            output=output,
            height=made["scene"]["height"],
            width=made["scene"]["width"],
            padded_to=tuple(made["padded_to"]),
            defaults_used=tuple(made["defaults_used"]),
            warnings=tuple(made["scene"].get("warnings", ())),
            **{key: made[key] for key in _SHOWN if key in made},
        )
    except (KeyError, TypeError, ValidationError):  # a marker that somebody edited
        return Finding(None, "no commit marker")
    return Finding(record, "")


def _document(path: Path) -> dict[str, Any]:
    """The sidecar of the output; empty where there is none that can be read."""
    try:
        document = read_json(path.read_bytes(), name=path.name)
    except (OSError, HandshakeError):
        return {}
    return document if isinstance(document, dict) else {}


def _intact(path: Path, digest: object) -> int | None:
    """Size of a file with this digest, None of any other."""
    try:
        with path.open("rb") as file:
            return file.tell() if hashlib.file_digest(file, "sha256").hexdigest() == digest else None
    except OSError:
        return None
