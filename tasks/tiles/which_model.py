"""What a run must know of its checkpoint before it loads it; torch is imported for a `.pt` only."""

from pathlib import Path
from typing import NamedTuple

from tasks.tiles.checkpoint_document import config_of, refusal
from tasks.tiles.checkpoint_files import checkpoint_files, read_identity


class WhichModel(NamedTuple):
    """Identity of a checkpoint, and what the plan needs of its architecture."""

    id: str
    patch: int
    num_frames: int


def which_model(path: Path, sha256: str | None = None) -> WhichModel:
    """Read it off the files. Raises CheckpointError, also where the digest is not `sha256`."""
    identity, document = read_identity(path)
    if sha256 is not None and sha256.lower() not in (document["weights_sha256"], identity):
        what = "is not the one that was named"
        raise refusal(path, what, expected=f"sha256 {sha256}", found=document["weights_sha256"])
    if checkpoint_files(path).config is None:
        from tasks.tiles.checkpoint import load_checkpoint

        config = load_checkpoint(path).config
    else:
        config = config_of(document, path)
    return WhichModel(identity, config.patch, config.num_frames)
