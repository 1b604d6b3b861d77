"""Reading a Stage-1 manifest within limits: bytes in, typed manifest out."""

import copy
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.contracts.errors import HandshakeError, MissingInputError
from tasks.store.jsons import read_json
from tasks.subsidence.handoff.manifest_model import Stage1Manifest

MAX_MANIFEST_BYTES = 4 * 2**20
MAX_MANIFEST_DEPTH = 32
STAGE_TAGS = ("stage1", "stage-1", "stage_1")
REQUIRED_BUNDLES = ("train_inputs", "train_targets", "val_inputs", "val_targets")


def parse_manifest(data: bytes) -> Stage1Manifest:
    """The typed manifest. Keys of a wrong type are set aside and listed in `.faults`.

    Raises HandshakeError for bytes that are empty, truncated, too large, too deep or not a JSON object.
    """
    manifest, faults = _validated(read_plain(data))
    manifest._faults = tuple(faults)
    return manifest


def read_plain(data: bytes) -> dict[str, Any]:
    """The manifest as plain values, not yet typed; same errors as parse_manifest."""
    if len(data) <= MAX_MANIFEST_BYTES and not data.strip():
        raise HandshakeError("is empty", where="manifest.json", remedy="Re-run Stage-1, or pass another manifest.")
    plain = read_json(data, name="manifest.json", max_bytes=MAX_MANIFEST_BYTES, max_depth=MAX_MANIFEST_DEPTH)
    if not isinstance(plain, dict):
        raise HandshakeError(
            "is no JSON object",
            where="manifest.json",
            expected="an object with stage, city, config",
            found=type(plain).__name__,
            remedy="Pass the manifest that Stage-1 wrote.",
        )
    return plain


def _validated(plain: dict[str, Any]) -> tuple[Stage1Manifest, list[str]]:
    """Validate; set aside what has a wrong type and validate the rest, until nothing is wrong."""
    rest, faults = plain, []
    while True:
        try:
            return Stage1Manifest.model_validate_json(json.dumps(rest)), faults
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
        if not all(problem["loc"] for problem in problems):
            raise HandshakeError(
                "cannot be read as a manifest",
                where="manifest.json",
                found=problems[0]["msg"],
                remedy="Pass the manifest that Stage-1 wrote.",
            )
        rest = rest if faults else copy.deepcopy(plain)
        for problem in problems:
            place = _set_aside(rest, problem["loc"])
            if place is not None:
                faults.append(f"{place}: {problem['msg']}, found {_brief(problem['input'])}")


def _set_aside(node: dict[str, Any], location: tuple[Any, ...]) -> str | None:
    """Remove the innermost keyed value along a location; its dotted place, or None when already removed."""
    holder, walked = None, []
    for step in location:
        if not isinstance(node, dict) or step not in node:
            break
        holder, node = node, node[step]
        walked.append(step)
    if holder is None:
        return None
    del holder[walked[-1]]
    return ".".join(walked)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def manifest_bytes(path: Path) -> bytes:
    """The file's bytes. Raises MissingInputError without one, HandshakeError when it is too large (not read then)."""
    if not path.is_file():
        raise MissingInputError(
            "manifest does not exist",
            where=str(path),
            remedy="Check --stage1-manifest, or make a handoff with prepare.",
        )
    size = path.stat().st_size
    if size > MAX_MANIFEST_BYTES:
        raise HandshakeError(
            "is too large",
            where=path.name,
            expected=f"at most {MAX_MANIFEST_BYTES} bytes",
            found=f"{size} bytes",
            remedy="Pass the manifest.json that Stage-1 wrote.",
        )
    return path.read_bytes()
