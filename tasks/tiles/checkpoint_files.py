"""Files of a checkpoint and its identity; needs no torch."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contracts.errors import HandshakeError
from tasks.store.failures import typed
from tasks.store.jsons import read_json
from tasks.tiles.checkpoint_document import FORMAT, checked_document, checkpoint_id, refusal

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
_PICKLED = (".pt", ".pth")


@dataclass(frozen=True)
class CheckpointFiles:
    """Where the weights lie, and the config unless it is inside them."""

    weights: Path
    config: Path | None


def checkpoint_files(path: Path) -> CheckpointFiles:
    """The files that a path names: a folder, a `.safetensors` with its JSON, or a `.pt`. Raises CheckpointError."""
    if os.path.isdir(path):
        return _both(path, path / WEIGHTS_NAME, path / CONFIG_NAME)
    if path.suffix in _PICKLED:
        return CheckpointFiles(_present(path, path), None)
    if path.suffix != ".safetensors" and os.path.exists(path):
        raise refusal(path, "is no checkpoint", expected="a folder, .safetensors or .pt", found=path.name)
    own = path.with_suffix(".json")
    beside = path.with_name(CONFIG_NAME)
    return _both(path, path, beside if path.name == WEIGHTS_NAME and not os.path.isfile(own) else own)


def read_identity(path: Path, *, sha256: str | None = None) -> tuple[str, dict[str, Any]]:
    """Id and document of a checkpoint, after the weights were compared with their digest.

    The document of a `.pt` is inside its weights; here it is only format and digest. Raises CheckpointError, also where
    `sha256` is given and is neither the digest of the weights nor the id.
    """
    files = checkpoint_files(Path(path))
    digest = sha256_of(files.weights)
    if files.config is None:
        document = {"format": FORMAT, "weights_sha256": digest}
    else:
        document = read_document(files.config)
        _check_digest(files, document, digest)
    identity = checkpoint_id(document)
    if sha256 is not None and sha256.lower() not in (digest, identity):
        raise refusal(Path(path), "is not the one that was named", expected=f"sha256 {sha256}", found=digest)
    return identity, document


def read_document(path: Path) -> dict[str, Any]:
    """`config.json` of this stage. Raises CheckpointError."""
    try:
        document = read_json(path.read_bytes(), name=path.name)
    except (HandshakeError, OSError) as error:
        raise refusal(path, "cannot be read", found=error) from error
    return checked_document(document, path)


def sha256_of(path: Path) -> str:
    """Digest of a file. Raises CheckpointError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise refusal(path, "cannot be read", found=error) from error


def write_at_once(path: Path, write: Callable[[Path], object]) -> str:
    """Let a file be written beside its place, then put it there; its digest. Raises StoreError.

    It gets the permissions of any new file: safetensors would give it to its owner alone, and containers are others.
    """
    from safetensors import SafetensorError

    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with typed("write", str(path), (OSError, SafetensorError)):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.touch()
            permissions = draft.stat().st_mode
            write(draft)
            draft.chmod(permissions)
            with draft.open("rb") as file:
                os.fsync(file.fileno())
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.replace(draft, path)
    finally:
        with suppress(OSError):  # the failure that led here is the one to report
            draft.unlink(missing_ok=True)
    return digest


def _both(path: Path, weights: Path, config: Path) -> CheckpointFiles:
    return CheckpointFiles(_present(path, weights), _present(path, config))


def _present(path: Path, file: Path) -> Path:
    if not os.path.isfile(file):
        raise refusal(path, "does not exist" if file == path else "is not complete", expected=f"a file {file.name}")
    return file


def _check_digest(files: CheckpointFiles, document: dict[str, Any], digest: str) -> None:
    if document.get("weights_sha256") != digest:
        what = "does not hold the weights of its config (damaged, truncated or replaced)"
        raise refusal(files.weights, what, expected=f"sha256 {document.get('weights_sha256')}", found=digest)
