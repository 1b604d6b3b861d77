"""Read the manifest of a handoff."""

from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import Handoff, IngestedHandoff


@step(title="load manifest")
def load_manifest(ingested: IngestedHandoff, here: Workspace) -> Handoff:
    """The typed manifest and the references of its bundles."""
    from tasks.subsidence.manifest import load_handoff

    return load_handoff(ingested, here.store)
