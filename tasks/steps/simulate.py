"""Make a twin city, whose ground is known, and hand it over as a first stage would."""

from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.twin import TwinRequest
from tasks.subsidence.types import Source


@step(title="simulate")
def simulate_subsidence(request: TwinRequest, here: Workspace) -> Source:
    """Integrate a twin city forward, observe it with noise, prepare its handoff."""
    from tasks.subsidence.manifest import ingest_handoff
    from tasks.subsidence.twin import write_twin

    prepared = write_twin(request, here.scratch)
    return Source(
        handoff=ingest_handoff(prepared.manifest, here.store),
        truth_panel=here.store.put_file(here.scratch / "twin_panel.csv"),
        truth_fields=here.store.put_file(here.scratch / "truth.npz"),
    )
