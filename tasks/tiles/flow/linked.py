"""Bytes of the store under a name of their own, for readers that want a file."""

import os
from pathlib import Path

from tasks.contracts.errors import BlobMissingError
from tasks.contracts.refs import ArtifactRef
from tasks.store.blobs import Store


def link(ref: ArtifactRef, target: Path, store: Store) -> None:
    """A link into a local store, a copy from any other; verified here, and nobody writes to blobs afterwards.

    Raises BlobMissingError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    there = store.local_path(ref)
    if there is None:
        store.fetch(ref.model_copy(update={"name": target.name}), target.parent)
    elif store.holds(ref):
        os.symlink(there, target)
    else:
        remedy = "Run again; it is put into the store anew."
        raise BlobMissingError("is not in the store, or was damaged", where=ref.name, remedy=remedy)
