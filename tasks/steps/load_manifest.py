"""Read what a handoff holds."""

from tasks.contracts.refs import ArtifactRef
from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import Handoff, IngestedHandoff
from tasks.tiles.flow.types import Listed


@step(title="load manifest")
def load_manifest(ingested: IngestedHandoff, here: Workspace) -> Handoff:
    """The typed manifest and the references of its bundles."""
    from tasks.subsidence.manifest import load_handoff

    return load_handoff(ingested, here.store)


@step(title="manifest")
def list_tiles(inputs: ArtifactRef, num_frames: int, here: Workspace) -> Listed:
    """Digests, headers and sizes of all tiles."""
    from tasks.tiles.flow import listed

    return listed.list_tiles(inputs, num_frames, here)
