"""Checkpoints between the user's disk, the store and the folder that workers load from."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.contracts.errors import ConfigError, UnsafeCheckpointError
from tasks.store.blobs import Store
from tasks.tiles.checkpoint_files import CONFIG_NAME, WEIGHTS_NAME, checkpoint_files, read_document, read_identity
from tasks.tiles.flow.linked import link
from tasks.tiles.flow.types import CheckpointFile, ModelRefs
from tasks.tiles.model_keys import check_model
from tasks.tiles.which_model import which_model


def ingest_checkpoint(path: Path, sha256: str | None, store: Store) -> CheckpointFile:
    """The files of a checkpoint in the store.

    Raises CheckpointError with the path as it was given: absent, damaged, of another stage, or not of this `sha256`.
    """
    read_identity(path, sha256=sha256)
    files = checkpoint_files(path)
    config = None if files.config is None else store.put_file(files.config, name=CONFIG_NAME)
    name = WEIGHTS_NAME if files.config else files.weights.name
    return CheckpointFile(weights=store.put_file(files.weights, name=name), config=config, sha256=sha256)


def checkpoint_here(file: CheckpointFile, folder: Path, store: Store) -> Path:
    """A path that the loader takes; weights of a local store are linked to, not copied."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / file.weights.name
    if not weights.exists():
        link(file.weights, weights, store)
    if file.config is None:
        return weights
    if not (folder / CONFIG_NAME).exists():
        store.fetch(file.config, folder)
    return folder


def read_model(file: CheckpointFile, expected: Mapping[str, Any], folder: Path, store: Store) -> ModelRefs:
    """Read it as far as a plan needs it; torch is imported for a `.pt` only.

    Raises CheckpointError, and ConfigError where it is not of the `expected` sizes.
    """
    path = checkpoint_here(file, folder, store)
    with named(file, path):
        model = which_model(path, file.sha256)
        document = _document(path)
    check_model(expected, document)
    return ModelRefs(
        file=file.model_copy(update={"sha256": None}),
        id=model.id,
        patch=model.patch,
        num_frames=model.num_frames,
        oracle_strength=str((document.get("training") or {}).get("oracle_strength") or ""),
    )


@contextmanager
def named(file: CheckpointFile, path: Path) -> Iterator[None]:
    """Errors of the body name the checkpoint by its file, not by the path that it has for the time of a step."""
    try:
        yield
    except (ConfigError, UnsafeCheckpointError) as error:

        def said(text: object) -> str:
            return str(text).replace(f"{path}/", "checkpoint ").replace(str(path), f"checkpoint {file.weights.name}")

        facts = {key: getattr(error, key) for key in ("where", "expected", "found", "remedy")}
        told = {key: None if value is None else said(value) for key, value in facts.items()}
        raise type(error)(said(error.what), **told) from error


def _document(path: Path) -> dict[str, Any]:
    config = checkpoint_files(path).config
    if config is not None:
        return read_document(config)
    from tasks.tiles.checkpoint import load_checkpoint

    return load_checkpoint(path).document
