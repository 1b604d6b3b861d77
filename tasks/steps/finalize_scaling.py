"""Fix what every number of the handoff means."""

from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import Handoff, Scaled, Settings


@step(title="finalize scaling")
def finalize_scaling(handoff: Handoff, settings: Settings, here: Workspace) -> Scaled:
    """Units, names, bounds and residual scales, from the train split only."""
    from tasks.subsidence.bundles import read_split
    from tasks.subsidence.loading import config
    from tasks.subsidence.manifest import parse_manifest
    from tasks.subsidence.scaling import finalize, scaling_kwargs
    from tasks.subsidence.sidecars import coordinate_sources, holdout_places

    manifest = parse_manifest(here.store.get_bytes(handoff.ingested.manifest))
    columns = (manifest.config.cols.lon or "longitude", manifest.config.cols.lat or "latitude")
    future = read_split(handoff, here.store, "future") if "future_inputs" in handoff.bundles else None
    semantics = finalize(
        manifest,
        config(settings),
        read_split(handoff, here.store, "train"),
        future=future,
        sources=coordinate_sources(handoff.ingested, here.store),
        holdout=holdout_places(handoff.ingested, here.store, columns),
    )
    return Scaled(
        semantics=here.store.put_json(semantics.model_dump(mode="json"), name="semantics.json"),
        public=here.store.put_json(scaling_kwargs(semantics), name="scaling_kwargs.json"),
    )
