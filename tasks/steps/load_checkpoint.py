"""Read a trained model as far as a plan needs it."""

from typing import Any

from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.tiles.flow.types import CheckpointFile, ModelRefs


@step(title="load checkpoint", pool="cuda-torch")
def load_tiles_checkpoint(file: CheckpointFile, expected: dict[str, Any], here: Workspace) -> ModelRefs:
    """Read and check the checkpoint as far as a plan needs it; `expected` are sizes that a configuration names."""
    from tasks.tiles.flow.checkpoints import read_model

    return read_model(file, expected, here.scratch / "model", here.store)
